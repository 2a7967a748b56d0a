/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights as attend__cpu_weights_create packs them and the projection reads them. */
#ifndef ATTEND_CPU_WEIGHTS_H
#define ATTEND_CPU_WEIGHTS_H

#include "attend/plugin.h"

/* Panels [ceil(N / C)][K][C] of C = panel_columns, float32 or the matrix's own 16-bit type; columns
 * past N are 0. 64-byte aligned. */
struct attend_device_weights {
    attend_type type;
    int64_t columns, depth; /* N, K */
    char *panels;
};

#endif
