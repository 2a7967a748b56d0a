/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h: reading memory as fast as it goes. Threads take pieces of one block as they come, so that
 * one that is held up does not hold up the call; how many streams and how far ahead is chosen by
 * trying when the case is prepared, since processors differ in what their own prefetchers do. */
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

static const double LARGEST = 4e9, PIECE = 1 << 20; /* bytes */
enum {
    GRAIN = 128 * 4,     /* floats: a multiple of what the loops take at once */
    ALIGNMENT = 1 << 21, /* bytes: a large page */
    TRIES = 3
};

static const struct {
    size_t streams, ahead;
} ways[] = {{1, 0}, {1, 2048}, {1, 8192}, {1, 32768}, {2, 4096}, {2, 8192}};
enum { WAYS = sizeof ways / sizeof ways[0] };

typedef struct state {
    const peak_loops *loops;
    attend__thread_pool *pool;
    float *memory;
    int32_t pieces;
    size_t count; /* floats of a piece; sums of ones in float32 are exact up to 2^24 a lane */
    double *sums; /* of each piece */
    int way;
} state;

static void release(void *object) {
    state *const s = object;
    attend__thread_pool_release(s->pool);
    attend__aligned_free(s->memory);
    free(s->sums);
    free(s);
}

static void read_task(void *argument, int32_t index) {
    state *const s = argument;
    s->sums[index] = s->loops->read(s->memory + (size_t)index * s->count, s->count,
                                    ways[s->way].streams, ways[s->way].ahead);
}

static void touch_task(void *argument, int32_t index) {
    state *const s = argument;
    for (size_t i = 0; i < s->count; ++i)
        s->memory[(size_t)index * s->count + i] = 1.0f;
}

static bool run(void *object, char *reason) {
    state *const s = object;
    attend__thread_pool_run(s->pool, s->pieces, read_task, s);
    for (int32_t i = 0; i < s->pieces; ++i)
        if (s->sums[i] != (double)s->count) {
            snprintf(reason, WORKER_TEXT, "piece %d has the sum %.17g instead of %zu", (int)i,
                     s->sums[i], s->count);
            return false;
        }
    return true;
}

static void choose_way(state *s) {
    int64_t best[WAYS];
    for (int i = 0; i < WAYS * TRIES; ++i) {
        s->way = i % WAYS;
        const int64_t start = attend__clock_nanoseconds();
        attend__thread_pool_run(s->pool, s->pieces, read_task, s);
        const int64_t taken = attend__clock_nanoseconds() - start;
        if (i < WAYS || taken < best[s->way]) best[s->way] = taken;
    }
    s->way = 0;
    for (int i = 1; i < WAYS; ++i)
        if (best[i] < best[s->way]) s->way = i;
}

/* Otherwise looking up the pages is measured as well. A system may have none: any answer will do.
 */
static void ask_for_large_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    madvise(memory, bytes / ALIGNMENT * ALIGNMENT, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

/* So large that little of a pass is still in the last cache at the next. */
static double usual_bytes(void) {
    hardware h;
    hardware_look(&h);
    double bytes = h.cache_bytes ? 6 * (double)h.cache_bytes : 256e6;
    if (h.memory_bytes) bytes = fmin(bytes, (double)h.memory_bytes / 8);
    return bytes;
}

static bool make(state *s, double bytes, int32_t threads) {
    s->loops = peak_choose_loops();
    s->pieces = (int32_t)ceil(bytes / PIECE);
    s->count = (size_t)ceil(bytes / s->pieces / sizeof(float) / GRAIN) * GRAIN;
    const size_t whole = s->count * (size_t)s->pieces * sizeof(float);
    s->pool = attend__thread_pool_create(threads);
    s->sums = calloc((size_t)s->pieces, sizeof *s->sums);
    s->memory = attend__aligned_allocate(whole, ALIGNMENT);
    if (!s->pool || !s->sums || !s->memory) return false;
    ask_for_large_pages(s->memory, whole);
    attend__thread_pool_run(s->pool, s->pieces, touch_task, s);
    choose_way(s);
    return true;
}

worker_verdict peak_read_prepare(double bytes, int32_t threads, worker_call *call, char *reason) {
    if (bytes > LARGEST) {
        snprintf(reason, WORKER_TEXT, "a block of %.3g bytes is larger than %.3g", bytes, LARGEST);
        return WORKER_UNSUPPORTED;
    }
    state *const s = calloc(1, sizeof *s);
    if (!s || !make(s, bytes > 0 ? bytes : usual_bytes(), threads)) {
        if (s) release(s);
        snprintf(reason, WORKER_TEXT, "out of memory");
        return WORKER_ERROR;
    }
    call->bytes = (double)s->count * (double)s->pieces * sizeof(float);
    call->run = run;
    call->state = s;
    call->release = release;
    call->kernel = s->loops->name;
    /* A sum that is not exact fails the call. */
    return WORKER_OK;
}
