/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops over independent rows, cut into a few parts per thread so that a thread that comes late
 * leaves its share to the others. */
#ifndef ATTEND_CPU_RANGES_H
#define ATTEND_CPU_RANGES_H

#include "cpu_backend.h"

typedef void attend__range_fn(void *argument, int64_t begin, int64_t end);

/* Calls range(argument, begin, end) for parts of 0 .. count - 1. `work` is that of
 * attend__cpu_tasks. */
void attend__cpu_ranges(attend_device *device, const attend_device_plan *plan, int64_t count,
                        double work, attend__range_fn *range, void *argument);

/* size cut into `pieces` almost equal pieces: where piece i begins. */
static inline int64_t attend__cut(int64_t size, int64_t pieces, int64_t i) {
    const int64_t whole = size / pieces, rest = size % pieces;
    return whole * i + (i < rest ? i : rest);
}

#endif
