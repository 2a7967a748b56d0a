/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of tensors [.., N] and neighbours in a row. LANES neighbours are computed at once: 16 where
 * a work-item stands alone (CPUs), 1 where the neighbours are work-items (GPUs). */
#ifndef ATTEND_CL_STAGE_ROWS_H
#define ATTEND_CL_STAGE_ROWS_H

#include "elements.h"
#include "stage_arguments.h"

#ifndef LANES
#define LANES 16
#endif

#if LANES == 1
typedef float lanes;
#else
typedef float16 lanes;
#endif

/* Where row `row` begins. */
static i64 row_start(const row_tensor *t, const i32 *sizes, i32 row) {
    if (t->even) return t->offset + row * t->strides[2];
    const i32 outer = row / sizes[2];
    return t->offset + (row - outer * sizes[2]) * t->strides[2] + outer % sizes[1] * t->strides[1] +
           outer / sizes[1] * t->strides[0];
}

/* `count` neighbours, at most LANES; 0 in the other lanes. */
static lanes load_lanes(__global const uchar *memory, i64 at, i64 step, int type, int count) {
#if LANES == 1
    return load_element(memory, at, type);
#else
    if (step == 1 && count >= LANES) return load_elements(memory, at, type);
    float v[LANES];
    for (int i = 0; i < LANES; i++)
        v[i] = i < count ? load_element(memory, at + i * step, type) : 0.0f;
    return vload16(0, v);
#endif
}

static void store_lanes(__global uchar *memory, i64 at, i64 step, int type, int count, lanes x) {
#if LANES == 1
    store_element(memory, at, type, x);
#else
    if (step == 1 && count >= LANES) {
        store_elements(memory, at, type, x);
        return;
    }
    float v[LANES];
    vstore16(x, 0, v);
    for (int i = 0; i < LANES && i < count; i++)
        store_element(memory, at + i * step, type, v[i]);
#endif
}

/* lanes before `count` keep x, the others become 0. */
static lanes first_lanes(lanes x, int count) {
#if LANES == 1
    return x;
#else
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return select((lanes)(0.0f), x, lane < count);
#endif
}

/* Halves are added, in an array: Oclgrind's check for uninitialised values misjudges x.lo + x.hi.
 */
static float sum_lanes(lanes x) {
#if LANES == 1
    return x;
#else
    float v[LANES];
    vstore16(x, 0, v);
    for (int half_way = LANES / 2; half_way > 0; half_way /= 2)
        for (int i = 0; i < half_way; i++)
            v[i] += v[i + half_way];
    return v[0];
#endif
}

#endif
