/* SPDX-License-Identifier: Apache-2.0
 *
 * thread_pool.h. One 64-bit word publishes a job: its generation in the upper half, the tasks not
 * yet claimed in the lower. A thread claims a task by lowering the word, so a thread that comes
 * late finds nothing left, or another generation, and can never touch a job that is over: the
 * caller need not wait for threads that had no task.
 *
 * Idle threads look at the word for a short time before they sleep, and so does a caller whose last
 * tasks run elsewhere: a layer forks and joins dozens of times within microseconds, and waking a
 * thread costs more than that. */
#include "base/thread_pool.h"
#include "base/memory.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#include <immintrin.h>
#define relax() _mm_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

enum { SPIN_NANOSECONDS = 40000, LOOKS_PER_CLOCK = 32, CACHE_LINE = 64, MOST_THREADS = 4096 };

struct attend__thread_pool {
    _Alignas(CACHE_LINE) _Atomic uint64_t word; /* generation << 32 | unclaimed tasks */
    atomic_int sleeping;
    /* Written by the owner of the job before `word`, read by those who claimed a task of it. */
    void (*task)(void *argument, int32_t index);
    void *argument;
    int32_t count;
    _Alignas(CACHE_LINE) atomic_int unfinished; /* tasks of this job that have not ended */
    atomic_bool caller_sleeps;
    _Alignas(CACHE_LINE) atomic_bool busy; /* a job is under way: held by its caller */
    atomic_bool stop;
    bool spin, started;
    int32_t threads, running; /* asked for, the caller among them; workers that run */
    attend__thread *workers;
    attend__mutex lock;
    attend__condition wake, finished;
};

static uint64_t generation_of(uint64_t word) {
    return word >> 32;
}

/* Runs tasks of this generation until none is left unclaimed; returns how many. */
static int run_tasks(attend__thread_pool *pool, uint64_t generation) {
    int done = 0;
    uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
    while (generation_of(word) == generation && (uint32_t)word != 0) {
        if (!atomic_compare_exchange_weak_explicit(&pool->word, &word, word - 1,
                                                   memory_order_acq_rel, memory_order_acquire))
            continue;
        pool->task(pool->argument, pool->count - (int32_t)(uint32_t)word);
        done++;
        word = atomic_load_explicit(&pool->word, memory_order_acquire);
    }
    return done;
}

/* True as soon as `ready` says so, false when the time for looking is over. */
static bool look(const attend__thread_pool *pool, uint64_t seen,
                 bool (*ready)(const attend__thread_pool *pool, uint64_t seen)) {
    if (ready(pool, seen)) return true;
    if (!pool->spin) return false;
    const int64_t end = attend__clock_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < LOOKS_PER_CLOCK; i++) {
            if (ready(pool, seen)) return true;
            relax();
        }
    } while (attend__clock_nanoseconds() < end);
    return false;
}

static bool job_ready(const attend__thread_pool *pool, uint64_t seen) {
    return generation_of(atomic_load_explicit(&pool->word, memory_order_acquire)) != seen ||
           atomic_load_explicit(&pool->stop, memory_order_relaxed);
}

static bool job_done(const attend__thread_pool *pool, uint64_t seen) {
    (void)seen;
    return atomic_load_explicit(&pool->unfinished, memory_order_acquire) == 0;
}

/* `sleeping` is raised before the word is read again, the caller writes the word before it reads
 * `sleeping`; both in one order for all threads, so one of the two sees the other. The same holds
 * for caller_sleeps and unfinished. */
static void sleep_until_job(attend__thread_pool *pool, uint64_t seen) {
    attend__mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleeping, 1);
    while (generation_of(atomic_load(&pool->word)) == seen && !atomic_load(&pool->stop))
        attend__condition_wait(&pool->wake, &pool->lock);
    atomic_fetch_sub(&pool->sleeping, 1);
    attend__mutex_unlock(&pool->lock);
}

static void wake(attend__thread_pool *pool, attend__condition *condition) {
    attend__mutex_lock(&pool->lock);
    attend__condition_wake_all(condition);
    attend__mutex_unlock(&pool->lock);
}

static void worker_main(void *memory) {
    attend__thread_pool *pool = memory;
    uint64_t seen = 0;
    for (;;) {
        if (!look(pool, seen, job_ready)) sleep_until_job(pool, seen);
        if (atomic_load(&pool->stop)) return;
        seen = generation_of(atomic_load_explicit(&pool->word, memory_order_acquire));
        const int done = run_tasks(pool, seen);
        if (done == 0) continue;
        if (atomic_fetch_sub(&pool->unfinished, done) == done && atomic_load(&pool->caller_sleeps))
            wake(pool, &pool->finished);
    }
}

static void start(attend__thread_pool *pool) {
    pool->started = true;
    pool->workers = calloc((size_t)pool->threads - 1, sizeof *pool->workers);
    if (pool->workers == NULL) return;
    while (pool->running < pool->threads - 1 &&
           attend__thread_start(&pool->workers[pool->running], worker_main, pool))
        pool->running++;
}

attend__thread_pool *attend__thread_pool_create(int32_t threads) {
    attend__thread_pool *pool = attend__aligned_allocate(sizeof *pool, CACHE_LINE);
    if (pool == NULL) return NULL;
    *pool = (attend__thread_pool){0};
    pool->threads = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    pool->spin = attend__processor_count() > 1;
    if (attend__mutex_create(&pool->lock)) {
        if (attend__condition_create(&pool->wake)) {
            if (attend__condition_create(&pool->finished)) return pool;
            attend__condition_destroy(&pool->wake);
        }
        attend__mutex_destroy(&pool->lock);
    }
    attend__aligned_free(pool);
    return NULL;
}

void attend__thread_pool_release(attend__thread_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->stop, true);
    wake(pool, &pool->wake);
    for (int32_t i = 0; i < pool->running; i++)
        attend__thread_join(pool->workers[i]);
    free(pool->workers);
    attend__condition_destroy(&pool->finished);
    attend__condition_destroy(&pool->wake);
    attend__mutex_destroy(&pool->lock);
    attend__aligned_free(pool);
}

static void run_alone(int32_t count, void (*task)(void *argument, int32_t index), void *argument) {
    for (int32_t i = 0; i < count; i++)
        task(argument, i);
}

static void join(attend__thread_pool *pool) {
    if (look(pool, 0, job_done)) return;
    attend__mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->unfinished) != 0)
        attend__condition_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    attend__mutex_unlock(&pool->lock);
}

void attend__thread_pool_run(attend__thread_pool *pool, int32_t count,
                             void (*task)(void *argument, int32_t index), void *argument) {
    bool idle = false;
    if (count <= 1 || pool->threads == 1 ||
        !atomic_compare_exchange_strong_explicit(&pool->busy, &idle, true, memory_order_acquire,
                                                 memory_order_relaxed)) {
        run_alone(count, task, argument);
        return;
    }
    if (!pool->started) start(pool);
    pool->task = task;
    pool->argument = argument;
    pool->count = count;
    atomic_store_explicit(&pool->unfinished, count, memory_order_relaxed);
    const uint64_t generation =
        (generation_of(atomic_load_explicit(&pool->word, memory_order_relaxed)) + 1) & UINT32_MAX;
    atomic_store(&pool->word, generation << 32 | (uint32_t)count);
    if (atomic_load(&pool->sleeping) > 0) wake(pool, &pool->wake);
    const int done = run_tasks(pool, generation);
    if (atomic_fetch_sub(&pool->unfinished, done) != done) join(pool);
    atomic_store_explicit(&pool->busy, false, memory_order_release);
}
