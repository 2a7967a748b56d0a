/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection on devices with local memory: a work-group of 64 does 64 rows times TILE_COLUMNS
 * columns, a work-item 8 rows times TILE_COLUMNS / 8 columns in registers, twice: the sum of the
 * last PARTIAL products, and the total. Slices of 8 along K go through local memory; the next one
 * is already being read while one is multiplied. `shared`: SLICE * (TILE_ROWS + TILE_COLUMNS)
 * floats, one array, because some compilers mix up two; see norm_tile.cl why it is an argument. */
#define LANES 1
#include "project.h"

#ifndef TILE_COLUMNS
#define TILE_COLUMNS 32 /* or 64 */
#endif
#define TILE_ROWS 64
#define SLICE 8
#define OWN (TILE_COLUMNS / 8) /* columns of a work-item */

/* 8 neighbours along K of one row of x, 0 beyond the end and in rows that do not exist. */
static float8 load_x(__global const uchar *x, const row_tensor *t, i64 at, i32 k, i32 depth,
                     bool exists) {
    if (exists && k + SLICE <= depth && t->step == 1 && t->type == TYPE_F32)
        return vload8(0, (__global const float *)x + at + k);
    float v[SLICE];
    for (int i = 0; i < SLICE; i++)
        v[i] = exists && k + i < depth ? load_element(x, at + (k + i) * t->step, t->type) : 0.0f;
    return vload8(0, v);
}

/* Into 8 rows of the slice: local memory holds x transposed. */
static void store_x(float8 v, __local float *xs) {
    xs[0 * TILE_ROWS] = v.s0;
    xs[1 * TILE_ROWS] = v.s1;
    xs[2 * TILE_ROWS] = v.s2;
    xs[3 * TILE_ROWS] = v.s3;
    xs[4 * TILE_ROWS] = v.s4;
    xs[5 * TILE_ROWS] = v.s5;
    xs[6 * TILE_ROWS] = v.s6;
    xs[7 * TILE_ROWS] = v.s7;
}

/* OWN weights of the slice at `k`: a work-item's share of SLICE * TILE_COLUMNS, in an order in
 * which neighbours read neighbours. Columns beyond `columns` may have no panel. */
static void load_w(__global const weight *w, i32 k, i32 depth, i32 columns, int item, float *own) {
    for (int i = 0; i < OWN; i++) {
        const int at = item + 64 * i, row = at / TILE_COLUMNS, column = at % TILE_COLUMNS;
        const i64 panel = (i64)(column / PANEL) * PANEL * depth;
        own[i] = 0.0f;
        if (k + row < depth && column < columns)
            own[i] = load_weight(w, panel + (i64)(k + row) * PANEL + column % PANEL);
    }
}

__kernel void project(__global const uchar *x, __global const weight *panels,
                      __global const uchar *bias, __global const uchar *multiplier,
                      __global const uchar *residual, __global uchar *out,
                      const project_arguments a, __local float *shared) {
    __local float *const xs = shared, *const ws = shared + SLICE * TILE_ROWS;
    const project_tensors t = {bias, multiplier, residual, out};
    const int item = (int)get_local_id(0), down = item / 8 * 8, across = item % 8 * OWN;
    const i32 first = (i32)get_group_id(1) * TILE_ROWS,
              column = (i32)get_group_id(0) * TILE_COLUMNS;
    const bool exists = first + item < a.rows;
    const i64 x_at = exists ? row_start(&a.x, a.sizes, first + item) : 0;
    const i32 left = a.columns - column;
    __global const weight *const w =
        panels + a.panels_offset + (i64)(column / PANEL) * PANEL * a.depth;
    float total[8][OWN], sum[8][OWN], next_w[OWN];
    float8 next_x = load_x(x, &a.x, x_at, 0, a.depth, exists);
    load_w(w, 0, a.depth, left, item, next_w);
#pragma unroll
    for (int i = 0; i < 8 * OWN; i++)
        total[i / OWN][i % OWN] = sum[i / OWN][i % OWN] = 0.0f;
    for (i32 k = 0; k < a.depth; k += SLICE) {
        store_x(next_x, xs + item);
#pragma unroll
        for (int i = 0; i < OWN; i++)
            ws[item + 64 * i] = next_w[i];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k + SLICE < a.depth) {
            next_x = load_x(x, &a.x, x_at, k + SLICE, a.depth, exists);
            load_w(w, k + SLICE, a.depth, left, item, next_w);
        }
#pragma unroll
        for (int s = 0; s < SLICE; s++) {
#pragma unroll
            for (int i = 0; i < 8 * OWN; i++)
                sum[i / OWN][i % OWN] =
                    FMA(xs[s * TILE_ROWS + down + i / OWN], ws[s * TILE_COLUMNS + across + i % OWN],
                        sum[i / OWN][i % OWN]);
        }
        if ((k + SLICE) % PARTIAL == 0 || k + SLICE >= a.depth) {
#pragma unroll
            for (int i = 0; i < 8 * OWN; i++) {
                total[i / OWN][i % OWN] += sum[i / OWN][i % OWN];
                sum[i / OWN][i % OWN] = 0.0f;
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int r = 0; r < 8 && first + down + r < a.rows; r++) {
        const project_place place = place_of(&a, first + down + r, column + across);
        for (int i = 0; i < OWN && column + across + i < a.columns; i++)
            finish_lanes(&t, &a, &place, i, 1, total[r][i],
                         load_bias(&t, &a, column + across + i, 1));
    }
}
