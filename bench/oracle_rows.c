/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle_rows.h: attention, layer, projection, scores, softmax and merge on chosen rows, spread
 * over threads. */
#include "oracle_rows.h"

#include "oracle_attention.h"

#include "base/thread.h"
#include "base/thread_pool.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    const bench_case *c;
    oracle *o;
    double *const *inputs;
    double *keys, *values; /* layer: of the samples that rows come from, [2, L, M] */
    bool rounded;          /* layer: every intermediate result in the storage type */
    atomic_bool failed;    /* a task found no memory */
} work;

static int64_t visible(const bench_case *c, int64_t query, int64_t key_count) {
    return c->causal && query + 1 < key_count ? query + 1 : key_count;
}

static void attention_task(void *argument, int32_t index) {
    work *const w = argument;
    const size_t at = (size_t)index * w->o->width;
    if (!oracle_attention_row(w->c, w->inputs, w->o->rows[index], w->o->want + at,
                              w->o->bound + at))
        atomic_store(&w->failed, true);
}

/* ---- scores, softmax, projection, merge ---- */

static void scores_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const int64_t row = w->o->rows[index], d = c->head_size, head = row / c->queries;
    const int64_t plane = head / (c->heads / c->kv_heads); /* of keys, over all samples */
    const double *const q = w->inputs[BENCH_Q] + row * d, scale = 1 / sqrt((double)d);
    for (int64_t j = 0; j < c->keys; ++j) {
        const double *const k = w->inputs[BENCH_K] + (plane * c->keys + j) * d;
        const double s = scale * oracle_dot(q, k, d);
        const size_t at = (size_t)index * w->o->width + (size_t)j;
        w->o->want[at] = s;
        w->o->bound[at] =
            oracle_unit *
                ((2 * sqrt((double)d) + 8) * scale * oracle_absolute_dot(q, k, d) + fabs(s)) +
            oracle_tiny + oracle_half_unit(c->type, s);
    }
}

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
    const double lse = oracle_softmax(scores, count, want);
    const double m = oracle_score_errors(errors, scores, want, count, lse, 1);
    for (int64_t j = 0; j < count; ++j)
        bound[j] = want[j] * (errors[j] + m + oracle_sum_term(count)) + oracle_tiny +
                   oracle_half_unit(c->type, want[j]);
    for (int64_t j = count; j < c->keys; ++j)
        bound[j] = oracle_tiny;
    free(scores);
}

static void project_task(void *argument, int32_t index) {
    work *const w = argument;
    const bench_case *const c = w->c;
    const double *const x = w->inputs[BENCH_Q] + w->o->rows[index] * c->in;
    for (int64_t i = 0; i < c->out; ++i) {
        const double *const row = w->inputs[BENCH_W] + i * c->in;
        const double bias = w->inputs[BENCH_BIAS][i], y = oracle_dot(x, row, c->in) + bias;
        const double terms = oracle_absolute_dot(x, row, c->in) + fabs(bias);
        const size_t at = (size_t)index * w->o->width + (size_t)i;
        w->o->want[at] = y;
        w->o->bound[at] = oracle_unit * (2 * sqrt((double)c->in) + 8) * terms +
                          8 * oracle_unit * fabs(y) + oracle_tiny + oracle_half_unit(c->type, y);
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
        w->o->bound[at] = oracle_tiny;
    }
}

/* ---- layer ---- */

static double stored(const work *w, double x) {
    return w->rounded ? (double)bench_round(w->c->type, (float)x) : x;
}

static void linear(const work *w, const double *x, int part, double *out) {
    const int64_t m = w->c->model_size;
    for (int64_t i = 0; i < m; ++i)
        out[i] = stored(w, oracle_dot(x, w->inputs[BENCH_W_Q + part] + i * m, m) +
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
        const oracle_query a = {.q = q + h * d,
                                .k = w->keys + start + h * d,
                                .v = w->values + start + h * d,
                                .stride = c->model_size,
                                .head_size = d,
                                .count = visible(c, row % c->queries, c->queries)};
        oracle_attend(&a, scratch, merged + h * d);
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

/* What the last case had stays where this one has the same. */
static bool make_input(oracle_memory *m, const bench_case *c, bench_role role) {
    const int64_t count = bench_input_count(c, role);
    if (m->values[role] && bench_same_input(&m->c[role], c, role)) return true;
    free(m->values[role]);
    m->values[role] = NULL;
    if (!count) return true;
    m->c[role] = *c;
    const attend_type type = bench_input_type(c, role);
    float *const exact = malloc((size_t)count * sizeof *exact);
    double *const values = malloc((size_t)count * sizeof *values);
    if (exact && values) {
        bench_input_fill(c, role, ATTEND_F32, exact);
        for (int64_t i = 0; type == ATTEND_I8 && i < count; i += c->head_size)
            bench_round_token(exact + i, c->head_size);
        for (int64_t i = 0; i < count; ++i)
            values[i] = (double)bench_round(type, exact[i]);
        m->values[role] = values;
    } else {
        free(values);
    }
    free(exact);
    return m->values[role] != NULL;
}

static bool make_inputs(oracle_memory *m, const bench_case *c) {
    bool good = true;
    for (int role = 0; role < BENCH_ROLE_COUNT && good; ++role)
        good = make_input(m, c, (bench_role)role);
    return good;
}

bool oracle_fill(const bench_case *c, oracle_memory *memory, oracle *o) {
    static void (*const tasks[])(void *, int32_t) = {
        [BENCH_ATTENTION] = attention_task, [BENCH_PROJECT] = project_task,
        [BENCH_SCORES] = scores_task,       [BENCH_SOFTMAX] = softmax_task,
        [BENCH_MERGE] = merge_task,
    };
    work w = {.c = c, .o = o, .inputs = memory->values};
    atomic_init(&w.failed, false);
    attend__thread_pool *const pool = attend__thread_pool_create(attend__processor_count());
    bool done = pool && make_inputs(memory, c);
    if (done && c->op == BENCH_LAYER) {
        done = fill_layer(&w, pool);
    } else if (done) {
        attend__thread_pool_run(pool, (int32_t)o->row_count, tasks[c->op], &w);
        done = !atomic_load(&w.failed);
    }
    attend__thread_pool_release(pool);
    return done;
}
