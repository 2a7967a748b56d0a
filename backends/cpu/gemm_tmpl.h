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

/* Weights come from the second-level cache or from memory, a panel in one sweep: this far ahead a
 * line has arrived when its turn comes. The bytes of few rows, which multiply four panels at once,
 * are left to the processor: asked for one by one they held up each other (1 row, weights in
 * memory: 12 % slower, 8 rows with one panel at once: 21 % faster). */
enum { PREFETCH_BYTES = 4096 };

VF_INLINE void prefetch_step(const int panels, const int bytes, const char *w, int64_t distance) {
    if (panels == 4) return;
    VF_UNROLL for (int p = 0; p < panels; p++) {
        const uintptr_t ahead = (uintptr_t)(w + p * distance) + PREFETCH_BYTES;
        VF_UNROLL for (int at = 0; at < bytes; at += 64) vf_prefetch(ahead + at);
    }
}

VF_INLINE void multiply_block(const int rows, const int panels, const attend_type type,
                              const attend__tile *t, int first_panel) {
    const int bytes = type == ATTEND_F32 ? 4 : 2, row_bytes = PANEL_COLUMNS * bytes;
    const int64_t distance = t->panel_distance * bytes;
    const char *w = t->panel + first_panel * distance;
    const float *x = t->x;
    float *const c = t->c + first_panel * t->c_distance;
    uintptr_t next = (uintptr_t)t->next;
    int begin = 0;
    do {
        const int rest = t->depth - begin,
                  count = rest < ATTEND__GEMM_SUM ? rest : ATTEND__GEMM_SUM;
        vf sum[TILE_ROWS][4 * PANEL_VECTORS];
        VF_UNROLL for (int r = 0; r < rows; r++)
            VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) sum[r][v] = vf_zero();
        for (int line = 0; line < count; line += ATTEND__GEMM_LINE, x += rows * ATTEND__GEMM_LINE) {
            const int left = count - line;
            vf_prefetch_far(next); /* any address will do */
            next += ATTEND__GEMM_LINE * 4;
            const int steps = left < ATTEND__GEMM_LINE ? left : ATTEND__GEMM_LINE;
            for (int k = 0; k < steps; k++, w += row_bytes) {
                vf weights[4 * PANEL_VECTORS];
                VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) weights[v] =
                    widen_vector(w + v / PANEL_VECTORS * distance +
                                     v % PANEL_VECTORS * VF_LANES * bytes,
                                 type);
                prefetch_step(panels, row_bytes, w, distance);
                VF_UNROLL for (int r = 0; r < rows; r++) {
                    const vf factor = vf_set(x[r * ATTEND__GEMM_LINE + k]);
                    VF_UNROLL for (int v = 0; v < panels * PANEL_VECTORS; v++) sum[r][v] =
                        vf_fma(factor, weights[v], sum[r][v]);
                }
            }
        }
        const bool add = t->add != 0 || begin > 0;
        VF_UNROLL for (int p = 0; p < panels; p++) {
            VF_UNROLL for (int r = 0; r < rows; r++) {
                float *const row = c + p * t->c_distance + r * PANEL_COLUMNS;
                VF_UNROLL for (int v = 0; v < PANEL_VECTORS; v++) {
                    const vf before = add ? vf_load(row + v * VF_LANES) : vf_zero();
                    vf_store(row + v * VF_LANES, vf_add(before, sum[r][p * PANEL_VECTORS + v]));
                }
            }
        }
        begin += count;
    } while (begin < t->depth);
}

VF_INLINE void multiply_rows(const int rows, const attend_type type, const attend__tile *t) {
    int p = 0;
    for (; p + panels_at_once(rows) <= t->panels; p += panels_at_once(rows))
        multiply_block(rows, panels_at_once(rows), type, t, p);
    for (; p < t->panels; p++)
        multiply_block(rows, 1, type, t, p);
}

VF_INLINE void multiply_any(const attend_type type, const attend__tile *t) {
    switch (t->rows) {
    case 1:
        multiply_rows(1, type, t);
        return;
    case 2:
        multiply_rows(2, type, t);
        return;
    case 3:
        multiply_rows(3, type, t);
        return;
#if VF_LANES > 1
    case 4:
        multiply_rows(4, type, t);
        return;
    case 5:
        multiply_rows(5, type, t);
        return;
    case 6:
        multiply_rows(6, type, t);
        return;
#endif
#if VF_REGISTERS >= 32 && VF_LANES > 4
    case 7:
        multiply_rows(7, type, t);
        return;
    case 8:
        multiply_rows(8, type, t);
        return;
    case 9:
        multiply_rows(9, type, t);
        return;
    case 10:
        multiply_rows(10, type, t);
        return;
    case 11:
        multiply_rows(11, type, t);
        return;
    case 12:
        multiply_rows(12, type, t);
        return;
    case 13:
        multiply_rows(13, type, t);
        return;
    case 14:
        multiply_rows(14, type, t);
        return;
#endif
    default:
        return;
    }
}

static void multiply(const attend__tile *t) {
    if (t->type == ATTEND_F32)
        multiply_any(ATTEND_F32, t);
    else if (t->type == ATTEND_F16)
        multiply_any(ATTEND_F16, t);
    else
        multiply_any(ATTEND_BF16, t);
}

#endif
