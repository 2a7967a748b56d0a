/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h. */
#include "peak.h"

#include "base/thread.h"
#include "base/thread_pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FMA_CALL_S = 1.5e-3; /* long against the start of the threads */

typedef struct state {
    const peak_loops *loops;
    attend__thread_pool *pool;
    int32_t threads;
    int64_t steps;   /* of each thread */
    double *sums;    /* what each thread found */
    double expected; /* what it has to find */
} state;

const peak_loops *peak_choose_loops(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return &peak_loops_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &peak_loops_avx2;
#endif
    return &peak_loops_baseline;
}

static void release(void *object) {
    state *const s = object;
    attend__thread_pool_release(s->pool);
    free(s->sums);
    free(s);
}

static bool agree(const state *s, char *reason) {
    for (int32_t i = 0; i < s->threads; ++i)
        if (s->sums[i] != s->expected) {
            snprintf(reason, WORKER_TEXT, "thread %d found %.17g instead of %.17g", (int)i,
                     s->sums[i], s->expected);
            return false;
        }
    return true;
}

/* ---- fma ---- */

static void fma_task(void *argument, int32_t index) {
    state *const s = argument;
    s->sums[index] = s->loops->fma(s->steps, 0.5f, 0.5f);
}

static bool run_fma(void *object, char *reason) {
    state *const s = object;
    attend__thread_pool_run(s->pool, s->threads, fma_task, s);
    return agree(s, reason);
}

/* One step with products that round: i (1 + 2^-23) - 2. Two roundings where one is meant are
 * another sum, and about half the speed: no peak. */
static void check_rounding(const state *s, worker_call *call) {
    const float factor = 1.0f + 0x1p-23f, term = -2.0f;
    double expected = 0;
    for (int32_t i = 0; i < s->loops->accumulators; ++i)
        expected += (double)fmaf((float)(i + 2), factor, term) * s->loops->lanes;
    if (!s->loops->fused) return;
    call->max_error = fabs(s->loops->fma(1, factor, term) - expected);
    call->error_ratio = call->max_error > 0 ? 2 : 0;
}

/* The best of three: an interruption is no work. */
static double fma_seconds(const state *s) {
    int64_t best = INT64_MAX;
    for (int i = 0; i < 3; ++i) {
        const int64_t start = attend__clock_nanoseconds();
        s->loops->fma(s->steps, 0.5f, 0.5f);
        const int64_t taken = attend__clock_nanoseconds() - start;
        if (taken < best) best = taken;
    }
    return (double)best * 1e-9;
}

static bool make_fma(state *s, worker_call *call) {
    check_rounding(s, call);
    s->expected = (double)s->loops->lanes * s->loops->accumulators;
    s->steps = 1 << 12;
    while (fma_seconds(s) < FMA_CALL_S)
        s->steps *= 2;
    call->flops = 2.0 * s->expected * (double)s->steps * s->threads;
    call->run = run_fma;
    return true;
}

/* "peak-read" or "peak-read-BYTES". */
static bool read_name(const char *name, double *bytes) {
    static const char stem[] = "peak-read";
    if (strncmp(name, stem, sizeof stem - 1) != 0) return false;
    name += sizeof stem - 1;
    *bytes = 0;
    if (!*name) return true;
    char *end = NULL;
    if (*name != '-' || name[1] < '1' || name[1] > '9') return false;
    *bytes = (double)strtoll(name + 1, &end, 10);
    return !*end;
}

worker_verdict peak_prepare(const char *name, int32_t threads, worker_call *call, char *reason) {
    double bytes;
    if (read_name(name, &bytes)) return peak_read_prepare(bytes, threads, call, reason);
    if (strcmp(name, "peak-fma") != 0) {
        snprintf(reason, WORKER_TEXT, "no kernel is called %s", name);
        return WORKER_UNSUPPORTED;
    }
    state *const s = calloc(1, sizeof *s);
    bool good = s != NULL;
    if (s) {
        s->threads = threads;
        s->loops = peak_choose_loops();
        s->pool = attend__thread_pool_create(threads);
        s->sums = calloc((size_t)threads, sizeof *s->sums);
        good = s->pool && s->sums && make_fma(s, call);
    }
    if (!good) {
        if (s) release(s);
        snprintf(reason, WORKER_TEXT, "out of memory");
        return WORKER_ERROR;
    }
    call->state = s;
    call->release = release;
    call->kernel = s->loops->name;
    /* A sum that is not exact fails the call. */
    return WORKER_OK;
}
