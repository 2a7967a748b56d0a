/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h. */
#define _DEFAULT_SOURCE /* madvise */
#include "peak.h"

#include "base/memory.h"
#include "base/thread.h"
#include "base/thread_pool.h"
#include "hardware.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const double FMA_CALL_S = 1.5e-3;  /* long against the start of the threads */
static const double LARGEST_PART = 512e6; /* bytes */
enum { READ_GRAIN = 128 };                /* floats: a multiple of every vector's streams */
enum { PART_ALIGNMENT = 1 << 21 };        /* bytes: a large page */

typedef struct state {
    const peak_loops *loops;
    attend__thread_pool *pool;
    int32_t threads;
    int64_t steps;   /* fma: of each thread */
    float **parts;   /* read: each thread's memory */
    size_t count;    /* floats of a part */
    double *sums;    /* what each thread found */
    double expected; /* what it has to find */
} state;

static const peak_loops *choose_loops(void) {
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
    for (int32_t i = 0; s->parts && i < s->threads; ++i)
        attend__aligned_free(s->parts[i]);
    free((void *)s->parts);
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

/* ---- read ---- */

static void read_task(void *argument, int32_t index) {
    state *const s = argument;
    s->sums[index] = s->loops->read(s->parts[index], s->count);
}

static void touch_task(void *argument, int32_t index) {
    state *const s = argument;
    for (size_t i = 0; i < s->count; ++i)
        s->parts[index][i] = 1.0f;
}

static bool run_read(void *object, char *reason) {
    state *const s = object;
    attend__thread_pool_run(s->pool, s->threads, read_task, s);
    return agree(s, reason);
}

/* Of one thread. In all several times the last cache, so that little of a pass is still there at
 * the next; sums of ones in float32 are exact up to 2^24 a lane, which LARGEST_PART does not reach.
 */
static size_t part_floats(int32_t threads) {
    hardware h;
    hardware_look(&h);
    double bytes = h.cache_bytes ? 6 * (double)h.cache_bytes : 256e6;
    if (h.memory_bytes) bytes = fmin(bytes, (double)h.memory_bytes / 8);
    bytes = fmin(bytes / threads, LARGEST_PART);
    return (size_t)(bytes / sizeof(float) / READ_GRAIN + 1) * READ_GRAIN;
}

/* Otherwise looking up the pages is measured as well. A system may have none: any answer will do.
 */
static void ask_for_large_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes / PART_ALIGNMENT * PART_ALIGNMENT, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static bool make_read(state *s, worker_call *call) {
    s->count = part_floats(s->threads);
    s->expected = (double)s->count;
    s->parts = calloc((size_t)s->threads, sizeof *s->parts);
    for (int32_t i = 0; s->parts && i < s->threads; ++i) {
        s->parts[i] = attend__aligned_allocate(s->count * sizeof(float), PART_ALIGNMENT);
        if (!s->parts[i]) return false;
        ask_for_large_pages(s->parts[i], s->count * sizeof(float));
    }
    if (!s->parts) return false;
    attend__thread_pool_run(s->pool, s->threads, touch_task, s);
    call->bytes = (double)s->count * sizeof(float) * s->threads;
    call->run = run_read;
    return true;
}

worker_verdict peak_prepare(const char *name, int32_t threads, worker_call *call, char *reason) {
    const bool fma = !strcmp(name, "peak-fma");
    if (!fma && strcmp(name, "peak-read") != 0) {
        snprintf(reason, WORKER_TEXT, "no kernel is called %s", name);
        return WORKER_UNSUPPORTED;
    }
    state *const s = calloc(1, sizeof *s);
    bool good = s != NULL;
    if (s) {
        s->threads = threads;
        s->loops = choose_loops();
        s->pool = attend__thread_pool_create(threads);
        s->sums = calloc((size_t)threads, sizeof *s->sums);
        good = s->pool && s->sums && (fma ? make_fma(s, call) : make_read(s, call));
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
