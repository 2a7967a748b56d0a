/* SPDX-License-Identifier: Apache-2.0
 *
 * The self-test of a matrix unit (cl/host/ocl_matrix_check.c): each sub-group of a work-group
 * multiplies A [ROWS, 64] by its own B [64, COLUMNS] into its own C [ROWS, COLUMNS], by four
 * products that are added up, as a projection does. A comes as fragments from local memory in the
 * first half, element by element in the other. */
#include "matrix.h"

#define DEPTH 64
#define GROUPS (MATRIX_ITEMS / MATRIX_LANES)
#define PAIRS (DEPTH / 2)
#define A_WORDS (MATRIX_ROWS * PAIRS)
#define B_WORDS (GROUPS * PAIRS * MATRIX_COLUMNS)

/* The fragment whose first pair of K is `pair`. */
static matrix_a gathered(__local const uint *as, int pair, int lane) {
    ushort elements[MATRIX_LEFT];
    for (int i = 0; i < MATRIX_LEFT; i++) {
        const int k = matrix_left_k(i, lane);
        elements[i] = as[matrix_left_row(i, lane) * PAIRS + pair + k / 2] >> k % 2 * 16;
    }
    return matrix_left(elements);
}

/* a [ROWS][64], b [GROUPS][64][COLUMNS]; `shared`: A_WORDS + B_WORDS + MATRIX_EXCHANGE words. */
__kernel MATRIX_KERNEL void check(__global const ushort *a, __global const ushort *b,
                                  __global float *c, __local uint4 *shared) {
    __local uint *const as = (__local uint *)shared, *const bs = as + A_WORDS;
    for (int n = (int)get_local_id(0); n < A_WORDS; n += MATRIX_ITEMS)
        as[n] = a[2 * n] | (uint)a[2 * n + 1] << 16;
    for (int n = (int)get_local_id(0); n < B_WORDS; n += MATRIX_ITEMS) {
        const int at = n / MATRIX_COLUMNS * 2 * MATRIX_COLUMNS + n % MATRIX_COLUMNS;
        bs[n] = b[at] | (uint)b[at + MATRIX_COLUMNS] << 16;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int lane = matrix_lane(), group = matrix_group();
    __local const uint *const own_b = bs + group * PAIRS * MATRIX_COLUMNS;
    matrix_c sum = (matrix_c)(0.0f);
    for (int k = 0; k < PAIRS; k += MATRIX_DEPTH / 2) {
        const matrix_a left =
            k < PAIRS / 2 ? matrix_load_a(as + k, PAIRS, lane) : gathered(as, k, lane);
        const matrix_b right = matrix_load_b(own_b + k * MATRIX_COLUMNS, MATRIX_COLUMNS, lane);
        sum = matrix_multiply(left, right, sum, bs + B_WORDS);
    }
    float own[MATRIX_RESULTS];
    matrix_results(sum, own);
    for (int i = 0; i < MATRIX_RESULTS; i++)
        c[(group * MATRIX_ROWS + matrix_row(i, lane)) * MATRIX_COLUMNS + matrix_column(i, lane)] =
            own[i];
}
