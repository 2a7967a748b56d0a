/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights [N, K] of any strides into panels [ceil(N / 32)][K][32] of the same type, zero padded, as
 * project.h wants them: one work-item to PACK_DEPTH columns of K of a whole panel (CPUs) or to one
 * element (GPUs, where neighbours write neighbours). */
#include "stage_arguments.h"

#ifndef WEIGHT_BYTES
#define WEIGHT_BYTES 4
#endif
#ifndef PACK_DEPTH
#define PACK_DEPTH 64
#endif

#if WEIGHT_BYTES == 4
typedef uint weight;
#else
typedef ushort weight;
#endif

__kernel WHOLE_VECTORS void pack(__global const weight *w, __global weight *panels,
                                 const pack_arguments a) {
    const i32 panel = (i32)get_global_id(1);
    if (panel * (i64)PANEL >= a.columns) return;
#if PACK_DEPTH == 1
    const size_t element = get_global_id(0); /* K * PANEL of them: more than an i32 counts */
    const i32 n = (i32)(element % PANEL), column = panel * PANEL + n, k = (i32)(element / PANEL);
    if (k >= a.depth) return;
    weight value = 0;
    if (column < a.columns) value = w[a.w_offset + column * a.w_strides[0] + k * a.w_strides[1]];
    panels[a.panels_offset + ((i64)panel * a.depth + k) * PANEL + n] = value;
#else
    const i32 begin = (i32)get_global_id(0) * PACK_DEPTH, end = min(begin + PACK_DEPTH, a.depth);
    const i32 columns = min(PANEL, a.columns - panel * PANEL);
    __global const weight *const from = w + a.w_offset + (i64)panel * PANEL * a.w_strides[0];
    __global weight *const to = panels + a.panels_offset + (i64)panel * a.depth * PANEL;
    for (i32 n = 0; n < columns; n++)
        for (i32 k = begin; k < end; k++)
            to[(i64)k * PANEL + n] = from[n * a.w_strides[0] + k * a.w_strides[1]];
    for (i32 n = columns; n < PANEL; n++)
        for (i32 k = begin; k < end; k++)
            to[(i64)k * PANEL + n] = 0;
#endif
}
