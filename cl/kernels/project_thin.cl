/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection of a few rows on devices with local memory, bound by reading the weights: a work-group
 * of 64 does THIN_COLUMNS columns of 4 rows. Its work-items share K: each sums PARTIAL products of
 * one column, then the partial sums of a step are added in their order, so that the bits are those
 * of project_tile.cl. `shared`: THIN_ROWS * (STEP + 64) floats. */
#define LANES 1
#include "project.h"

#ifndef THIN_COLUMNS
#if WEIGHTS_TYPE == TYPE_F32
#define THIN_COLUMNS 8 /* neighbours read 32 bytes */
#else
#define THIN_COLUMNS 16
#endif
#endif
#define THIN_ROWS 4
#define PARTS (64 / THIN_COLUMNS)
#define STEP (PARTS * PARTIAL)

/* The next STEP elements of each row, 0 where there are none. */
static void stage_x(__global const uchar *x, const project_arguments *a, const i64 *x_at, i32 rows,
                    i32 k, int item, __local float *xs) {
    for (int r = 0; r < THIN_ROWS; r++)
        for (int i = item; i < STEP; i += 64)
            xs[r * STEP + i] = r < rows && k + i < a->depth
                                   ? load_element(x, x_at[r] + (k + i) * a->x.step, a->x.type)
                                   : 0.0f;
}

__kernel WHOLE_VECTORS void project(__global const uchar *x, __global const weight *panels,
                                    __global const uchar *bias, __global const uchar *multiplier,
                                    __global const uchar *residual, __global uchar *out,
                                    const project_arguments a, __local float *shared) {
    __local float *const xs = shared, *const parts = shared + THIN_ROWS * STEP;
    const project_tensors t = {bias, multiplier, residual, out};
    const int item = (int)get_local_id(0), part = item / THIN_COLUMNS;
    const i32 first = (i32)get_group_id(1) * THIN_ROWS, rows = min(THIN_ROWS, a.rows - first);
    const i32 column = (i32)get_group_id(0) * THIN_COLUMNS + item % THIN_COLUMNS;
    __global const weight *const w =
        panels + a.panels_offset + (i64)(column / PANEL) * PANEL * a.depth + column % PANEL;
    i64 x_at[THIN_ROWS];
    float total[THIN_ROWS];
    for (int r = 0; r < THIN_ROWS; r++) {
        x_at[r] = r < rows ? row_start(&a.x, a.sizes, first + r) : 0;
        total[r] = 0.0f;
    }
    for (i32 step = 0; step < a.depth; step += STEP) {
        stage_x(x, &a, x_at, rows, step, item, xs);
        barrier(CLK_LOCAL_MEM_FENCE);
        const i32 begin = step + part * PARTIAL, n = clamp(a.depth - begin, 0, PARTIAL);
        float sum[THIN_ROWS] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll 8
        for (i32 k = 0; k < n; k++) {
            const float one = load_weight(w, (i64)(begin + k) * PANEL);
            for (int r = 0; r < THIN_ROWS; r++)
                sum[r] = FMA(xs[r * STEP + part * PARTIAL + k], one, sum[r]);
        }
        for (int r = 0; r < THIN_ROWS; r++)
            parts[r * 64 + item] = sum[r];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = 0; p < PARTS && step + p * PARTIAL < a.depth; p++)
            for (int r = 0; r < THIN_ROWS; r++)
                total[r] += parts[r * 64 + p * THIN_COLUMNS + item % THIN_COLUMNS];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (part != 0 || column >= a.columns) return;
    const float b = load_bias(&t, &a, column, 1);
    for (int r = 0; r < rows; r++) {
        const project_place place = place_of(&a, first + r, column);
        finish_lanes(&t, &a, &place, 0, 1, total[r], b);
    }
}
