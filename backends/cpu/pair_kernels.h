/* SPDX-License-Identifier: Apache-2.0
 *
 * What an instruction set with dot products of bfloat16 pairs adds to lane_kernels.h; filled by
 * pair_tmpl.h. A pair is two bfloat16 in 32 bits, the even one low: two elements of a query or key,
 * or two weights or values of neighbouring keys. Strips keep their form, [n / 2][lane_rows] pairs
 * where lane_kernels.h has [n][lane_rows] floats, and half as many operations do the same work.
 *
 * The product of two bfloat16 is exact in float32, and sums are rounded as often as those of
 * float32, odd elements before even ones. But subnormal numbers count as 0, going in and coming
 * out: docs/numerics.md says where that is small enough, and too_far tells the rows where not. */
#ifndef ATTEND_CPU_PAIR_KERNELS_H
#define ATTEND_CPU_PAIR_KERNELS_H

#include "lane_kernels.h"

/* Rows of floats that become pairs: to[i] = {from[2 i], from[2 i + 1]}, rounded to nearest even; 0
 * in the place of a row n. */
typedef struct attend__pair_join {
    const float *from;
    float *to;
    int64_t n;
    int32_t vectors;
} attend__pair_join;

/* The softmax of attend__lane_soften, whose weights become pairs of rows in the place of the
 * scores: pair i holds those of keys 2 i - shift and 2 i + 1 - shift, 0 where there is no such key.
 * Weights are off by up to 2^-12 of themselves, which is little beside their 8 bits. */
typedef struct attend__pair_soften {
    attend__lane_soften of;
    int32_t shift; /* 0 or 1 */
} attend__pair_soften;

/* Values first .. first + count - 1 of a block as pairs of rows: to[i][e] holds elements e of rows
 * 2 i and 2 i + 1, 0 for rows outside. */
typedef struct attend__pair_values {
    const char *const *rows; /* rows[0] is row `first` */
    float *to;               /* [(first + count + 1) / 2][columns] */
    int64_t columns;
    int32_t first, count;
} attend__pair_values;

typedef struct attend__pair_kernels {
    void (*join)(const attend__pair_join *join);
    /* far[r]: the queries [depth][lane_rows] of row r have an element that is subnormal, or 2^64 or
     * more, or no number. */
    void (*too_far)(const float *queries, int64_t depth, int32_t vectors, bool *far);
    /* As those of attend__lane_kernels: queries are pairs, keys rows of bfloat16, depth_stride 1.
     */
    void (*dots)(const attend__lane_dots *dots);
    void (*soften)(const attend__pair_soften *soften);
    void (*values)(const attend__pair_values *values);
    /* Weights and values are pairs, value_stride and ends count them. */
    void (*mix)(const attend__lane_mix *mix);
} attend__pair_kernels;

#endif
