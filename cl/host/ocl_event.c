/* SPDX-License-Identifier: Apache-2.0
 *
 * Events of one attend_device. An event is a command of the queue, an event of the application's,
 * work behind a gate (no command yet), or the application's to complete (never one). */
#include "ocl_event.h"
#include "ocl_run.h"

#include <stdlib.h>
#include <string.h>

static void CL_CALLBACK follow(cl_event command, cl_int state, void *argument);

attend_device_event *attend__ocl_event_new(attend_device *device) {
    attend_device_event *const e = attend__recycler_take(&device->records, sizeof *e);
    if (e == NULL) {
        (void)attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                 "opencl: no memory for an event");
        return NULL;
    }
    memset(e, 0, sizeof *e);
    atomic_init(&e->references, 1);
    return e;
}

void attend__ocl_event_retain(attend_device_event *event) {
    atomic_fetch_add(&event->references, 1);
}

void attend__ocl_event_release(attend_device *device, attend_device_event *event) {
    if (event == NULL || atomic_fetch_sub(&event->references, 1) != 1) return;
    if (event->command) (void)device->cl->clReleaseEvent(event->command);
    if (event->handed_out) (void)device->cl->clReleaseEvent(event->handed_out);
    if (event->follower) /* a user event that nobody completed */
        follow(NULL, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, event->follower);
    attend__recycler_give(&device->records, event);
}

/* ---- how it ended ---------------------------------------------------------------------------- */

/* What a negative state of a command means: the device failed while it ran. */
static attend_status note_state(attend_device *device, attend_device_event *event, cl_int state) {
    if (state > CL_COMPLETE) return event->status;
    event->complete = true;
    if (state == CL_COMPLETE) return event->status;
    event->status = event->imported ? ATTEND_INVALID : ATTEND_DEVICE_LOST;
    event->state = state;
    event->refused = NULL;
    if (event->imported) return event->status; /* no work of ours */
    attend__ocl_lose(device);
    if (device->failed == ATTEND_OK) device->failed = event->status;
    return event->status;
}

static cl_int command_state(const attend_device *device, cl_event command) {
    cl_int state = CL_QUEUED;
    const cl_int error = device->cl->clGetEventInfo(command, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                    sizeof state, &state, NULL);
    return error == CL_SUCCESS ? state : error;
}

attend_status attend__ocl_event_look(attend_device *device, attend_device_event *event,
                                     bool *pending) {
    attend_status status = event->status;
    if (!event->complete && event->command != NULL)
        status = note_state(device, event, command_state(device, event->command));
    *pending = !event->complete && event->command == NULL;
    return status;
}

static attend_status ended(const attend_device *device, const attend_device_event *event) {
    if (event->status == ATTEND_OK) return ATTEND_OK;
    if (event->imported)
        return attend__ocl_refuse(device->host, event->status,
                                  "opencl: the application's event failed (%d)", (int)event->state);
    if (event->refused && event->state == CL_SUCCESS)
        return attend__ocl_refuse(device->host, event->status, "opencl: the work did not run: %s",
                                  event->refused);
    if (event->refused)
        return attend__ocl_refuse(device->host, event->status,
                                  "opencl: the work did not run: %s: %s (%d)", event->refused,
                                  attend__ocl_error_name(event->state), (int)event->state);
    if (event->state != 0)
        return attend__ocl_refuse(
            device->host, event->status, "opencl: the work failed on %s: %s (%d)",
            device->shared->facts.name, attend__ocl_error_name(event->state), (int)event->state);
    return attend__ocl_refuse(device->host, event->status,
                              "opencl: what the work waited for failed, it did not run");
}

/* ---- events handed out before there was a command -------------------------------------------- */

/* Of its own memory: it may outlive the event, and then the driver's callback frees it. */
typedef struct ocl_follower {
    struct ocl_follower *next;
    cl_api_clSetUserEventStatus set_status;
    cl_api_clReleaseEvent release;
    cl_event event;
    cl_event command; /* whose end it takes over, owned; NULL: it ends now */
    cl_int state;     /* < 0: how it ends, whatever the command does */
} ocl_follower;

/* Runs on a thread of the driver's: what was handed out ends as the command did. */
static void CL_CALLBACK follow(cl_event command, cl_int state, void *argument) {
    (void)command;
    ocl_follower *const f = argument;
    (void)f->set_status(f->event, f->state < CL_COMPLETE ? f->state : state);
    (void)f->release(f->event);
    free(f);
}

static void start(const attend_device *device, ocl_follower *f) {
    const cl_event command = f->command;
    if (command == NULL) {
        follow(NULL, f->state, f);
        return;
    }
    if (device->cl->clSetEventCallback(command, CL_COMPLETE, follow, f) != CL_SUCCESS)
        follow(command, CL_OUT_OF_HOST_MEMORY, f);
    (void)device->cl->clReleaseEvent(command);
}

void attend__ocl_unlock(attend_device *device) {
    ocl_follower *f = device->followers, *next;
    device->followers = NULL;
    attend__mutex_unlock(&device->lock);
    for (; f != NULL; f = next) {
        next = f->next;
        start(device, f);
    }
}

static attend_status hand_out(attend_device *device, attend_device_event *event) {
    cl_int error = CL_OUT_OF_HOST_MEMORY;
    ocl_follower *const f = malloc(sizeof *f);
    cl_event created = f ? device->cl->clCreateUserEvent(device->shared->context, &error) : NULL;
    if (error == CL_SUCCESS) {
        error = device->cl->clRetainEvent(created); /* the follower's */
        if (error != CL_SUCCESS) (void)device->cl->clReleaseEvent(created);
    }
    if (error != CL_SUCCESS) {
        free(f);
        return attend__ocl_fail(device->host, error, "an event to hand out");
    }
    *f = (ocl_follower){.set_status = device->cl->clSetUserEventStatus,
                        .release = device->cl->clReleaseEvent,
                        .event = created};
    event->handed_out = created;
    event->follower = f;
    return ATTEND_OK;
}

/* Under the lock; the rest happens without it (attend__ocl_unlock). */
static void end_handed_out(attend_device *device, attend_device_event *event, cl_event command) {
    ocl_follower *const f = event->follower;
    event->follower = NULL;
    if (f == NULL) return;
    f->command = command ? attend__ocl_keep(device, command) : NULL;
    f->state =
        event->status == ATTEND_OK ? CL_COMPLETE : CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST;
    f->next = device->followers;
    device->followers = f;
}

void attend__ocl_event_ended(attend_device *device, attend_device_event *event,
                             attend_status status) {
    event->complete = true;
    event->status = status;
    if (!event->user && status != ATTEND_OK && device->failed == ATTEND_OK) device->failed = status;
    end_handed_out(device, event, NULL);
    attend__condition_wake_all(&device->changed);
}

void attend__ocl_event_submitted(attend_device *device, attend_device_event *event,
                                 cl_event command, attend_status status) {
    event->command = command;
    if (status != ATTEND_OK) {
        event->cut_short = true;
        event->status = status;
        if (device->failed == ATTEND_OK) device->failed = status;
    }
    end_handed_out(device, event, command);
    attend__condition_wake_all(&device->changed);
}

/* The queue's last command ends no earlier than what is still running of the waits. */
void attend__ocl_event_dropped(attend_device *device, attend_device_event *event, size_t count,
                               attend_device_event *const *waits, attend_status status) {
    bool running = false;
    for (size_t i = 0; i < count; i++)
        running = running || (waits[i]->cut_short && !waits[i]->complete);
    const cl_event last = running && device->tail ? attend__ocl_keep(device, device->tail) : NULL;
    if (last)
        attend__ocl_event_submitted(device, event, last, status);
    else
        attend__ocl_event_ended(device, event, status);
}

void attend__ocl_event_refused(const attend_device *device, attend_device_event *event) {
    event->refused = device->failed_call;
    event->state = device->failed_error;
}

attend_status attend__ocl_event_native(attend_device *device, attend_device_event *event,
                                       const char *kind, void **native) {
    if (strcmp(kind, "cl_event") != 0)
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "opencl: an event has no native object \"%.40s\"", kind);
    attend_status status = ATTEND_OK;
    attend__mutex_lock(&device->lock);
    if (event->handed_out == NULL && (event->command == NULL || event->cut_short)) {
        status = hand_out(device, event);
        if (status == ATTEND_OK && (event->complete || event->command != NULL))
            end_handed_out(device, event, event->command);
    }
    *native = event->handed_out ? event->handed_out : event->command;
    attend__ocl_unlock(device);
    return status;
}

attend_status attend__ocl_event_import(attend_device *device, const char *kind, void *native,
                                       attend_device_event **event) {
    if (strcmp(kind, "cl_event") != 0)
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "opencl: events of kind \"%.40s\" are not known", kind);
    cl_context context = NULL;
    cl_int error =
        device->cl->clGetEventInfo(native, CL_EVENT_CONTEXT, sizeof context, &context, NULL);
    if (error == CL_SUCCESS && context != device->shared->context)
        return attend__ocl_refuse(device->host, ATTEND_INVALID,
                                  "opencl: the event belongs to another cl_context");
    if (error == CL_SUCCESS) error = device->cl->clRetainEvent(native);
    if (error != CL_SUCCESS) return attend__ocl_fail(device->host, error, "cl_event");
    *event = attend__ocl_event_new(device);
    if (*event == NULL) {
        (void)device->cl->clReleaseEvent(native);
        return ATTEND_OUT_OF_MEMORY;
    }
    (*event)->imported = true;
    (*event)->command = native;
    return ATTEND_OK;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* OpenCL has no wait with a limit: looks again and again, less and less often. */
static void poll(const attend_device *device, cl_event command, int64_t until) {
    int64_t pause = 20000;
    while (command_state(device, command) > CL_COMPLETE) {
        const int64_t left = until - attend__clock_nanoseconds();
        if (left <= 0) return;
        attend__thread_sleep(left < pause ? left : pause);
        if (pause < 1000000) pause *= 2;
    }
}

attend_status attend__ocl_event_wait(attend_device *device, attend_device_event *event,
                                     int64_t nanoseconds) {
    const int64_t now = attend__clock_nanoseconds();
    const int64_t until =
        nanoseconds >= 0 && nanoseconds < INT64_MAX - now ? now + nanoseconds : INT64_MAX;
    attend__mutex_lock(&device->lock);
    while (!event->complete && event->command == NULL) {
        const int64_t left = nanoseconds < 0 ? -1 : until - attend__clock_nanoseconds();
        if (nanoseconds >= 0 && left <= 0) break;
        attend__ocl_gates_change(device, left);
    }
    const bool running = !event->complete && event->command != NULL;
    attend__ocl_unlock(device);
    cl_int error = CL_SUCCESS;
    if (running && nanoseconds < 0)
        error = device->cl->clWaitForEvents(1, &event->command);
    else if (running)
        poll(device, event->command, until);
    bool pending;
    attend__mutex_lock(&device->lock);
    (void)attend__ocl_event_look(device, event, &pending);
    const bool complete = event->complete;
    attend__ocl_unlock(device);
    if (error != CL_SUCCESS && (event->status == ATTEND_OK || !complete))
        return attend__ocl_fail(device->host, error, "clWaitForEvents");
    if (complete) return ended(device, event);
    return attend__ocl_refuse(device->host, ATTEND_TIMEOUT,
                              "opencl: the event is not complete after %lld ns",
                              (long long)nanoseconds);
}

attend_status attend__ocl_event_query(attend_device *device, attend_device_event *event,
                                      int32_t *complete) {
    bool pending;
    attend__mutex_lock(&device->lock);
    attend__ocl_gates_look(device);
    (void)attend__ocl_event_look(device, event, &pending);
    *complete = event->complete;
    attend__ocl_unlock(device);
    return *complete ? ended(device, event) : ATTEND_OK;
}
