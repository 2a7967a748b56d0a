/* SPDX-License-Identifier: Apache-2.0
 *
 * Run and enqueue on devices that work on host memory. Where the device has memory of its own,
 * launch_device.c takes over. */
#include "launch.h"

#include "error.h"
#include "launch_device.h"
#include "staging.h"
#include "validate.h"
#include "worker.h"

#include <string.h>

static void resolve_buffers(const attend__fields *fields, void *arguments) {
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(arguments, &fields->list[i]);
        if (t->type == ATTEND_NO_TYPE || t->buffer == NULL) continue;
        t->data = t->buffer->host;
        t->buffer = NULL;
    }
}

attend_status attend__launch_run(const attend__call *call, const void *arguments) {
    if (!attend__host_memory(call->context)) return attend__device_run(call, arguments);
    attend__arguments resolved;
    memcpy(&resolved, arguments, call->fields->size);
    resolve_buffers(call->fields, &resolved);
    attend__sequence sequence = {.context = call->context};
    return call->body(call->object, &resolved, &sequence);
}

/* ---- enqueue -------------------------------------------------------------------------------- */

/* One allocation: this head, the arguments, the buffers that are held, copies of small host arrays.
 */
typedef struct job {
    attend__call call;
    size_t buffer_count;
    attend_buffer *buffers[ATTEND__MAX_FIELDS];
    attend__arguments arguments;
} job;

static void release_job(job *j) {
    attend_context *context = j->call.context;
    for (size_t i = 0; i < j->buffer_count; i++)
        attend_buffer_release(j->buffers[i]);
    if (j->call.drop != NULL) j->call.drop(j->call.object);
    attend__recycler_give(&context->calls, j);
    attend__context_release(context);
}

static attend_status work(void *argument, attend_status waited) {
    job *j = argument;
    attend_status status = waited;
    if (status == ATTEND_OK) {
        attend__sequence sequence = {.context = j->call.context};
        status = j->call.body(j->call.object, &j->arguments, &sequence);
    }
    release_job(j);
    return status;
}

static size_t aligned(size_t bytes) {
    return (bytes + 15) / 16 * 16;
}

/* Bytes that the copies of small host arrays need. */
static size_t small_bytes(const attend__fields *fields, const void *arguments) {
    size_t bytes = 0;
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor t, view;
        memcpy(&t, (const char *)arguments + fields->list[i].offset, sizeof t);
        if (t.type != ATTEND_NO_TYPE && t.data != NULL)
            bytes += aligned(attend__compact_view(&t, &view));
    }
    return bytes;
}

/* Holds buffers, copies small arrays to `room`. */
static void capture(job *j, char *room) {
    const attend__fields *fields = j->call.fields;
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(&j->arguments, &fields->list[i]);
        if (t->type == ATTEND_NO_TYPE) continue;
        if (t->buffer != NULL) {
            attend__buffer_retain(t->buffer);
            j->buffers[j->buffer_count++] = t->buffer;
        } else if (t->data != NULL) {
            attend_tensor view;
            const size_t bytes = attend__compact_view(t, &view);
            if (bytes > 0) attend__gather(t, &view, room);
            *t = view;
            t->data = room;
            room += aligned(bytes);
        }
    }
    resolve_buffers(fields, &j->arguments);
}

/* The buffers of work that runs later must be seen by us: host memory may go before the work
 * starts. */
static attend_status check_memory(const attend__fields *fields, const void *arguments) {
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor t;
        memcpy(&t, (const char *)arguments + fields->list[i].offset, sizeof t);
        if (t.type == ATTEND_NO_TYPE || t.data == NULL ||
            (fields->list[i].role & ATTEND__SMALL) != 0)
            continue;
        if (attend__elements(&t) == 0) continue;
        return attend__fail(ATTEND_INVALID,
                            "%s: lies in host memory; an enqueue call takes buffers",
                            fields->list[i].name);
    }
    return ATTEND_OK;
}

static attend_status enqueue_on_worker(const attend__call *call, const void *arguments,
                                       size_t wait_count, attend_event *const *waits,
                                       attend_event *event) {
    const size_t small = small_bytes(call->fields, arguments);
    job *j = attend__recycler_take(&call->context->calls, aligned(sizeof *j) + small);
    if (j == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "enqueued work could not be allocated");
    j->call = *call;
    j->buffer_count = 0;
    memcpy(&j->arguments, arguments, call->fields->size);
    capture(j, (char *)j + aligned(sizeof *j));
    if (call->hold != NULL) call->hold(call->object);
    attend__context_retain(call->context);
    const attend_status status =
        attend__worker_submit(call->context, wait_count, waits, work, j, event);
    if (status != ATTEND_OK) release_job(j);
    return status;
}

attend_status attend__launch_enqueue(const attend__call *call, const void *arguments,
                                     size_t wait_count, attend_event *const *waits,
                                     attend_event **done) {
    if (done != NULL) *done = NULL;
    attend_status status = attend__waits_check(call->context, wait_count, waits);
    if (status == ATTEND_OK) status = check_memory(call->fields, arguments);
    if (status != ATTEND_OK) return status;
    attend_event *event = NULL;
    if (attend__host_memory(call->context)) {
        status = attend__event_create(call->context, NULL, &event);
        if (status == ATTEND_OK)
            status = enqueue_on_worker(call, arguments, wait_count, waits, event);
    } else {
        status = attend__device_enqueue(call, arguments, wait_count, waits, &event);
    }
    if (status == ATTEND_OK && done != NULL)
        *done = event;
    else
        attend_event_release(event);
    return status;
}
