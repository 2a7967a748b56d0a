/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h on POSIX threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

bool attend__mutex_create(attend__mutex *mutex) {
    return pthread_mutex_init(mutex, NULL) == 0;
}

void attend__mutex_destroy(attend__mutex *mutex) {
    (void)pthread_mutex_destroy(mutex);
}

void attend__mutex_lock(attend__mutex *mutex) {
    (void)pthread_mutex_lock(mutex);
}

void attend__mutex_unlock(attend__mutex *mutex) {
    (void)pthread_mutex_unlock(mutex);
}

bool attend__condition_create(attend__condition *condition) {
#ifdef __APPLE__ /* has no clock attribute; attend__condition_wait_for uses a relative wait there  \
                  */
    return pthread_cond_init(condition, NULL) == 0;
#else
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return false;
    const bool made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                      pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return made;
#endif
}

void attend__condition_destroy(attend__condition *condition) {
    (void)pthread_cond_destroy(condition);
}

void attend__condition_wait(attend__condition *condition, attend__mutex *mutex) {
    (void)pthread_cond_wait(condition, mutex);
}

bool attend__condition_wait_for(attend__condition *condition, attend__mutex *mutex,
                                int64_t nanoseconds) {
    if (nanoseconds < 0) {
        attend__condition_wait(condition, mutex);
        return true;
    }
    struct timespec limit;
#ifdef __APPLE__
    limit.tv_sec = (time_t)(nanoseconds / 1000000000);
    limit.tv_nsec = (long)(nanoseconds % 1000000000);
    return pthread_cond_timedwait_relative_np(condition, mutex, &limit) != ETIMEDOUT;
#else
    const int64_t now = attend__clock_nanoseconds();
    const int64_t end = nanoseconds > INT64_MAX - now ? INT64_MAX : now + nanoseconds;
    limit.tv_sec = (time_t)(end / 1000000000);
    limit.tv_nsec = (long)(end % 1000000000);
    return pthread_cond_timedwait(condition, mutex, &limit) != ETIMEDOUT;
#endif
}

void attend__condition_wake_all(attend__condition *condition) {
    (void)pthread_cond_broadcast(condition);
}

typedef struct start {
    void (*run)(void *argument);
    void *argument;
} start;

static void *thread_main(void *memory) {
    const start begin = *(start *)memory;
    free(memory);
    begin.run(begin.argument);
    return NULL;
}

bool attend__thread_start(attend__thread *thread, void (*run)(void *argument), void *argument) {
    start *begin = malloc(sizeof *begin);
    if (begin == NULL) return false;
    begin->run = run;
    begin->argument = argument;
    /* The application's signal handlers must not run on threads it does not know of. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool started = pthread_create(thread, NULL, thread_main, begin) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started) free(begin);
    return started;
}

void attend__thread_join(attend__thread thread) {
    (void)pthread_join(thread, NULL);
}

void attend__thread_detach(attend__thread thread) {
    (void)pthread_detach(thread);
}

bool attend__thread_is_current(const attend__thread *thread) {
    return pthread_equal(*thread, pthread_self()) != 0;
}

void attend__thread_sleep(int64_t nanoseconds) {
    const struct timespec time = {(time_t)(nanoseconds / 1000000000),
                                  (long)(nanoseconds % 1000000000)};
    (void)nanosleep(&time, NULL);
}

void attend__once_run(attend__once *once, void (*run)(void)) {
    (void)pthread_once(once, run);
}

int32_t attend__processor_count(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (int32_t)CPU_COUNT(&set);
#endif
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > INT32_MAX ? INT32_MAX : (int32_t)count;
}

uint64_t attend__memory_bytes(void) {
#ifdef _SC_PHYS_PAGES
    const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    if (pages > 0 && bytes > 0) return (uint64_t)pages * (uint64_t)bytes;
#endif
    return 0;
}

#ifdef MADV_WIPEONFORK
/* Every call of the library asks whether it runs in a forked child, and a system call is a tenth of
 * a small one. The kernel zeroes this page in a child (madvise(2), Linux 4.14), so a load answers.
 * The page is never given back: threads may ask until the process ends. */
static atomic_llong not_kept;

static atomic_llong *keep_process_id(atomic_llong *_Atomic *kept) {
    const size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    atomic_llong *known = &not_kept, *before = NULL;
    if (page != MAP_FAILED && madvise(page, bytes, MADV_WIPEONFORK) == 0) known = page;
    if (!atomic_compare_exchange_strong(kept, &before, known)) known = before;
    if (page != MAP_FAILED && known != page) (void)munmap(page, bytes);
    return known;
}

int64_t attend__process_id(void) {
    static atomic_llong *_Atomic kept;
    atomic_llong *known = atomic_load_explicit(&kept, memory_order_acquire);
    if (known == NULL) known = keep_process_id(&kept);
    if (known == &not_kept) return (int64_t)getpid();
    long long id = atomic_load_explicit(known, memory_order_relaxed);
    if (id != 0) return id;
    id = (long long)getpid();
    atomic_store_explicit(known, id, memory_order_relaxed);
    return id;
}
#else
int64_t attend__process_id(void) {
    return (int64_t)getpid();
}
#endif

int64_t attend__clock_nanoseconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
