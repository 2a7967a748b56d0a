/* SPDX-License-Identifier: Apache-2.0
 *
 * Projections around a product that a library computes: rows of x and weights in float32, and what
 * follows the sum of products. */
#include "clblast_params.h"
#include "project.h"

/* (chunk of columns, row): rows of x */
__kernel void widen_rows(__global const uchar *x, __global float *to, const product_arguments p) {
    const i32 column = (i32)get_global_id(0) * LANES, y = (i32)get_global_id(1);
    if (column >= p.a.depth || y >= p.rows) return;
    const i64 at = row_start(&p.a.x, p.a.sizes, p.first + y) + column * p.a.x.step;
    store_lanes((__global uchar *)to, p.to_at + (i64)y * p.pitch + column, 1, TYPE_F32,
                p.a.depth - column, load_lanes(x, at, p.a.x.step, p.a.x.type, p.a.depth - column));
}

/* (chunk of N, k): w [N, K] becomes [K][pitch], so that neighbours in N are neighbours. */
__kernel void widen_weights(__global const uchar *w, __global float *to, const pack_arguments a,
                            const i32 type, const i32 pitch) {
    const i32 column = (i32)get_global_id(0) * LANES, k = (i32)get_global_id(1);
    if (column >= a.columns || k >= a.depth) return;
    const i64 at = a.w_offset + column * a.w_strides[0] + k * a.w_strides[1];
    store_lanes((__global uchar *)to, a.panels_offset + (i64)k * pitch + column, 1, TYPE_F32,
                a.columns - column, load_lanes(w, at, a.w_strides[0], type, a.columns - column));
}

/* (chunk of columns, row) */
__kernel void finish_rows(__global const float *from, __global const uchar *bias,
                          __global const uchar *multiplier, __global const uchar *residual,
                          __global uchar *out, const product_arguments p) {
    const project_tensors t = {bias, multiplier, residual, out};
    const i32 column = (i32)get_global_id(0) * LANES, y = (i32)get_global_id(1);
    const i32 count = p.a.columns - column;
    if (count <= 0 || y >= p.rows) return;
    lanes total = (lanes)(0.0f);
    if (p.a.depth > 0)
        total = load_lanes((__global const uchar *)from, p.from_at + (i64)y * p.pitch + column, 1,
                           TYPE_F32, count);
    const project_place place = place_of(&p.a, p.first + y, column);
    finish_lanes(&t, &p.a, &place, 0, count, total, load_bias(&t, &p.a, column, count));
}
