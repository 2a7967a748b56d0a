/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of a few rows over a few keys in one call, filled by tiny_tmpl.h: all of it lies in the
 * first cache, and what surrounds the products must cost little. float32, elements side by side, no
 * key excluded. Its bits are those of lane_kernels.h. */
#ifndef ATTEND_CPU_TINY_KERNELS_H
#define ATTEND_CPU_TINY_KERNELS_H

#include "lane_kernels.h"

enum {
    ATTEND__TINY_KEYS = 64, /* at most a block of lane_kernels.h, so that nothing is rescaled */
    ATTEND__TINY_ROWS = 16
};

/* Addresses behind those of the last row are that row's again, which is then computed and written
 * more than once: so no tile needs a case for rows that are not there. */
typedef struct attend__tiny {
    const float *queries[ATTEND__TINY_ROWS];
    float *out[ATTEND__TINY_ROWS];
    int32_t rows;
    const float *keys, *values;
    int64_t key_stride, value_stride, depth, columns;
    int32_t count; /* of keys, 1 .. TINY_KEYS */
    float factor;  /* of attend__lane_soften */
    float *packed; /* [depth][lanes] */
    float *scores; /* [TINY_KEYS][lane_rows] */
} attend__tiny;

typedef void attend__tiny_fn(const attend__tiny *tiny);

#endif
