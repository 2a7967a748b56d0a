/* SPDX-License-Identifier: Apache-2.0
 *
 * What a query row may see: positions and lengths give it a range of keys, masks and biases decide
 * inside that range, and the score of a key takes its terms in the order of attention.h. */
#include "cpu_attention.h"

#include <float.h>
#include <math.h>
#include <string.h>

static float clamped(double x, double low, double high) {
    return (float)(x < low ? low : x > high ? high : x);
}

/* Samples, lengths and rows where they are not those of q and k. */
static void set_layout(attend__call *call, attend_operation operation) {
    const attend_attention *const a = call->a;
    const bool mix = operation == ATTEND_OP_MIX, softmax = operation == ATTEND_OP_SOFTMAX;
    const int64_t none = INT64_MAX / 2; /* rows of a tensor that the step does not have */
    const attend_tensor *const out = softmax ? &a->lse : mix ? &a->out : &a->q;
    const attend_tensor *const keys = mix ? &a->v : &a->k;
    call->packed = attend__given(&a->cu_query_lengths);
    call->packed_keys = attend__given(&a->cu_key_lengths);
    call->paged = attend__given(&a->page_table) && !softmax;
    if (call->packed) {
        call->batches = a->cu_query_lengths.sizes[0] - 1;
        call->queries = a->max_query_length;
        call->query_rows = attend__given(out) ? out->sizes[2] : none;
    }
    if (call->packed_keys || call->paged) call->keys = a->max_key_length;
    call->key_rows = call->packed_keys ? softmax ? none : keys->sizes[2] : call->keys;
    if (call->paged) {
        const int64_t pages = keys->sizes[0] > 0 ? a->page_table.sizes[1] : 0;
        call->key_rows = attend__between(pages * keys->sizes[2], 0, call->keys);
    }
}

/* Softmax multiplies by the scale on the way where nothing stands between; a scale whose product
 * with log2(e) might leave the range of float32, or that turns the order round, is applied to the
 * scores first. */
static void set_units(attend__call *call) {
    const attend_attention *const a = call->a;
    const bool plain = call->scale > 0x1p-100f && call->scale < 0x1p100f;
    call->own_units =
        !plain || a->softcap > 0.0 || attend__given(&a->bias) || attend__given(&a->alibi_slopes);
    call->factor = call->own_units ? ATTEND__LOG2_E : call->scale * ATTEND__LOG2_E;
}

static int64_t covered_keys(const attend__call *call) {
    const attend_attention *const a = call->a;
    int64_t covered = call->keys;
    if (attend__given(&a->mask)) covered = attend__between(a->mask.sizes[3], 0, covered);
    if (attend__given(&a->bias)) covered = attend__between(a->bias.sizes[3], 0, covered);
    return covered;
}

/* Elements that count as 0 among keys, or in sums, weigh at most 2^-126 2^64 each in q . k. Scores
 * may be off by 2^-30 then, which is nothing beside the bound of weights and outputs; not beside
 * that of scores, so that those, and weights, come from float32. */
#define PAIRS_MOST 0x1p32

static void set_pairs(attend__call *call, const attend_device *device) {
    const attend_attention *const a = call->a;
    if (a->q.type != ATTEND_BF16 || a->k.type != ATTEND_BF16) return;
    call->pairs = device->kernels->pairs;
    if (call->pairs == NULL) return;
    call->pair_dots = fabs((double)call->scale) * (double)call->depth <= PAIRS_MOST;
    call->pair_mix = a->precision == ATTEND_PRECISION_FAST && a->v.type == ATTEND_BF16;
}

attend__call attend__call_of(const attend_device *device, attend_operation operation,
                             const attend_attention *a) {
    attend__call call = {0};
    call.a = a;
    call.kernels = device->kernels->attention;
    call.decode_kernels = device->kernels->decode;
    call.lanes = device->kernels->lanes;
    /* Tensors that a step does not use may hold anything. */
    const bool mix = operation == ATTEND_OP_MIX, softmax = operation == ATTEND_OP_SOFTMAX;
    const attend_tensor *const rows = mix ? &a->weights : softmax ? &a->scores : &a->q;
    call.batches = rows->sizes[0];
    call.heads = rows->sizes[1];
    call.queries = rows->sizes[2];
    call.groups = mix ? a->v.sizes[1] : softmax ? call.heads : a->k.sizes[1];
    call.keys = mix ? a->v.sizes[2] : softmax ? rows->sizes[3] : a->k.sizes[2];
    set_layout(&call, operation);
    call.shared = call.groups > 0 ? call.heads / call.groups : 1;
    call.depth = mix || softmax ? 0 : a->q.sizes[3];
    call.columns = mix || operation == ATTEND_OP_ATTENTION ? a->v.sizes[3] : 0;
    call.given_weights = mix;
    call.decodes = operation == ATTEND_OP_ATTENTION;
    call.wants_scores = (operation == ATTEND_OP_ATTENTION || operation == ATTEND_OP_SCORES) &&
                        attend__given(&a->scores);
    const bool weighs = operation == ATTEND_OP_ATTENTION || softmax;
    call.wants_weights = weighs && attend__given(&a->weights);
    call.wants_mean = weighs && attend__given(&a->weights_mean);
    call.wants_lse = weighs && attend__given(&a->lse);
    const int64_t lanes = call.kernels->lanes;
    call.padded_columns = (call.columns + lanes - 1) / lanes * lanes;
    call.scale = clamped(a->scale, -(double)FLT_MAX, (double)FLT_MAX);
    /* A cap below 1e-37 moves scores by less than the bound's smallest term. */
    call.softcap = a->softcap > 0.0 ? clamped(a->softcap, 1e-37, (double)FLT_MAX) : 0.0f;
    set_units(&call);
    if (operation == ATTEND_OP_ATTENTION) set_pairs(&call, device);
    call.masked = attend__given(&a->mask) || attend__given(&a->key_mask);
    call.covered = covered_keys(&call);
    call.terms = a->softcap > 0.0 || attend__given(&a->mask) || attend__given(&a->bias) ||
                 attend__given(&a->key_mask) || attend__given(&a->alibi_slopes);
    return call;
}

int64_t attend__position_of(const attend__call *call, int64_t batch, int64_t query) {
    const attend_attention *const a = call->a;
    if (a->position == ATTEND_BOTTOM_RIGHT)
        return query + attend__key_length(call, batch) - attend__query_length(call, batch);
    if (a->position != ATTEND_AT_OFFSETS) return query;
    const int64_t far = (int64_t)1
                        << 60; /* no key is so far away; sums of two such do not overflow */
    const int64_t each =
        attend__given(&a->query_offsets) ? attend_tensor_index(&a->query_offsets, batch) : 0;
    return query + attend__between(a->query_offset, -far, far) + attend__between(each, -far, far);
}

void attend__key_range(const attend__call *call, int64_t position, int64_t end, int64_t *first,
                       int64_t *last) {
    const attend_attention *const a = call->a;
    *first = a->key_begin;
    *last = end;
    if (a->causal && position < *last - 1) *last = position + 1;
    if (a->window_right >= 0 && position < *last - 1 - a->window_right)
        *last = position + a->window_right + 1;
    if (a->window_left >= 0 && position > a->window_left && position - a->window_left > *first)
        *first = position - a->window_left;
    if (*first >= *last) *first = *last = 0;
}

attend__query attend__query_of(const attend__call *call, int64_t batch, int64_t group,
                               int64_t index) {
    attend__query row = {0};
    row.query = index / call->shared;
    row.head = group * call->shared + index % call->shared;
    row.past_length = row.query >= attend__query_length(call, batch);
    if (row.past_length) return row;
    const int64_t position = attend__position_of(call, batch, row.query);
    attend__key_range(call, position, attend__key_limit(call, batch), &row.first, &row.last);
    return row;
}

static int64_t lower(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Columns of the block that a tensor with `covered` keys holds. */
static int64_t covered_columns(attend__block block, int64_t covered) {
    const int64_t columns = lower(covered - block.key, block.to) - block.from;
    return columns > 0 ? columns : 0;
}

static void keep_by_bytes(const uint8_t *bytes, int64_t stride, int64_t n, uint8_t *keep) {
    for (int64_t c = 0; c < n; c++)
        keep[c] = keep[c] && bytes[c * stride] != 0;
}

static int64_t bias_columns(const attend__call *call, int64_t batch, const attend__query *row,
                            attend__block block, float *bias) {
    const attend_tensor *const t = &call->a->bias;
    const int64_t n = covered_columns(block, t->sizes[3]);
    if (n > 0)
        call->kernels->widen(
            attend__span_at(t, batch, row->head, row->query, block.key + block.from), n, bias);
    return n;
}

void attend__allowed(const attend__call *call, int64_t batch, const attend__query *row,
                     attend__block block, uint8_t *keep) {
    const attend_attention *const a = call->a;
    const int64_t n = block.to - block.from, key = block.key + block.from;
    memset(keep, 0, (size_t)n);
    const int64_t first = row->first > key ? lower(row->first - key, n) : 0;
    const int64_t last = row->last > key ? lower(row->last - key, n) : 0;
    if (last > first) memset(keep + first, 1, (size_t)(last - first));
    if (attend__given(&a->mask)) {
        const int64_t covered = covered_columns(block, a->mask.sizes[3]);
        const attend__span mask = attend__span_at(&a->mask, batch, row->head, row->query, key);
        keep_by_bytes((const uint8_t *)mask.first, mask.stride, covered, keep);
        memset(keep + covered, 0, (size_t)(n - covered));
    }
    if (attend__given(&a->key_mask)) {
        const attend_tensor *const t = &a->key_mask;
        const uint8_t *const bytes = (const uint8_t *)t->data + t->offset + batch * t->strides[0];
        keep_by_bytes(bytes + key * t->strides[1], t->strides[1], n, keep);
    }
    if (attend__given(&a->bias)) {
        float bias[ATTEND__BLOCK_KEYS];
        const int64_t covered = bias_columns(call, batch, row, block, bias);
        for (int64_t c = 0; c < covered; c++)
            keep[c] = keep[c] && bias[c] != -INFINITY;
        memset(keep + covered, 0, (size_t)(n - covered));
    }
}

void attend__advance_scores(const attend__call *call, int64_t batch, const attend__query *row,
                            attend__block block, attend_scores_stage from, attend_scores_stage to,
                            float *x) {
    const attend_attention *const a = call->a;
    const attend__attention_kernels *const kernels = call->kernels;
    const int64_t n = block.to - block.from, key = block.key + block.from;
    if (from < ATTEND_SCORES_SCALED && to >= ATTEND_SCORES_SCALED)
        kernels->scale_row(x, n, call->scale);
    if (from < ATTEND_SCORES_SOFTCAPPED && to >= ATTEND_SCORES_SOFTCAPPED && call->softcap > 0.0f)
        kernels->cap_row(x, n, call->softcap);
    if (from >= ATTEND_SCORES_MASKED || to < ATTEND_SCORES_MASKED) return;
    if (attend__given(&a->bias)) {
        float bias[ATTEND__BLOCK_KEYS];
        kernels->add_row(x, bias, bias_columns(call, batch, row, block, bias));
    }
    if (attend__given(&a->alibi_slopes)) {
        const attend_tensor *const t = &a->alibi_slopes;
        const float slope =
            ((const float *)t->data)[t->offset + batch * t->strides[0] + row->head * t->strides[1]];
        kernels->slope_row(x, n, slope,
                           (float)(attend__position_of(call, batch, row->query) - key));
    }
    uint8_t keep[ATTEND__BLOCK_KEYS];
    attend__allowed(call, batch, row, block, keep);
    kernels->select_row(x, keep, n, -INFINITY);
}

float attend__sink(const attend__call *call, int64_t head) {
    const attend_tensor *const t = &call->a->sinks;
    return attend__given(t) ? ((const float *)t->data)[t->offset + head * t->strides[0]]
                            : -INFINITY;
}

float attend__sink_weight(float sink) {
    return sink == -INFINITY ? 0.0f : expf(sink - sink);
}

attend__sink_end attend__join_sink(double highest, double sum, double sink) {
    if (!isfinite(sink)) return (attend__sink_end){(double)NAN, (double)NAN, NAN, 1.0f};
    const bool keys = sum > 0.0;
    const double top = keys && highest > sink ? highest : sink,
                 by = keys ? exp(highest - top) : 0.0;
    attend__sink_end end = {.highest = top, .sum = keys ? sum * by + exp(sink - top) : 1.0};
    const double scale = by / end.sum;
    const bool small = scale < 0x1p-100;
    end.scale = (float)(small ? scale * 0x1p100 : scale);
    end.tail = small ? 0x1p-100f : 1.0f;
    return end;
}

void attend__weigh(const attend__call *call, int64_t batch, const attend__query *row,
                   attend__block block, float highest, float sum, float *x) {
    const int64_t n = block.to - block.from;
    if (!isnan(sum)) {
        call->kernels->weigh_row(x, n, highest, 1.0f / sum);
        return;
    }
    /* NaN for every allowed key, also for one whose own score is -inf */
    uint8_t keep[ATTEND__BLOCK_KEYS];
    attend__allowed(call, batch, row, block, keep);
    for (int64_t c = 0; c < n; c++)
        x[c] = keep[c] ? NAN : 0.0f;
}

float *attend__lse_at(const attend__call *call, int64_t batch, int64_t head, int64_t query) {
    const attend_tensor *const t = &call->a->lse;
    const attend__place place = attend__place_of(call, batch, query);
    return (float *)t->data + t->offset + place.batch * t->strides[0] + head * t->strides[1] +
           place.row * t->strides[2];
}

void attend__write_lse(const attend__call *call, int64_t batch, const attend__query *row,
                       float highest, float sum) {
    *attend__lse_at(call, batch, row->head, row->query) =
        row->past_length ? -INFINITY : highest + logf(sum);
}

void attend__write_mean_row(const attend__call *call, int64_t batch, int64_t query, int64_t key,
                            int64_t width, float *sum) {
    const attend_tensor *const t = &call->a->weights_mean;
    const int64_t at =
        t->offset + batch * t->strides[0] + query * t->strides[1] + key * t->strides[2];
    const attend__span to = {(char *)t->data + at * attend__element_bytes(t->type), t->type,
                             t->strides[2]};
    call->kernels->scale_row(sum, width, 1.0f / (float)call->heads);
    call->kernels->narrow(sum, width, to);
}

void attend__rows_range(const attend__query *rows, int32_t count, int64_t *first, int64_t *last) {
    *first = *last = 0;
    for (int32_t r = 0; r < count; r++) {
        if (rows[r].first == rows[r].last) continue;
        if (*first == *last || rows[r].first < *first) *first = rows[r].first;
        if (rows[r].last > *last) *last = rows[r].last;
    }
}

void attend__pack_queries(const attend__call *call, int64_t batch, const attend__query *rows,
                          int32_t count, float *strip) {
    attend__span spans[ATTEND__STRIP_MOST];
    for (int32_t r = 0; r < count; r++)
        spans[r] = attend__query_span(call, &call->a->q, batch, &rows[r]);
    call->kernels->pack_strip(spans, count, call->depth, strip);
}
