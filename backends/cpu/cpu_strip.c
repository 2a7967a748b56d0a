/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop over keys: blocks counted from key 0, inside them the strips of the set, with the online
 * softmax between the two products (FlashAttention-2, Dao 2023, arXiv:2307.08691, algorithm 1,
 * without the backward part). Each (strip, block) is one of three kinds: closed, where every key is
 * excluded: it costs nothing and is not read; open, where none is: straight through; mixed: what no
 * row of a vector may use is left out, and the rest is selected by bits. */
#include "cpu_strip.h"

#include <math.h>
#include <string.h>

void attend__pack_set(const attend__call *call, attend__row_set *set) {
    const attend__part all = {0, (int32_t)call->depth};
    char *pointers[ATTEND__LANE_ROWS_MOST];
    for (int32_t s = 0; s < set->strips; s++) {
        const attend__strip *const strip = &set->strip[s];
        const attend__lane_rows rows =
            attend__strip_rows(call, set, strip, &call->a->q, all, pointers);
        call->lanes->pack_rows(&rows, strip->queries);
    }
    if (call->pair_dots) attend__pack_pairs(call, set);
}

/* Keys from .. to - 1 of the window for `vectors` vectors from `vector` on. */
typedef struct piece {
    int32_t from, to, vector, vectors;
} piece;

static void piece_dots(const attend__call *call, const attend__scratch *scratch,
                       const attend__strip *strip, const attend__kv_block *block,
                       const attend__window *window, piece p, float *highest) {
    const int32_t lane = p.vector * call->kernels->lanes, stride = call->lanes->lane_rows;
    const float *const queries = block->pairs ? strip->pairs : strip->queries;
    const int64_t bytes = block->pairs ? 2 : 4;
    int64_t key = block->part.key; /* of the run */
    for (const attend__key_run *run = block->runs; p.from < p.to; key += run++->count) {
        const int64_t at = window->part.key + p.from - key;
        if (at >= run->count) continue;
        const int64_t left = run->count - at;
        const int32_t count = left < p.to - p.from ? (int32_t)left : p.to - p.from;
        const attend__lane_dots dots = {.queries = queries + lane,
                                        .keys = run->first + at * run->key_stride * bytes,
                                        .scores = scratch->scores + p.from * stride + lane,
                                        .highest = highest == NULL ? NULL : highest + lane,
                                        .key_stride = run->key_stride,
                                        .depth_stride = run->depth_stride,
                                        .depth = call->depth,
                                        .vectors = p.vectors,
                                        .count = count,
                                        .ahead = {block->key_ahead, strip->index, strip->of}};
        (block->pairs ? call->pairs->dots : call->lanes->dots)(&dots);
        p.from += count;
    }
}

void attend__strip_dots(const attend__call *call, const attend__scratch *scratch,
                        const attend__strip *strip, const attend__kv_block *block,
                        const attend__window *window, float *highest) {
    for (int32_t at = 0; at < window->part.count;) {
        piece p = {at, window->part.count, 0, 0};
        for (int32_t v = 0; v < strip->vectors; v++) {
            if (window->to[v] <= at) p.vector = v + 1;
            if (window->from[v] <= at) p.vectors = v + 1;
            if (window->from[v] > at && window->from[v] < p.to) p.to = window->from[v];
            if (window->to[v] > at && window->to[v] < p.to) p.to = window->to[v];
        }
        p.vectors -= p.vector;
        if (p.vectors > 0) piece_dots(call, scratch, strip, block, window, p, highest);
        at = p.to;
    }
}

/* Scores as softmax wants them, and the highest of each row in scratch->highest. */
static void masked_scores(const attend__call *call, const attend__scratch *scratch,
                          const attend__row_set *set, const attend__strip *strip,
                          const attend__kv_block *block, const attend__window *window) {
    const int32_t lanes = strip->vectors * call->kernels->lanes;
    const bool far = block->pairs && strip->some_far;
    const bool straight = window->open && !call->own_units && !far;
    for (int32_t i = 0; i < lanes; i++)
        scratch->highest[i] = -INFINITY;
    attend__strip_dots(call, scratch, strip, block, window, straight ? scratch->highest : NULL);
    if (straight) return;
    if (far) attend__far_scores(call, scratch, set, strip, window);
    if (call->own_units)
        attend__advance_scores_of(call, scratch, set, strip, window->part, ATTEND_SCORES_RAW,
                                  ATTEND_SCORES_MASKED);
    const attend__lane_keep keep = {.scores = scratch->scores,
                                    .highest = scratch->highest,
                                    .bits = window->open ? NULL : scratch->keep,
                                    .other = -INFINITY,
                                    .vectors = strip->vectors,
                                    .count = window->part.count};
    call->lanes->keep(&keep);
}

/* MIX: the caller's weights, 0 where a key is excluded. */
static void read_weights(const attend__call *call, const attend__scratch *scratch,
                         const attend__row_set *set, const attend__strip *strip,
                         const attend__window *window) {
    char *pointers[ATTEND__LANE_ROWS_MOST];
    const attend__lane_rows rows =
        attend__strip_rows(call, set, strip, &call->a->weights, window->part, pointers);
    call->lanes->pack_rows(&rows, scratch->scores);
    if (window->open) return;
    const attend__lane_keep keep = {.scores = scratch->scores,
                                    .highest = scratch->highest,
                                    .bits = scratch->keep,
                                    .vectors = strip->vectors,
                                    .count = window->part.count};
    call->lanes->keep(&keep);
}

static void drop_values(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set, const attend__strip *strip,
                        const attend__window *window, int64_t first_key) {
    attend__keep_bits(call, scratch, set, strip, window->part, true);
    if (call->pair_mix) {
        attend__drop_pair_values(call, scratch, window);
        return;
    }
    for (int32_t k = 0; k < window->part.count; k++) {
        const uint32_t word = scratch->keep[k / ATTEND__KEEP_KEYS * call->lanes->lane_rows];
        float *const row = scratch->values + (window->part.key - first_key + k) * call->columns;
        if ((word >> k % ATTEND__KEEP_KEYS & 1) == 0)
            memset(row, 0, (size_t)call->columns * sizeof *row);
    }
}

/* What the strip writes soon, and what the strip in its place in the next set reads. */
static void prefetch_rows(const attend__call *call, const attend__row_set *set,
                          const attend__strip *strip) {
    const attend__part depth = {0, (int32_t)call->depth}, columns = {0, (int32_t)call->columns};
    char *pointers[ATTEND__LANE_ROWS_MOST];
    const attend__lane_rows out =
        attend__strip_rows(call, set, strip, &call->a->out, columns, pointers);
    call->lanes->prefetch_rows(&out);
    if (!set->next.known || call->given_weights) return;
    const attend__row_set next = {.batch = set->next.batch,
                                  .group = set->next.group,
                                  .first_row = set->next.first_row,
                                  .step = 1};
    const int32_t left = set->next.count - strip->row;
    const attend__strip same = {.row = strip->row, .rows = left < strip->rows ? left : strip->rows};
    if (left <= 0) return;
    const attend__lane_rows queries =
        attend__strip_rows(call, &next, &same, &call->a->q, depth, pointers);
    call->lanes->prefetch_rows(&queries);
}

static void strip_step(const attend__call *call, const attend__scratch *scratch,
                       attend__row_set *set, attend__strip *strip, const attend__kv_block *block,
                       bool careful) {
    attend__window window;
    if (!attend__window_of(call, scratch, set, strip, block->part, &window)) return;
    if (call->given_weights) {
        read_weights(call, scratch, set, strip, &window);
    } else {
        masked_scores(call, scratch, set, strip, block, &window);
        const attend__lane_soften soften = {.scores = scratch->scores,
                                            .block_highest = scratch->highest,
                                            .highest = set->highest + strip->row,
                                            .sum = set->sum + strip->row,
                                            .shrink = scratch->shrink,
                                            .factor = call->factor,
                                            .vectors = strip->vectors,
                                            .count = window.part.count};
        if (call->pair_mix)
            attend__soften_pairs(call, &window, soften);
        else
            call->lanes->soften(&soften);
    }
    if (careful) drop_values(call, scratch, set, strip, &window, block->part.key);
    const int64_t skipped = call->pair_mix ? 0 : window.part.key - block->part.key;
    attend__lane_mix mix = {.weights = scratch->scores,
                            .values = block->values.first + skipped * block->values.stride,
                            .shrink = scratch->shrink,
                            .out = strip->out,
                            .value_stride = block->values.stride,
                            .columns = call->columns,
                            .vectors = strip->vectors,
                            .ahead = {block->value_ahead, strip->index, strip->of}};
    memcpy(mix.ends, window.to, sizeof mix.ends);
    mix.fresh = !strip->begun;
    strip->begun = true;
    if (!call->small && block->part.key + block->part.count >= strip->last)
        prefetch_rows(call, set, strip);
    if (call->pair_mix)
        attend__mix_pairs(call, &window, mix);
    else
        call->lanes->mix(&mix);
}

static void read_block(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, bool careful, attend__kv_block *block) {
    if (call->pair_dots)
        attend__read_pair_keys(call, scratch, set, block);
    else if (!call->given_weights)
        attend__read_keys(call, scratch, set, block);
    if (call->pair_mix)
        attend__read_pair_values(call, scratch, set, block);
    else
        attend__read_values(call, scratch, set, careful, block);
}

void attend__run_set(const attend__call *call, const attend__scratch *scratch, attend__row_set *set,
                     bool careful) {
    const int32_t lanes = call->kernels->lanes, lane_rows = call->lanes->lane_rows;
    const int32_t rows = (set->count + lanes - 1) / lanes * lanes;
    for (int32_t r = 0; r < rows; r++) {
        set->highest[r] = -INFINITY;
        set->sum[r] = 0.0f;
    }
    for (int32_t s = 0; s < set->strips; s++)
        set->strip[s].begun = false;
    for (int32_t r = 0; r < lane_rows; r++)
        scratch->shrink[r] = 1.0f;
    attend__few few;
    if (set->few_count > 0) few = attend__few_begin(call, scratch, set);
    for (int64_t key = set->first / ATTEND__LANE_KEYS * ATTEND__LANE_KEYS; key < set->last;
         key += ATTEND__LANE_KEYS) {
        const int64_t first = key > set->first ? key : set->first, end = key + ATTEND__LANE_KEYS;
        attend__kv_block block;
        block.part = (attend__part){first, (int32_t)((end < set->last ? end : set->last) - first)};
        block.key_ahead = 0;
        if (set->strips > 0) read_block(call, scratch, set, careful, &block);
        for (int32_t s = 0; s < set->strips; s++)
            strip_step(call, scratch, set, &set->strip[s], &block, careful);
        if (set->few_count > 0 && (end % ATTEND__FEW_KEYS == 0 || end >= set->last))
            attend__few_keys(call, scratch, &few, key / ATTEND__FEW_KEYS * ATTEND__FEW_KEYS);
    }
    if (set->few_count > 0) attend__few_end(call, scratch, &few, set);
    for (int32_t s = 0; s < set->strips; s++)
        if (!set->strip[s].begun)
            memset(set->strip[s].out, 0, (size_t)(call->columns * lane_rows) * sizeof(float));
}
