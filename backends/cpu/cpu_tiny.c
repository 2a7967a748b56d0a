/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of a few query rows over a few keys and nothing else: no row sets, no strips, no blocks. In
 * such a call they would take as long as the products. What is computed is the same, bit by bit, so
 * that a sample may go either way: with other options, or packed, it goes the other one. */
#include "cpu_tiny.h"

#include "cpu_carver.h"
#include "cpu_decode.h"
#include "ranges.h"

typedef struct job {
    const attend__call *call;
    attend__tiny_fn *kernel;
    int64_t pairs, each; /* (sample, group): all, and those of a task */
} job;

static attend__tiny lay_out(const attend__call *call, attend__carver *c) {
    attend__tiny t = {.depth = call->depth,
                      .columns = call->columns,
                      .count = (int32_t)call->keys,
                      .factor = call->factor};
    t.packed = attend__carve(c, call->depth, call->lanes->lanes, sizeof(float));
    t.scores = attend__carve(c, ATTEND__TINY_KEYS, call->lanes->lane_rows, sizeof(float));
    return t;
}

static bool is_plain(const attend_tensor *t) {
    return t->type == ATTEND_F32 && t->strides[3] == 1;
}

/* Options that exclude a key, change a score or want more than the output. */
static bool has_options(const attend__call *call) {
    const attend_attention *const a = call->a;
    return call->packed || call->packed_keys || call->paged || call->own_units || call->masked ||
           call->wants_scores || call->wants_weights || call->wants_mean || call->wants_lse ||
           a->causal || a->window_left >= 0 || a->window_right >= 0 || a->key_begin != 0 ||
           a->key_end != 0 || attend__given(&a->key_lengths) || attend__given(&a->query_lengths) ||
           attend__given(&a->sinks);
}

static bool is_tiny(const attend__call *call, attend_operation operation) {
    const attend_attention *const a = call->a;
    const int64_t rows = call->queries * call->shared;
    return operation == ATTEND_OP_ATTENTION && call->keys > 0 && call->keys <= ATTEND__TINY_KEYS &&
           rows > ATTEND__DECODE_FEW && rows <= ATTEND__TINY_ROWS && !has_options(call) &&
           is_plain(&a->q) && is_plain(&a->k) && is_plain(&a->v) && is_plain(&a->out);
}

static float *at(const attend_tensor *t, int64_t batch, int64_t head) {
    return (float *)t->data + t->offset + batch * t->strides[0] + head * t->strides[1];
}

/* The rows of a group, query by query. */
static void list_rows(const attend__call *call, attend__tiny *t, int64_t batch, int64_t group) {
    const attend_tensor *const q = &call->a->q, *const out = &call->a->out;
    const float *from = at(q, batch, group * call->shared);
    float *to = at(out, batch, group * call->shared);
    int32_t count = 0;
    for (int64_t query = 0; query < call->queries; query++) {
        for (int64_t head = 0; head < call->shared; head++, count++) {
            t->queries[count] = from + head * q->strides[1];
            t->out[count] = to + head * out->strides[1];
        }
        from += q->strides[2];
        to += out->strides[2];
    }
    for (; count < ATTEND__TINY_ROWS; count++) {
        t->queries[count] = t->queries[count - 1];
        t->out[count] = t->out[count - 1];
    }
}

static void task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__call *const call = j->call;
    const attend_attention *const a = call->a;
    attend__carver c = {memory, 0, true};
    attend__tiny t = lay_out(call, &c);
    t.rows = (int32_t)(call->queries * call->shared);
    t.key_stride = a->k.strides[2];
    t.value_stride = a->v.strides[2];
    const int64_t begin = index * j->each, left = j->pairs - begin;
    int64_t batch = begin / call->groups, group = begin % call->groups;
    for (int64_t i = left < j->each ? left : j->each; i > 0; i--) {
        t.keys = at(&a->k, batch, group);
        t.values = at(&a->v, batch, group);
        list_rows(call, &t, batch, group);
        j->kernel(&t);
        if (++group < call->groups) continue;
        group = 0;
        batch++;
    }
}

bool attend__tiny_plan(const attend__call *largest, attend__cpu_needs *needs) {
    attend__carver c = {NULL, 0, true};
    lay_out(largest, &c);
    if (c.used > needs->scratch_bytes) needs->scratch_bytes = c.used;
    return c.fits;
}

bool attend__tiny_run(attend_device *device, const attend_device_plan *plan,
                      attend_operation operation, const attend__call *call) {
    if (!is_tiny(call, operation)) return false;
    job j = {.call = call, .kernel = device->kernels->tiny};
    j.pairs = j.each = call->batches * call->groups;
    attend__cpu_work work = {.task = task, .argument = &j, .count = j.pairs};
    work.workspace = &call->a->workspace;
    work.work = (double)call->batches * (double)(call->heads * call->queries) * (double)call->keys *
                (double)(call->depth + call->columns);
    if (attend__cpu_workers(device, &work) > 1)
        j.each = attend__between(j.pairs / (8 * (int64_t)device->threads), 1, j.pairs);
    work.count = (j.pairs + j.each - 1) / j.each;
    attend__cpu_tasks(device, plan, &work);
    return true;
}
