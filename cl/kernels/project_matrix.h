/* SPDX-License-Identifier: Apache-2.0
 *
 * What the projections by a matrix unit share: 16-bit rows of x and panels of weights of the same
 * type on their way into local memory, as matrix.h wants them there.
 *
 * The order of a sum is that of project.h, but for what the unit does with its 16 products. PARTIAL
 * products along K are always whole: 0 beyond the end. */
#ifndef ATTEND_CL_PROJECT_MATRIX_H
#define ATTEND_CL_PROJECT_MATRIX_H

#define LANES 1
#include "matrix.h"
#include "project.h"

/* 8 neighbours along K of one row of x; 0 beyond the end and in rows that do not exist. Memory of
 * OpenCL begins at addresses that suit any vector, so an element's number says whether 16 bytes do.
 */
static uint4 load_x8(__global const uchar *x, const row_tensor *t, i64 at, i32 k, i32 depth) {
    __global const ushort *const row = (__global const ushort *)x;
    if (t->step == 1 && k + 8 <= depth && (at + k) % 8 == 0)
        return *(__global const uint4 *)(row + at + k);
    ushort v[8];
    for (int i = 0; i < 8; i++)
        v[i] = k + i < depth ? row[at + (k + i) * t->step] : (ushort)0;
    return as_uint4(vload8(0, v));
}

/* 8 columns of W^T at a multiple of 8, elements k and k + 1 in a word; k is even. `columns`: beyond
 * there may be no panel; the last one is padded. */
static uint8 load_w8(__global const weight *panels, i32 k, i32 depth, i32 column, i32 columns) {
    if (k >= depth || column >= columns) return (uint8)(0);
    __global const weight *const at =
        panels + (i64)(column / PANEL) * PANEL * depth + (i64)k * PANEL + column % PANEL;
    const ushort8 first = as_ushort8(*(__global const uint4 *)at);
    if (k + 1 >= depth) return convert_uint8(first);
    return upsample(as_ushort8(*(__global const uint4 *)(at + PANEL)), first);
}

/* DOWN x ACROSS fragments of a sub-group: rows of x, X_PITCH words apart, times columns of W, whose
 * rows are W_PITCH apart, over WORDS_DEEP words along K. The kernel's file defines these before. */
static void multiply_fragments(__local const uint *x, __local const uint *w,
                               matrix_c sum[DOWN][ACROSS], __local uint *exchange) {
    const int lane = matrix_lane();
    MATRIX_UNROLL
    for (int k = 0; k < WORDS_DEEP; k += MATRIX_DEPTH / 2) {
        matrix_a a[DOWN];
#pragma unroll
        for (int i = 0; i < DOWN; i++)
            a[i] = matrix_load_a(x + i * MATRIX_ROWS * X_PITCH + k, X_PITCH, lane);
        MATRIX_UNROLL
        for (int j = 0; j < ACROSS; j++) {
            const matrix_b b = matrix_load_b(w + k * W_PITCH + j * MATRIX_COLUMNS, W_PITCH, lane);
            MATRIX_UNROLL
            for (int i = 0; i < DOWN; i++)
                sum[i][j] = matrix_multiply(a[i], b, sum[i][j], exchange);
        }
    }
}

#endif
