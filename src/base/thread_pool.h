/* SPDX-License-Identifier: Apache-2.0
 *
 * A fork-join pool: one job at a time, split into tasks that threads claim one by one. */
#ifndef ATTEND_BASE_THREAD_POOL_H
#define ATTEND_BASE_THREAD_POOL_H

#include <stdint.h>

typedef struct attend__thread_pool attend__thread_pool;

/* A pool for `threads` threads, the caller's among them; starts none yet. NULL if there is no
 * memory. */
attend__thread_pool *attend__thread_pool_create(int32_t threads);
/* No job may be under way. NULL is allowed. */
void attend__thread_pool_release(attend__thread_pool *pool);

/* Calls task(argument, i) once for each i in 0..count-1 and returns when all are done. The caller
 * takes part. While another thread's job is under way, or from inside a task, everything runs on
 * the calling thread: nobody waits for a pool. Where threads cannot be started the rest does the
 * work. */
void attend__thread_pool_run(attend__thread_pool *pool, int32_t count,
                             void (*task)(void *argument, int32_t index), void *argument);

#endif
