/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.h. The thread never holds its lock while it runs work or completes an event. The last
 * reference to a context may be dropped by the work itself: then the thread frees the worker when
 * it ends. */
#include "worker.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct item {
    struct item *next;
    attend__work_fn *work;
    void *argument;
    attend_event *event;
    size_t wait_count;
    attend_event *waits[];
} item;

typedef struct attend__worker {
    attend__mutex lock;
    attend__condition changed;
    attend__thread thread;
    item *first;
    bool running, stopping, orphaned;
    attend_status failed; /* first failure since the last finish */
} attend__worker;

/* Complete, and OK or the first status that is not. */
static bool waits_complete(const item *i, attend_status *status) {
    *status = ATTEND_OK;
    for (size_t w = 0; w < i->wait_count; w++) {
        attend__mutex_lock(&i->waits[w]->lock);
        const bool complete = i->waits[w]->complete;
        const attend_status waited = i->waits[w]->status;
        attend__mutex_unlock(&i->waits[w]->lock);
        if (!complete) return false;
        if (*status == ATTEND_OK) *status = waited;
    }
    return true;
}

/* Under the lock: the first item that can run, taken out of the list. */
static item *take_ready(attend__worker *worker, attend_status *waited) {
    for (item **link = &worker->first; *link; link = &(*link)->next) {
        item *i = *link;
        if (!waits_complete(i, waited)) continue;
        *link = i->next;
        return i;
    }
    return NULL;
}

static void run_item(attend__worker *worker, item *i, attend_status waited) {
    attend__set_error("");
    const attend_status status = i->work(i->argument, waited);
    if (status != ATTEND_OK)
        snprintf(i->event->sentence, sizeof i->event->sentence, "%s", attend_error_text());
    attend__mutex_lock(&worker->lock);
    if (worker->failed == ATTEND_OK) worker->failed = status;
    attend__mutex_unlock(&worker->lock);
    attend__event_complete(i->event, status);
    for (size_t w = 0; w < i->wait_count; w++)
        attend_event_release(i->waits[w]);
    attend_event_release(i->event); /* may be the end of the context */
    free(i);
}

static void destroy(attend__worker *worker) {
    attend__condition_destroy(&worker->changed);
    attend__mutex_destroy(&worker->lock);
    free(worker);
}

static void run(void *argument) {
    attend__worker *worker = argument;
    attend__mutex_lock(&worker->lock);
    while (!worker->stopping || worker->first) {
        attend_status waited;
        item *i = take_ready(worker, &waited);
        if (!i) {
            attend__condition_wait(&worker->changed, &worker->lock);
            continue;
        }
        worker->running = true;
        attend__mutex_unlock(&worker->lock);
        run_item(worker, i, waited);
        attend__mutex_lock(&worker->lock);
        worker->running = false;
        attend__condition_wake_all(&worker->changed);
    }
    const bool orphaned = worker->orphaned;
    attend__mutex_unlock(&worker->lock);
    if (orphaned) destroy(worker);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static attend__worker *start(void) {
    attend__worker *worker = calloc(1, sizeof *worker);
    if (!worker || !attend__mutex_create(&worker->lock)) {
        free(worker);
        return NULL;
    }
    if (attend__condition_create(&worker->changed)) {
        if (attend__thread_start(&worker->thread, run, worker)) return worker;
        attend__condition_destroy(&worker->changed);
    }
    attend__mutex_destroy(&worker->lock);
    free(worker);
    return NULL;
}

static attend__worker *worker_of(attend_context *context, bool make) {
    attend__mutex_lock(&context->lock);
    if (!context->worker && make) context->worker = start();
    attend__worker *worker = context->worker;
    attend__mutex_unlock(&context->lock);
    return worker;
}

attend_status attend__worker_submit(attend_context *context, size_t wait_count,
                                    attend_event *const *waits, attend__work_fn *work,
                                    void *argument, attend_event *event) {
    attend__worker *worker = worker_of(context, true);
    item *i = worker ? calloc(1, sizeof *i + wait_count * sizeof *waits) : NULL;
    if (!i)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "enqueue: no memory for %s",
                            worker ? "the work" : "a thread");
    i->work = work;
    i->argument = argument;
    i->event = event;
    attend__event_retain(event);
    i->wait_count = wait_count;
    for (size_t w = 0; w < wait_count; w++) {
        i->waits[w] = waits[w];
        attend__event_retain(waits[w]);
    }
    attend__mutex_lock(&worker->lock);
    item **end = &worker->first;
    while (*end)
        end = &(*end)->next;
    *end = i;
    attend__condition_wake_all(&worker->changed);
    attend__mutex_unlock(&worker->lock);
    return ATTEND_OK;
}

attend_status attend__worker_finish(attend_context *context) {
    attend__worker *worker = worker_of(context, false);
    if (!worker) return ATTEND_OK;
    attend__mutex_lock(&worker->lock);
    while (worker->first || worker->running)
        attend__condition_wait(&worker->changed, &worker->lock);
    const attend_status failed = worker->failed;
    worker->failed = ATTEND_OK;
    attend__mutex_unlock(&worker->lock);
    return failed;
}

void attend__worker_drain(attend_context *context) {
    attend__worker *worker = worker_of(context, false);
    if (!worker) return;
    attend__mutex_lock(&worker->lock);
    while (worker->first || worker->running)
        attend__condition_wait(&worker->changed, &worker->lock);
    attend__mutex_unlock(&worker->lock);
}

void attend__worker_wake(attend_context *context) {
    attend__worker *worker = worker_of(context, false);
    if (!worker) return;
    attend__mutex_lock(&worker->lock);
    attend__condition_wake_all(&worker->changed);
    attend__mutex_unlock(&worker->lock);
}

void attend__worker_release(attend_context *context) {
    attend__worker *worker = context->worker;
    if (!worker) return;
    context->worker = NULL;
    const bool own = attend__thread_is_current(&worker->thread);
    if (own) attend__thread_detach(worker->thread);
    attend__mutex_lock(&worker->lock);
    worker->stopping = true;
    worker->orphaned = own;
    attend__condition_wake_all(&worker->changed);
    attend__mutex_unlock(&worker->lock);
    if (own) return;
    attend__thread_join(worker->thread);
    destroy(worker);
}
