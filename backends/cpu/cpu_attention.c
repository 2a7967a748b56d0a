/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention, its first step (scores) and its third (weights times V), split into tasks: a task is a
 * row set, or, where the mean of the weights over heads is wanted, the rows of all heads of some
 * queries. Writes what a set has computed. */
#include "cpu_carver.h"
#include "cpu_decode.h"
#include "cpu_schedule.h"
#include "cpu_strip.h"
#include "cpu_tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- scratch -------------------------------------------------------------------------------- */

static attend__row_set lay_out_set(const attend__call *call, attend__carver *c, int64_t rows) {
    const int64_t lanes = call->kernels->lanes, wide = call->lanes->lane_rows;
    const int64_t strips = (rows + wide - 1) / wide + 1; /* and one of padding */
    attend__row_set s = {0};
    s.strip = attend__carve(c, strips, 1, sizeof(attend__strip));
    s.row_first = attend__carve(c, rows, 1, sizeof(int64_t));
    s.row_last = attend__carve(c, rows, 1, sizeof(int64_t));
    const bool masks = attend__given(&call->a->mask);
    s.mask_bits = attend__carve(c, masks ? rows : 0, ATTEND__MASK_WORDS, sizeof(uint32_t));
    s.mask_base = attend__carve(c, strips, 1, sizeof(int64_t));
    s.queries = attend__carve(c, strips * wide, call->depth, sizeof(float));
    s.pairs =
        attend__carve(c, call->pairs ? strips * wide : 0, (call->depth + 1) / 2, sizeof(float));
    s.out = attend__carve(c, strips * wide, call->columns, sizeof(float));
    s.highest = attend__carve(c, rows + lanes, 1, sizeof(float));
    s.sum = attend__carve(c, rows + lanes, 1, sizeof(float));
    s.reference = attend__carve(c, rows + lanes, 1, sizeof(float));
    s.scale = attend__carve(c, rows + lanes, 1, sizeof(float));
    s.tail = attend__carve(c, rows + lanes, 1, sizeof(float));
    return s;
}

static attend__scratch lay_out(const attend__call *call, attend__carver *c) {
    const int64_t rows = call->lanes->lane_rows, block = ATTEND__LANE_KEYS;
    const bool mean = call->wants_mean;
    attend__scratch s;
    s.keys = attend__carve(c, block, call->depth, sizeof(float));
    s.values = attend__carve(c, block, call->columns, sizeof(float));
    s.pair_rows = attend__carve(c, call->pairs ? block : 0, call->depth, sizeof(uint16_t));
    s.pair_values = attend__carve(c, call->pairs ? block : 0, call->columns, sizeof(uint16_t));
    s.scores = attend__carve(c, block, rows, sizeof(float));
    s.keep = attend__carve(c, ATTEND__KEEP_WORDS, rows, sizeof(uint32_t));
    s.highest = attend__carve(c, rows, 1, sizeof(float));
    s.shrink = attend__carve(c, rows, 1, sizeof(float));
    s.slopes = attend__carve(c, rows, 1, sizeof(float));
    s.distance = attend__carve(c, rows, 1, sizeof(float));
    s.set = lay_out_set(call, c, ATTEND__SET_ROWS + ATTEND__FEW_MOST);
    s.again = lay_out_set(call, c, 1);
    s.mean = attend__carve(c, block, rows, sizeof(float));
    s.all_reference = attend__carve(c, mean ? ATTEND__SET_ROWS : 0, call->heads, sizeof(float));
    s.all_scale = attend__carve(c, mean ? ATTEND__SET_ROWS : 0, call->heads, sizeof(float));
    s.few = attend__decode_lay_out(call, c, ATTEND__FEW_MOST);
    return s;
}

static bool scratch_bytes(const attend__call *call, size_t *bytes) {
    attend__carver c = {NULL, 0, true};
    lay_out(call, &c);
    *bytes = c.used;
    return c.fits;
}

static attend__scratch scratch_at(const attend__call *call, void *memory) {
    attend__carver c = {memory, 0, true};
    return lay_out(call, &c);
}

/* ---- sets ----------------------------------------------------------------------------------- */

/* Large sets read keys and values from memory less often; enough of them keep every thread busy to
 * the end. */
static int64_t set_size(const attend_device *device, const attend__call *call) {
    const int64_t lanes = call->kernels->lanes, strip = call->lanes->lane_rows;
    const int64_t rest = attend__few_of(call, call->queries * call->shared, call->keys);
    const int64_t total = call->queries * call->shared - rest;
    const int64_t wanted = 4 * (int64_t)device->threads;
    /* a task of the mean has all groups */
    const int64_t pairs = call->batches * (call->wants_mean ? 1 : call->groups);
    int64_t sets = (total + ATTEND__SET_ROWS - 1) / ATTEND__SET_ROWS;
    if (device->threads > 1 && sets * pairs < wanted) {
        const int64_t more = (wanted + pairs - 1) / pairs, most = (total + strip - 1) / strip;
        sets = more < most ? more : most > sets ? most : sets;
    }
    if (sets < 1) return lanes;
    const int64_t rows = (total + sets - 1) / sets, unit = sets > 1 ? strip : lanes;
    return (rows + unit - 1) / unit * unit;
}

/* Multiplications of a call that is over before what it prefetches arrives. */
#define SMALL_WORK 1e6

/* Sets that a worker takes at once: within them it knows what comes next. */
static int64_t chunk_size(const attend_device *device, const attend__cpu_work *work) {
    if (attend__cpu_workers(device, work) <= 1) return work->count > 0 ? work->count : 1;
    return attend__between(work->count / (8 * (int64_t)device->threads), 1, 8);
}

/* One row again, without the values of excluded keys: weight 0 times NaN or infinity is NaN. */
static void run_again(const attend__call *call, const attend__scratch *scratch,
                      const attend__row_set *set, const attend__strip *strip, int32_t r) {
    attend__row_set again = scratch->again;
    again.batch = set->batch;
    again.group = set->group;
    again.step = 1;
    attend__set_rows(call, &again, set->first_row + r * set->step, 1);
    if (!call->given_weights) attend__pack_set(call, &again);
    attend__run_set(call, scratch, &again, true);
    for (int64_t e = 0; e < call->columns; e++) {
        const int64_t line = e * call->lanes->lane_rows;
        strip->out[line + r - strip->row] = again.out[line];
    }
}

/* Every key that was read for a row is allowed: what is not finite comes from one of those. */
static bool all_seen(const attend__call *call, const attend__row_set *set,
                     const attend__strip *strip) {
    return strip->same && !call->masked && !attend__given(&call->a->bias) &&
           strip->first == set->row_first[strip->row];
}

static void mend_rows(const attend__call *call, const attend__scratch *scratch,
                      attend__row_set *set, const attend__strip *strip) {
    bool finite[ATTEND__LANE_ROWS_MOST];
    call->lanes->finite_rows(strip->out, call->columns, strip->vectors, finite);
    for (int32_t i = 0; i < strip->rows; i++) {
        const int32_t r = strip->row + i;
        if (!finite[i] && set->scale[r] != 0.0f && !isnan(set->scale[r]))
            run_again(call, scratch, set, strip, r);
    }
}

static void write_set(const attend__call *call, const attend__scratch *scratch,
                      attend__row_set *set) {
    const attend__part all = {0, (int32_t)call->columns};
    char *pointers[ATTEND__LANE_ROWS_MOST];
    for (int32_t s = 0; s < set->strips; s++) {
        const attend__strip *const strip = &set->strip[s];
        if (!all_seen(call, set, strip)) mend_rows(call, scratch, set, strip);
        const attend__lane_rows rows =
            attend__strip_rows(call, set, strip, &call->a->out, all, pointers);
        call->lanes->unpack_rows(strip->out, set->scale + strip->row, set->tail + strip->row,
                                 &rows);
    }
}

/* MIX: the caller's weights are whole already. */
static void keep_weights(const attend__call *call, attend__row_set *set) {
    const int64_t length = attend__query_length(call, set->batch);
    for (int32_t r = 0; r < set->count; r++) {
        set->scale[r] = attend__row_query(call, set, r) < length ? 1.0f : 0.0f;
        set->tail[r] = 1.0f;
    }
}

static void compute_set(const attend__call *call, const attend__scratch *scratch,
                        attend__row_set *set) {
    if (!call->given_weights) attend__pack_set(call, set);
    attend__run_set(call, scratch, set, false);
    if (call->given_weights)
        keep_weights(call, set);
    else
        attend__finish_rows(call, set);
    write_set(call, scratch, set);
}

static void attend_set(const attend__call *call, const attend__scratch *scratch,
                       attend__row_set *set) {
    if (!attend__decode_takes(call, set->batch)) {
        compute_set(call, scratch, set);
    } else if (call->recalled != NULL) {
        attend__pack_set(call, set);
        attend__decode_recall(call, set);
    }
    if (!call->wants_weights && !call->wants_scores) return;
    if (set->few_count > 0) { /* all rows as strips */
        set->few_begin = set->few_end = 0;
        attend__set_rows(call, set, set->first_row, set->count);
        attend__pack_set(call, set);
    }
    attend__write_side_outputs(call, scratch, set);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

typedef struct job {
    attend__call call;
    attend_operation operation;
    int64_t rows;                     /* of a set; with a mean: queries of a task */
    int64_t parts;                    /* sets of a batch and group; with a mean: tasks of a batch */
    int64_t sets, chunk;              /* all sets; sets of a task */
    const attend__schedule *schedule; /* NULL: all samples are alike */
} job;

static attend__part_of_rows part_of_task(const job *j, int64_t index) {
    if (j->schedule != NULL) return attend__schedule_part(j->schedule, index);
    const attend__call *const call = &j->call;
    const int64_t pair = index / j->parts, pairs = call->wants_mean ? 1 : call->groups;
    const int64_t total = call->queries * (call->wants_mean ? 1 : call->shared);
    /* The last rows first: with a causal mask they are the longest. */
    const int64_t n = j->parts - 1 - index % j->parts, first = n * j->rows;
    const attend__part_of_rows part = {pair / pairs, pair % pairs, first,
                                       n == j->parts - 1 ? total - first : j->rows};
    return part;
}

/* Those of the part's rows, or queries, that are not padding. */
static int64_t own_rows(const attend__call *call, const attend__part_of_rows *part, int64_t unit) {
    if (!call->packed) return part->count;
    const int64_t own = attend__query_length(call, part->batch) * unit - part->first;
    return own < 0 ? 0 : own < part->count ? own : part->count;
}

static attend__row_set set_of(const attend__call *call, const attend__scratch *scratch,
                              const attend__part_of_rows *part) {
    attend__row_set set = scratch->set;
    set.batch = part->batch;
    set.group = part->group;
    set.step = 1;
    if (!attend__decode_takes(call, part->batch)) {
        set.few_end = attend__query_length(call, part->batch) * call->shared;
        set.few_begin =
            set.few_end - attend__few_of(call, set.few_end, attend__key_length(call, part->batch));
    }
    attend__set_rows(call, &set, part->first, (int32_t)part->count);
    return set;
}

static void run_part(const job *j, const attend__scratch *scratch, attend__part_of_rows part,
                     attend__next_set next) {
    const attend__call *const call = &j->call;
    const int64_t own = own_rows(call, &part, call->shared), padding = part.count - own;
    if (own > 0) {
        part.count = own;
        attend__row_set set = set_of(call, scratch, &part);
        set.next = next;
        if (j->operation == ATTEND_OP_SCORES) {
            attend__pack_set(call, &set);
            attend__write_side_outputs(call, scratch, &set);
        } else {
            attend_set(call, scratch, &set);
        }
    }
    attend__clear_rows(call, part.batch, part.group, part.first + own, padding);
}

static void set_task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__scratch scratch = scratch_at(&j->call, memory);
    const int64_t begin = index * j->chunk, left = j->sets - begin;
    const int64_t end = begin + (left < j->chunk ? left : j->chunk);
    attend__part_of_rows part = part_of_task(j, begin);
    for (int64_t i = begin; i < end; i++) {
        const attend__part_of_rows after = part_of_task(j, i + 1 < end ? i + 1 : i);
        const attend__next_set next = {.known = i + 1 < end && after.count > 0,
                                       .batch = after.batch,
                                       .group = after.group,
                                       .first_row = after.first,
                                       .count = (int32_t)after.count};
        run_part(j, &scratch, part, next);
        part = after;
    }
}

static void attend_group(const attend__call *call, const attend__scratch *scratch,
                         const attend__part_of_rows *part, int64_t queries) {
    const int64_t begin = part->first * call->shared, end = begin + queries * call->shared;
    attend__part_of_rows rows = *part;
    for (rows.first = begin; rows.first < end; rows.first += ATTEND__SET_ROWS) {
        const int64_t rest = end - rows.first;
        rows.count = rest < ATTEND__SET_ROWS ? rest : ATTEND__SET_ROWS;
        attend__row_set set = set_of(call, scratch, &rows);
        attend_set(call, scratch, &set);
        for (int32_t r = 0; r < set.count; r++) {
            const int64_t at = attend__row_head(call, &set, r) * queries +
                               attend__row_query(call, &set, r) - part->first;
            scratch->all_reference[at] = set.reference[r];
            scratch->all_scale[at] = set.scale[r] * set.tail[r];
        }
    }
}

/* All heads of some queries, then the mean of their weights. */
static void mean_task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__call *const call = &j->call;
    const attend__scratch scratch = scratch_at(call, memory);
    attend__part_of_rows part = part_of_task(j, index);
    const int64_t own = own_rows(call, &part, 1), padding = part.count - own;
    for (part.group = 0; part.group < call->groups; part.group++) {
        attend_group(call, &scratch, &part, own);
        attend__clear_rows(call, part.batch, part.group, (part.first + own) * call->shared,
                           padding * call->shared);
    }
    if (own > 0) attend__write_mean(call, &scratch, part.batch, part.first, own);
    attend__clear_mean(call, part.batch, part.first + own, padding);
}

static attend_status run_job(attend_device *device, const attend_device_plan *plan,
                             attend_operation operation, const attend_attention *a) {
    job j = {.call = attend__call_of(device, operation, a), .operation = operation};
    const attend__call *const call = &j.call;
    if (call->batches == 0 || call->heads == 0 || call->queries == 0) return ATTEND_OK;
    if (attend__tiny_run(device, plan, operation, call)) return ATTEND_OK;
    if (attend__decode_run(device, plan, &j.call)) return ATTEND_OK;
    attend__mask_read(device, plan, &j.call, attend__decode_kept_bytes(call));
    const bool mean = call->wants_mean;
    attend__cpu_work work = {
        .task = mean ? mean_task : set_task, .argument = &j, .workspace = &a->workspace};
    attend__schedule schedule;
    if (call->packed || call->packed_keys || call->paged) {
        attend__schedule_make(&schedule, device, call);
        j.schedule = &schedule;
        work.count = schedule.tasks;
        work.work = schedule.work;
    } else {
        j.rows = set_size(device, call);
        if (mean) j.rows = j.rows > call->shared ? j.rows / call->shared : 1;
        j.parts = mean ? (call->queries + j.rows - 1) / j.rows
                       : attend__sets_of(call, call->queries * call->shared, call->keys, j.rows);
        work.count = call->batches * (mean ? 1 : call->groups) * j.parts;
        work.work = (double)call->batches * (double)call->heads * (double)call->queries *
                    (double)call->keys * (double)(call->depth + call->columns);
    }
    j.sets = work.count;
    j.call.small = attend__cpu_workers(device, &work) <= 1 && work.work < SMALL_WORK;
    j.chunk = mean ? 1 : chunk_size(device, &work);
    work.count = (j.sets + j.chunk - 1) / j.chunk;
    attend__cpu_tasks(device, plan, &work);
    attend__decode_end(device, &j.call);
    return ATTEND_OK;
}

static const char *type_text(attend_type type) {
    if (type == ATTEND_I8) return "i8";
    return type == ATTEND_F16 ? "f16" : type == ATTEND_BF16 ? "bf16" : "f32";
}

static attend_status plan_job(attend_device *device, attend_operation operation, const char *name,
                              const attend_attention *a, attend__cpu_needs *needs) {
    const attend__call call = attend__call_of(device, operation, a);
    if (!scratch_bytes(&call, &needs->scratch_bytes) ||
        !attend__decode_plan(device, &call, needs) || !attend__tiny_plan(&call, needs) ||
        !attend__add_size(needs->shared_bytes, attend__mask_room(&call), &needs->shared_bytes))
        return attend__cpu_fail(&device->host, ATTEND_OVERFLOW,
                                "workspace: its size does not fit in memory");
    const attend_type type = operation == ATTEND_OP_MIX ? a->v.type : a->k.type;
    snprintf(needs->kernel, sizeof needs->kernel, "%s_%s_%s", name, type_text(type),
             call.lanes->tile);
    return ATTEND_OK;
}

attend_status attend__cpu_attention_plan(attend_device *device, const void *largest,
                                         attend__cpu_needs *needs) {
    return plan_job(device, ATTEND_OP_ATTENTION, "attention", largest, needs);
}

attend_status attend__cpu_attention_run(attend_device *device, attend_device_plan *plan,
                                        const void *description) {
    return run_job(device, plan, ATTEND_OP_ATTENTION, description);
}

attend_status attend__cpu_scores_plan(attend_device *device, const void *largest,
                                      attend__cpu_needs *needs) {
    return plan_job(device, ATTEND_OP_SCORES, "scores", largest, needs);
}

attend_status attend__cpu_scores_run(attend_device *device, attend_device_plan *plan,
                                     const void *description) {
    return run_job(device, plan, ATTEND_OP_SCORES, description);
}

attend_status attend__cpu_mix_plan(attend_device *device, const void *largest,
                                   attend__cpu_needs *needs) {
    return plan_job(device, ATTEND_OP_MIX, "mix", largest, needs);
}

attend_status attend__cpu_mix_run(attend_device *device, attend_device_plan *plan,
                                  const void *description) {
    return run_job(device, plan, ATTEND_OP_MIX, description);
}
