/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels for any machine: verbs, bodies, table. */
#include "cpu_kernels.h"
#include "simd_scalar.h"
#include "vec_math.h"

/* Rows of a strip, and tiles of (rows, vectors) whose sums fit the registers and hide the latency
 * of fma. */
enum { STRIP_ROWS = 4 };
#define STRIP_VARIANTS(X) X(1, 4) X(2, 4) X(4, 4)

/* Vectors of a strip of rows in lanes, and sums of a tile beside those and one more. */
#define LANE_VECTORS 4
enum { LANE_SUMS = 12 };
#define LANE_TILE "4x3"

#include "attention_tmpl.h"
#include "decode_tmpl.h"
#include "lane_rows_tmpl.h"
#include "stages_tmpl.h"
#include "tiny_tmpl.h"

static const attend__stage_kernels stage_kernels = ATTEND__STAGE_KERNELS;

const attend__cpu_kernels attend__cpu_kernels_scalar = {
    "scalar", &attention_kernels, &lane_kernels, &stage_kernels, &decode_kernels, tiny, NULL};
