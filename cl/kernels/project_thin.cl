/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection of a few rows on devices with local memory, bound by reading the weights: a work-group
 * of 64 does THIN_COLUMNS columns of 4 rows. Its work-items share K: each sums PARTIAL products of
 * one column, then the partial sums of a step are added in their order, so that the bits are those
 * of project_tile.cl. The weights of AT_ONCE products are on their way together.
 *
 * Local memory: of each row PARTS of x, padded, since the parts that a sub-group reads at once
 * would lie in the same banks, and the 64 sums of a step. `shared`: THIN_ROWS * (X_PITCH + 64)
 * floats. */
#define LANES 1
#ifndef X_TYPE
#define X_TYPE TYPE_F32
#endif
#include "project.h"

#ifndef THIN_COLUMNS
#if WEIGHTS_TYPE == TYPE_F32
#define THIN_COLUMNS 8 /* neighbours read 32 bytes */
#else
#define THIN_COLUMNS 16
#endif
#endif
#define THIN_ROWS 4
#define PARTS (64 / THIN_COLUMNS) /* no less than THIN_ROWS: each of the first finishes a row */
#define STEP (PARTS * PARTIAL)
#define PART_PITCH (PARTIAL + 4)
#define X_PITCH (PARTS * PART_PITCH)
#define AT_ONCE 8

/* The next STEP elements of each row, 0 where there are none. */
static void stage_x(__global const uchar *x, const project_arguments *a, const i64 *x_at, i32 rows,
                    i32 k, int item, __local float4 *xs) {
#pragma unroll
    for (int r = 0; r < THIN_ROWS; r++)
#pragma unroll
        for (int i = item * 4; i < STEP; i += 64 * 4)
            xs[(r * X_PITCH + i / PARTIAL * PART_PITCH + i % PARTIAL) / 4] =
                r < rows ? load_x4(x, x_at[r], a->x.step, k + i, a->depth) : (float4)(0.0f);
}

/* sum[] += x[THIN_ROWS][k .. k + 7] w[] */
static void multiply(__local const float4 *x, const float w[AT_ONCE], float sum[THIN_ROWS]) {
#pragma unroll
    for (int r = 0; r < THIN_ROWS; r++) {
        const float4 a = x[r * X_PITCH / 4], b = x[r * X_PITCH / 4 + 1];
        sum[r] = FMA(a.x, w[0], sum[r]);
        sum[r] = FMA(a.y, w[1], sum[r]);
        sum[r] = FMA(a.z, w[2], sum[r]);
        sum[r] = FMA(a.w, w[3], sum[r]);
        sum[r] = FMA(b.x, w[4], sum[r]);
        sum[r] = FMA(b.y, w[5], sum[r]);
        sum[r] = FMA(b.z, w[6], sum[r]);
        sum[r] = FMA(b.w, w[7], sum[r]);
    }
}

__kernel WHOLE_VECTORS void project(__global const uchar *x, __global const weight *panels,
                                    __global const uchar *bias, __global const uchar *multiplier,
                                    __global const uchar *residual, __global uchar *out,
                                    const project_arguments a, __local float4 *shared) {
    __local float *const parts = (__local float *)shared + THIN_ROWS * X_PITCH;
    const project_tensors t = {bias, multiplier, residual, out};
    const int item = (int)get_local_id(0), part = item / THIN_COLUMNS;
    const i32 first = GROUP_DOWN * THIN_ROWS, rows = min(THIN_ROWS, a.rows - first);
    const i32 column = (i32)get_group_id(0) * THIN_COLUMNS + item % THIN_COLUMNS;
    __local const float4 *const xs = shared + part * (PART_PITCH / 4);
    __global const weight *const w =
        panels + a.panels_offset + (i64)(column / PANEL) * PANEL * a.depth + column % PANEL;
    i64 x_at[THIN_ROWS];
    float total[THIN_ROWS];
    for (int r = 0; r < THIN_ROWS; r++) {
        x_at[r] = r < rows ? row_start(&a.x, a.sizes, first + r) : 0;
        total[r] = 0.0f;
    }
    for (i32 step = 0; step < a.depth; step += STEP) {
        stage_x(x, &a, x_at, rows, step, item, shared);
        barrier(CLK_LOCAL_MEM_FENCE);
        const i32 begin = step + part * PARTIAL, n = clamp(a.depth - begin, 0, PARTIAL);
        float sum[THIN_ROWS] = {0.0f, 0.0f, 0.0f, 0.0f};
        __global const weight *next = w + (i64)begin * PANEL;
        i32 k = 0;
        for (; k + AT_ONCE <= n; k += AT_ONCE, next += AT_ONCE * PANEL) {
            float ones[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++)
                ones[i] = load_weight(next, i * PANEL);
            multiply(xs + k / 4, ones, sum);
        }
        for (; k < n; k++, next += PANEL) {
            const float one = load_weight(next, 0);
            for (int r = 0; r < THIN_ROWS; r++)
                sum[r] = FMA(((__local const float *)xs)[r * X_PITCH + k], one, sum[r]);
        }
        for (int r = 0; r < THIN_ROWS; r++)
            parts[r * 64 + item] = sum[r];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int p = 0; p < PARTS && step + p * PARTIAL < a.depth; p++)
            for (int r = 0; r < THIN_ROWS; r++)
                total[r] += parts[r * 64 + p * THIN_COLUMNS + item % THIN_COLUMNS];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (part >= rows || column >= a.columns) return;
    const float2 pair = part < 2 ? (float2)(total[0], total[1]) : (float2)(total[2], total[3]);
    const project_place place = place_of(&a, first + part, column);
    finish_lanes(&t, &a, &place, 0, 1, part % 2 == 0 ? pair.x : pair.y,
                 load_bias(&t, &a, column, 1));
}
