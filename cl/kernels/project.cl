/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection where a work-item stands alone: 16 * VECTORS columns of up to MOST_ROWS rows. K
 * advances in steps of PARTIAL, in which the step's weights stay in the first-level cache for all
 * rows, and the sums of 8 rows in registers. 16-bit rows of x are widened a step at a time. */
#include "project.h"

#ifndef VECTORS
#define VECTORS 2 /* of 16 columns; 1 or 2 */
#endif
#ifndef MOST_ROWS
#define MOST_ROWS 64
#endif
#ifndef X_TYPE
#define X_TYPE TYPE_F32
#endif

/* Rows of x: where they are if they are float, else copies of a step. */
#if X_TYPE == TYPE_F32
typedef __global const float *x_row;
#else
typedef const float *x_row;
#endif

/* total[] += x[rows][n] W[n][16 VECTORS]; `step` along the rows of x. The loops over rows and
 * vectors have constant counts, so that the sums stay in registers. */
#define DEFINE_MULTIPLY(name, rows)                                                                \
    static void name(const x_row *x, i64 step, __global const weight *w, i32 n, float16 *total) {  \
        float16 sum[rows][VECTORS];                                                                \
        i64 at = 0;                                                                                \
        _Pragma("unroll") for (int i = 0; i < rows * VECTORS; i++) sum[i / VECTORS][i % VECTORS] = \
            (float16)(0.0f);                                                                       \
        for (i32 k = 0; k < n; k++, at += step) {                                                  \
            float16 wide[VECTORS];                                                                 \
            _Pragma("unroll") for (int v = 0; v < VECTORS; v++) wide[v] =                          \
                load_elements((__global const uchar *)w, k * PANEL + 16 * v, WEIGHTS_TYPE);        \
            _Pragma("unroll") for (int i = 0; i < rows * VECTORS; i++)                             \
                sum[i / VECTORS][i % VECTORS] =                                                    \
                    FMA((float16)(x[i / VECTORS][at]), wide[i % VECTORS],                          \
                        sum[i / VECTORS][i % VECTORS]);                                            \
        }                                                                                          \
        _Pragma("unroll") for (int i = 0; i < rows * VECTORS; i++) total[i] +=                     \
            sum[i / VECTORS][i % VECTORS];                                                         \
    }
DEFINE_MULTIPLY(multiply_1, 1)
DEFINE_MULTIPLY(multiply_2, 2)
DEFINE_MULTIPLY(multiply_4, 4)
#if MOST_ROWS >= 8
DEFINE_MULTIPLY(multiply_8, 8)
#endif

static void multiply(const x_row *x, i64 step, __global const weight *w, i32 n, i32 rows,
                     float16 *total) {
    i32 r = 0;
#if MOST_ROWS >= 8
    for (; r + 8 <= rows; r += 8)
        multiply_8(x + r, step, w, n, total + r * VECTORS);
#endif
    for (; r + 4 <= rows; r += 4)
        multiply_4(x + r, step, w, n, total + r * VECTORS);
    if (r + 2 <= rows) {
        multiply_2(x + r, step, w, n, total + r * VECTORS);
        r += 2;
    }
    if (r < rows) multiply_1(x + r, step, w, n, total + r * VECTORS);
}

#if X_TYPE == TYPE_F32
static void multiply_all(__global const uchar *x, __global const weight *w,
                         const project_arguments *a, i32 first, i32 rows, float16 *total) {
    x_row row[MOST_ROWS];
    for (i32 k = 0; k < a->depth; k += PARTIAL) {
        for (i32 r = 0; r < rows; r++)
            row[r] = (x_row)x + row_start(&a->x, a->sizes, first + r) + k * a->x.step;
        multiply(row, a->x.step, w + (i64)k * PANEL, min(PARTIAL, a->depth - k), rows, total);
    }
}
#else
/* `n` elements of each row from k on, as float. */
static void widen(__global const uchar *x, const project_arguments *a, i32 first, i32 rows, i32 k,
                  i32 n, float *to) {
    for (i32 r = 0; r < rows; r++) {
        const i64 at = row_start(&a->x, a->sizes, first + r) + k * a->x.step;
        for (i32 i = 0; i < n; i += 16)
            vstore16(load_lanes(x, at + i * a->x.step, a->x.step, X_TYPE, n - i), 0,
                     to + r * PARTIAL + i);
    }
}

static void multiply_all(__global const uchar *x, __global const weight *w,
                         const project_arguments *a, i32 first, i32 rows, float16 *total) {
    float wide[MOST_ROWS * PARTIAL];
    x_row row[MOST_ROWS];
    for (i32 r = 0; r < rows; r++)
        row[r] = wide + r * PARTIAL;
    for (i32 k = 0; k < a->depth; k += PARTIAL) {
        const i32 n = min(PARTIAL, a->depth - k);
        widen(x, a, first, rows, k, n, wide);
        multiply(row, 1, w + (i64)k * PANEL, n, rows, total);
    }
}
#endif

__kernel WHOLE_VECTORS void project(__global const uchar *x, __global const weight *panels,
                                    __global const uchar *bias, __global const uchar *multiplier,
                                    __global const uchar *residual, __global uchar *out,
                                    const project_arguments a) {
    const project_tensors t = {bias, multiplier, residual, out};
    const i32 column = (i32)get_global_id(0) * (16 * VECTORS);
    const i32 first = (i32)get_global_id(1) * a.rows_at_once;
    const i32 rows = min(a.rows_at_once, a.rows - first);
    if (column >= a.columns || rows <= 0) return;
    float16 total[MOST_ROWS * VECTORS];
    for (i32 i = 0; i < rows * VECTORS; i++)
        total[i] = (float16)(0.0f);
    multiply_all(
        x, panels + a.panels_offset + (i64)(column / PANEL) * PANEL * a.depth + column % PANEL, &a,
        first, rows, total);
    for (int v = 0; v < VECTORS && column + 16 * v < a.columns; v++) {
        const i32 at = column + 16 * v, count = a.columns - at;
        const float16 b = load_bias(&t, &a, at, count);
        for (i32 r = 0; r < rows; r++) {
            const project_place place = place_of(&a, first + r, at);
            finish_lanes(&t, &a, &place, 0, count, total[r * VECTORS + v], b);
        }
    }
}
