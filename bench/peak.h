/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processor can do at best with some threads: fused multiply-adds, and reading memory. As
 * cases of a worker (worker_loop.h): "peak-fma", "peak-read" over several times the last cache, and
 * "peak-read-BYTES" over as many bytes. */
#ifndef ATTEND_BENCH_PEAK_H
#define ATTEND_BENCH_PEAK_H

#include "worker_loop.h"

worker_verdict peak_prepare(const char *name, int32_t threads, worker_call *call, char *reason);

/* ---- for peak.c, peak_read.c and peak_<isa>.c ---- */

/* One instruction set's loops. Both return a sum that is known beforehand, so that nothing can be
 * left out. */
typedef struct peak_loops {
    const char *name;
    int32_t lanes, accumulators; /* of fma: each step is lanes * accumulators multiply-adds */
    bool fused;                  /* fma rounds once */
    /* Each accumulator x becomes x * factor + term, `steps` times; with 0.5 and 0.5 all end as 1.
     */
    double (*fma)(int64_t steps, float factor, float term);
    /* Sum of `count` floats, a multiple of 128 * streams, read as that many streams side by side,
     * with hints for what lies `ahead` bytes further on (0: none). */
    double (*read)(const float *values, size_t count, size_t streams, size_t ahead);
} peak_loops;

const peak_loops *peak_choose_loops(void);

/* bytes 0: several times the last cache. */
worker_verdict peak_read_prepare(double bytes, int32_t threads, worker_call *call, char *reason);

extern const peak_loops peak_loops_baseline, peak_loops_avx2, peak_loops_avx512;

#endif
