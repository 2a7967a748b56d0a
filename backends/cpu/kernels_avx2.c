/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels for AVX2 with FMA and F16C: verbs, bodies, table. */
#include "cpu_kernels.h"
#include "simd_avx2.h"
#include "vec_math.h"

/* Rows of a strip, and tiles of (rows, vectors) whose sums fit the registers and hide the latency
 * of fma. */
enum { STRIP_ROWS = 6 };
#define STRIP_VARIANTS(X) X(1, 4) X(2, 4) X(4, 2) X(6, 2)

/* Vectors of a strip of rows in lanes, and sums of a tile beside those and one more. */
#define LANE_VECTORS 2
enum { LANE_SUMS = 12 };
#define LANE_TILE "16x6"

#include "attention_tmpl.h"
#include "decode_tmpl.h"
#include "lane_rows_tmpl.h"
#include "stages_tmpl.h"
#include "tiny_tmpl.h"

static const attend__stage_kernels stage_kernels = ATTEND__STAGE_KERNELS;

const attend__cpu_kernels attend__cpu_kernels_avx2 = {
    "avx2", &attention_kernels, &lane_kernels, &stage_kernels, &decode_kernels, tiny, NULL};
