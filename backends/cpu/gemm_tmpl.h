/* SPDX-License-Identifier: Apache-2.0
 *
 * The matrix product of the projections over the vector verbs: a block of c stays in registers
 * while a panel of weights streams past (Goto & van de Geijn 2008, "Anatomy of high-performance
 * matrix multiplication", with the rows of x read by broadcast). Every block shape adds the
 * products of an element in the same order, so that a row's result does not depend on the rows
 * beside it.
 *
 * The loops over rows and vectors have constant trip counts once `multiply_rows` is inlined with
 * constants. */
#ifndef ATTEND_CPU_GEMM_TMPL_H
#define ATTEND_CPU_GEMM_TMPL_H

#include <string.h>

#include "convert_tmpl.h"
#include "stage_kernels.h"

/* A block needs its accumulators, a row of weights and one element of x in registers. */
#if VF_LANES == 4
enum { PANEL_VECTORS = 4, TILE_ROWS = 6, ACCUMULATORS = 24 };
#elif VF_REGISTERS >= 32
enum { PANEL_VECTORS = 2, TILE_ROWS = 14, ACCUMULATORS = 28 };
#elif VF_LANES > 1
enum { PANEL_VECTORS = 2, TILE_ROWS = 6, ACCUMULATORS = 12 };
#else
enum { PANEL_VECTORS = 4, TILE_ROWS = 3, ACCUMULATORS = 12 };
#endif
enum { PANEL_COLUMNS = PANEL_VECTORS * VF_LANES };

/* Panels that one pass takes, so that few rows still give enough independent sums to hide the
 * latency of an addition (4 cycles, two a cycle). */
static inline int panels_at_once(int rows) {
    const int fitting = ACCUMULATORS / (rows * PANEL_VECTORS);
    return fitting >= 4 ? 4 : fitting >= 2 ? 2 : 1;
}

VF_INLINE void multiply_block(const int rows, const int panels, const attend__tile *t,
                              int first_panel) {
    const float *const weights = t->panel + first_panel * t->panel_distance;
    float *const c = t->c + first_panel * PANEL_COLUMNS;
    for (int begin = 0; begin < t->depth; begin += ATTEND__GEMM_SUM) {
        const int rest = t->depth - begin;
        const int end = begin + (rest < ATTEND__GEMM_SUM ? rest : ATTEND__GEMM_SUM);
        vf sum[TILE_ROWS][4 * PANEL_VECTORS];
        VF_UNROLL for (int r = 0; r < rows; r++)
            VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) sum[r][v] = vf_zero();
        for (int k = begin; k < end; k++) {
            vf w[4 * PANEL_VECTORS];
            VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) w[v] =
                vf_load(weights + v / PANEL_VECTORS * t->panel_distance + k * PANEL_COLUMNS +
                        v % PANEL_VECTORS * VF_LANES);
            VF_UNROLL for (int r = 0; r < rows; r++) {
                const vf x = vf_set(t->x[r * ATTEND__GEMM_X_STRIDE + k]);
                VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) sum[r][v] =
                    vf_fma(x, w[v], sum[r][v]);
            }
        }
        const bool add = t->add != 0 || begin > 0;
        VF_UNROLL for (int r = 0; r < rows; r++) {
            float *const row = c + r * t->c_stride;
            VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) {
                const vf before = add ? vf_load(row + v * VF_LANES) : vf_zero();
                vf_store(row + v * VF_LANES, vf_add(before, sum[r][v]));
            }
        }
    }
}

VF_INLINE void multiply_rows(const int rows, const attend__tile *t) {
    int p = 0;
    for (; p + panels_at_once(rows) <= t->panels; p += panels_at_once(rows))
        multiply_block(rows, panels_at_once(rows), t, p);
    for (; p < t->panels; p++)
        multiply_block(rows, 1, t, p);
}

static void multiply(const attend__tile *t) {
    switch (t->rows) {
    case 1:
        multiply_rows(1, t);
        return;
    case 2:
        multiply_rows(2, t);
        return;
    case 3:
        multiply_rows(3, t);
        return;
#if VF_LANES > 1
    case 4:
        multiply_rows(4, t);
        return;
    case 5:
        multiply_rows(5, t);
        return;
    case 6:
        multiply_rows(6, t);
        return;
#endif
#if VF_REGISTERS >= 32 && VF_LANES > 4
    case 7:
        multiply_rows(7, t);
        return;
    case 8:
        multiply_rows(8, t);
        return;
    case 9:
        multiply_rows(9, t);
        return;
    case 10:
        multiply_rows(10, t);
        return;
    case 11:
        multiply_rows(11, t);
        return;
    case 12:
        multiply_rows(12, t);
        return;
    case 13:
        multiply_rows(13, t);
        return;
    case 14:
        multiply_rows(14, t);
        return;
#endif
    default:
        return;
    }
}

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

#endif
