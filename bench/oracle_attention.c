/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle_attention.h. */
#include "oracle_attention.h"

#include "bench_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double oracle_dot(const double *a, const double *b, int64_t n) {
    double sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; ++lane)
            sums[lane] += a[i + lane] * b[i + lane];
    for (; i < n; ++i)
        sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double oracle_absolute_dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += fabs(a[i] * b[i]);
    return sum;
}

double oracle_half_unit(attend_type type, double y) {
    if (type == ATTEND_F32) return 0;
    int exponent = 0;
    frexp(y, &exponent);
    return type == ATTEND_BF16 ? ldexp(1, exponent - 9) : fmax(ldexp(1, exponent - 12), 0x1p-25);
}

/* ---- softmax ---- */

double oracle_softmax(const double *scores, int64_t count, double *weights) {
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < count; ++j)
        largest = fmax(largest, scores[j]);
    for (int64_t j = 0; j < count; ++j)
        sum += weights[j] = exp(scores[j] - largest);
    for (int64_t j = 0; j < count; ++j)
        weights[j] /= sum;
    return count ? largest + log(sum) : -INFINITY;
}

double oracle_score_errors(double *errors, const double *scores, const double *weights,
                           int64_t count, double lse, double head_size) {
    double mean = 0;
    for (int64_t j = 0; j < count; ++j) {
        errors[j] =
            oracle_unit * ((2 * sqrt(head_size) + 8) * errors[j] + fabs(scores[j]) + fabs(lse));
        mean += weights[j] * errors[j];
    }
    return mean;
}

double oracle_sum_term(int64_t key_count) {
    return oracle_unit * (fmax(sqrt((double)key_count), 64) + 8);
}

/* ---- one query ---- */

static int64_t key_of(const oracle_query *a, int64_t j) {
    return (a->which ? a->which[j] : j) * a->stride;
}

double oracle_attend(const oracle_query *a, double *scratch, double *out) {
    double *const scores = scratch, *const weights = scratch + a->count;
    const int64_t d = a->head_size;
    const double scale = 1 / sqrt((double)d);
    for (int64_t j = 0; j < a->count; ++j) {
        scores[j] = scale * oracle_dot(a->q, a->k + key_of(a, j), d);
        if (a->softcap > 0) scores[j] = a->softcap * tanh(scores[j] / a->softcap);
        if (a->added) scores[j] += a->added[j];
    }
    const double lse = oracle_softmax(scores, a->count, weights);
    memset(out, 0, (size_t)d * sizeof *out);
    for (int64_t j = 0; j < a->count; ++j)
        for (int64_t i = 0; i < d; ++i)
            out[i] += weights[j] * a->v[key_of(a, j) + i];
    return lse;
}

double oracle_attend_bound(const oracle_query *a, double *scratch, double lse, double *bound) {
    const double *const scores = scratch, *const weights = scratch + a->count;
    double *const errors = scratch + 2 * a->count;
    const int64_t d = a->head_size;
    const double scale = 1 / sqrt((double)d);
    for (int64_t j = 0; j < a->count; ++j) {
        errors[j] = scale * oracle_absolute_dot(a->q, a->k + key_of(a, j), d);
        if (a->size) errors[j] += a->size[j];
    }
    const double m = oracle_score_errors(errors, scores, weights, a->count, lse, (double)d),
                 rest = m + oracle_sum_term(a->count);
    memset(bound, 0, (size_t)d * sizeof *bound);
    for (int64_t j = 0; j < a->count; ++j)
        for (int64_t i = 0; i < d; ++i)
            bound[i] += weights[j] * fabs(a->v[key_of(a, j) + i]) * (errors[j] + rest);
    return rest;
}

/* ---- a row of a case ---- */

typedef struct row_memory {
    int64_t *which;
    double *added, *size, *scratch;
    double *out, *bound; /* of another head than the row's */
} row_memory;

static bool allocate(row_memory *m, int64_t keys, int64_t head_size) {
    m->which = malloc((size_t)keys * sizeof *m->which);
    m->scratch = malloc((size_t)(keys * (ORACLE_SCRATCH + 2) + 2 * head_size) * sizeof(double));
    if (!m->which || !m->scratch) return false;
    m->added = m->scratch + ORACLE_SCRATCH * keys;
    m->size = m->added + keys;
    m->out = m->size + keys;
    m->bound = m->out + head_size;
    return true;
}

/* Bias and ALiBi of the keys that were collected. */
static void add_to_scores(const bench_case *c, const double *bias, const bench_place *p,
                          oracle_query *a, row_memory *m) {
    const double slope = c->alibi ? (double)bench_slope(c, p->head) : 0;
    const int64_t position = bench_position(c, p->sample, p->query);
    for (int64_t j = 0; j < a->count; ++j) {
        const int64_t key = m->which[j];
        const double from_bias = bias ? bias[(p->head * c->queries + p->query) * c->keys + key] : 0;
        const double from_slope = slope * fabs((double)(position - key));
        m->added[j] = from_bias - from_slope;
        m->size[j] = fabs(from_bias) + from_slope;
    }
    if (!c->bias && !c->alibi) return;
    a->added = m->added;
    a->size = m->size;
}

static oracle_query query_of(const bench_case *c, double *const *inputs, const bench_place *p,
                             row_memory *m) {
    const int64_t d = c->head_size, group = p->head / (c->heads / c->kv_heads);
    const int64_t rows = c->packed ? bench_packed_rows(c) : c->keys;
    const int64_t sample = c->packed ? 0 : p->sample;
    const int64_t key = (sample * c->kv_heads + group) * rows + p->first_key;
    const int64_t query = c->packed ? p->head * rows + p->first_key + p->query
                                    : (sample * c->heads + p->head) * c->queries + p->query;
    oracle_query a = {.q = inputs[BENCH_Q] + query * d,
                      .k = inputs[BENCH_K] + key * d,
                      .v = inputs[BENCH_V] + key * d,
                      .stride = d,
                      .head_size = d,
                      .which = m->which,
                      .softcap = c->softcap};
    const bench_range r = bench_keys_of(c, p->sample, p->query);
    for (int64_t j = r.first; j < r.end; ++j)
        if (bench_mask_keeps(c, p->query, j)) m->which[a.count++] = j;
    add_to_scores(c, inputs[BENCH_SCORE_BIAS], p, &a, m);
    return a;
}

/* Weights that are rounded to the type of the values before they meet them, and twice the error of
 * that. They are rounded as exp(s - maximum), so a small one may lose what the largest has as its
 * last digit in half's range without exponents. */
static void add_fast(const bench_case *c, const oracle_query *a, const double *weights,
                     double *bound) {
    const attend_type type = bench_kv_type(c);
    if (!c->fast || type == ATTEND_F32) return;
    const double share = type == ATTEND_BF16 ? 0x1p-8 : 0x1p-10;
    double largest = 0;
    for (int64_t j = 0; j < a->count; ++j)
        largest = fmax(largest, weights[j]);
    const double least = type == ATTEND_BF16 ? 0 : 0x1p-24 * largest;
    for (int64_t j = 0; j < a->count; ++j)
        for (int64_t i = 0; i < a->head_size; ++i)
            bound[i] += (share * weights[j] + least) * fabs(a->v[key_of(a, j) + i]);
}

/* The bound of weight j; rest is m + u t. */
static double weight_bound(const oracle_query *a, const double *scratch, int64_t j, double rest) {
    return scratch[a->count + j] * (scratch[2 * a->count + j] + rest);
}

static void put_weights(const bench_case *c, const oracle_query *a, const double *scratch,
                        double rest, double *want, double *bound) {
    for (int64_t j = 0; j < c->keys; ++j)
        bound[j] = oracle_tiny;
    for (int64_t j = 0; j < a->count; ++j) {
        const double weight = scratch[a->count + j];
        want[a->which[j]] = weight;
        bound[a->which[j]] += weight_bound(a, scratch, j, rest) + oracle_half_unit(c->type, weight);
    }
}

/* Sums over the heads in float32 add H roundings. */
static void put_mean(const bench_case *c, double *const *inputs, bench_place p, row_memory *m,
                     double *want, double *bound) {
    const double heads = (double)c->heads;
    for (p.head = 0; p.head < c->heads; ++p.head) {
        const oracle_query a = query_of(c, inputs, &p, m);
        const double lse = oracle_attend(&a, m->scratch, m->out),
                     rest = oracle_attend_bound(&a, m->scratch, lse, m->bound);
        for (int64_t j = 0; j < a.count; ++j) {
            want[a.which[j]] += m->scratch[a.count + j] / heads;
            bound[a.which[j]] += weight_bound(&a, m->scratch, j, rest) / heads;
        }
    }
    for (int64_t j = 0; j < c->keys; ++j)
        bound[j] += oracle_tiny + (want[j] > 0 ? oracle_half_unit(c->type, want[j]) : 0) +
                    oracle_unit * heads * want[j];
}

static void fill_row(const bench_case *c, double *const *inputs, const bench_place *p,
                     row_memory *m, double *want, double *bound) {
    const int64_t d = c->head_size;
    const oracle_query a = query_of(c, inputs, p, m);
    const double lse = oracle_attend(&a, m->scratch, want),
                 rest = oracle_attend_bound(&a, m->scratch, lse, bound);
    add_fast(c, &a, m->scratch + a.count, bound);
    for (int64_t i = 0; i < d; ++i)
        bound[i] += oracle_tiny + (a.count ? oracle_half_unit(c->type, want[i]) : 0);
    want += d;
    bound += d;
    if (c->lse) {
        *want++ = lse;
        *bound++ = a.count ? rest + oracle_unit * fabs(lse) + oracle_tiny : oracle_tiny;
    }
    if (c->weights) put_weights(c, &a, m->scratch, rest, want, bound);
    const int64_t at = c->weights ? c->keys : 0;
    if (c->mean) put_mean(c, inputs, *p, m, want + at, bound + at);
}

bool oracle_attention_row(const bench_case *c, double *const *inputs, int64_t row, double *want,
                          double *bound) {
    row_memory m = {NULL, NULL, NULL, NULL, NULL, NULL};
    const bool good = allocate(&m, c->keys, c->head_size);
    const bench_place p = bench_place_of(c, row);
    if (good) fill_row(c, inputs, &p, &m, want, bound);
    free(m.which);
    free(m.scratch);
    return good;
}
