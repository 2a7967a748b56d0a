/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands into the order in which the product of gemm_tmpl.h reads them. */
#ifndef ATTEND_CPU_GEMM_PACK_TMPL_H
#define ATTEND_CPU_GEMM_PACK_TMPL_H

#include "convert_tmpl.h"
#include "gemm_tmpl.h"

/* VF_LANES rows of w, VF_LANES columns: `rows` of them exist, the others count as 0. */
static inline void pack_square(const attend__w_block *w, const char *from, int rows, float *to) {
    const int64_t bytes = w->type == ATTEND_F32 ? 4 : 2;
    vf square[VF_LANES];
    for (int i = 0; i < VF_LANES; i++)
        square[i] = i < rows ? widen_vector(from + i * w->n_stride * bytes, w->type) : vf_zero();
    vf_transpose(square);
    for (int i = 0; i < VF_LANES; i++)
        vf_store(to + i * PANEL_COLUMNS, square[i]);
}

static void pack_panel(const attend__w_block *w, float *panel) {
    const int64_t bytes = w->type == ATTEND_F32 ? 4 : 2;
    int k = 0;
    if (w->k_stride == 1) {
        for (; k + VF_LANES <= w->depth; k += VF_LANES) {
            for (int n = 0; n < PANEL_COLUMNS; n += VF_LANES)
                pack_square(w, w->first + (n * w->n_stride + k) * bytes, w->count - n,
                            panel + (int64_t)k * PANEL_COLUMNS + n);
        }
    }
    for (; k < w->depth; k++) {
        const attend__span row = {w->first + k * w->k_stride * bytes, w->type, w->n_stride};
        float *const to = panel + (int64_t)k * PANEL_COLUMNS;
        widen(row, w->count, to);
        for (int n = w->count; n < PANEL_COLUMNS; n++)
            to[n] = 0.0f;
    }
}

/* Whole lines of elements that lie side by side, all rows of a line before the next line: each
 * cache line of x is used up at once, which matters where all rows lie in the same cache sets. */
VF_INLINE int pack_lines(const attend_type type, const attend__lines *x, int32_t rows,
                         int32_t depth, float *to) {
    const int64_t bytes = type == ATTEND_F32 ? 4 : 2;
    int k = 0;
    for (; k + ATTEND__GEMM_LINE <= depth; k += ATTEND__GEMM_LINE) {
        for (int32_t r = 0; r < rows; r++, to += ATTEND__GEMM_LINE) {
            const char *const from = x->rows[r] + (x->column + k) * bytes;
            VF_UNROLL for (int v = 0; v < ATTEND__GEMM_LINE; v += VF_LANES)
                vf_store(to + v, widen_vector(from + v * bytes, type));
        }
    }
    return k;
}

static void pack_rows(const attend__lines *x, int32_t rows, int32_t depth, float *to) {
    const int64_t bytes = x->type == ATTEND_F32 ? 4 : 2;
    int k = 0;
    if (x->stride == 1 && x->type == ATTEND_F32)
        k = pack_lines(ATTEND_F32, x, rows, depth, to);
    else if (x->stride == 1 && x->type == ATTEND_F16)
        k = pack_lines(ATTEND_F16, x, rows, depth, to);
    else if (x->stride == 1)
        k = pack_lines(ATTEND_BF16, x, rows, depth, to);
    for (; k < depth; k += ATTEND__GEMM_LINE) {
        const int32_t n = depth - k < ATTEND__GEMM_LINE ? depth - k : ATTEND__GEMM_LINE;
        for (int32_t r = 0; r < rows; r++) {
            char *const from = x->rows[r] + (x->column + k) * x->stride * bytes;
            const attend__span span = {from, x->type, x->stride};
            widen(span, n, to + (int64_t)k * rows + r * ATTEND__GEMM_LINE);
        }
    }
}

#endif
