/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention, its first step (scores) and its third (weights times V), split into tasks: a task is a
 * row set, or, where the mean of the weights over heads is wanted, the rows of all heads of some
 * queries. Writes what a set has computed. */
#include "cpu_carver.h"
#include "cpu_decode.h"
#include "cpu_schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- scratch -------------------------------------------------------------------------------- */

static attend__scratch lay_out(const attend__call *call, attend__carver *c) {
    const int64_t strip = call->kernels->strip_rows, block = ATTEND__BLOCK_KEYS,
                  rows = ATTEND__SET_ROWS;
    const bool mean = call->wants_mean;
    attend__scratch s;
    s.keys = attend__carve(c, block, call->depth, sizeof(float));
    s.panels = attend__carve(c, block / call->kernels->lanes, 1, sizeof(float *));
    s.values = attend__carve(c, block, call->padded_columns, sizeof(float));
    s.gathered = attend__carve(c, call->gathers ? block : 0, call->depth, sizeof(float));
    s.scores = attend__carve(c, strip, ATTEND__SCORE_STRIDE, sizeof(float));
    s.strips = attend__carve(c, rows, call->depth, sizeof(float));
    s.out = attend__carve(c, rows, call->padded_columns, sizeof(float));
    s.highest = attend__carve(c, rows, 1, sizeof(float));
    s.sum = attend__carve(c, rows, 1, sizeof(float));
    s.shrink = attend__carve(c, strip, 1, sizeof(float));
    s.rows = attend__carve(c, rows, 1, sizeof(attend__query));
    s.again_strip = attend__carve(c, strip, call->depth, sizeof(float));
    s.again_out = attend__carve(c, strip, call->padded_columns, sizeof(float));
    s.all_highest = attend__carve(c, mean ? rows : 0, call->heads, sizeof(float));
    s.all_sum = attend__carve(c, mean ? rows : 0, call->heads, sizeof(float));
    s.mean = attend__carve(c, mean ? rows : 0, ATTEND__SCORE_STRIDE, sizeof(float));
    return s;
}

bool attend__scratch_bytes(const attend__call *call, size_t *bytes) {
    attend__carver c = {NULL, 0, true};
    lay_out(call, &c);
    *bytes = c.used;
    return c.fits;
}

attend__scratch attend__scratch_at(const attend__call *call, void *memory) {
    attend__carver c = {memory, 0, true};
    return lay_out(call, &c);
}

/* ---- sets ----------------------------------------------------------------------------------- */

attend__row_set attend__set_of(const attend__call *call, const attend__scratch *scratch,
                               int64_t batch, int64_t group, int64_t first, int32_t count) {
    for (int32_t r = 0; r < count; r++)
        scratch->rows[r] = attend__query_of(call, batch, group, first + r);
    const attend__row_set set = {.batch = batch,
                                 .group = group,
                                 .rows = scratch->rows,
                                 .count = count,
                                 .strips = scratch->strips,
                                 .out = scratch->out,
                                 .highest = scratch->highest,
                                 .sum = scratch->sum};
    return set;
}

void attend__rows_range(const attend__query *rows, int32_t count, int64_t *first, int64_t *last) {
    *first = *last = 0;
    for (int32_t r = 0; r < count; r++) {
        if (rows[r].first == rows[r].last) continue;
        if (*first == *last || rows[r].first < *first) *first = rows[r].first;
        if (rows[r].last > *last) *last = rows[r].last;
    }
}

/* Large sets pack less; enough of them keep every thread busy to the end. */
static int64_t set_size(const attend_device *device, const attend__call *call) {
    const int64_t strip = call->kernels->strip_rows, total = call->queries * call->shared;
    const int64_t pairs = call->batches * call->groups, wanted = 4 * (int64_t)device->threads;
    int64_t sets = (total + ATTEND__SET_ROWS - 1) / ATTEND__SET_ROWS;
    if (device->threads > 1 && sets * pairs < wanted) {
        const int64_t more = (wanted + pairs - 1) / pairs,
                      most = (total + 4 * strip - 1) / (4 * strip);
        sets = more < most ? more : most > sets ? most : sets;
    }
    if (sets < 1) return strip;
    const int64_t rows = (total + sets - 1) / sets;
    return (rows + strip - 1) / strip * strip;
}

/* One row again, without the values of excluded keys: weight 0 times NaN or infinity is NaN. */
static void run_again(const attend__call *call, const attend__scratch *scratch,
                      const attend__row_set *set, int32_t r) {
    float highest[ATTEND__STRIP_MOST], sum[ATTEND__STRIP_MOST];
    const attend__row_set one = {.batch = set->batch,
                                 .group = set->group,
                                 .rows = set->rows + r,
                                 .count = 1,
                                 .strips = scratch->again_strip,
                                 .out = scratch->again_out,
                                 .highest = highest,
                                 .sum = sum};
    if (!call->given_weights) attend__pack_queries(call, set->batch, one.rows, 1, one.strips);
    attend__run_set(call, scratch, &one, true);
    memcpy(set->out + r * call->padded_columns, one.out,
           (size_t)call->padded_columns * sizeof(float));
}

static void write_row(const attend__call *call, const attend__scratch *scratch,
                      const attend__row_set *set, int32_t r, bool all_seen) {
    const attend__query *const row = &set->rows[r];
    float *const out = set->out + r * call->padded_columns;
    const float sum = set->sum[r];
    const bool mix = call->given_weights;
    /* The sum is 0 only if no allowed key has a score above -inf: then there is nothing to divide.
     */
    const bool none = row->past_length || (!mix && sum == 0.0f);
    const float factor = mix ? 1.0f : 1.0f / sum;
    if (none)
        memset(out, 0, (size_t)call->columns * sizeof(float));
    else
        call->kernels->scale_row(out, call->columns, factor);
    if (!none && !all_seen && (mix || !isnan(sum)) &&
        !call->kernels->finite_row(out, call->columns)) {
        run_again(call, scratch, set, r);
        call->kernels->scale_row(out, call->columns, factor);
    }
    const attend__span to = attend__query_span(call, &call->a->out, set->batch, row);
    call->kernels->narrow(out, call->columns, to);
    if (call->wants_lse) attend__write_lse(call, set->batch, row, set->highest[r], sum);
}

static void compute_set(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set) {
    const int32_t strip = call->kernels->strip_rows;
    for (int32_t r = 0; r < set->count && !call->given_weights; r += strip) {
        const int32_t left = set->count - r;
        attend__pack_queries(call, set->batch, set->rows + r, left < strip ? left : strip,
                             set->strips + r * call->depth);
    }
    attend__run_set(call, scratch, set, false);
    int64_t first = 0, last = 0;
    attend__rows_range(set->rows, set->count, &first, &last);
    for (int32_t r = 0; r < set->count; r++) {
        /* Every key that was read is allowed: what is not finite comes from one of those. */
        const bool all_seen =
            !call->terms && set->rows[r].first == first && set->rows[r].last == last;
        write_row(call, scratch, set, r, all_seen);
    }
}

static void attend_set(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set) {
    if (!attend__decode_takes(call, set->batch))
        compute_set(call, scratch, set);
    else if (call->recalled != NULL)
        attend__decode_recall(call, set);
    if (call->wants_weights || call->wants_scores) attend__write_side_outputs(call, scratch, set);
}

/* ---- tasks ---------------------------------------------------------------------------------- */

typedef struct job {
    attend__call call;
    attend_operation operation;
    int64_t rows;                     /* of a set; with a mean: queries of a task */
    int64_t parts;                    /* sets of a batch and group; with a mean: tasks of a batch */
    const attend__schedule *schedule; /* NULL: all samples are alike */
} job;

static attend__part part_of_task(const job *j, int64_t index) {
    if (j->schedule != NULL) return attend__schedule_part(j->schedule, index);
    const attend__call *const call = &j->call;
    const int64_t pair = index / j->parts, pairs = call->wants_mean ? 1 : call->groups;
    const int64_t total = call->queries * (call->wants_mean ? 1 : call->shared);
    /* The last rows first: with a causal mask they are the longest. */
    const int64_t first = (j->parts - 1 - index % j->parts) * j->rows, left = total - first;
    const attend__part part = {pair / pairs, pair % pairs, first, left < j->rows ? left : j->rows};
    return part;
}

/* Those of the part's rows, or queries, that are not padding. */
static int64_t own_rows(const attend__call *call, const attend__part *part, int64_t unit) {
    if (!call->packed) return part->count;
    const int64_t own = attend__query_length(call, part->batch) * unit - part->first;
    return own < 0 ? 0 : own < part->count ? own : part->count;
}

static void set_task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__call *const call = &j->call;
    const attend__scratch scratch = attend__scratch_at(call, memory);
    const attend__part part = part_of_task(j, index);
    const int64_t own = own_rows(call, &part, call->shared);
    if (own > 0) {
        const attend__row_set set =
            attend__set_of(call, &scratch, part.batch, part.group, part.first, (int32_t)own);
        if (j->operation == ATTEND_OP_SCORES)
            attend__write_side_outputs(call, &scratch, &set);
        else
            attend_set(call, &scratch, &set);
    }
    attend__clear_rows(call, part.batch, part.group, part.first + own, part.count - own);
}

static void attend_group(const attend__call *call, const attend__scratch *scratch,
                         const attend__part *part, int64_t queries) {
    const int64_t begin = part->first * call->shared, end = begin + queries * call->shared;
    for (int64_t row = begin; row < end; row += ATTEND__SET_ROWS) {
        const int64_t rest = end - row;
        const attend__row_set set =
            attend__set_of(call, scratch, part->batch, part->group, row,
                           (int32_t)(rest < ATTEND__SET_ROWS ? rest : ATTEND__SET_ROWS));
        attend_set(call, scratch, &set);
        for (int32_t r = 0; r < set.count; r++) {
            const int64_t at = set.rows[r].head * queries + set.rows[r].query - part->first;
            scratch->all_highest[at] = set.highest[r];
            scratch->all_sum[at] = set.sum[r];
        }
    }
}

/* All heads of some queries, then the mean of their weights. */
static void mean_task(void *argument, int64_t index, void *memory) {
    const job *const j = argument;
    const attend__call *const call = &j->call;
    const attend__scratch scratch = attend__scratch_at(call, memory);
    attend__part part = part_of_task(j, index);
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
    if (attend__decode_run(device, plan, &j.call)) return ATTEND_OK;
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
        j.parts = (call->queries * (mean ? 1 : call->shared) + j.rows - 1) / j.rows;
        work.count = call->batches * (mean ? 1 : call->groups) * j.parts;
        work.work = (double)call->batches * (double)call->heads * (double)call->queries *
                    (double)call->keys * (double)(call->depth + call->columns);
    }
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
    if (!attend__scratch_bytes(&call, &needs->scratch_bytes) ||
        !attend__decode_plan(device, &call, needs))
        return attend__cpu_fail(&device->host, ATTEND_OVERFLOW,
                                "workspace: its size does not fit in memory");
    const attend_type type = operation == ATTEND_OP_MIX ? a->v.type : a->k.type;
    snprintf(needs->kernel, sizeof needs->kernel, "%s_%s_%s", name, type_text(type),
             call.kernels->tile);
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
