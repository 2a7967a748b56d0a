/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels for pairs of bfloat16 with AVX512-BF16; everything else of that instruction set is
 * kernels_avx512.c. */
#define VF_BF16_PAIRS
#include "cpu_kernels.h"
#include "simd_avx512.h"
#include "vec_math.h"

/* As kernels_avx512.c has them: strips are shared. */
#define LANE_VECTORS 3
enum { LANE_SUMS = 24 };

#include "pair_tmpl.h"

const attend__pair_kernels attend__pair_kernels_avx512bf16 = {
    .join = pair_join,
    .too_far = pair_too_far,
    .dots = pair_dots,
    .soften = pair_soften,
    .values = pair_values,
    .mix = pair_mix,
};
