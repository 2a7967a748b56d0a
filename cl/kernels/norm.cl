/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer norm (Ba et al. 2016, arXiv:1607.06450) and RMS norm (Zhang & Sennrich 2019,
 * arXiv:1910.07467) of t = x + residual: one work-item does every j-th row. The variance takes a
 * second pass, centred on the rounded mean, that also sums what the rounding of the mean left over
 * (the corrected two-pass algorithm of Chan, Golub & LeVeque 1983): a row of equal values gives
 * exactly its bias. */
#include "norm.h"

/* Sums over `count` columns from `begin` on, in lanes. */
static void sum_part(const norm_row *r, i32 begin, i32 count, float center, lanes *sum,
                     lanes *squares) {
    lanes s = (lanes)(0.0f), q = (lanes)(0.0f);
    for (i32 n = 0; n < count; n += LANES) {
        const lanes d = first_lanes(norm_input(r, begin + n, count - n) - center, count - n);
        s += d;
        q = FMA(d, d, q);
    }
    *sum += s;
    *squares += q;
}

/* Sums of t - center and of its square over a row. A lane adds at most 16 terms, then at most 64
 * such sums: long rows round like short ones. */
static float2 sum_row(const norm_row *r, i32 columns, float center) {
    float2 total = (float2)(0.0f);
    for (i32 begin = 0; begin < columns;) {
        const i32 end = min(columns, begin + 64 * 16 * LANES);
        lanes sum = (lanes)(0.0f), squares = (lanes)(0.0f);
        for (; begin < end; begin += 16 * LANES)
            sum_part(r, begin, min(end - begin, 16 * LANES), center, &sum, &squares);
        total += (float2)(sum_lanes(sum), sum_lanes(squares));
    }
    return total;
}

__kernel WHOLE_VECTORS void norm(__global const uchar *x, __global const uchar *residual,
                                 __global const uchar *weight, __global const uchar *bias,
                                 __global uchar *out, __global uchar *sum, const norm_arguments a) {
    norm_row r = {x, residual, weight, bias, out, sum, &a, 0, 0, 0, 0};
    for (i32 row = (i32)get_global_id(0); row < a.rows; row += (i32)get_global_size(0)) {
        norm_go(&r, row);
        norm_scale scale = {0.0f, 0.0f, 0.0f};
        if (a.centred) scale.center = sum_row(&r, a.columns, 0.0f).x / a.columns;
        norm_finish(&scale, sum_row(&r, a.columns, scale.center), &a);
        for (i32 n = 0; n < a.columns; n += LANES)
            norm_store(&r, &scale, n);
    }
}
