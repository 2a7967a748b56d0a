/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle_rows.h: attention, layer, projection, softmax and merge on chosen rows, spread over
 * threads. */
#include "oracle_rows.h"

#include "bench_values.h"

#include "base/thread.h"
#include "base/thread_pool.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const double unit = 0x1p-24; /* u of docs/numerics.md */
static const double tiny = 1e-37;

typedef struct work {
    const bench_case *c;
    oracle *o;
    double *inputs[BENCH_ROLE_COUNT];
    double *keys, *values; /* layer: of the samples that rows come from, [2, L, M] */
    bool rounded;          /* layer: every intermediate result in the storage type */
    atomic_bool failed;    /* a task found no memory */
} work;

static double dot(const double *a, const double *b, int64_t n) {
    double sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; ++lane)
            sums[lane] += a[i + lane] * b[i + lane];
    for (; i < n; ++i)
        sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static double absolute_dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += fabs(a[i] * b[i]);
    return sum;
}

/* Half a unit in the last place of a 16-bit result; 0 for float32, whose rounding the bounds hold.
 */
static double half_unit(attend_type type, double y) {
    if (type == ATTEND_F32) return 0;
    int exponent = 0;
    frexp(y, &exponent);
    return type == ATTEND_BF16 ? ldexp(1, exponent - 9) : fmax(ldexp(1, exponent - 12), 0x1p-25);
}

/* ---- softmax and attention ---- */

typedef struct keys {
    const double *k, *v; /* rows of them, `stride` apart */
    int64_t stride, count;
} keys;

/* weights[j] of the allowed keys from their scores; returns the log of the sum of exp. */
static double softmax(const double *scores, int64_t count, double *weights) {
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < count; ++j)
        largest = fmax(largest, scores[j]);
    for (int64_t j = 0; j < count; ++j)
        sum += weights[j] = exp(scores[j] - largest);
    for (int64_t j = 0; j < count; ++j)
        weights[j] /= sum;
    return largest + log(sum);
}

/* errors[j] = e_j; returns m. */
static double score_errors(double *errors, const double *scores, const double *weights,
                           int64_t count, double lse, double head_size) {
    double mean = 0;
    for (int64_t j = 0; j < count; ++j) {
        errors[j] = unit * ((2 * sqrt(head_size) + 8) * errors[j] + fabs(scores[j]) + fabs(lse));
        mean += weights[j] * errors[j];
    }
    return mean;
}

static double sum_term(int64_t key_count) {
    return unit * (fmax(sqrt((double)key_count), 64) + 8);
}

/* out [d] and, where asked for, its bound. scratch: 3 * count doubles. */
static void attend_row(const double *q, const keys *k, int64_t d, attend_type type, double *scratch,
                       double *out, double *bound) {
    double *const scores = scratch, *const weights = scratch + k->count,
                  *const errors = scratch + 2 * k->count;
    const double scale = 1 / sqrt((double)d);
    for (int64_t j = 0; j < k->count; ++j) {
        scores[j] = scale * dot(q, k->k + j * k->stride, d);
        if (bound) errors[j] = scale * absolute_dot(q, k->k + j * k->stride, d);
    }
    const double lse = softmax(scores, k->count, weights);
    memset(out, 0, (size_t)d * sizeof *out);
    for (int64_t j = 0; j < k->count; ++j)
        for (int64_t i = 0; i < d; ++i)
            out[i] += weights[j] * k->v[j * k->stride + i];
    if (!bound) return;
    const double m = score_errors(errors, scores, weights, k->count, lse, (double)d);
    memset(bound, 0, (size_t)d * sizeof *bound);
    for (int64_t j = 0; j < k->count; ++j)
        for (int64_t i = 0; i < d; ++i)
            bound[i] +=
                weights[j] * fabs(k->v[j * k->stride + i]) * (errors[j] + m + sum_term(k->count));
    for (int64_t i = 0; i < d; ++i)
        bound[i] += tiny + half_unit(type, out[i]);
}

static int64_t visible(const bench_case *c, int64_t query, int64_t key_count) {
    return c->causal && query + 1 < key_count ? query + 1 : key_count;
}

static void attention_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t row = w->o->rows[index], query = row % c->queries,
                  head = row / c->queries % c->heads, sample = row / c->queries / c->heads;
    const int64_t group = sample * c->kv_heads + head / (c->heads / c->kv_heads);
    const keys k = {w->inputs[BENCH_K] + group * c->keys * c->head_size,
                    w->inputs[BENCH_V] + group * c->keys * c->head_size, c->head_size,
                    visible(c, query, c->keys)};
    double *const scratch = calloc((size_t)k.count, 3 * sizeof *scratch);
    const size_t at = (size_t)index * w->o->width;
    if (scratch)
        attend_row(w->inputs[BENCH_Q] + row * c->head_size, &k, c->head_size, c->type, scratch,
                   w->o->want + at, w->o->bound + at);
    else
        atomic_store(&w->failed, true);
    free(scratch);
}

/* ---- softmax, projection, merge ---- */

static void softmax_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t row = w->o->rows[index], count = visible(c, row % c->queries, c->keys);
    double *const want = w->o->want + (size_t)index * w->o->width, *const bound =
                                                                       w->o->bound +
                                                                       (size_t)index * w->o->width;
    double *const scores = calloc((size_t)count, 2 * sizeof *scores);
    if (!scores) {
        atomic_store(&w->failed, true);
        return;
    }
    double *const errors = scores + count;
    for (int64_t j = 0; j < count; ++j) {
        scores[j] = w->inputs[BENCH_Q][row * c->keys + j] / 8;
        errors[j] = fabs(scores[j]);
    }
    const double lse = softmax(scores, count, want);
    const double m = score_errors(errors, scores, want, count, lse, 1);
    for (int64_t j = 0; j < count; ++j)
        bound[j] = want[j] * (errors[j] + m + sum_term(count)) + tiny + half_unit(c->type, want[j]);
    for (int64_t j = count; j < c->keys; ++j)
        bound[j] = tiny;
    free(scores);
}

static void project_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const double *const x = w->inputs[BENCH_Q] + w->o->rows[index] * c->in;
    for (int64_t i = 0; i < c->out; ++i) {
        const double *const row = w->inputs[BENCH_W] + i * c->in;
        const double bias = w->inputs[BENCH_BIAS][i], y = dot(x, row, c->in) + bias;
        const double terms = absolute_dot(x, row, c->in) + fabs(bias);
        const size_t at = (size_t)index * w->o->width + (size_t)i;
        w->o->want[at] = y;
        w->o->bound[at] = unit * (2 * sqrt((double)c->in) + 8) * terms + 8 * unit * fabs(y) + tiny +
                          half_unit(c->type, y);
    }
}

static void merge_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t row = w->o->rows[index], sample = row / c->queries, query = row % c->queries;
    for (int64_t i = 0; i < c->heads * c->head_size; ++i) {
        const int64_t head = sample * c->heads + i / c->head_size;
        const size_t at = (size_t)index * w->o->width + (size_t)i;
        w->o->want[at] =
            w->inputs[BENCH_Q][(head * c->queries + query) * c->head_size + i % c->head_size];
        w->o->bound[at] = tiny;
    }
}

/* ---- layer ---- */

static double stored(const work *w, double x) {
    return w->rounded ? (double)bench_round(w->c->type, (float)x) : x;
}

static void linear(const work *w, const double *x, int part, double *out) {
    const int64_t m = w->c->model_size;
    for (int64_t i = 0; i < m; ++i)
        out[i] = stored(w, dot(x, w->inputs[BENCH_W_Q + part] + i * m, m) +
                               w->inputs[BENCH_B_Q + part][i]);
}

/* The samples that rows come from are the first and the last. */
static int64_t slot(const bench_case *c, int64_t sample) {
    return sample > 0 && sample == c->batch - 1 ? 1 : 0;
}

static void layer_keys_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t which = index / c->queries, row = index % c->queries;
    const int64_t sample = which ? c->batch - 1 : 0;
    const double *const x = w->inputs[BENCH_Q] + (sample * c->queries + row) * c->model_size;
    const int64_t at = (which * c->queries + row) * c->model_size;
    linear(w, x, 1, w->keys + at);
    linear(w, x, 2, w->values + at);
}

/* The heads of one row, side by side in merged [M]. */
static void layer_heads(const work *w, int64_t row, const double *q, double *scratch,
                        double *merged) {
    const bench_case *const c = w->c;
    const int64_t d = c->model_size / c->heads;
    const int64_t start = slot(c, row / c->queries) * c->queries * c->model_size;
    for (int64_t h = 0; h < c->heads; ++h) {
        const keys k = {w->keys + start + h * d, w->values + start + h * d, c->model_size,
                        visible(c, row % c->queries, c->queries)};
        attend_row(q + h * d, &k, d, ATTEND_F32, scratch, merged + h * d, NULL);
    }
    for (int64_t i = 0; i < c->model_size; ++i)
        merged[i] = stored(w, merged[i]);
}

/* Writes the row to `want`; on the rounded pass the difference to it goes to `bound`. */
static void layer_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t m = c->model_size, row = w->o->rows[index];
    double *const scratch = malloc((size_t)(3 * m + 3 * c->queries) * sizeof *scratch);
    if (!scratch) {
        atomic_store(&w->failed, true);
        return;
    }
    double *const q = scratch, *const merged = q + m, *const y = merged + m, *const scores = y + m;
    linear(w, w->inputs[BENCH_Q] + row * m, 0, q);
    layer_heads(w, row, q, scores, merged);
    linear(w, merged, 3, y);
    double *const want = w->o->want + (size_t)index * w->o->width, *const bound =
                                                                       w->o->bound +
                                                                       (size_t)index * w->o->width;
    for (int64_t i = 0; i < m; ++i)
        if (w->rounded)
            bound[i] = fabs(y[i] - want[i]);
        else
            want[i] = y[i];
    free(scratch);
}

static void layer_pass(work *w, attend__thread_pool *pool, bool rounded) {
    const int64_t samples = w->c->batch > 1 ? 2 : 1;
    w->rounded = rounded;
    attend__thread_pool_run(pool, (int32_t)(samples * w->c->queries), layer_keys_task, w);
    attend__thread_pool_run(pool, (int32_t)w->o->row_count, layer_task, w);
}

/* 5e-5 + 5e-5 |y| in float32, else twice the largest error of the plain composition. */
static void layer_bounds(const work *w, oracle *o) {
    double largest = 0;
    for (size_t i = 0; i < o->row_count * o->width; ++i)
        largest = fmax(largest, o->bound[i]);
    for (size_t i = 0; i < o->row_count * o->width; ++i)
        o->bound[i] = w->c->type == ATTEND_F32 ? 5e-5 + 5e-5 * fabs(o->want[i]) : 2 * largest;
}

static bool fill_layer(work *w, attend__thread_pool *pool) {
    const size_t count = (size_t)(2 * w->c->queries * w->c->model_size);
    w->keys = malloc(count * sizeof *w->keys);
    w->values = malloc(count * sizeof *w->values);
    if (w->keys && w->values && w->c->queries <= INT32_MAX / 2) {
        layer_pass(w, pool, false);
        if (w->c->type != ATTEND_F32) layer_pass(w, pool, true);
        layer_bounds(w, w->o);
    } else {
        atomic_store(&w->failed, true);
    }
    free(w->keys);
    free(w->values);
    return !atomic_load(&w->failed);
}

/* ---- all ---- */

static bool make_inputs(work *w) {
    for (int role = 0; role < BENCH_ROLE_COUNT; ++role) {
        const int64_t count = bench_input_count(w->c, (bench_role)role);
        if (!count) continue;
        float *const exact = malloc((size_t)count * sizeof *exact);
        w->inputs[role] = malloc((size_t)count * sizeof *w->inputs[role]);
        if (exact && w->inputs[role]) {
            bench_input_fill(w->c, (bench_role)role, ATTEND_F32, exact);
            for (int64_t i = 0; i < count; ++i)
                w->inputs[role][i] = (double)bench_round(w->c->type, exact[i]);
        }
        free(exact);
        if (!exact || !w->inputs[role]) return false;
    }
    return true;
}

bool oracle_fill(const bench_case *c, oracle *o) {
    static void (*const tasks[])(void *, int32_t) = {
        [BENCH_ATTENTION] = attention_task,
        [BENCH_PROJECT] = project_task,
        [BENCH_SOFTMAX] = softmax_task,
        [BENCH_MERGE] = merge_task,
    };
    work w = {.c = c, .o = o};
    atomic_init(&w.failed, false);
    attend__thread_pool *const pool = attend__thread_pool_create(attend__processor_count());
    bool done = pool && make_inputs(&w);
    if (done && c->op == BENCH_LAYER) {
        done = fill_layer(&w, pool);
    } else if (done) {
        attend__thread_pool_run(pool, (int32_t)o->row_count, tasks[c->op], &w);
        done = !atomic_load(&w.failed);
    }
    for (int role = 0; role < BENCH_ROLE_COUNT; ++role)
        free(w.inputs[role]);
    attend__thread_pool_release(pool);
    return done;
}
