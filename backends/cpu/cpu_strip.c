/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop over keys: blocks of 256 counted from key 0, inside them strips of query rows, with the
 * online softmax between the two products (FlashAttention-2, Dao 2023, arXiv:2307.08691, algorithm
 * 1, without the backward part). Each (strip, block) is one of three kinds: closed, where position
 * and length exclude every key: it costs nothing and is not read; open, where nothing is excluded
 * or added: straight through; mixed: the terms of each row are applied to its scores first. */
#include "cpu_attention.h"

#include <math.h>
#include <string.h>

/* A part of a block that lies in first .. last - 1. */
static attend__block part_of(attend__block block, int64_t first, int64_t last) {
    const attend__block range = attend__block_of(block.key, first, last);
    if (range.from > block.from) block.from = range.from;
    if (range.to < block.to) block.to = range.to;
    if (block.to < block.from) block.to = block.from;
    return block;
}

void attend__pack_queries(const attend__call *call, int64_t batch, const attend__query *rows,
                          int32_t count, float *strip) {
    attend__span spans[ATTEND__STRIP_MOST];
    for (int32_t r = 0; r < count; r++)
        spans[r] = attend__query_span(call, &call->a->q, batch, &rows[r]);
    call->kernels->pack_strip(spans, count, call->depth, strip);
}

void attend__strip_dots(const attend__call *call, const attend__scratch *scratch,
                        const float *strip, int32_t rows, attend__block block, float scale) {
    const int32_t lanes = call->kernels->lanes, end = (block.to + lanes - 1) / lanes;
    const int64_t step = lanes * call->depth;
    for (int32_t panel = block.from / lanes, count; panel < end; panel += count) {
        const float *const first = scratch->panels[panel];
        for (count = 1; panel + count < end; count++)
            if (scratch->panels[panel + count] != first + count * step) break;
        const attend__dots dots = {.strip = strip,
                                   .panels = first,
                                   .scores = scratch->scores + panel * lanes,
                                   .depth = call->depth,
                                   .rows = rows,
                                   .panel_count = count,
                                   .scale = scale};
        call->kernels->dots(&dots);
    }
}

/* Values that are not read often are not worth a copy. careful: excluded ones become 0. */
static attend__values values_of(const attend__call *call, const attend__scratch *scratch,
                                const attend__row_set *set, attend__block block, bool careful) {
    const bool often = set->count > 2 * call->kernels->strip_rows;
    const attend__values v =
        attend__block_values(call, scratch, set->batch, set->group, block, careful || often);
    if (!careful) return v;
    uint8_t keep[ATTEND__BLOCK_KEYS];
    attend__allowed(call, set->batch, &set->rows[0], block, keep);
    for (int32_t k = 0; k < block.to - block.from; k++)
        if (!keep[k])
            memset(scratch->values + k * call->padded_columns, 0,
                   (size_t)call->padded_columns * sizeof(float));
    return v;
}

/* Scores of the strip, then weights, in scratch->scores. */
static void weigh_strip(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set, int32_t first_row, int32_t rows,
                        attend__block block) {
    const attend__attention_kernels *const kernels = call->kernels;
    attend__block whole = block; /* from the start of its panel: those lanes hold excluded keys */
    whole.from = block.from / kernels->lanes * kernels->lanes;
    attend__strip_dots(call, scratch, set->strips + first_row * call->depth, rows, whole,
                       call->scale);
    for (int32_t r = 0; r < rows; r++) {
        const attend__query *const row = &set->rows[first_row + r];
        const bool open = !call->terms && row->first <= block.key + whole.from &&
                          row->last >= block.key + block.to;
        if (!open)
            attend__advance_scores(call, set->batch, row, whole, ATTEND_SCORES_SCALED,
                                   ATTEND_SCORES_MASKED,
                                   scratch->scores + r * ATTEND__SCORE_STRIDE + whole.from);
    }
    const attend__soften soften = {.scores = scratch->scores,
                                   .highest = set->highest + first_row,
                                   .sum = set->sum + first_row,
                                   .shrink = scratch->shrink,
                                   .rows = rows,
                                   .from = whole.from,
                                   .to = block.to};
    kernels->soften(&soften);
}

/* MIX: the caller's weights, 0 where a key is excluded. */
static void read_weights(const attend__call *call, const attend__scratch *scratch,
                         const attend__row_set *set, int32_t first_row, int32_t rows,
                         attend__block block) {
    const int64_t n = block.to - block.from;
    for (int32_t r = 0; r < rows; r++) {
        const attend__query *const row = &set->rows[first_row + r];
        float *const x = scratch->scores + r * ATTEND__SCORE_STRIDE + block.from;
        call->kernels->widen(attend__span_at(&call->a->weights, set->batch, row->head, row->query,
                                             block.key + block.from),
                             n, x);
        uint8_t keep[ATTEND__BLOCK_KEYS];
        attend__allowed(call, set->batch, row, block, keep);
        call->kernels->select_row(x, keep, n, 0.0f);
        scratch->shrink[r] = 1.0f;
    }
}

static void strip_step(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, int32_t first_row, attend__block block,
                       attend__values v) {
    const int32_t left = set->count - first_row, most = call->kernels->strip_rows;
    const int32_t rows = left < most ? left : most;
    int64_t first = 0, last = 0;
    attend__rows_range(set->rows + first_row, rows, &first, &last);
    const attend__block part = part_of(block, first, last);
    if (part.from == part.to) return;
    if (call->given_weights)
        read_weights(call, scratch, set, first_row, rows, part);
    else
        weigh_strip(call, scratch, set, first_row, rows, part);
    const attend__mix mix = {.weights = scratch->scores + part.from,
                             .values = v.first + (part.from - block.from) * v.stride,
                             .shrink = scratch->shrink,
                             .out = set->out + first_row * call->padded_columns,
                             .value_stride = v.stride,
                             .out_stride = call->padded_columns,
                             .columns = call->padded_columns,
                             .rows = rows,
                             .keys = part.to - part.from};
    call->kernels->mix(&mix);
}

void attend__run_set(const attend__call *call, const attend__scratch *scratch,
                     const attend__row_set *set, bool careful) {
    const int32_t strip = call->kernels->strip_rows;
    const int32_t rows = (set->count + strip - 1) / strip * strip;
    for (int32_t r = 0; r < rows; r++) {
        set->highest[r] = r < set->count ? attend__sink(call, set->rows[r].head) : -INFINITY;
        set->sum[r] = attend__sink_weight(set->highest[r]);
    }
    memset(set->out, 0, (size_t)(rows * call->padded_columns) * sizeof(float));
    for (int32_t r = 0; r < strip; r++)
        scratch->shrink[r] = 1.0f;

    int64_t first = 0, last = 0;
    attend__rows_range(set->rows, set->count, &first, &last);
    for (int64_t key = first / ATTEND__BLOCK_KEYS * ATTEND__BLOCK_KEYS; key < last;
         key += ATTEND__BLOCK_KEYS) {
        const attend__block block = attend__block_of(key, first, last);
        if (!call->given_weights)
            attend__pack_block_keys(call, scratch, set->batch, set->group, block);
        const attend__values v = values_of(call, scratch, set, block, careful);
        for (int32_t r = 0; r < set->count; r += strip)
            strip_step(call, scratch, set, r, block, v);
    }
}
