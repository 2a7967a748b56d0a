/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call costs before it computes anything: the fork and join of threads, and a call of the
 * public API that has next to nothing, or nothing, to do. */
#include "kernels.h"

#include "base/thread.h"

#include <stdio.h>

/* ---- fork and join: one task a thread ---- */

/* Each task counts in a cache line of its own. */
enum { LINE = 16, LOOKS_PER_CLOCK = 1024 };
static const int64_t LONGEST_WAIT = 1000000000; /* nanoseconds */

static void make_tasks(kernel_work *w) {
    kernel_memory(w, (int64_t)w->threads * LINE);
    w->pool = attend__thread_pool_create(w->threads);
    if (!w->pool) w->no_memory = true;
    atomic_init(&w->call.meeting.arrived, 0);
    atomic_init(&w->call.meeting.late, false);
}

static void count_task(void *argument, int32_t index) {
    const kernel_work *const w = argument;
    w->block[0][index * LINE] += 1.0f;
}

/* Tasks this short may all be done by the caller before another thread has seen them. */
static bool run_fork_join(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    attend__thread_pool_run(w->pool, w->threads, count_task, w);
    return true;
}

/* A task ends when all have begun, so each needs a thread of its own. */
static void meet_task(void *argument, int32_t index) {
    kernel_work *const w = argument;
    count_task(w, index);
    const int64_t before = atomic_fetch_add(&w->call.meeting.arrived, 1);
    const int64_t all = (before / w->threads + 1) * w->threads;
    const int64_t end = attend__clock_nanoseconds() + LONGEST_WAIT;
    for (int64_t looks = 1; atomic_load(&w->call.meeting.arrived) < all; ++looks)
        if (looks % LOOKS_PER_CLOCK == 0 && attend__clock_nanoseconds() > end) {
            atomic_store(&w->call.meeting.late, true);
            return;
        }
}

static bool run_barrier(void *work, char *reason) {
    kernel_work *const w = work;
    attend__thread_pool_run(w->pool, w->threads, meet_task, w);
    if (!atomic_load(&w->call.meeting.late)) return true;
    snprintf(reason, WORKER_TEXT, "the %d threads did not all run at once within a second",
             (int)w->threads);
    return false;
}

static void check_tasks(kernel_work *w) {
    for (int32_t i = 0; i < w->threads; ++i)
        kernel_compare(w, (double)w->block[0][i * LINE], 1, 0);
}

/* ---- empty calls: one key, and one query or none ---- */

enum { CALL_Q, CALL_K, CALL_V, CALL_OUT };
static const float VALUE = 0.75f, BEFORE = -1.0f;

static void make_attention(kernel_work *w, int64_t queries) {
    attend_attention *const a = &w->call.attention;
    attend_tensor *const tensors[] = {&a->q, &a->k, &a->v, &a->out};
    *a = attend_attention_default();
    for (int i = CALL_Q; i <= CALL_OUT; ++i) {
        float *const x = kernel_memory(w, 1);
        const bool by_query = i == CALL_Q || i == CALL_OUT;
        kernel_fill(x, 1, i == CALL_OUT ? BEFORE : VALUE, i == CALL_OUT ? BEFORE : VALUE);
        *tensors[i] = attend_tensor_4d(x, ATTEND_F32, 1, 1, by_query ? queries : 1, 1);
    }
    w->flops = 4.0 * (double)queries;
    w->bytes = 8.0 * (double)queries + 8;
}

static void make_one(kernel_work *w) {
    make_attention(w, 1);
}

static void make_none(kernel_work *w) {
    make_attention(w, 0);
}

static bool run_attention(void *work, char *reason) {
    kernel_work *const w = work;
    if (attend_run(w->context, &w->call.attention) == ATTEND_OK) return true;
    snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
    return false;
}

/* A row with one key is that key's value. */
static void check_one(kernel_work *w) {
    kernel_compare(w, (double)w->block[CALL_OUT][0], (double)VALUE, 0);
}

static void check_none(kernel_work *w) {
    kernel_compare(w, (double)w->block[CALL_OUT][0], (double)BEFORE, 0);
}

const kernel_kind kernel_kinds_calls[] = {
    {"fork-join", {0}, false, make_tasks, run_fork_join, check_tasks},
    {"barrier", {0}, false, make_tasks, run_barrier, check_tasks},
    {"empty-call", {0}, false, make_one, run_attention, check_one},
    {"empty-call-no-query", {0}, false, make_none, run_attention, check_none},
    {0},
};
