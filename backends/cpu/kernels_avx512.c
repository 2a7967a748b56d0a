/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels for AVX-512 F, BW, VL and DQ: verbs, bodies, table. */
#include "cpu_kernels.h"
#include "simd_avx512.h"
#include "vec_math.h"

/* Rows of a strip, and tiles of (rows, vectors) whose sums fit the registers and hide the latency
 * of fma. */
enum { STRIP_ROWS = 12 };
#define STRIP_VARIANTS(X) X(1, 4) X(2, 4) X(4, 4) X(6, 4) X(8, 2) X(10, 2) X(12, 2)

/* Vectors of a strip of rows in lanes, and sums of a tile beside those and one more. */
#define LANE_VECTORS 3
enum { LANE_SUMS = 24 };
#define LANE_TILE "48x8"

#include "attention_tmpl.h"
#include "decode_tmpl.h"
#include "lane_rows_tmpl.h"
#include "stages_tmpl.h"
#include "tiny_tmpl.h"

static const attend__stage_kernels stage_kernels = ATTEND__STAGE_KERNELS;

const attend__cpu_kernels attend__cpu_kernels_avx512 = {
    "avx512", &attention_kernels, &lane_kernels, &stage_kernels, &decode_kernels, tiny, NULL};

extern const attend__pair_kernels attend__pair_kernels_avx512bf16;

/* The same and pairs of bfloat16, which kernels_avx512bf16.c has. */
const attend__cpu_kernels attend__cpu_kernels_avx512bf16 = {"avx512bf16",
                                                            &attention_kernels,
                                                            &lane_kernels,
                                                            &stage_kernels,
                                                            &decode_kernels,
                                                            tiny,
                                                            &attend__pair_kernels_avx512bf16};
