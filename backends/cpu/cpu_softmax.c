/* SPDX-License-Identifier: Apache-2.0
 *
 * The second step of attention by itself: scores that somebody made, from the stage they are at, to
 * weights. Two passes over each row, in blocks of 256 keys: highest and sum, then the weights. A
 * task is one query of a batch with all its heads, so that their mean is summed in one order. */
#include "cpu_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Per head of a query. */
typedef struct extent {
    float highest, sum;
} extent;

/* MASKED scores of the block's columns, -inf where the row excludes a key. */
static void read_scores(const attend__call *call, int64_t batch, const attend__query *row,
                        attend__block block, float *x) {
    const attend__attention_kernels *const kernels = call->kernels;
    const int64_t n = block.to - block.from;
    kernels->widen(
        attend__span_at(&call->a->scores, batch, row->head, row->query, block.key + block.from), n,
        x);
    attend__advance_scores(call, batch, row, block, call->a->scores_stage, ATTEND_SCORES_MASKED, x);
    if (call->a->scores_stage != ATTEND_SCORES_MASKED) return;
    uint8_t keep[ATTEND__BLOCK_KEYS];
    attend__allowed(call, batch, row, block, keep);
    kernels->select_row(x, keep, n, -INFINITY);
}

static extent measure(const attend__call *call, int64_t batch, const attend__query *row, float *x) {
    extent e = {.highest = attend__sink(call, row->head)};
    e.sum = attend__sink_weight(e.highest);
    float shrink = 0.0f;
    for (int64_t key = row->first / ATTEND__BLOCK_KEYS * ATTEND__BLOCK_KEYS; key < row->last;
         key += ATTEND__BLOCK_KEYS) {
        const attend__block block = attend__block_of(key, row->first, row->last);
        for (int32_t c = 0; c < block.from; c++)
            x[c] = -INFINITY;
        read_scores(call, batch, row, block, x + block.from);
        const attend__soften soften = {.scores = x,
                                       .highest = &e.highest,
                                       .sum = &e.sum,
                                       .shrink = &shrink,
                                       .rows = 1,
                                       .from = 0,
                                       .to = block.to};
        call->kernels->soften(&soften);
    }
    return e;
}

/* Weights of the block's columns, all `width` of them; 0 where nothing is allowed. */
static void write_weights(const attend__call *call, int64_t batch, const attend__query *row,
                          int64_t key, int64_t width, extent e, float *x) {
    const attend__block block = attend__block_of(key, row->first, row->last);
    memset(x, 0, (size_t)width * sizeof *x);
    if (block.from < block.to) {
        read_scores(call, batch, row, block, x + block.from);
        attend__weigh(call, batch, row, block, e.highest, e.sum, x + block.from);
    }
    if (call->wants_weights)
        call->kernels->narrow(
            x, width, attend__span_at(&call->a->weights, batch, row->head, row->query, key));
}

static void softmax_task(void *argument, int64_t index, void *memory) {
    const attend__call *const call = argument;
    const int64_t batch = index / call->queries, query = index % call->queries;
    float *const x = memory, *const mean = x + ATTEND__SCORE_STRIDE;
    extent *const extents = (extent *)(void *)(mean + ATTEND__SCORE_STRIDE);
    if (call->packed && query >= attend__query_length(call, batch)) {
        for (int64_t h = 0; h < call->heads; h++)
            attend__clear_rows(call, batch, h, query, 1);
        if (call->wants_mean) attend__clear_mean(call, batch, query, 1);
        return;
    }
    for (int64_t h = 0; h < call->heads; h++) {
        const attend__query row = attend__query_of(call, batch, h, query);
        extents[h] = measure(call, batch, &row, x);
        if (call->wants_lse)
            attend__write_lse(call, batch, &row, extents[h].highest, extents[h].sum);
    }
    for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
        const int64_t left = call->keys - key;
        const int64_t width = left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS;
        memset(mean, 0, (size_t)width * sizeof *mean);
        for (int64_t h = 0; h < call->heads; h++) {
            const attend__query row = attend__query_of(call, batch, h, query);
            write_weights(call, batch, &row, key, width, extents[h], x);
            call->kernels->add_row(mean, x, width);
        }
        if (call->wants_mean) attend__write_mean_row(call, batch, query, key, width, mean);
    }
}

attend_status attend__cpu_softmax_plan(attend_device *device, const void *largest,
                                       attend__cpu_needs *needs) {
    const attend_attention *const a = largest;
    const attend__call call = attend__call_of(device, ATTEND_OP_SOFTMAX, a);
    needs->scratch_bytes =
        2 * ATTEND__SCORE_STRIDE * sizeof(float) + (size_t)call.heads * sizeof(extent);
    snprintf(needs->kernel, sizeof needs->kernel, "softmax_f32");
    return ATTEND_OK;
}

attend_status attend__cpu_softmax_run(attend_device *device, attend_device_plan *plan,
                                      const void *description) {
    const attend_attention *const a = description;
    attend__call call = attend__call_of(device, ATTEND_OP_SOFTMAX, a);
    const attend__cpu_work work = {.task = softmax_task,
                                   .argument = &call,
                                   .count = call.batches * call.queries,
                                   /* an exponential costs about 16 multiplications, twice */
                                   .work = 32.0 * (double)call.batches * (double)call.heads *
                                           (double)call.queries * (double)call.keys,
                                   .workspace = &a->workspace};
    attend__cpu_tasks(device, plan, &work);
    return ATTEND_OK;
}
