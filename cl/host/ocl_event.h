/* SPDX-License-Identifier: Apache-2.0
 *
 * Events and gated work; see the order of work in ocl.h. */
#ifndef ATTEND_CL_HOST_OCL_EVENT_H
#define ATTEND_CL_HOST_OCL_EVENT_H

#include "ocl.h"

/* An event with one reference, NULL with the sentence set. */
attend_device_event *attend__ocl_event_new(attend_device *device);
void attend__ocl_event_retain(attend_device_event *event);

/* Members of the plugin's table. */
void attend__ocl_event_release(attend_device *device, attend_device_event *event);
attend_status attend__ocl_event_wait(attend_device *device, attend_device_event *event,
                                     int64_t nanoseconds);
attend_status attend__ocl_event_query(attend_device *device, attend_device_event *event,
                                      int32_t *complete);
attend_status attend__ocl_event_native(attend_device *device, attend_device_event *event,
                                       const char *kind, void **native);
attend_status attend__ocl_event_import(attend_device *device, const char *kind, void *native,
                                       attend_device_event **event);
attend_status attend__ocl_user_event_create(attend_device *device, attend_device_event **event);
attend_status attend__ocl_user_event_complete(attend_device *device, attend_device_event *event,
                                              attend_status status);
attend_status attend__ocl_enqueue_plan(attend_device *device, attend_device_plan *plan,
                                       const void *description, size_t wait_count,
                                       attend_device_event *const *waits,
                                       attend_device_event **event);
attend_status attend__ocl_finish(attend_device *device);

/* Gives the lock back, and then lets events end that were handed out before they had a command:
 * their end may call the application on this thread, which may call us. */
void attend__ocl_unlock(attend_device *device);
/* Under the lock: waits until no work is behind a gate; or none that may use the buffer. */
void attend__ocl_gates_wait(attend_device *device);
void attend__ocl_gates_wait_for(attend_device *device, const attend_device_buffer *buffer);
/* Under the lock, which it gives back meanwhile: waits until something may have changed, at most so
 * long; negative = no limit. */
void attend__ocl_gates_change(attend_device *device, int64_t nanoseconds);
/* Under the lock: submits what is ready now. */
void attend__ocl_gates_open(attend_device *device);
/* The same if something may be ready that nobody told of. */
void attend__ocl_gates_look(attend_device *device);
/* The application's own, not known to have ended. */
bool attend__ocl_foreign_open(const attend_device_event *event);
/* Under the lock: the work of `event` was submitted as `command` (owned from now on), or ended
 * with a status and does not run. With another status than OK `command` is the last before a call
 * that failed. Whoever waits for the event waits for that command then: it may use memory of the
 * host, which its owner gives back when he hears of the failure. Waiting at once would not do: the
 * command may wait for an event that the application completes after this call. */
void attend__ocl_event_submitted(attend_device *device, attend_device_event *event,
                                 cl_event command, attend_status status);
void attend__ocl_event_ended(attend_device *device, attend_device_event *event,
                             attend_status status);
/* The same for work that does not run since one of these waits failed: over when they are. */
void attend__ocl_event_dropped(attend_device *device, attend_device_event *event, size_t count,
                               attend_device_event *const *waits, attend_status status);
/* Under the lock, before the end: the call that failed last refused the work. */
void attend__ocl_event_refused(const attend_device *device, attend_device_event *event);
/* Under the lock: known to have failed, also what was cut short and still runs; *pending: it waits
 * for an open gate. */
attend_status attend__ocl_event_look(attend_device *device, attend_device_event *event,
                                     bool *pending);
/* Keeps the work until its waits are over; under the lock. */
attend_status attend__ocl_gate_add(attend_device *device, attend_device_plan *plan,
                                   const void *description, size_t wait_count,
                                   attend_device_event *const *waits, attend_device_event *event);
/* Under the lock: whether this thread has work behind a gate. */
bool attend__ocl_gate_of_this_thread(const attend_device *device);

#endif
