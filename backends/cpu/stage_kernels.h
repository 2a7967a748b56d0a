/* SPDX-License-Identifier: Apache-2.0
 *
 * What the stages around attention (projection, norms, activations, ..) need of an instruction set:
 * one table for each, filled by stages_tmpl.h. All functions work on float32 in memory of any
 * alignment and any length; an element's result does not depend on its position in a row (the sums
 * of norms apart: they add in one order per row), so that neither batch nor threads change a bit.
 */
#ifndef ATTEND_CPU_STAGE_KERNELS_H
#define ATTEND_CPU_STAGE_KERNELS_H

#include <stdint.h>

#include "attend/plugin.h"

/* n elements of one type, `stride` elements apart. */
typedef struct attend__span {
    char *first;
    attend_type type;
    int64_t stride;
} attend__span;

/* Rows of one type and stride by the addresses of their first elements, so that a kernel walks any
 * layout; `column` is where it begins. */
typedef struct attend__lines {
    char *const *rows; /* NULL: not given */
    attend_type type;
    int64_t stride, column;
} attend__lines;

/* Products are summed along K in partials of SUM elements, one after the other, and the partials
 * one after the other. Short partials keep the error of sums of equal terms, where roundings do not
 * average out, below the bound u (2 sqrt(K) + 8) of the design; in registers they cost nothing
 * measurable. Packed rows of x lie in lines of LINE elements, a row's beside the next row's: the
 * product then reads one stream, and rows a power of two apart do not share cache sets. WIDEST is
 * the most panels of one call of multiply that are worth having at once. */
enum { ATTEND__GEMM_SUM = 64, ATTEND__GEMM_LINE = 16, ATTEND__GEMM_WIDEST = 4 };

/* c[p][r][n] (+)= sum over k of x[r][k] panel[p][k][n]. Weights of 16 bits are widened, exactly, in
 * registers. */
typedef struct attend__tile {
    const float *x;    /* [ceil(depth / LINE)][rows][LINE] */
    const char *panel; /* [panels][depth][panel_columns] */
    attend_type type;
    int64_t panel_distance; /* elements from one panel to the next */
    float *c;               /* [panels][rows][panel_columns] */
    int64_t c_distance;     /* floats from one panel's results to the next */
    int32_t rows, panels, depth;
    int32_t add;      /* 0: c is overwritten */
    const char *next; /* depth floats that will be wanted soon; NULL: nothing */
} attend__tile;

/* out = activation(c + bias) * multiplier + residual of one panel, where not given without. */
typedef struct attend__results {
    const float *c; /* [rows][panel_columns] */
    int32_t rows, columns;
    attend_activation activation;
    attend__span bias;
    attend__lines multiplier, residual, out; /* out may be the residual */
} attend__results;

/* Rows n .. n + count - 1 of a matrix w[N, K], columns k .. k + depth - 1. */
typedef struct attend__w_block {
    char *first; /* element [n, k] */
    attend_type type;
    int64_t n_stride, k_stride;
    int32_t count, depth;
} attend__w_block;

typedef struct attend__norm_sums {
    double sum, squares; /* of x - center */
} attend__norm_sums;

typedef struct attend__norm_scale {
    float center, shift, factor; /* ((x - center) - shift) * factor * weight + bias */
    const float *weight, *bias;  /* NULL: 1, 0 */
} attend__norm_scale;

typedef struct attend__stage_kernels {
    int32_t tile_rows;     /* most rows of one call of multiply */
    int32_t panel_columns; /* columns of one panel of packed weights */
    void (*widen)(attend__span from, int64_t n, float *to);
    void (*narrow)(const float *from, int64_t n,
                   attend__span to); /* one rounding, to nearest even */
    /* panel[k][panel_columns], columns past `count` are 0 */
    void (*pack_panel)(const attend__w_block *w, float *panel);
    /* Packs rows 0 .. rows - 1, `depth` elements, as attend__tile wants x. */
    void (*pack_rows)(const attend__lines *x, int32_t rows, int32_t depth, float *to);
    void (*multiply)(const attend__tile *tile);
    void (*finish)(const attend__results *results);
    void (*activate)(attend_activation activation, const float *x, int64_t n,
                     float *y); /* y may be x */
    /* y = x * multiplier + residual, either of which may be NULL; y may be any of them */
    void (*combine)(const float *x, const float *multiplier, const float *residual, int64_t n,
                    float *y);
    /* Adds to *sums; lanes start anew with each call, so that a row's sums need the same cuts each
     * time. */
    void (*norm_sum)(const float *x, int64_t n, float center, attend__norm_sums *sums);
    void (*norm_apply)(const float *x, int64_t n, const attend__norm_scale *scale, float *y);
} attend__stage_kernels;

#endif
