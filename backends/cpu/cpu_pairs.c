/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over bfloat16 by pairs of elements (pair_kernels.h): what the loop of cpu_strip.c does
 * otherwise there. Scores come from pairs of elements in any precision, save the rows whose queries
 * reach too far for it; the output comes from pairs of keys where precision FAST allows weights of
 * 16 bits. Which way a row goes depends on that row alone, so that its bits do not depend on its
 * company. */
#include "cpu_runs.h"
#include "cpu_strip.h"

#include <string.h>

void attend__pack_pairs(const attend__call *call, attend__row_set *set) {
    for (int32_t s = 0; s < set->strips; s++) {
        attend__strip *const strip = &set->strip[s];
        const attend__pair_join join = {.from = strip->queries,
                                        .to = strip->pairs,
                                        .n = call->depth,
                                        .vectors = strip->vectors};
        call->pairs->join(&join);
        call->pairs->too_far(strip->queries, call->depth, strip->vectors, strip->far);
        strip->some_far = false;
        for (int32_t i = 0; i < strip->rows; i++)
            strip->some_far = strip->some_far || strip->far[i];
    }
}

void attend__far_scores(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set, const attend__strip *strip,
                        const attend__window *window) {
    const int32_t stride = call->lanes->lane_rows;
    attend__scratch other = *scratch;
    attend__kv_block block = {.part = window->part};
    other.scores = scratch->mean;
    attend__read_keys(call, scratch, set, &block);
    attend__strip_dots(call, &other, strip, &block, window, NULL);
    for (int32_t i = 0; i < strip->rows; i++) {
        for (int32_t k = 0; strip->far[i] && k < window->part.count; k++)
            scratch->scores[k * stride + i] = other.scores[k * stride + i];
    }
}

/* ---- keys and values ------------------------------------------------------------------------- */

/* Rows of a run as they are, side by side. */
static void gather_run(const attend__run *r, int64_t columns, uint16_t *to) {
    for (int64_t i = 0; i < r->count; i++, to += columns) {
        const void *const first = r->rows.first + i * r->rows.row_stride * (int64_t)sizeof *to;
        const uint16_t *const row = first;
        if (r->rows.column_stride == 1) {
            memcpy(to, row, (size_t)columns * sizeof *to);
            continue;
        }
        for (int64_t e = 0; e < columns; e++)
            to[e] = row[e * r->rows.column_stride];
    }
}

void attend__read_pair_keys(const attend__call *call, const attend__scratch *scratch,
                            const attend__row_set *set, attend__kv_block *block) {
    const attend_tensor *const k = &call->a->k;
    const attend__part part = block->part;
    const bool copies = k->strides[3] != 1 || (call->paged && k->sizes[2] % ATTEND__LEAST_RUN != 0);
    attend__key_run *run = block->runs;
    block->pairs = true;
    block->key_ahead = copies ? 0 : attend__to_next_block(call, k, set, part);
    for (int32_t done = 0; done < part.count;) {
        const attend__run r = attend__run_at(call, k, NULL, set->batch, set->group, part.key + done,
                                             part.count - done);
        if (copies)
            gather_run(&r, call->depth, scratch->pair_rows + done * call->depth);
        else
            *run++ = (attend__key_run){r.rows.first, r.rows.row_stride, 1, (int32_t)r.count};
        done += (int32_t)r.count;
    }
    if (copies)
        *run = (attend__key_run){(const char *)scratch->pair_rows, call->depth, 1, part.count};
}

void attend__read_pair_values(const attend__call *call, const attend__scratch *scratch,
                              const attend__row_set *set, attend__kv_block *block) {
    const attend_tensor *const v = &call->a->v;
    const attend__part part = block->part;
    const char *rows[ATTEND__LANE_KEYS];
    for (int32_t done = 0; done < part.count;) {
        const attend__run r = attend__run_at(call, v, NULL, set->batch, set->group, part.key + done,
                                             part.count - done);
        uint16_t *const copied = scratch->pair_values + done * call->columns;
        const bool copies = r.rows.column_stride != 1;
        if (copies) gather_run(&r, call->columns, copied);
        const char *const first = copies ? (const char *)copied : r.rows.first;
        const int64_t bytes = (copies ? call->columns : r.rows.row_stride) * 2;
        for (int64_t i = 0; i < r.count; i++)
            rows[done + i] = first + i * bytes;
        done += (int32_t)r.count;
    }
    const attend__pair_values values = {.rows = rows,
                                        .to = scratch->values,
                                        .columns = call->columns,
                                        .first = (int32_t)(part.key % ATTEND__LANE_KEYS),
                                        .count = part.count};
    call->pairs->values(&values);
    block->values = (attend__values){scratch->values, call->columns};
    block->value_ahead = 0;
}

static void drop_value(const attend__call *call, const attend__scratch *scratch, int64_t place) {
    char *const row = (char *)(scratch->values + place / 2 * call->columns) + place % 2 * 2;
    for (int64_t e = 0; e < call->columns; e++)
        memset(row + e * 4, 0, 2);
}

/* A key outside the window may share a pair with its first or last one. */
void attend__drop_pair_values(const attend__call *call, const attend__scratch *scratch,
                              const attend__window *window) {
    const int32_t stride = call->lanes->lane_rows, count = window->part.count;
    const int64_t place = window->part.key % ATTEND__LANE_KEYS, end = place + count;
    if (place % 2 != 0) drop_value(call, scratch, place - 1);
    if (end % 2 != 0) drop_value(call, scratch, end);
    for (int32_t k = 0; k < count; k++) {
        const uint32_t word = scratch->keep[k / ATTEND__KEEP_KEYS * stride];
        if ((word >> k % ATTEND__KEEP_KEYS & 1) == 0) drop_value(call, scratch, place + k);
    }
}

/* ---- weights times values -------------------------------------------------------------------- */

/* Pairs are counted from the block's beginning, wherever the window begins. */
static int32_t shift_of(const attend__window *window) {
    return (int32_t)(window->part.key % 2);
}

void attend__soften_pairs(const attend__call *call, const attend__window *window,
                          attend__lane_soften soften) {
    const attend__pair_soften pairs = {soften, shift_of(window)};
    call->pairs->soften(&pairs);
}

void attend__mix_pairs(const attend__call *call, const attend__window *window,
                       attend__lane_mix mix) {
    mix.values += window->part.key % ATTEND__LANE_KEYS / 2 * mix.value_stride;
    for (int32_t v = 0; v < mix.vectors; v++)
        mix.ends[v] = (mix.ends[v] + shift_of(window) + 1) / 2;
    call->pairs->mix(&mix);
}
