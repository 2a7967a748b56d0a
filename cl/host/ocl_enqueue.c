/* SPDX-License-Identifier: Apache-2.0
 *
 * How work comes to the queue: at once, or behind a gate; and how all of it is waited for. */
#include "ocl_event.h"
#include "ocl_run.h"

void attend__ocl_lose(attend_device *device) {
    device->lost = true;
    atomic_store(&device->shared->lost, true);
}

attend_status attend__ocl_lost(const attend_device *device) {
    return attend__ocl_refuse(device->host, ATTEND_DEVICE_LOST,
                              "opencl: %s stopped working; open a new context",
                              device->shared->facts.name);
}

/* What the waits say now: a failure, or that the work has to be kept. */
static attend_status look_at_waits(attend_device *device, size_t count,
                                   attend_device_event *const *waits, bool *pending) {
    attend_status status = ATTEND_OK;
    *pending = attend__ocl_gate_of_this_thread(device);
    for (size_t i = 0; i < count; i++) {
        bool one;
        const attend_status waited = attend__ocl_event_look(device, waits[i], &one);
        if (status == ATTEND_OK) status = waited;
        *pending = *pending || one || (device->gates && attend__ocl_foreign_open(waits[i]));
    }
    return status;
}

static attend_status enqueue(attend_device *device, attend_device_plan *plan,
                             const void *description, size_t wait_count,
                             attend_device_event *const *waits, attend_device_event *event) {
    if (device->lost) return attend__ocl_lost(device);
    bool pending;
    attend__ocl_gates_look(device);
    const attend_status waited = look_at_waits(device, wait_count, waits, &pending);
    if (pending) return attend__ocl_gate_add(device, plan, description, wait_count, waits, event);
    if (waited != ATTEND_OK) {
        attend__ocl_event_dropped(device, event, wait_count, waits, waited);
        return ATTEND_OK;
    }
    cl_event command = NULL;
    const attend_status status =
        attend__ocl_submit_waiting(device, plan, description, wait_count, waits, &command);
    if (command == NULL) return status;
    if (status != ATTEND_OK) attend__ocl_event_refused(device, event);
    attend__ocl_event_submitted(device, event, command, status);
    return ATTEND_OK;
}

attend_status attend__ocl_enqueue_plan(attend_device *device, attend_device_plan *plan,
                                       const void *description, size_t wait_count,
                                       attend_device_event *const *waits,
                                       attend_device_event **event) {
    attend_device_event *const e = attend__ocl_event_new(device);
    if (e == NULL) return ATTEND_OUT_OF_MEMORY;
    attend__mutex_lock(&device->lock);
    const attend_status status = enqueue(device, plan, description, wait_count, waits, e);
    attend__ocl_unlock(device);
    if (status == ATTEND_OK)
        *event = e;
    else
        attend__ocl_event_release(device, e);
    return status;
}

attend_status attend__ocl_plan_once(attend_device *device, attend_device_plan *plan,
                                    const void *description) {
    attend_device_event *done = NULL;
    attend_status status = attend__ocl_enqueue_plan(device, plan, description, 0, NULL, &done);
    if (status != ATTEND_OK) return status;
    status = attend__ocl_event_wait(device, done, -1);
    attend__ocl_event_release(device, done);
    return status;
}

attend_status attend__ocl_user_event_create(attend_device *device, attend_device_event **event) {
    *event = attend__ocl_event_new(device);
    if (*event == NULL) return ATTEND_OUT_OF_MEMORY;
    (*event)->user = true;
    return ATTEND_OK;
}

attend_status attend__ocl_user_event_complete(attend_device *device, attend_device_event *event,
                                              attend_status status) {
    attend__mutex_lock(&device->lock);
    attend__ocl_event_ended(device, event, status);
    attend__ocl_gates_open(device);
    attend__ocl_unlock(device);
    return ATTEND_OK;
}

/* By the last event, never by clFinish: the queue may be the application's. */
attend_status attend__ocl_finish(attend_device *device) {
    attend__mutex_lock(&device->lock);
    attend__ocl_gates_wait(device);
    const cl_event tail = device->tail ? attend__ocl_keep(device, device->tail) : NULL;
    attend__ocl_unlock(device);
    cl_int state = CL_COMPLETE;
    if (tail) {
        const cl_int error = device->cl->clWaitForEvents(1, &tail);
        (void)device->cl->clGetEventInfo(tail, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state,
                                         &state, NULL);
        if (state >= CL_COMPLETE) state = error;
        (void)device->cl->clReleaseEvent(tail);
    }
    attend__mutex_lock(&device->lock);
    if (state < CL_COMPLETE) attend__ocl_lose(device);
    attend_status status = device->failed;
    if (status == ATTEND_OK && state < CL_COMPLETE) status = ATTEND_DEVICE_LOST;
    device->failed = ATTEND_OK;
    attend__ocl_unlock(device);
    if (status == ATTEND_OK) return status;
    if (state >= CL_COMPLETE)
        return attend__ocl_refuse(device->host, status, "opencl: enqueued work failed");
    return attend__ocl_refuse(device->host, status, "opencl: enqueued work failed on %s: %s (%d)",
                              device->shared->facts.name, attend__ocl_error_name(state),
                              (int)state);
}
