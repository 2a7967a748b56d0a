/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files that enqueue work: runs, and the memory in which small host arrays travel. */
#ifndef ATTEND_CL_HOST_OCL_RUN_H
#define ATTEND_CL_HOST_OCL_RUN_H

#include "ocl.h"

/* Groups of one command in dimensions 1 and 2: some drivers of GPUs stop at 65535. Of launches that
 * have more, get_group_id and get_global_size say what one command has. */
enum { OCL_MOST_GROUPS = 32768 };

/* Host memory, which must not change until the copy has run, and device memory of one run. */
struct ocl_staging {
    ocl_staging *next;
    cl_mem memory;
    cl_event busy; /* the copy; NULL when never used */
    char bytes[];  /* plan->small_bytes */
};

ocl_staging *attend__ocl_staging_new(attend_device *device, const attend_device_plan *plan,
                                     attend_status *status);
void attend__ocl_staging_release(attend_device *device, ocl_staging *staging);

/* Under the device's lock. Enqueues the plan's work behind `waits` and gives its last event, which
 * the caller owns. With nothing to do *last is a marker's. A failure gives the event of what was
 * enqueued before it, NULL if nothing was: that may still use memory of the host. */
attend_status attend__ocl_submit(attend_device *device, attend_device_plan *plan,
                                 const void *description, cl_uint wait_count, const cl_event *waits,
                                 cl_event *last);

/* The same behind events of ours, all of which are over or commands by now. On failure the device
 * knows the call. */
attend_status attend__ocl_submit_waiting(attend_device *device, attend_device_plan *plan,
                                         const void *description, size_t wait_count,
                                         attend_device_event *const *waits, cl_event *command);

/* The device stopped working: for this and, since its context is dead with it, for whoever opens
 * the device next, who gets a context of its own. Under the lock. */
void attend__ocl_lose(attend_device *device);
/* DEVICE_LOST, with what to do. */
attend_status attend__ocl_lost(const attend_device *device);

/* Takes a reference to a command's event; where the driver gives none, waits for its end instead
 * and gives NULL: what is over needs no waiting for. */
cl_event attend__ocl_keep(const attend_device *device, cl_event event);

/* Keeps `event` as the device's last command; under the lock. */
void attend__ocl_set_tail(attend_device *device, cl_event event);

#endif
