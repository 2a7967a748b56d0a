/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of attention of few rows: a strip of query rows against a block of keys, and the
 * passes over rows of scores. Everything lies in the first two caches, as it does inside attention.
 */
#include "kernels.h"

#include <math.h>

enum { KEYS = ATTEND__BLOCK_KEYS, STRIDE = ATTEND__SCORE_STRIDE };

static const attend__attention_kernels *table(const kernel_work *w) {
    return w->kernels->attention;
}

/* ---- exp ---- */

/* weigh_row works in place: the next run takes the results of this one. With 1 subtracted they stay
 * below 1 and cost the same. */
enum { EXP_X, EXP_BEFORE };

static void make_exp(kernel_work *w) {
    kernel_fill(kernel_memory(w, w->size), w->size, -30, 1);
    kernel_fill(kernel_memory(w, w->size), w->size, -30, 1);
    w->flops = 3.0 * (double)w->size; /* difference, exp, product */
    w->bytes = 8.0 * (double)w->size;
}

static bool run_exp(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->weigh_row(w->block[EXP_X], w->size, 1.0f, 1.0f);
    return true;
}

/* Against exp of the difference as float32 rounds it: the 1 ulp = 2 units that vec_math.h promises.
 */
static double compare_exp(kernel_work *w, float got, float difference) {
    const double expected = exp((double)difference);
    kernel_compare(w, (double)got, expected, 2 * KERNEL_UNIT * expected);
    return expected;
}

static void check_exp(kernel_work *w) {
    for (int64_t i = 0; i < w->size; ++i)
        compare_exp(w, w->block[EXP_X][i], w->block[EXP_BEFORE][i] - 1.0f);
}

/* ---- softmax: blocks of keys one after the other, as in attention ---- */

/* In place, too: from the second run on the scores lie in 0 .. 1. */
enum { SOFTMAX_SCORES, SOFTMAX_BEFORE, SOFTMAX_HIGHEST, SOFTMAX_SUM, SOFTMAX_SHRINK };

static int64_t softmax_block(const kernel_work *w) {
    return (int64_t)table(w)->strip_rows * STRIDE;
}

static void make_softmax(kernel_work *w) {
    const int32_t rows = table(w)->strip_rows;
    const int64_t count = (w->size + KEYS - 1) / KEYS * softmax_block(w);
    kernel_fill(kernel_memory(w, count), count, -8, 8);
    kernel_fill(kernel_memory(w, count), count, -8, 8);
    float *const highest = kernel_memory(w, rows), *const sum = kernel_memory(w, rows),
                 *const shrink = kernel_memory(w, rows);
    w->call.soften = (attend__soften){.highest = highest, .sum = sum, .shrink = shrink, rows};
    w->flops = 4.0 * rows * (double)w->size; /* highest, difference, exp, sum */
    w->bytes = 8.0 * rows * (double)w->size;
}

static bool run_softmax(void *work, char *reason) {
    kernel_work *const w = work;
    attend__soften *const s = &w->call.soften;
    (void)reason;
    for (int32_t r = 0; r < s->rows; ++r) {
        s->highest[r] = -INFINITY;
        s->sum[r] = 0.0f;
    }
    s->scores = w->block[SOFTMAX_SCORES];
    for (int64_t key = 0; key < w->size; key += KEYS, s->scores += softmax_block(w)) {
        s->to = (int32_t)(w->size - key < KEYS ? w->size - key : KEYS);
        table(w)->soften(s);
    }
    return true;
}

/* Weights are relative to the highest score up to the end of their block. The sum may be off by 2
 * units for its weights and, as docs/numerics.md has it, by max(sqrt(S), 64) + 8 for adding them.
 */
static void check_softmax_row(kernel_work *w, int32_t row) {
    float highest = -INFINITY;
    double sum = 0;
    for (int64_t key = 0; key < w->size; key += KEYS) {
        const int64_t at = key / KEYS * softmax_block(w) + row * STRIDE;
        const float *const before = w->block[SOFTMAX_BEFORE] + at, *const after =
                                                                       w->block[SOFTMAX_SCORES] +
                                                                       at;
        const int64_t n = w->size - key < KEYS ? w->size - key : KEYS;
        const float earlier = highest;
        for (int64_t i = 0; i < n; ++i)
            highest = fmaxf(highest, before[i]);
        sum *= exp((double)earlier - (double)highest);
        for (int64_t i = 0; i < n; ++i)
            sum += compare_exp(w, after[i], before[i] - highest);
    }
    const double units = 2 + fmax(sqrt((double)w->size), 64) + 8;
    kernel_compare(w, (double)w->block[SOFTMAX_HIGHEST][row], (double)highest, 0);
    kernel_compare(w, (double)w->block[SOFTMAX_SUM][row], sum, KERNEL_UNIT * units * sum);
}

static void check_softmax(kernel_work *w) {
    for (int32_t row = 0; row < table(w)->strip_rows; ++row)
        check_softmax_row(w, row);
}

/* ---- scores = queries keys, size = head size ---- */

enum { DOTS_STRIP, DOTS_PANELS, DOTS_SCORES };

static void make_dots(kernel_work *w) {
    const int32_t rows = table(w)->strip_rows, lanes = table(w)->lanes;
    float *const strip = kernel_memory(w, rows * w->size),
                 *const panels = kernel_memory(w, KEYS * w->size),
                 *const scores = kernel_memory(w, (int64_t)rows * STRIDE);
    kernel_fill(strip, rows * w->size, -4, 4);
    kernel_fill(panels, KEYS * w->size, -1, 1);
    w->call.dots = (attend__dots){strip, panels, scores, w->size, rows, KEYS / lanes, 0.125f};
    w->flops = 2.0 * rows * KEYS * (double)w->size;
    w->bytes = 4.0 * ((double)(rows + KEYS) * (double)w->size + (double)rows * KEYS);
}

static bool run_dots(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->dots(&w->call.dots);
    return true;
}

static void check_dots(kernel_work *w) {
    const attend__dots *const t = &w->call.dots;
    const int32_t strip_rows = table(w)->strip_rows, lanes = table(w)->lanes;
    for (int32_t r = 0; r < strip_rows; ++r)
        for (int32_t c = 0; c < KEYS; ++c) {
            double sum = 0, size = 0;
            for (int64_t d = 0; d < t->depth; ++d) {
                const double term =
                    (double)t->strip[d * strip_rows + r] *
                    (double)t->panels[(c / lanes * t->depth + d) * lanes + c % lanes];
                sum += term;
                size += fabs(term);
            }
            const double scale = (double)t->scale;
            kernel_compare(w, (double)t->scores[r * STRIDE + c], scale * sum,
                           KERNEL_UNIT * (2 * sqrt((double)t->depth) + 8) * size * scale);
        }
}

const kernel_kind kernel_kinds_attention[] = {
    {"exp", {4096}, true, make_exp, run_exp, check_exp},
    {"softmax", {128, 512, 4096}, true, make_softmax, run_softmax, check_softmax},
    {"scores-tile", {64, 128}, true, make_dots, run_dots, check_dots},
    {0},
};
