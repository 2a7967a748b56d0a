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

/* Products are summed along K in partials of SUM elements, one after the other, and the partials
 * one after the other. Short partials keep the error of sums of equal terms, where roundings do not
 * average out, below the bound u (2 sqrt(K) + 8) of the design; in registers they cost nothing
 * measurable. DEPTH elements of K are multiplied at a time (a panel of them fits the first-level
 * cache); packed rows of x lie X_STRIDE apart, which keeps them off each other's cache sets. */
enum { ATTEND__GEMM_SUM = 64, ATTEND__GEMM_DEPTH = 256, ATTEND__GEMM_X_STRIDE = 256 + 16 };
enum {
    ATTEND__GEMM_WIDEST = 4
}; /* most panels of one call of multiply that are worth having at once */

/* c[r][n] (+)= sum over k of x[r][k] panel[k][n]: `rows` rows, `panels` panels of panel_columns
 * columns each, panel_distance floats apart. */
typedef struct attend__tile {
    const float *x; /* [rows][X_STRIDE] */
    const float *panel;
    int64_t panel_distance;
    float *c; /* columns of panel p start at p * panel_columns */
    int64_t c_stride;
    int32_t rows, panels, depth;
    int32_t add; /* 0: c is overwritten */
} attend__tile;

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
    void (*multiply)(const attend__tile *tile);
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
