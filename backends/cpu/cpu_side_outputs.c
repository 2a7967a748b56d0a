/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores and weights on request. They come from a second pass that computes the scores of a strip
 * and a block again and takes reference and scale of each row from the first: so they need no
 * memory that grows with L times S, and asking for them changes no bit of the output. */
#include "cpu_strip.h"

#include <math.h>

static void write_lanes(const attend__call *call, const attend__row_set *set,
                        const attend__strip *strip, const attend_tensor *t, attend__part part,
                        const float *from) {
    char *pointers[ATTEND__LANE_ROWS_MOST];
    if (part.count <= 0) return;
    const attend__lane_rows rows = attend__strip_rows(call, set, strip, t, part, pointers);
    call->lanes->unpack_rows(from, NULL, NULL, &rows);
}

/* The keys of `part` that lie in first .. last - 1. */
static attend__part part_in(attend__part part, int64_t first, int64_t last) {
    const int64_t from = first > part.key ? first : part.key;
    const int64_t end = part.key + part.count, to = last < end ? last : end;
    const attend__part inside = {from, (int32_t)(to > from ? to - from : 0)};
    return inside;
}

static void fill_columns(const attend__call *call, const attend__scratch *scratch,
                         const attend__row_set *set, const attend__strip *strip,
                         const attend_tensor *t, attend__part part, float value) {
    for (int32_t i = 0; i < part.count * call->lanes->lane_rows; i++)
        scratch->mean[i] = value;
    write_lanes(call, set, strip, t, part, scratch->mean);
}

/* Columns `whole` of the strip's rows of t: the scores in scratch where `inside` has them; around,
 * what keys without a score have; and 0 in the padding of a packed batch. */
static void write_columns(const attend__call *call, const attend__scratch *scratch,
                          const attend__row_set *set, const attend__strip *strip,
                          const attend_tensor *t, attend__part whole, attend__part inside) {
    const float other = t == &call->a->scores ? -INFINITY : 0.0f;
    const int64_t end = whole.key + whole.count, after = inside.key + inside.count;
    const int64_t own = call->packed ? attend__key_length(call, set->batch) : end;
    write_lanes(call, set, strip, t, inside, scratch->scores);
    if (inside.count == whole.count) return;
    const int64_t before = inside.count > 0 ? inside.key : whole.key;
    const int64_t from = inside.count > 0 ? after : whole.key;
    fill_columns(call, scratch, set, strip, t, part_in(whole, whole.key, before), other);
    fill_columns(call, scratch, set, strip, t, part_in(whole, from, own), other);
    fill_columns(call, scratch, set, strip, t, part_in(whole, from > own ? from : own, end), 0.0f);
}

/* Rows past the query length have no scores. */
static void clear_past(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, const attend__strip *strip, int32_t count) {
    const int64_t length = attend__query_length(call, set->batch);
    const int32_t stride = call->lanes->lane_rows;
    for (int32_t i = strip->rows - 1; i >= 0; i--) {
        if (attend__row_query(call, set, strip->row + i) < length) return;
        for (int32_t k = 0; k < count; k++)
            scratch->scores[k * stride + i] = -INFINITY;
    }
}

/* RAW scores of all keys of a part, whatever excludes them. */
static void raw_scores(const attend__call *call, const attend__scratch *scratch,
                       const attend__strip *strip, const attend__kv_block *keys) {
    attend__window all = {.part = keys->part, .open = true};
    for (int32_t v = 0; v < strip->vectors; v++)
        all.to[v] = keys->part.count;
    attend__strip_dots(call, scratch, strip, keys, &all, NULL);
}

static void exclude(const attend__call *call, const attend__scratch *scratch,
                    const attend__row_set *set, const attend__strip *strip, attend__part part) {
    attend__window window;
    const bool some = attend__window_of(call, scratch, set, strip, part, &window);
    if (some && window.open && window.part.count == part.count) return;
    attend__keep_bits(call, scratch, set, strip, part, false);
    const attend__lane_keep keep = {.scores = scratch->scores,
                                    .highest = scratch->highest,
                                    .bits = scratch->keep,
                                    .other = -INFINITY,
                                    .vectors = strip->vectors,
                                    .count = part.count};
    call->lanes->keep(&keep);
}

/* What makes weights of the scores of a strip. */
typedef struct softening {
    const float *reference, *scale;
} softening;

/* Scores of `part` become weights, 0 where a key is excluded; NaN for every key that a row of NaN
 * may use, also for one whose own score is -inf. */
static void weigh(const attend__call *call, const attend__scratch *scratch,
                  const attend__row_set *set, const attend__strip *strip, attend__part part,
                  softening by) {
    const int32_t stride = call->lanes->lane_rows;
    bool read = false;
    call->lanes->weigh(scratch->scores, part.count, strip->vectors, ATTEND__LOG2_E, by.reference,
                       by.scale);
    for (int32_t i = 0; i < strip->rows; i++) {
        if (!isnan(by.scale[i])) continue;
        if (!read) attend__keep_bits(call, scratch, set, strip, part, true);
        read = true;
        for (int32_t k = 0; k < part.count; k++) {
            const uint32_t word = scratch->keep[k / ATTEND__KEEP_KEYS * stride + i];
            scratch->scores[k * stride + i] = word >> k % ATTEND__KEEP_KEYS & 1 ? NAN : 0.0f;
        }
    }
}

/* Rows of memory that the strip writes next: too far apart for a processor to guess. */
static void prefetch_columns(const attend__call *call, const attend__row_set *set,
                             const attend__strip *strip, const attend_tensor *t,
                             attend__part part) {
    char *pointers[ATTEND__LANE_ROWS_MOST];
    const attend__lane_rows rows = attend__strip_rows(call, set, strip, t, part, pointers);
    call->lanes->prefetch_rows(&rows);
}

static void write_strip(const attend__call *call, const attend__scratch *scratch,
                        attend__row_set *set, const attend__strip *strip,
                        const attend__kv_block *keys, attend__part whole) {
    const attend_scores_stage wanted = call->a->scores_stage;
    const attend__part part = keys->part;
    attend_scores_stage reached = ATTEND_SCORES_RAW;
    softening by = {set->reference + strip->row, scratch->slopes};
    if (call->wants_weights) prefetch_columns(call, set, strip, &call->a->weights, whole);
    if (part.count > 0) raw_scores(call, scratch, strip, keys);
    if (call->wants_scores) {
        attend__advance_scores_of(call, scratch, set, strip, part, reached, wanted);
        if (wanted == ATTEND_SCORES_MASKED) exclude(call, scratch, set, strip, part);
        reached = wanted;
        if (!call->wants_weights || wanted != ATTEND_SCORES_MASKED)
            clear_past(call, scratch, set, strip, part.count);
        write_columns(call, scratch, set, strip, &call->a->scores, whole, part);
    }
    if (!call->wants_weights) return;
    attend__advance_scores_of(call, scratch, set, strip, part, reached, ATTEND_SCORES_MASKED);
    exclude(call, scratch, set, strip, part);
    for (int32_t i = 0; i < strip->vectors * call->kernels->lanes; i++) {
        const int32_t r = strip->row + i;
        scratch->slopes[i] = i < strip->rows ? set->scale[r] * set->tail[r] : 0.0f;
    }
    weigh(call, scratch, set, strip, part, by);
    write_columns(call, scratch, set, strip, &call->a->weights, whole, part);
}

static attend__part block_at(const attend__call *call, int64_t key) {
    const int64_t left = call->keys - key;
    const attend__part part = {key, (int32_t)(left < ATTEND__LANE_KEYS ? left : ATTEND__LANE_KEYS)};
    return part;
}

void attend__write_side_outputs(const attend__call *call, const attend__scratch *scratch,
                                attend__row_set *set) {
    int64_t first = set->first, last = set->last;
    if (call->wants_scores && call->a->scores_stage != ATTEND_SCORES_MASKED) {
        first = call->a->key_begin; /* scores before the masks are of every key there is */
        last = attend__key_limit(call, set->batch);
    }
    for (int64_t key = 0; key < call->keys; key += ATTEND__LANE_KEYS) {
        const attend__part whole = block_at(call, key);
        attend__kv_block keys = {.part = part_in(whole, first, last)};
        if (keys.part.count > 0) attend__read_keys(call, scratch, set, &keys);
        for (int32_t s = 0; s < set->strips; s++)
            write_strip(call, scratch, set, &set->strip[s], &keys, whole);
    }
}

/* ---- the mean over heads --------------------------------------------------------------------- */

/* Queries first .. first + count - 1 of a batch, no more than a strip; reference and scale of head
 * h and query i at [h * stride + i]. */
typedef struct mean_rows {
    int64_t batch, first;
    int32_t count;
    const float *reference, *scale;
    int64_t stride;
} mean_rows;

/* Adds the weights of one head to those of the block at `key`. */
static void add_head(const attend__call *call, const attend__scratch *scratch, const mean_rows *m,
                     int64_t head, attend__part block) {
    attend__row_set set = scratch->set;
    const int32_t stride = call->lanes->lane_rows;
    set.batch = m->batch;
    set.group = head / call->shared;
    set.step = call->shared;
    attend__set_rows(call, &set, m->first * call->shared + head % call->shared, m->count);
    attend__kv_block keys = {.part = part_in(block, set.first, set.last)};
    if (keys.part.count == 0) return;
    softening by = {set.reference, set.scale};
    for (int32_t i = 0; i < set.strip->vectors * call->kernels->lanes; i++) {
        set.reference[i] = i < m->count ? m->reference[head * m->stride + i] : 0.0f;
        set.scale[i] = i < m->count ? m->scale[head * m->stride + i] : 0.0f;
    }
    attend__pack_set(call, &set);
    attend__read_keys(call, scratch, &set, &keys);
    raw_scores(call, scratch, set.strip, &keys);
    attend__advance_scores_of(call, scratch, &set, set.strip, keys.part, ATTEND_SCORES_RAW,
                              ATTEND_SCORES_MASKED);
    exclude(call, scratch, &set, set.strip, keys.part);
    weigh(call, scratch, &set, set.strip, keys.part, by);
    float *const sum = scratch->mean + (keys.part.key - block.key) * stride;
    for (int32_t i = 0; i < keys.part.count * stride; i++)
        sum[i] += scratch->scores[i];
}

static void write_mean_block(const attend__call *call, const attend__scratch *scratch,
                             const mean_rows *m, attend__part block) {
    const attend_tensor *const t = &call->a->weights_mean;
    const int64_t bytes = attend__element_bytes(t->type);
    const int32_t stride = call->lanes->lane_rows;
    char *pointers[ATTEND__LANE_ROWS_MOST];
    for (int32_t i = 0; i < block.count * stride; i++)
        scratch->mean[i] = 0.0f;
    for (int64_t head = 0; head < call->heads; head++)
        add_head(call, scratch, m, head, block);
    for (int32_t i = 0; i < m->count; i++) {
        const int64_t at = t->offset + m->batch * t->strides[0] + (m->first + i) * t->strides[1] +
                           block.key * t->strides[2];
        pointers[i] = (char *)t->data + at * bytes;
    }
    for (int32_t i = 0; i < stride; i++) {
        scratch->slopes[i] = 1.0f / (float)call->heads;
        scratch->distance[i] = 1.0f;
    }
    const attend__lane_rows rows = {pointers, t->type, m->count, t->strides[2], block.count};
    call->lanes->unpack_rows(scratch->mean, scratch->slopes, scratch->distance, &rows);
}

void attend__write_mean(const attend__call *call, const attend__scratch *scratch, int64_t batch,
                        int64_t first, int64_t count) {
    const int32_t most = call->lanes->lane_rows;
    for (int64_t i = 0; i < count; i += most) {
        const mean_rows m = {.batch = batch,
                             .first = first + i,
                             .count = (int32_t)(count - i < most ? count - i : most),
                             .reference = scratch->all_reference + i,
                             .scale = scratch->all_scale + i,
                             .stride = count};
        for (int64_t key = 0; key < call->keys; key += ATTEND__LANE_KEYS)
            write_mean_block(call, scratch, &m, block_at(call, key));
    }
}

/* ---- padding of packed batches --------------------------------------------------------------- */

static void write_zeros(const attend__call *call, const attend_tensor *t, int64_t batch,
                        const attend__query *row, int64_t key, int64_t n) {
    static const float zeros[ATTEND__BLOCK_KEYS];
    call->kernels->narrow(zeros, n, attend__span_at(t, batch, row->head, row->query, key));
}

void attend__clear_rows(const attend__call *call, int64_t batch, int64_t group, int64_t first,
                        int64_t count) {
    for (int64_t index = first; index < first + count; index++) {
        const attend__query row = {.query = index / call->shared,
                                   .head = group * call->shared + index % call->shared};
        for (int64_t key = 0; key < call->keys; key += ATTEND__BLOCK_KEYS) {
            const int64_t left = call->keys - key;
            const int64_t width = left < ATTEND__BLOCK_KEYS ? left : ATTEND__BLOCK_KEYS;
            if (call->wants_scores) write_zeros(call, &call->a->scores, batch, &row, key, width);
            if (call->wants_weights) write_zeros(call, &call->a->weights, batch, &row, key, width);
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
