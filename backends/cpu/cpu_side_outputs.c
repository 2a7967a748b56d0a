/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores and weights on request. They come from a second pass that computes the scores of a strip
 * and a block again and takes highest and sum of each row from the first: so they need no memory
 * that grows with L times S, and asking for them changes no bit of the output. */
#include "cpu_attention.h"

#include <math.h>
#include <string.h>

static void write_columns(const attend__call *call, const attend_tensor *t, int64_t batch,
                          const attend__query *row, int64_t key, int64_t n, const float *x) {
    call->kernels->narrow(x, n, attend__span_at(t, batch, row->head, row->query, key));
}

static void fill(float *x, int64_t n, float value) {
    for (int64_t i = 0; i < n; i++)
        x[i] = value;
}

/* From this column of the block at `key` on there is padding of a packed batch. */
static int64_t padding_from(const attend__call *call, int64_t batch, int64_t key, int64_t width) {
    if (!call->packed) return width;
    const int64_t own = attend__key_length(call, batch) - key;
    return own < 0 ? 0 : own < width ? own : width;
}

/* x holds RAW scores of the columns block.from .. block.to - 1; the tensors get all `width`
 * columns. */
static void write_row_scores(const attend__call *call, int64_t batch, const attend__query *row,
                             attend__block block, int64_t width, float *x) {
    const attend_scores_stage stage = call->a->scores_stage;
    float line[ATTEND__BLOCK_KEYS];
    const int64_t own = padding_from(call, batch, block.key, width);
    fill(line, own, -INFINITY);
    fill(line + own, width - own, 0.0f);
    attend_scores_stage reached = ATTEND_SCORES_RAW;
    float *const score = x + block.from;
    if (block.from < block.to && !row->past_length) {
        attend__advance_scores(call, batch, row, block, reached, stage, score);
        memcpy(line + block.from, score, (size_t)(block.to - block.from) * sizeof *line);
        reached = stage;
    }
    write_columns(call, &call->a->scores, batch, row, block.key, width, line);
    if (block.from < block.to)
        attend__advance_scores(call, batch, row, block, reached, ATTEND_SCORES_MASKED, score);
}

static void write_row_weights(const attend__call *call, const attend__row_set *set, int32_t r,
                              attend__block block, int64_t width, const float *x) {
    const attend__query *const row = &set->rows[r];
    float line[ATTEND__BLOCK_KEYS];
    fill(line, width, 0.0f);
    if (block.from < block.to && !row->past_length) {
        memcpy(line + block.from, x + block.from, (size_t)(block.to - block.from) * sizeof *line);
        attend__weigh(call, set->batch, row, block, set->highest[r], set->sum[r],
                      line + block.from);
    }
    write_columns(call, &call->a->weights, set->batch, row, block.key, width, line);
}

/* RAW scores of up to a strip of rows in the columns of a block whose keys are packed. */
static void score_strip(const attend__call *call, const attend__scratch *scratch, int64_t batch,
                        const attend__query *rows, int32_t count, attend__block block) {
    if (block.from == block.to) return;
    attend__pack_queries(call, batch, rows, count, scratch->again_strip);
    attend__strip_dots(call, scratch, scratch->again_strip, count, block, 1.0f);
}

static int32_t strip_at(const attend__call *call, int32_t count, int32_t first) {
    const int32_t left = count - first, most = call->kernels->strip_rows;
    return left < most ? left : most;
}

static void write_strip(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set, int32_t first_row, attend__block block,
                        int64_t width) {
    const int32_t rows = strip_at(call, set->count, first_row);
    score_strip(call, scratch, set->batch, set->rows + first_row, rows, block);
    for (int32_t r = 0; r < rows; r++) {
        const attend__query *const row = &set->rows[first_row + r];
        float *const x = scratch->scores + r * ATTEND__SCORE_STRIDE;
        if (call->wants_scores)
            write_row_scores(call, set->batch, row, block, width, x);
        else if (block.from < block.to)
            attend__advance_scores(call, set->batch, row, block, ATTEND_SCORES_RAW,
                                   ATTEND_SCORES_MASKED, x + block.from);
        if (call->wants_weights) write_row_weights(call, set, first_row + r, block, width, x);
    }
}

void attend__write_side_outputs(const attend__call *call, const attend__scratch *scratch,
                                const attend__row_set *set) {
    int64_t first = 0, last = 0;
    attend__rows_range(set->rows, set->count, &first, &last);
    if (call->wants_scores && call->a->scores_stage != ATTEND_SCORES_MASKED) {
        first = call->a->key_begin; /* scores before the masks are of every key there is */
        last = attend__key_limit(call, set->batch);
    }
    for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
        const int64_t left = call->keys - key;
        const attend__block block = attend__block_of(key, first, last);
        attend__pack_block_keys(call, scratch, set->batch, set->group, block);
        for (int32_t r = 0; r < set->count; r += call->kernels->strip_rows)
            write_strip(call, scratch, set, r, block,
                        left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS);
    }
}

/* ---- the mean over heads --------------------------------------------------------------------- */

/* Some queries of a batch, all their heads. */
typedef struct group_rows {
    int64_t batch, group;
    int64_t first, count; /* queries */
} group_rows;

/* Adds the weights of one group's heads to the mean of each query. */
static void add_weights(const attend__call *call, const attend__scratch *scratch, group_rows g,
                        int64_t first_row, int32_t rows, attend__block block) {
    attend__query strip[ATTEND__STRIP_MOST];
    for (int32_t r = 0; r < rows; r++)
        strip[r] = attend__query_of(call, g.batch, g.group, first_row + r);
    score_strip(call, scratch, g.batch, strip, rows, block);
    const int64_t n = block.to - block.from;
    for (int32_t r = 0; r < rows; r++) {
        const int64_t i = strip[r].query - g.first, at = strip[r].head * g.count + i;
        float *const x = scratch->scores + r * ATTEND__SCORE_STRIDE + block.from;
        attend__advance_scores(call, g.batch, &strip[r], block, ATTEND_SCORES_RAW,
                               ATTEND_SCORES_MASKED, x);
        attend__weigh(call, g.batch, &strip[r], block, scratch->all_highest[at],
                      scratch->all_sum[at], x);
        call->kernels->add_row(scratch->mean + i * ATTEND__SCORE_STRIDE + block.from, x, n);
    }
}

void attend__write_mean(const attend__call *call, const attend__scratch *scratch, int64_t batch,
                        int64_t first, int64_t count) {
    int64_t first_key = 0, last_key = 0;
    for (int64_t i = 0; i < count; i++) { /* the range of a query is the same in every head */
        scratch->rows[i] = attend__query_of(call, batch, 0, (first + i) * call->shared);
    }
    attend__rows_range(scratch->rows, (int32_t)count, &first_key, &last_key);
    for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
        const attend__block block = attend__block_of(key, first_key, last_key);
        memset(scratch->mean, 0, (size_t)(count * ATTEND__SCORE_STRIDE) * sizeof(float));
        for (int64_t group = 0; group < call->groups && block.from < block.to; group++) {
            attend__pack_block_keys(call, scratch, batch, group, block);
            const group_rows g = {batch, group, first, count};
            const int64_t rows = count * call->shared, strip = call->kernels->strip_rows;
            for (int64_t r = 0; r < rows; r += strip)
                add_weights(call, scratch, g, first * call->shared + r,
                            (int32_t)(rows - r < strip ? rows - r : strip), block);
        }
        const int64_t left = call->keys - key;
        const int64_t width = left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS;
        for (int64_t i = 0; i < count; i++)
            attend__write_mean_row(call, batch, first + i, key, width,
                                   scratch->mean + i * ATTEND__SCORE_STRIDE);
    }
}

/* ---- padding of packed batches --------------------------------------------------------------- */

void attend__clear_rows(const attend__call *call, int64_t batch, int64_t group, int64_t first,
                        int64_t count) {
    static const float zeros[ATTEND__BLOCK_KEYS];
    for (int64_t index = first; index < first + count; index++) {
        const attend__query row = {.query = index / call->shared,
                                   .head = group * call->shared + index % call->shared};
        for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
            const int64_t left = call->keys - key;
            const int64_t width = left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS;
            if (call->wants_scores)
                write_columns(call, &call->a->scores, batch, &row, key, width, zeros);
            if (call->wants_weights)
                write_columns(call, &call->a->weights, batch, &row, key, width, zeros);
        }
    }
}

void attend__clear_mean(const attend__call *call, int64_t batch, int64_t first, int64_t count) {
    float zeros[ATTEND__BLOCK_KEYS] = {0.0f};
    for (int64_t query = first; query < first + count; query++) {
        for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
            const int64_t left = call->keys - key;
            attend__write_mean_row(call, batch, query, key,
                                   left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS, zeros);
        }
    }
}
