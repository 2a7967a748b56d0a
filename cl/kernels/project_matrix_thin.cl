/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection of a few rows by a matrix unit, bound by reading the weights: a work-group of 128 does
 * 16 rows times a panel of 32 columns. PARTS quarters of it share K: each sums PARTIAL products,
 * then the sums of a step are added in their order, so that the bits are those of
 * project_matrix.cl. A quarter's sub-groups share its columns.
 *
 *   unit           lanes  sub-groups of a quarter, fragments of each
 *   MATRIX_NVIDIA  32     1, 1 x 4
 *   MATRIX_INTEL   16     2, 2 x 1
 *   MATRIX_INTEL   8      4, 2 x 1
 *
 * Local memory, in words: x [16][STEP / 2] and W [STEP / 2][32], padded as in project_matrix.cl;
 * the sums of a step [PARTS][16][32] take the place of x. */
#define THIN_ROWS 16
#define PARTS 4
#define STEP (PARTS * PARTIAL)
#define DOWN (THIN_ROWS / MATRIX_ROWS)
#define ACROSS (16 / DOWN / MATRIX_RESULTS)
#define SUB_COLUMNS (ACROSS * MATRIX_COLUMNS)
#define X_PITCH (STEP / 2 + 4)
#define W_PITCH (PANEL + 8)
#define X_WORDS (THIN_ROWS * X_PITCH) /* no less than PARTS * THIN_ROWS * PANEL */
#define WORDS (X_WORDS + STEP / 2 * W_PITCH)
#define OWN (THIN_ROWS * PANEL / MATRIX_ITEMS) /* results of a work-item */
#define WORDS_DEEP (PARTIAL / 2)
#include "project_matrix.h"

/* The next STEP elements of each row and of the panel's columns. */
static void stage(__global const uchar *x, __global const weight *panel, const project_arguments *a,
                  i32 first, i32 k, __local uint *words) {
    const int item = (int)get_local_id(0);
    for (int n = item; n < THIN_ROWS * STEP / 8; n += MATRIX_ITEMS) {
        const i32 row = first + n / (STEP / 8);
        *(__local uint4 *)(words + n / (STEP / 8) * X_PITCH + n % (STEP / 8) * 4) =
            row < a->rows ? load_x8(x, &a->x, row_start(&a->x, a->sizes, row),
                                    k + n % (STEP / 8) * 8, a->depth)
                          : (uint4)(0);
    }
#pragma unroll 4
    for (int n = item; n < STEP / 2 * PANEL / 8; n += MATRIX_ITEMS) {
        const i32 pair = k + n / (PANEL / 8) * 2;
        const uint8 w = load_w8(panel, pair, a->depth, n % (PANEL / 8) * 8, PANEL);
        __local uint4 *const to = (__local uint4 *)(words + X_WORDS + n / (PANEL / 8) * W_PITCH +
                                                    n % (PANEL / 8) * 8);
        to[0] = w.lo;
        to[1] = w.hi;
    }
}

/* PARTIAL products of quarter `quarter`, columns from SUB_COLUMNS * across on. */
static void multiply(__local const uint *words, int quarter, int across,
                     matrix_c sum[DOWN][ACROSS], __local uint *exchange) {
    __local const uint *const x = words + quarter * PARTIAL / 2;
    __local const uint *const w =
        words + X_WORDS + quarter * PARTIAL / 2 * W_PITCH + across * SUB_COLUMNS;
#pragma unroll
    for (int i = 0; i < DOWN * ACROSS; i++)
        sum[i / ACROSS][i % ACROSS] = (matrix_c)(0.0f);
    multiply_fragments(x, w, sum, exchange);
}

static void store_sums(matrix_c sum[DOWN][ACROSS], int across, __local float *to) {
    const int lane = matrix_lane();
#pragma unroll
    for (int n = 0; n < DOWN * ACROSS; n++) {
        float own[MATRIX_RESULTS];
        matrix_results(sum[n / ACROSS][n % ACROSS], own);
        for (int i = 0; i < MATRIX_RESULTS; i++)
            to[(n / ACROSS * MATRIX_ROWS + matrix_row(i, lane)) * PANEL + across * SUB_COLUMNS +
               n % ACROSS * MATRIX_COLUMNS + matrix_column(i, lane)] = own[i];
    }
}

/* (panel, block of rows). `shared`: WORDS + MATRIX_EXCHANGE words. */
__kernel MATRIX_KERNEL void project(__global const uchar *x, __global const weight *panels,
                                    __global const uchar *bias, __global const uchar *multiplier,
                                    __global const uchar *residual, __global uchar *out,
                                    const project_arguments a, __local uint4 *shared) {
    const project_tensors t = {bias, multiplier, residual, out};
    const int own_item = (int)get_local_id(0);
    const int quarter = matrix_group() / (PANEL / SUB_COLUMNS);
    const int across = matrix_group() % (PANEL / SUB_COLUMNS);
    const i32 first = GROUP_DOWN * THIN_ROWS;
    __global const weight *const panel =
        panels + a.panels_offset + (i64)get_group_id(0) * PANEL * a.depth;
    __local uint *const words = (__local uint *)shared, *const exchange = words + WORDS;
    __local float *const sums = (__local float *)shared;
    matrix_c sum[DOWN][ACROSS];
    float total[OWN];
    for (int i = 0; i < OWN; i++)
        total[i] = 0.0f;
    for (i32 step = 0; step < a.depth; step += STEP) {
        stage(x, panel, &a, first, step, words);
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply(words, quarter, across, sum, exchange);
        barrier(CLK_LOCAL_MEM_FENCE);
        store_sums(sum, across, sums + quarter * THIN_ROWS * PANEL);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int parts = min(PARTS, (a.depth - step + PARTIAL - 1) / PARTIAL);
        for (int p = 0; p < parts; p++)
            for (int i = 0; i < OWN; i++)
                total[i] += sums[p * THIN_ROWS * PANEL + own_item + i * MATRIX_ITEMS];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const i32 column = (i32)get_group_id(0) * PANEL + own_item % PANEL;
    for (int i = 0; i < OWN; i++) {
        const i32 row = first + (own_item + i * MATRIX_ITEMS) / PANEL;
        if (row >= a.rows || column >= a.columns) continue;
        const project_place place = place_of(&a, row, column);
        finish_lanes(&t, &a, &place, 0, 1, total[i], load_bias(&t, &a, column, 1));
    }
}
