/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the CPU backend: the device, its plans, and how an operation joins it. An operation is two
 * functions, listed in cpu_operations.inc:
 *
 *   plan  looks at the largest description, says how much scratch one worker needs and what the
 *         kernel is called. May fail with a sentence (attend__cpu_fail).
 *   run   splits the work into tasks whose results do not depend on each other, and hands them to
 *         attend__cpu_tasks. Neither allocates nor fails for what the host has validated. */
#ifndef ATTEND_CPU_BACKEND_H
#define ATTEND_CPU_BACKEND_H

#include "attend/plugin.h"
#include "cpu_kernels.h"
#include "cpu_workspace.h"

struct attend_device {
    attend_host host;
    const attend__cpu_kernels *kernels;
    int32_t threads;
    attend__cpu_workspace workspace; /* of workers */
    attend__cpu_workspace shared;    /* of calls */
};

struct attend_device_plan {
    attend_operation operation;
    size_t scratch_bytes; /* of one worker */
    size_t shared_bytes;  /* of a call */
};

/* What `plan` fills; all zero before. */
typedef struct attend__cpu_needs {
    size_t scratch_bytes; /* of one worker, 0 = none */
    size_t shared_bytes;  /* of a call, 0 = none */
    char kernel[64];      /* "attention_f32_12x32": the backend appends "__avx512" */
} attend__cpu_needs;

typedef struct attend__cpu_operation {
    attend_status (*plan)(attend_device *device, const void *largest, attend__cpu_needs *needs);
    attend_status (*run)(attend_device *device, attend_device_plan *plan, const void *description);
} attend__cpu_operation;

#define ATTEND_X(name, stem)                                                                       \
    attend_status attend__cpu_##stem##_plan(attend_device *, const void *, attend__cpu_needs *);   \
    attend_status attend__cpu_##stem##_run(attend_device *, attend_device_plan *, const void *);
#include "cpu_operations.inc"
#undef ATTEND_X

attend_status attend__cpu_weights_create(attend_device *device, const attend_tensor *w,
                                         attend_device_weights **weights);
void attend__cpu_weights_release(attend_device *device, attend_device_weights *weights);

/* plugin.h: cache_layout (cpu_layout.c). */
void attend__cpu_cache_layout(attend_device *device, const attend_cache_desc *description,
                              attend_cache_layout *layout);

/* Leaves the sentence for the caller and returns `status`. */
attend_status attend__cpu_fail(const attend_host *host, attend_status status, const char *text);

/* Does task(argument, index, scratch) for each index in 0 .. count - 1, on up to device->threads
 * workers that take the next index as they become free; small indexes start first. `scratch` is the
 * worker's own plan->scratch_bytes, aligned to 64, with undefined contents. `work` estimates the
 * multiplications of it all: little work stays on the calling thread. workspace: the caller's, or a
 * tensor not given. */
typedef void attend__cpu_task_fn(void *argument, int64_t index, void *scratch);
typedef struct attend__cpu_work {
    attend__cpu_task_fn *task;
    void *argument;
    int64_t count;
    double work;
    const attend_tensor *workspace; /* NULL: none */
} attend__cpu_work;
/* How many workers that would be. */
int32_t attend__cpu_workers(const attend_device *device, const attend__cpu_work *work);
void attend__cpu_tasks(attend_device *device, const attend_device_plan *plan,
                       const attend__cpu_work *work);

/* plan->shared_bytes, aligned to 64, from the caller's workspace or else a slot of the device; NULL
 * where the plan has none. To be taken before the tasks that use it, and given back after them. */
void *attend__cpu_shared_take(attend_device *device, const attend_device_plan *plan,
                              const attend_tensor *workspace, int32_t *slot);
void attend__cpu_shared_give_back(attend_device *device, int32_t slot);

#endif
