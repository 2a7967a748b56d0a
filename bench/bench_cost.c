/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_case.h: what a case costs, and the sizes of its output. */
#include "bench_keys.h"

#include <stdlib.h>

/* ---- keys that are kept ---- */

static int64_t query_count(const bench_case *c, int64_t sample) {
    return c->packed ? bench_length(c, sample) : c->queries;
}

static bool causal_alone(const bench_case *c) {
    const bool flag = c->causal && c->mask == BENCH_MASK_NONE && !c->at_end && !c->len_low;
    const bool mask = !c->causal && c->mask == BENCH_MASK_CAUSAL && !c->len_low;
    return (flag || mask) && !c->window && !c->packed;
}

/* Of a query's keys; of a random mask what it is expected to keep. */
static double kept_of(const bench_case *c, bench_range r, int64_t query) {
    if (c->mask == BENCH_MASK_CAUSAL && query + 1 < r.end) r.end = query + 1;
    const bool by_key = c->mask == BENCH_MASK_KEYS || c->mask == BENCH_MASK_PAD;
    if (by_key && c->mask_keys < r.end) r.end = c->mask_keys;
    const double count = r.end > r.first ? (double)(r.end - r.first) : 0;
    return c->mask == BENCH_MASK_RANDOM ? count / 2 : count;
}

/* Pairs of a query and a key it has, of one head. */
static double kept_pairs(const bench_case *c) {
    if (causal_alone(c)) return 0.5 * (double)c->batch * (double)c->queries * (double)c->keys;
    double pairs = 0;
    for (int64_t b = 0; b < c->batch; ++b)
        for (int64_t i = 0; i < query_count(c, b); ++i)
            pairs += kept_of(c, bench_keys_of(c, b, i), i);
    return pairs;
}

/* Keys of all samples that any query has. Ranges move on with the query, so that between the first
 * one's start and the last one's end nothing is left out. */
static double kept_keys(const bench_case *c) {
    double keys = 0;
    for (int64_t b = 0; b < c->batch; ++b) {
        const int64_t last = query_count(c, b) - 1;
        bench_range r = bench_keys_of(c, b, last);
        r.first = bench_keys_of(c, b, 0).first;
        keys += kept_of(c, r, last) * (c->mask == BENCH_MASK_RANDOM ? 2 : 1);
    }
    return keys;
}

/* ---- operations ---- */

double bench_case_flops(const bench_case *c) {
    const double b = (double)c->batch, h = (double)c->heads, l = (double)c->queries,
                 s = (double)c->keys, d = (double)c->head_size, m = (double)c->model_size;
    switch (c->op) {
    case BENCH_ATTENTION:
        return 4 * h * d * kept_pairs(c);
    case BENCH_LAYER:
        return 8 * b * l * m * m + 4 * b * l * l * m * (c->causal ? 0.5 : 1);
    case BENCH_PROJECT:
        return 2 * (double)c->rows * (double)c->out * (double)c->in;
    case BENCH_SCORES:
        return 2 * b * h * l * s * d;
    case BENCH_SOFTMAX:
        return 5 * b * h * l * s * (c->causal ? 0.5 : 1);
    default:
        return 0;
    }
}

/* ---- bytes ---- */

double bench_case_key_bytes(const bench_case *c) {
    if (c->op != BENCH_ATTENTION) return 0;
    const attend_type type = bench_kv_type(c);
    const double scale = type == ATTEND_I8 ? sizeof(float) : 0; /* of a token and head */
    const double token = (double)c->head_size * (double)attend_type_bytes(type) + scale;
    return 2 * token * (double)c->kv_heads * kept_keys(c);
}

static double attention_bytes(const bench_case *c) {
    const double type = (double)attend_type_bytes(c->type), h = (double)c->heads,
                 l = (double)c->queries, s = (double)c->keys, b = (double)c->batch;
    const double rows = (double)bench_case_rows(c);
    double bytes = bench_case_key_bytes(c) + 2 * rows * (double)c->head_size * type;
    if (c->mask) {
        int64_t sizes[4];
        bench_mask_sizes(c, sizes);
        bytes += (double)sizes[0] * (double)sizes[2] * (double)sizes[3];
    }
    if (c->bias) bytes += h * l * s * type;
    if (c->weights) bytes += b * h * l * s * type;
    if (c->mean) bytes += b * l * s * type;
    if (c->lse) bytes += rows * sizeof(float);
    return bytes;
}

static double elements(const bench_case *c) {
    const double b = (double)c->batch, h = (double)c->heads, l = (double)c->queries,
                 s = (double)c->keys, d = (double)c->head_size, m = (double)c->model_size;
    switch (c->op) {
    case BENCH_LAYER:
        return 2 * b * l * m + 4 * m * m + 4 * m;
    case BENCH_PROJECT:
        return (double)c->rows * (double)c->in + (double)c->out * (double)c->in +
               (double)c->rows * (double)c->out + (double)c->out;
    case BENCH_SCORES:
        return b * (h * l * d + (double)c->kv_heads * s * d + h * l * s);
    case BENCH_SOFTMAX:
        return 2 * b * h * l * s;
    case BENCH_MERGE:
        return 2 * b * h * l * d;
    default:
        return 0;
    }
}

double bench_case_bytes(const bench_case *c) {
    if (c->op == BENCH_ATTENTION) return attention_bytes(c);
    return elements(c) * (double)attend_type_bytes(c->type);
}

/* ---- the output ---- */

int64_t bench_case_rows(const bench_case *c) {
    switch (c->op) {
    case BENCH_ATTENTION:
        if (c->packed) return c->heads * bench_packed_rows(c);
        return c->batch * c->heads * c->queries;
    case BENCH_SCORES:
    case BENCH_SOFTMAX:
        return c->batch * c->heads * c->queries;
    case BENCH_LAYER:
    case BENCH_MERGE:
        return c->batch * c->queries;
    case BENCH_PROJECT:
        return c->rows;
    default:
        return 0;
    }
}

int64_t bench_case_width(const bench_case *c) {
    switch (c->op) {
    case BENCH_ATTENTION:
        return c->head_size + c->lse + (c->weights + c->mean) * c->keys;
    case BENCH_SCORES:
    case BENCH_SOFTMAX:
        return c->keys;
    case BENCH_LAYER:
        return c->model_size;
    case BENCH_MERGE:
        return c->heads * c->head_size;
    case BENCH_PROJECT:
        return c->out;
    default:
        return 0;
    }
}
