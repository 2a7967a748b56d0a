/* SPDX-License-Identifier: Apache-2.0
 *
 * What few query rows over many keys need of an instruction set, filled by decode_tmpl.h. Keys and
 * values are read once, where they lie: through a list of pointers, one for each row, so that
 * pages and strides cost nothing in the loops, and an excluded row can point at zeros. The list
 * goes on with what is read next: rows `ahead` places on are prefetched, as the hardware loses
 * track at the ends of pages of memory and of a cache.
 *
 * For a few query rows a score is summed in as many lanes as a vector has, each along D, and then
 * over those, so that keys need not be transposed. For more a group of keys becomes panels in the
 * first-level cache, because a panel feeds all query rows and sums along D in the order of
 * attention_kernels.h; its `dots` and `soften` do the rest, so that a row's bits are those of many
 * rows. Values feed all query rows from where they lie. */
#ifndef ATTEND_CPU_DECODE_KERNELS_H
#define ATTEND_CPU_DECODE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "stage_kernels.h"

/* Rows of one type, elements side by side. */
typedef struct attend__row_list {
    const char *const *rows;
    const float *scales; /* int8: what each row is multiplied by; else NULL */
    attend_type type;
    int32_t ahead;
} attend__row_list;

/* Columns from .. to - 1 of panels, rows[0] is column `from`; the other lanes of the panels touched
 * become 0. panels[p] starts at p * lanes * depth. */
typedef struct attend__list_keys {
    attend__row_list list;
    int64_t depth;
    float *panels;
    int32_t from, to;
} attend__list_keys;

/* scores[r][c] = scale * q . k of columns from .. to - 1, rows[0] is column `from`. The columns up
 * to multiples of lanes around them take any number. */
typedef struct attend__list_dots {
    attend__row_list list;
    const float *queries; /* rows of whole vectors, 0 behind depth */
    float *scores;        /* rows ATTEND__SCORE_STRIDE apart */
    int64_t depth, query_stride;
    int32_t rows, from, to;
    float scale;
} attend__list_dots;

/* sums[r][e] (+)= sum over k < keys of weights[r][k] values[k][e], the sum from 0 upwards in k, and
 * with `last` out[r][e] = out[r][e] * shrink[r] + sums[r][e]. Works on an even number of rows, or
 * one. */
typedef struct attend__list_mix {
    attend__row_list list;
    const float *weights; /* stride ATTEND__SCORE_STRIDE */
    const float *shrink;
    float *sums, *out; /* rows of whole vectors, `stride` apart */
    int64_t columns, stride;
    int32_t rows, keys;
    bool first, last; /* first: sums start from 0 */
} attend__list_mix;

typedef struct attend__decode_kernels {
    int32_t group_panels; /* at most so many at a time */
    void (*pack_list)(const attend__list_keys *keys);
    void (*dots_list)(const attend__list_dots *dots);
    void (*mix_list)(const attend__list_mix *mix);
    void (*fold)(float *x, float factor, const float *y, float y_factor, int64_t n);
} attend__decode_kernels;

#endif
