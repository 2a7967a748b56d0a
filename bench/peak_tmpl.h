/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops of peak.h for the vectors of one instruction set. The including file defines
 * PEAK_BYTES, the width of a vector, and PEAK_NAME, and is compiled for that set with contraction
 * on, so that a product and a sum are one instruction. Compilers without vector types get floats.
 */
#include "peak.h"

#include <string.h>

#if defined(__GNUC__)
typedef float vector __attribute__((vector_size(PEAK_BYTES), aligned(PEAK_BYTES)));
#else
typedef float vector;
#endif

/* Instructions that fuse: one rounding where there would be two. */
/* unoptimized, gcc contracts nothing */
#if defined(__OPTIMIZE__) &&                                                                       \
    (defined(__FMA__) || defined(__AVX512F__) || defined(__ARM_FEATURE_FMA))
enum { FUSED = 1 };
#else
enum { FUSED = 0 };
#endif

enum {
    LANES = sizeof(vector) / sizeof(float),
/* More than latency times pipes (4 * 2 on x86, 4 * 4 on large ARM cores), fewer than registers. */
#if defined(__aarch64__)
    ACCUMULATORS = 24
#else
    ACCUMULATORS = 12
#endif
};

static double add_up(vector v) {
    float lanes[LANES];
    memcpy(lanes, &v, sizeof lanes);
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

/* What compilers without it do not have: a hint that nothing depends on. */
#if defined(__GNUC__)
#define PEAK_PREFETCH(address) __builtin_prefetch(address)
#else
#define PEAK_PREFETCH(address) ((void)(address))
#endif

enum { AT_ONCE = 8, LINE_VECTORS = 64 / sizeof(vector) > 1 ? 64 / sizeof(vector) : 1 };

/* `ahead` in bytes; a hint past the end reads nothing. */
static void read_some(const vector *v, size_t ahead, vector *sums) {
    for (size_t j = 0; ahead && j < AT_ONCE; j += LINE_VECTORS)
        PEAK_PREFETCH((const char *)(v + j) + ahead);
    for (size_t j = 0; j < AT_ONCE; ++j)
        sums[j] += v[j];
}

static double read_loop(const float *values, size_t count, size_t streams, size_t ahead) {
    const vector zero = {0};
    vector sums[AT_ONCE];
    for (int j = 0; j < AT_ONCE; ++j)
        sums[j] = zero;
    const vector *const v = (const vector *)(const void *)values;
    const size_t part = count / LANES / streams;
    for (size_t i = 0; i < part; i += AT_ONCE)
        for (size_t k = 0; k < streams; ++k)
            read_some(v + k * part + i, ahead, sums);
    double sum = 0;
    for (int j = 0; j < AT_ONCE; ++j)
        sum += add_up(sums[j]);
    return sum;
}

#define PEAK_JOIN(a, b) a##b
#define PEAK_LOOPS(name) PEAK_JOIN(peak_loops_, name)
#define PEAK_TEXT_OF(name) #name
#define PEAK_TEXT(name) PEAK_TEXT_OF(name)
const peak_loops PEAK_LOOPS(PEAK_NAME) = {
    PEAK_TEXT(PEAK_NAME), LANES, ACCUMULATORS, FUSED, fma_loop, read_loop};
