/* SPDX-License-Identifier: Apache-2.0
 *
 * What follows the product of gemm_tmpl.h, on the results of one panel while they are in the
 * first-level cache: bias, activation, multiplier, residual, and the store in the caller's type and
 * strides. */
#ifndef ATTEND_CPU_GEMM_FINISH_TMPL_H
#define ATTEND_CPU_GEMM_FINISH_TMPL_H

#include "convert_tmpl.h"
#include "elementwise_tmpl.h"
#include "gemm_tmpl.h"

static inline attend__span line_span(const attend__lines *lines, int row) {
    const int64_t bytes = lines->type == ATTEND_F32 ? 4 : 2;
    const attend__span span = {lines->rows[row] + lines->column * lines->stride * bytes,
                               lines->type, lines->stride};
    return span;
}

/* The span's own memory where it is float32 already, else `buffer`, NULL for a span not given. */
static inline const float *span_floats(attend__span span, int n, float *buffer) {
    if (span.first == NULL) return NULL;
    if (span.type == ATTEND_F32 && span.stride == 1) return (const float *)(const void *)span.first;
    widen(span, n, buffer);
    return buffer;
}

typedef struct finish_row {
    const float *c, *bias, *multiplier, *residual;
    float *y;
} finish_row;

VF_INLINE vf load_first(const float *p, int n) {
    return n == VF_LANES ? vf_load(p) : vf_load_n(p, n);
}

VF_INLINE vf finished(const attend_activation activation, const finish_row *row, int at, int n) {
    vf x = vf_load(row->c + at);
    if (row->bias != NULL) x = vf_add(x, load_first(row->bias + at, n));
    x = activated(activation, x);
    if (row->multiplier != NULL) x = vf_mul(x, load_first(row->multiplier + at, n));
    return row->residual != NULL ? vf_add(x, load_first(row->residual + at, n)) : x;
}

VF_INLINE void finish_rows(const attend_activation activation, const attend__results *t) {
    float bias[PANEL_COLUMNS], multiplier[PANEL_COLUMNS], residual[PANEL_COLUMNS], y[PANEL_COLUMNS];
    const attend__span none = {0};
    finish_row row = {.c = t->c, .bias = span_floats(t->bias, t->columns, bias)};
    for (int r = 0; r < t->rows; r++, row.c += PANEL_COLUMNS) {
        const attend__span out = line_span(&t->out, r);
        const bool direct = out.type == ATTEND_F32 && out.stride == 1;
        row.multiplier =
            span_floats(t->multiplier.rows != NULL ? line_span(&t->multiplier, r) : none,
                        t->columns, multiplier);
        row.residual = span_floats(t->residual.rows != NULL ? line_span(&t->residual, r) : none,
                                   t->columns, residual);
        row.y = direct ? (float *)(void *)out.first : y;
        VF_UNROLL for (int at = 0; at < PANEL_COLUMNS; at += VF_LANES) {
            const int left = t->columns - at;
            if (left >= VF_LANES)
                vf_store(row.y + at, finished(activation, &row, at, VF_LANES));
            else if (left > 0)
                vf_store_n(row.y + at, finished(activation, &row, at, left), left);
        }
        if (!direct) narrow(y, t->columns, out);
    }
}

static void finish(const attend__results *t) {
    if (t->activation == ATTEND_NO_ACTIVATION)
        finish_rows(ATTEND_NO_ACTIVATION, t);
    else
        finish_rows(t->activation, t);
}

#endif
