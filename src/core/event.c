/* SPDX-License-Identifier: Apache-2.0
 *
 * Events. Those of a device with a queue of its own wrap the device's; the others are a flag, a
 * status and a condition. */
#include "context.h"
#include "error.h"
#include "launch.h"
#include "worker.h"

static attend_status check(const attend_event *event) {
    if (!event) return attend__fail(ATTEND_NULL_POINTER, "event: is NULL");
    return attend__context_check(event->context);
}

attend_status attend__event_create(attend_context *context, attend_device_event *device,
                                   attend_event **event) {
    attend_event *e = attend__recycler_take(&context->calls, sizeof *e);
    if (!e) return attend__fail(ATTEND_OUT_OF_MEMORY, "event: no memory");
    *e = (attend_event){.context = context, .device = device};
    atomic_init(&e->references, 1);
    if (!attend__mutex_create(&e->lock)) {
        attend__recycler_give(&context->calls, e);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "event: no lock");
    }
    if (!attend__condition_create(&e->changed)) {
        attend__mutex_destroy(&e->lock);
        attend__recycler_give(&context->calls, e);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "event: no lock");
    }
    attend__context_retain(context);
    *event = e;
    return ATTEND_OK;
}

void attend__event_retain(attend_event *event) {
    atomic_fetch_add(&event->references, 1);
}

void attend_event_release(attend_event *event) {
    if (!event || event->context->process != attend__process_id()) return;
    /* what ended work still holds may be the last to hold the context */
    if (event->device) attend__retired_reap(event->context, false);
    if (atomic_fetch_sub(&event->references, 1) != 1) return;
    attend_context *context = event->context;
    if (event->device) context->table.event_release(context->device, event->device);
    attend__condition_destroy(&event->changed);
    attend__mutex_destroy(&event->lock);
    attend__recycler_give(&context->calls, event);
    attend__context_release(context);
}

void attend__event_complete(attend_event *event, attend_status status) {
    attend__mutex_lock(&event->lock);
    event->complete = true;
    event->status = status;
    attend__condition_wake_all(&event->changed);
    attend__mutex_unlock(&event->lock);
    attend__worker_wake(event->context);
}

static attend_status ended(const attend_event *event, attend_status status) {
    if (status == ATTEND_OK) return status;
    return attend__fail(status, "the work failed: %s",
                        *event->sentence ? event->sentence : attend_status_text(status));
}

attend_status attend_event_wait(attend_event *event, int64_t nanoseconds) {
    attend_status status = check(event);
    if (status != ATTEND_OK) return status;
    attend_context *context = event->context;
    if (event->device) {
        status = context->table.event_wait(context->device, event->device, nanoseconds);
        attend__retired_reap(context, false);
        return status;
    }
    const int64_t now = attend__clock_nanoseconds();
    const int64_t until = nanoseconds < INT64_MAX - now ? now + nanoseconds : INT64_MAX;
    attend__mutex_lock(&event->lock);
    bool in_time = true;
    while (!event->complete && in_time) {
        const int64_t left = nanoseconds < 0 ? -1 : until - attend__clock_nanoseconds();
        in_time = (nanoseconds < 0 || left > 0) &&
                  attend__condition_wait_for(&event->changed, &event->lock, left);
    }
    const bool complete = event->complete;
    status = event->status;
    attend__mutex_unlock(&event->lock);
    if (!complete)
        return attend__fail(ATTEND_TIMEOUT, "event: not complete after %lld ns",
                            (long long)nanoseconds);
    return ended(event, status);
}

attend_status attend_event_query(attend_event *event, int32_t *complete) {
    const attend_status status = check(event);
    if (status != ATTEND_OK) return status;
    if (!complete) return attend__fail(ATTEND_NULL_POINTER, "complete: is NULL");
    attend_context *context = event->context;
    if (event->device) return context->table.event_query(context->device, event->device, complete);
    attend__mutex_lock(&event->lock);
    *complete = event->complete;
    const attend_status work = event->complete ? event->status : ATTEND_OK;
    attend__mutex_unlock(&event->lock);
    return ended(event, work);
}

attend_status attend_event_native(attend_event *event, const char *kind, void **native) {
    const attend_status status = check(event);
    if (status != ATTEND_OK) return status;
    if (!kind || !native)
        return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", kind ? "native" : "kind");
    *native = NULL;
    attend_context *context = event->context;
    if (!event->device || !context->table.event_native)
        return attend__fail(ATTEND_UNSUPPORTED, "event: %s has no native object \"%.40s\"",
                            context->backend_name, kind);
    return context->table.event_native(context->device, event->device, kind, native);
}

attend_status attend_event_import(attend_context *context, const char *kind, void *native,
                                  attend_event **event) {
    if (!event) return attend__fail(ATTEND_NULL_POINTER, "event: is NULL");
    *event = NULL;
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (!kind || !native)
        return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", kind ? "native" : "kind");
    if (!context->table.event_import)
        return attend__fail(ATTEND_UNSUPPORTED, "event: %s cannot wait for a \"%.40s\"",
                            context->backend_name, kind);
    attend_device_event *device = NULL;
    status = context->table.event_import(context->device, kind, native, &device);
    if (status != ATTEND_OK) return status;
    status = attend__event_create(context, device, event);
    if (status != ATTEND_OK) context->table.event_release(context->device, device);
    return status;
}

attend_status attend_user_event_create(attend_context *context, attend_event **event) {
    if (!event) return attend__fail(ATTEND_NULL_POINTER, "event: is NULL");
    *event = NULL;
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    attend_device_event *device = NULL;
    if (!attend__host_memory(context))
        status = context->table.user_event_create(context->device, &device);
    if (status != ATTEND_OK) return status;
    status = attend__event_create(context, device, event);
    if (status == ATTEND_OK)
        (*event)->user = true;
    else if (device)
        context->table.event_release(context->device, device);
    return status;
}

attend_status attend_user_event_complete(attend_event *event, attend_status status) {
    attend_status checked = check(event);
    if (checked != ATTEND_OK) return checked;
    if (!event->user) return attend__fail(ATTEND_INVALID, "event: not a user event");
    if (status > 0 || status < ATTEND_INTERNAL || status == ATTEND_TIMEOUT)
        return attend__fail(ATTEND_INVALID, "status: %d is no status that work ends with",
                            (int)status);
    attend__mutex_lock(&event->lock);
    const bool twice = event->claimed;
    event->claimed = true;
    attend__mutex_unlock(&event->lock);
    if (twice) return attend__fail(ATTEND_INVALID, "event: completed already");
    attend_context *context = event->context;
    if (event->device)
        return context->table.user_event_complete(context->device, event->device, status);
    attend__event_complete(event, status);
    return ATTEND_OK;
}

attend_status attend__waits_check(const attend_context *context, size_t count,
                                  attend_event *const *waits) {
    if (count && !waits)
        return attend__fail(ATTEND_NULL_POINTER, "waits: is NULL, %zu are announced", count);
    for (size_t i = 0; i < count; i++) {
        if (!waits[i]) return attend__fail(ATTEND_NULL_POINTER, "waits[%zu]: is NULL", i);
        if (waits[i]->context != context)
            return attend__fail(ATTEND_INVALID, "waits[%zu]: an event of another context", i);
    }
    return ATTEND_OK;
}
