/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops of peak.h for the vectors of one instruction set. The including file defines
 * PEAK_BYTES, the width of a vector, and PEAK_NAME, and is compiled for that set with contraction
 * on, so that a product and a sum are one instruction. */
#include "peak.h"

typedef float vector __attribute__((vector_size(PEAK_BYTES), aligned(PEAK_BYTES)));

enum {
    LANES = PEAK_BYTES / 4,
    /* More than latency times pipes (4 * 2 on today's processors), fewer than there are registers.
     */
    ACCUMULATORS = 12
};

static double add_up(vector v) {
    float lanes[LANES];
    __builtin_memcpy(lanes, &v, sizeof lanes);
    double sum = 0;
    for (int i = 0; i < LANES; ++i)
        sum += (double)lanes[i];
    return sum;
}

static double fma_loop(int64_t steps, float factor, float term) {
    const vector zero = {0}, a = zero + factor, b = zero + term;
    vector x[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; ++i)
        x[i] = zero + (float)(i + 2);
    for (int64_t step = 0; step < steps; ++step)
        for (int i = 0; i < ACCUMULATORS; ++i) /* unrolled: the array lives in registers */
            x[i] = x[i] * a + b;
    double sum = 0;
    for (int i = 0; i < ACCUMULATORS; ++i)
        sum += add_up(x[i]);
    return sum;
}

static double read_loop(const float *values, size_t count) {
    enum { STREAMS = 4 };
    vector sums[STREAMS] = {{0}};
    const vector *const v = (const vector *)(const void *)values;
    for (size_t i = 0; i < count / LANES; i += STREAMS)
        for (size_t j = 0; j < STREAMS; ++j)
            sums[j] += v[i + j];
    double sum = 0;
    for (int j = 0; j < STREAMS; ++j)
        sum += add_up(sums[j]);
    return sum;
}

#define PEAK_JOIN(a, b) a##b
#define PEAK_LOOPS(name) PEAK_JOIN(peak_loops_, name)
#define PEAK_TEXT_OF(name) #name
#define PEAK_TEXT(name) PEAK_TEXT_OF(name)
const peak_loops PEAK_LOOPS(PEAK_NAME) = {PEAK_TEXT(PEAK_NAME), LANES, ACCUMULATORS, fma_loop,
                                          read_loop};
