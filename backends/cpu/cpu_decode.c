/* SPDX-License-Identifier: Apache-2.0
 *
 * Few query rows: which samples, the tasks of a call, and how chunks are joined. A task is all
 * chunks of a sample and group where there are enough of those for the threads, else a part of
 * them; then chunks leave what they found in memory of the call, and whoever finishes last joins
 * them. Both do the same sums in the same order. */
#include "cpu_carver.h"
#include "cpu_strip.h"
#include "ranges.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

enum {
    SPLIT_SAMPLES = 64,     /* most samples that are cut */
    TASKS_EACH = 8,         /* tasks wanted per thread */
    SPLIT_BYTES = 32 << 20, /* bounds the memory of a call */
    SPLIT_FROM = 1 << 20    /* multiplications; less is done before another thread is awake */
};

/* A sample whose tasks are parts of its chunks. */
typedef struct split {
    int64_t batch, first_task, first_slot;
    int64_t first_chunk, chunks, parts;
} split;

typedef struct job {
    const attend__call *call;
    char *slots; /* one for each chunk of the samples that are cut */
    int64_t slot_bytes;
    int64_t split_tasks;
    int32_t split_count;
    split splits[SPLIT_SAMPLES];
} job;

/* ---- sizes ----------------------------------------------------------------------------------- */

static int64_t limit_of(const attend__call *call) {
    return call->a->k.type == ATTEND_F32 ? ATTEND__DECODE_ROWS_F32 : ATTEND__DECODE_ROWS;
}

static int64_t most_rows(const attend__call *call) {
    const int64_t rows = call->queries * call->shared, limit = limit_of(call);
    return rows < limit ? rows : limit;
}

static attend__partial slot_at(const job *j, int64_t slot, int64_t rows) {
    attend__carver c = {j->slots + slot * j->slot_bytes + ATTEND__CPU_ALIGNMENT, 0, true};
    return attend__decode_carve_partial(&c, j->call, rows);
}

/* A line for a counter, then what a chunk gave. */
static int64_t slot_bytes(const attend__call *call) {
    attend__carver c = {NULL, ATTEND__CPU_ALIGNMENT, true};
    attend__decode_carve_partial(&c, call, most_rows(call));
    return c.fits ? (int64_t)c.used : 0;
}

static bool wants_side_outputs(const attend__call *call) {
    return call->wants_weights || call->wants_scores || call->wants_mean;
}

/* Highest and sum of all rows, for the pass that writes side outputs. */
static int64_t recalled_bytes(const attend__call *call) {
    if (!wants_side_outputs(call)) return 0;
    attend__carver c = {NULL, 0, true};
    attend__carve(&c, call->batches * call->groups, most_rows(call), 2 * sizeof(float));
    return c.fits ? (int64_t)c.used : 0;
}

size_t attend__decode_kept_bytes(const attend__call *call) {
    return call->recalled != NULL ? (size_t)recalled_bytes(call) : 0;
}

static int64_t chunk_keys(int64_t keys) {
    int64_t size = ATTEND__DECODE_CHUNK;
    while (size * ATTEND__DECODE_CHUNKS < keys)
        size *= 2;
    return size;
}

bool attend__decode_plan(const attend_device *device, const attend__call *largest,
                         attend__cpu_needs *needs) {
    if (!largest->decodes) return true;
    attend__carver c = {NULL, 0, true};
    attend__decode_lay_out(largest, &c, most_rows(largest));
    if (!c.fits) return false;
    if (c.used > needs->scratch_bytes) needs->scratch_bytes = c.used;
    const int64_t each = slot_bytes(largest), threads = device->threads;
    int64_t chunks = (largest->keys + ATTEND__DECODE_CHUNK - 1) / ATTEND__DECODE_CHUNK;
    if (chunks > ATTEND__DECODE_CHUNKS) chunks = ATTEND__DECODE_CHUNKS;
    int64_t pairs = largest->batches * largest->groups;
    if (pairs > TASKS_EACH * threads) pairs = TASKS_EACH * threads;
    int64_t slots = threads > 1 && chunks > 1 ? pairs * chunks : 0;
    if (each == 0) return false;
    if (slots > SPLIT_BYTES / each) slots = SPLIT_BYTES / each;
    needs->shared_bytes = (size_t)(recalled_bytes(largest) + slots * each);
    return true;
}

/* ---- samples --------------------------------------------------------------------------------- */

bool attend__decode_takes(const attend__call *call, int64_t batch) {
    if (!call->decodes) return false;
    const int64_t rows = attend__query_length(call, batch) * call->shared;
    const bool few =
        rows <= ATTEND__DECODE_FEW || attend__key_length(call, batch) >= ATTEND__DECODE_KEYS;
    return rows > 0 && rows <= limit_of(call) && few;
}

/* Chunks that a sample's rows see: of all heads alike. The first and the last query may see none
 * where others do. */
static void chunks_of(const attend__call *call, int64_t batch, int64_t *first, int64_t *count) {
    const int64_t queries = attend__query_length(call, batch);
    const int64_t size = chunk_keys(attend__key_length(call, batch));
    attend__query rows[ATTEND__DECODE_ROWS];
    for (int64_t i = 0; i < queries; i++)
        rows[i] = attend__query_of(call, batch, 0, i * call->shared);
    int64_t begin = 0, end = 0;
    attend__rows_range(rows, (int32_t)queries, &begin, &end);
    *first = begin / size;
    *count = (end + size - 1) / size - *first;
}

static attend__decode_set set_of(const attend__call *call, const attend__decode_scratch *scratch,
                                 int64_t batch, int64_t group) {
    const int32_t rows = (int32_t)(attend__query_length(call, batch) * call->shared);
    return attend__decode_set_of(call, scratch, (attend__decode_rows){batch, group, 0, rows});
}

/* Rows beyond the query length. */
static void write_padding(const attend__call *call, const attend__decode_set *set, float *out) {
    if (call->packed) return;
    memset(out, 0, (size_t)call->columns * sizeof(float));
    for (int64_t r = set->count; r < call->queries * call->shared; r++) {
        const attend__query row = attend__query_of(call, set->batch, set->group, r);
        call->kernels->narrow(out, call->columns,
                              attend__query_span(call, &call->a->out, set->batch, &row));
        if (call->wants_lse) attend__write_lse(call, set->batch, &row, -INFINITY, 0.0f);
    }
}

static void write_rows(const attend__call *call, const attend__decode_set *set,
                       attend__partial total) {
    for (int32_t r = 0; r < set->count; r++)
        attend__decode_write_row(call, set, r, total);
    for (int32_t r = 0; call->recalled != NULL && r < set->count; r++) {
        const int64_t pair = set->batch * call->groups + set->group;
        float *const recalled = call->recalled + 2 * (pair * most_rows(call) + r);
        recalled[0] = total.highest[r];
        recalled[1] = total.sum[r];
    }
    write_padding(call, set, total.out);
}

void attend__decode_recall(const attend__call *call, const attend__row_set *set) {
    const int64_t pair = set->batch * call->groups + set->group;
    const int64_t length = attend__query_length(call, set->batch);
    for (int32_t r = 0; r < set->count; r++) {
        const int64_t query = attend__row_query(call, set, r);
        const int64_t at = query * call->shared + attend__row_head(call, set, r) % call->shared;
        const float *const recalled = call->recalled + 2 * (pair * most_rows(call) + at);
        const bool none = query >= length || recalled[1] == 0.0f;
        set->reference[r] = none ? 0.0f : recalled[0];
        set->scale[r] = none ? 0.0f : 1.0f / recalled[1];
        set->tail[r] = 1.0f;
    }
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void whole_task(const attend__call *call, const attend__decode_scratch *scratch,
                       int64_t batch, int64_t group) {
    const attend__decode_set set = set_of(call, scratch, batch, group);
    int64_t first = 0, count = 0;
    chunks_of(call, batch, &first, &count);
    attend__decode_part part = {.size = chunk_keys(attend__key_length(call, batch))};
    for (int64_t i = 0; i < count; i++) {
        part.begin = (first + i) * part.size;
        attend__decode_chunk(call, scratch, &set, part, i == 0 ? scratch->total : scratch->chunk);
        if (i > 0) attend__decode_join(call, set.count, scratch->total, scratch->chunk);
    }
    write_rows(call, &set, scratch->total);
}

static void part_task(const job *j, const split *s, const attend__decode_scratch *scratch,
                      int64_t index) {
    const attend__call *const call = j->call;
    const int64_t group = index / s->parts, slot = s->first_slot + group * s->chunks;
    const attend__decode_set set = set_of(call, scratch, s->batch, group);
    attend__decode_part part = {.size = chunk_keys(attend__key_length(call, s->batch))};
    const int64_t end = attend__cut(s->chunks, s->parts, index % s->parts + 1);
    for (int64_t i = attend__cut(s->chunks, s->parts, index % s->parts); i < end; i++) {
        part.begin = (s->first_chunk + i) * part.size;
        attend__decode_chunk(call, scratch, &set, part, slot_at(j, slot + i, set.count));
    }
    atomic_int *const left = (atomic_int *)(void *)(j->slots + slot * j->slot_bytes);
    if (atomic_fetch_sub_explicit(left, 1, memory_order_acq_rel) > 1) return;
    const attend__partial total = slot_at(j, slot, set.count);
    for (int64_t i = 1; i < s->chunks; i++)
        attend__decode_join(call, set.count, total, slot_at(j, slot + i, set.count));
    write_rows(call, &set, total);
}

static void task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__call *const call = j->call;
    attend__carver c = {memory, 0, true};
    const attend__decode_scratch scratch = attend__decode_lay_out(call, &c, most_rows(call));
    if (index < j->split_tasks) {
        const split *s = &j->splits[j->split_count - 1];
        while (s->first_task > index)
            s--;
        part_task(j, s, &scratch, index - s->first_task);
        return;
    }
    const int64_t pair = index - j->split_tasks, batch = pair / call->groups;
    for (int32_t i = 0; i < j->split_count; i++)
        if (j->splits[i].batch == batch) return;
    if (attend__decode_takes(call, batch)) whole_task(call, &scratch, batch, pair % call->groups);
}

/* ---- a call ---------------------------------------------------------------------------------- */

typedef struct demand {
    int64_t taken, keys;
    double work; /* multiplications */
} demand;

static demand demand_of(const attend__call *call) {
    demand d = {0};
    for (int64_t b = 0; b < call->batches; b++) {
        if (!attend__decode_takes(call, b)) continue;
        const int64_t keys = attend__key_length(call, b);
        d.taken++;
        d.keys += keys;
        d.work += (double)keys * (double)attend__query_length(call, b);
    }
    d.work *= (double)call->heads * (double)(call->depth + call->columns);
    return d;
}

static void cut(job *j, int64_t batch, int64_t task_keys, int64_t slots) {
    const attend__call *const call = j->call;
    split s = {.batch = batch, .first_task = j->split_tasks};
    const split *const before = j->split_count > 0 ? &j->splits[j->split_count - 1] : NULL;
    if (before != NULL) s.first_slot = before->first_slot + call->groups * before->chunks;
    chunks_of(call, batch, &s.first_chunk, &s.chunks);
    const int64_t keys = s.chunks * chunk_keys(attend__key_length(call, batch));
    s.parts = keys / (task_keys > 0 ? task_keys : 1);
    if (s.parts > s.chunks) s.parts = s.chunks;
    if (s.parts < 2 || s.first_slot + call->groups * s.chunks > slots) return;
    j->splits[j->split_count++] = s;
    j->split_tasks += s.parts * call->groups;
}

static void cut_all(job *j, const attend_device *device, const demand *d, int64_t slots) {
    const attend__call *const call = j->call;
    const int64_t task_keys = d->keys * call->groups / (TASKS_EACH * device->threads);
    for (int64_t b = 0; b < call->batches && j->split_count < SPLIT_SAMPLES; b++)
        if (attend__decode_takes(call, b)) cut(j, b, task_keys, slots);
    for (int32_t i = 0; i < j->split_count; i++) {
        for (int64_t g = 0; g < call->groups; g++) {
            const int64_t slot = j->splits[i].first_slot + g * j->splits[i].chunks;
            atomic_int *const left = (atomic_int *)(void *)(j->slots + slot * j->slot_bytes);
            atomic_init(left, (int)j->splits[i].parts);
        }
    }
}

bool attend__decode_run(attend_device *device, const attend_device_plan *plan, attend__call *call) {
    const demand d = demand_of(call);
    call->recalled = NULL;
    call->shared_memory = NULL;
    call->shared_slot = -1;
    if (d.taken == 0) return false;
    job j = {.call = call, .slot_bytes = slot_bytes(call)};
    const int64_t recalled = recalled_bytes(call);
    const bool cuts = device->threads > 1 && d.work >= SPLIT_FROM;
    if (recalled > 0 || cuts) {
        char *const shared =
            attend__cpu_shared_take(device, plan, &call->a->workspace, &call->shared_slot);
        call->shared_memory = shared;
        if (recalled > 0) call->recalled = (float *)(void *)shared;
        j.slots = shared + recalled;
        if (cuts) cut_all(&j, device, &d, ((int64_t)plan->shared_bytes - recalled) / j.slot_bytes);
    }
    const attend__cpu_work work = {.task = task,
                                   .argument = &j,
                                   .count = j.split_tasks + call->batches * call->groups,
                                   .work = d.work,
                                   .workspace = &call->a->workspace};
    attend__cpu_tasks(device, plan, &work);
    if (d.taken < call->batches || call->recalled != NULL) return false;
    attend__decode_end(device, call);
    return true;
}

void attend__decode_end(attend_device *device, attend__call *call) {
    attend__cpu_shared_give_back(device, call->shared_slot);
    call->shared_slot = -1;
}
