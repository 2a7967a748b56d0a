/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of attention of many rows (lane_kernels.h): a full strip against a full block of
 * keys, and its rows into lanes and back. Everything lies in the first two caches, as it does
 * inside attention. */
#include "kernels.h"

#include <math.h>

enum { KEYS = ATTEND__LANE_KEYS };

static const attend__lane_kernels *table(const kernel_work *w) {
    return w->kernels->lanes;
}

static int32_t vectors_of(const kernel_work *w) {
    return table(w)->lane_rows / table(w)->lanes;
}

/* ---- scores, size = head size ---- */

static void make_dots(kernel_work *w) {
    const int64_t rows = table(w)->lane_rows;
    float *const queries = kernel_memory(w, rows * w->size),
                 *const keys = kernel_memory(w, KEYS * w->size),
                 *const scores = kernel_memory(w, KEYS * rows),
                 *const highest = kernel_memory(w, rows);
    kernel_fill(queries, rows * w->size, -4, 4);
    kernel_fill(keys, KEYS * w->size, -1, 1);
    w->call.lane_dots = (attend__lane_dots){.queries = queries,
                                            .keys = keys,
                                            .scores = scores,
                                            .highest = highest,
                                            .key_stride = w->size,
                                            .depth_stride = 1,
                                            .depth = w->size,
                                            .vectors = vectors_of(w),
                                            .count = KEYS};
    w->flops = 2.0 * (double)rows * KEYS * (double)w->size;
    w->bytes = 4.0 * ((double)(rows + KEYS) * (double)w->size + (double)rows * KEYS);
}

static bool run_dots(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->dots(&w->call.lane_dots);
    return true;
}

static void check_dots(kernel_work *w) {
    const attend__lane_dots *const t = &w->call.lane_dots;
    const float *const keys = t->keys;
    const int32_t rows = table(w)->lane_rows;
    for (int32_t r = 0; r < rows; ++r) {
        float highest = 0;
        for (int32_t j = 0; j < KEYS; ++j) {
            double sum = 0, size = 0;
            for (int64_t d = 0; d < t->depth; ++d) {
                const double term =
                    (double)t->queries[d * rows + r] * (double)keys[j * t->key_stride + d];
                sum += term;
                size += fabs(term);
            }
            const float got = t->scores[j * rows + r];
            kernel_compare(w, (double)got, sum,
                           KERNEL_UNIT * (2 * sqrt((double)t->depth) + 8) * size);
            highest = fmaxf(highest, got);
        }
        kernel_compare(w, (double)t->highest[r], (double)highest, 0);
    }
}

/* ---- online softmax, size = keys ---- */

/* In place: from the second run on the scores lie in 0 .. 1, and cost the same. */
enum { SOFTEN_SCORES, SOFTEN_BEFORE, SOFTEN_MOST, SOFTEN_HIGHEST, SOFTEN_SUM, SOFTEN_SHRINK };

static void make_soften(kernel_work *w) {
    const int64_t rows = table(w)->lane_rows, count = rows * w->size;
    kernel_fill(kernel_memory(w, count), count, -8, 8);
    kernel_fill(kernel_memory(w, count), count, -8, 8);
    float *const most = kernel_memory(w, rows), *const highest = kernel_memory(w, rows),
                 *const sum = kernel_memory(w, rows), *const shrink = kernel_memory(w, rows);
    kernel_fill(most, rows, 8, 8);
    w->call.lane_soften = (attend__lane_soften){.scores = w->block[SOFTEN_SCORES],
                                                .block_highest = most,
                                                .highest = highest,
                                                .sum = sum,
                                                .shrink = shrink,
                                                .factor = 0x1.715476p+0f,
                                                .vectors = vectors_of(w),
                                                .count = (int32_t)w->size};
    w->flops = 4.0 * (double)count; /* difference, exp, sum, and the highest that dots took */
    w->bytes = 8.0 * (double)count;
}

static bool run_soften(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    for (int32_t r = 0; r < table(w)->lane_rows; ++r) {
        w->block[SOFTEN_HIGHEST][r] = -INFINITY;
        w->block[SOFTEN_SUM][r] = 0.0f;
    }
    table(w)->soften(&w->call.lane_soften);
    return true;
}

/* A weight may be off by 4.5 units, and as many as its exponent has where products are not fused
 * (vec_math.h); the sum, as docs/numerics.md has it, by max(sqrt(S), 64) + 8 for adding them. */
static void check_soften(kernel_work *w) {
    const attend__lane_soften *const t = &w->call.lane_soften;
    const int32_t rows = table(w)->lane_rows;
    const double units = table(w)->lanes == 1 ? 4.5 + 2 * 24 : 4.5;
    for (int32_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int32_t j = 0; j < t->count; ++j) {
            const float difference = w->block[SOFTEN_BEFORE][j * rows + r] - 8.0f;
            const double weight = exp2((double)t->factor * (double)difference);
            kernel_compare(w, (double)t->scores[j * rows + r], weight,
                           KERNEL_UNIT * units * weight);
            sum += weight;
        }
        kernel_compare(w, (double)t->sum[r], sum, KERNEL_UNIT * (units + 72) * sum);
    }
}

/* ---- out = out shrink + weights values, size = head size ---- */

/* A shrink of 1/2 keeps the sums of all runs bounded. */
static void make_mix(kernel_work *w) {
    const int64_t rows = table(w)->lane_rows;
    float *const weights = kernel_memory(w, KEYS * rows),
                 *const values = kernel_memory(w, KEYS * w->size),
                 *const shrink = kernel_memory(w, rows),
                 *const out = kernel_memory(w, rows * w->size);
    kernel_fill(weights, KEYS * rows, 0, 1);
    kernel_fill(values, KEYS * w->size, -1, 1);
    kernel_fill(shrink, rows, 0.5f, 0.5f);
    kernel_fill(out, rows * w->size, 1, 1);
    w->call.lane_mix = (attend__lane_mix){.weights = weights,
                                          .values = values,
                                          .shrink = shrink,
                                          .out = out,
                                          .value_stride = w->size,
                                          .columns = w->size,
                                          .vectors = vectors_of(w)};
    for (int32_t v = 0; v < vectors_of(w); ++v)
        w->call.lane_mix.ends[v] = KEYS;
    w->flops = 2.0 * (double)rows * (KEYS + 1) * (double)w->size;
    w->bytes = 4.0 * ((2.0 * (double)rows + KEYS) * (double)w->size + (double)rows * KEYS);
}

static bool run_mix(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->mix(&w->call.lane_mix);
    return true;
}

static void check_mix(kernel_work *w) {
    const attend__lane_mix *const t = &w->call.lane_mix;
    const int32_t rows = table(w)->lane_rows;
    for (int32_t r = 0; r < rows; ++r)
        for (int64_t e = 0; e < t->columns; ++e) {
            double sum = 0.5, size = 0.5;
            for (int32_t j = 0; j < KEYS; ++j) {
                const double term =
                    (double)t->weights[j * rows + r] * (double)t->values[j * t->value_stride + e];
                sum += term;
                size += fabs(term);
            }
            kernel_compare(w, (double)t->out[e * rows + r], sum,
                           KERNEL_UNIT * (2 * sqrt((double)KEYS) + 8) * size);
        }
}

/* ---- rows into lanes and back, size = head size ---- */

enum { ROWS_FROM, ROWS_TO, ROWS_FACTOR, ROWS_TAIL, ROWS_POINTERS };

/* `memory`: the block in which the rows lie one after the other. */
static void make_rows(kernel_work *w, int memory) {
    const int64_t rows = table(w)->lane_rows, count = rows * w->size;
    kernel_fill(kernel_memory(w, count), count, -1, 1);
    kernel_memory(w, count);
    kernel_fill(kernel_memory(w, rows), rows, 0.5f, 2);
    kernel_fill(kernel_memory(w, rows), rows, 1, 1);
    char **const first = (void *)kernel_memory(w, rows * (int64_t)(sizeof(char *) / sizeof(float)));
    for (int64_t r = 0; r < rows && !w->no_memory; ++r)
        first[r] = (char *)(w->block[memory] + r * w->size);
    w->call.lane_rows = (attend__lane_rows){first, ATTEND_F32, (int32_t)rows, 1, w->size};
    w->bytes = 8.0 * (double)count;
}

static void make_pack(kernel_work *w) {
    make_rows(w, ROWS_FROM);
}

static bool run_pack(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->pack_rows(&w->call.lane_rows, w->block[ROWS_TO]);
    return true;
}

static void check_pack(kernel_work *w) {
    const int32_t rows = table(w)->lane_rows;
    for (int32_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < w->size; ++i)
            kernel_compare(w, (double)w->block[ROWS_TO][i * rows + r],
                           (double)w->block[ROWS_FROM][r * w->size + i], 0);
}

static void make_unpack(kernel_work *w) {
    make_rows(w, ROWS_TO);
}

static bool run_unpack(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->unpack_rows(w->block[ROWS_FROM], w->block[ROWS_FACTOR], w->block[ROWS_TAIL],
                          &w->call.lane_rows);
    return true;
}

static void check_unpack(kernel_work *w) {
    const int32_t rows = table(w)->lane_rows;
    for (int32_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < w->size; ++i) {
            const float want = w->block[ROWS_FROM][i * rows + r] * w->block[ROWS_FACTOR][r];
            kernel_compare(w, (double)w->block[ROWS_TO][r * w->size + i], (double)want, 0);
        }
}

const kernel_kind kernel_kinds_lanes[] = {
    {"lane-dots", {64, 128}, true, make_dots, run_dots, check_dots},
    {"lane-soften", {KEYS}, true, make_soften, run_soften, check_soften},
    {"lane-mix", {64, 128}, true, make_mix, run_mix, check_mix},
    {"lane-pack", {64}, true, make_pack, run_pack, check_pack},
    {"lane-unpack", {64}, true, make_unpack, run_unpack, check_unpack},
    {0},
};
