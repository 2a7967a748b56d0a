/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads, locks and conditions of POSIX and Windows under one set of names. Failing to make a lock
 * is reported; locking a lock that was made cannot fail. */
#ifndef ATTEND_BASE_THREAD_H
#define ATTEND_BASE_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef _WIN32
typedef struct attend__mutex {
    void *handle;
} attend__mutex; /* SRWLOCK */
typedef struct attend__condition {
    void *handle;
} attend__condition; /* CONDITION_VARIABLE */
typedef struct attend__thread {
    void *handle;
    unsigned long id;
} attend__thread;
typedef struct attend__once {
    void *handle;
} attend__once; /* INIT_ONCE */
#define ATTEND__MUTEX_INIT                                                                         \
    { 0 }
#define ATTEND__ONCE_INIT                                                                          \
    { 0 }
#else
#include <pthread.h>
typedef pthread_mutex_t attend__mutex;
typedef pthread_cond_t attend__condition; /* on the monotonic clock */
typedef pthread_t attend__thread;
typedef pthread_once_t attend__once;
#define ATTEND__MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define ATTEND__ONCE_INIT PTHREAD_ONCE_INIT
#endif

bool attend__mutex_create(attend__mutex *mutex);
void attend__mutex_destroy(attend__mutex *mutex);
void attend__mutex_lock(attend__mutex *mutex);
void attend__mutex_unlock(attend__mutex *mutex);

bool attend__condition_create(attend__condition *condition);
void attend__condition_destroy(attend__condition *condition);
void attend__condition_wait(attend__condition *condition, attend__mutex *mutex);
/* false once `nanoseconds` have passed; negative = without end. */
bool attend__condition_wait_for(attend__condition *condition, attend__mutex *mutex,
                                int64_t nanoseconds);
void attend__condition_wake_all(attend__condition *condition);

bool attend__thread_start(attend__thread *thread, void (*run)(void *argument), void *argument);
void attend__thread_join(attend__thread thread);
/* The thread cleans up after itself; it must not be joined then. */
void attend__thread_detach(attend__thread thread);
bool attend__thread_is_current(const attend__thread *thread);
void attend__thread_sleep(int64_t nanoseconds);
void attend__once_run(attend__once *once, void (*run)(void));

/* Processors this process may use (affinity mask), at least 1. */
int32_t attend__processor_count(void);
/* Memory of the machine in bytes, 0 if unknown. */
uint64_t attend__memory_bytes(void);
int64_t attend__process_id(void);
int64_t attend__clock_nanoseconds(void); /* monotonic */

#endif
