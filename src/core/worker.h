/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that runs enqueued work of a host-memory device: one per context, started at the first
 * enqueue. Items run one at a time, in the order of submission, except that an item whose waits are
 * not complete lets later ones pass. */
#ifndef ATTEND_CORE_WORKER_H
#define ATTEND_CORE_WORKER_H

#include "context.h"

/* Called exactly once. `waited` OK: do the work and return its status. Otherwise a wait failed: do
 * nothing but give up what `argument` holds. Either way `argument` is the callee's to release. */
typedef attend_status attend__work_fn(void *argument, attend_status waited);

/* Takes references on `waits` (of this context, checked by attend__waits_check) and on `event`,
 * which completes with the status of the work. On failure (OUT_OF_MEMORY) `work` is not called. */
attend_status attend__worker_submit(attend_context *context, size_t wait_count,
                                    attend_event *const *waits, attend__work_fn *work,
                                    void *argument, attend_event *event);

/* Waits until what was submitted before has ended. */
void attend__worker_drain(attend_context *context);
/* The same, and the status of the first item that failed since the last call. */
attend_status attend__worker_finish(attend_context *context);
/* An event of this context completed: items may have become ready. */
void attend__worker_wake(attend_context *context);
/* Ends the thread. No item is left by then; may be called on the worker's own thread. */
void attend__worker_release(attend_context *context);

#endif
