/* SPDX-License-Identifier: Apache-2.0
 *
 * Devices with memory of their own. Running: host tensors become buffers where they lie if the
 * device computes in host memory, else they are packed into buffers, the steps are enqueued,
 * outputs come back packed and are put where the caller's strides say. Enqueuing: the
 * steps are enqueued, and what they use is held until the last of them has ended. */
#include "launch_device.h"

#include "decision.h"
#include "error.h"
#include "retired.h"
#include "staging.h"
#include "wrapped.h"

#include <stdio.h>
#include <string.h>

typedef struct staged {
    attend_tensor host, view;
    attend_buffer *buffer;
    bool output;
    size_t bytes;
} staged;

typedef struct stage {
    attend_context *context;
    attend__wrapped wrapped;
    uint64_t copied, in_place; /* bytes */
    size_t count;
    staged list[ATTEND__MAX_FIELDS];
} stage;

static attend_status write_input(stage *s, staged *one) {
    s->copied += one->bytes;
    if (attend__is_compact(&one->host, &one->view))
        return attend_buffer_write(one->buffer, 0, attend__tensor_start(&one->host), one->bytes);
    void *packed = attend__context_allocate(s->context, one->bytes);
    if (packed == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%zu bytes to pack an input could not be had",
                            one->bytes);
    attend__gather(&one->host, &one->view, packed);
    const attend_status status = attend_buffer_write(one->buffer, 0, packed, one->bytes);
    attend__context_free(s->context, packed);
    return status;
}

static attend_status read_output(stage *s, staged *one) {
    s->copied += one->bytes;
    if (attend__is_compact(&one->host, &one->view))
        return attend_buffer_read(one->buffer, 0, attend__tensor_start(&one->host), one->bytes);
    void *packed = attend__context_allocate(s->context, one->bytes);
    if (packed == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%zu bytes to unpack an output could not be had",
                            one->bytes);
    const attend_status status = attend_buffer_read(one->buffer, 0, packed, one->bytes);
    if (status == ATTEND_OK) attend__scatter(&one->host, &one->view, packed);
    attend__context_free(s->context, packed);
    return status;
}

static attend_status stage_tensor(stage *s, attend_tensor *t, unsigned role) {
    const bool output = (role & ATTEND__OUTPUT) != 0;
    staged *one = &s->list[s->count];
    one->host = *t;
    one->output = output;
    one->bytes = attend__compact_view(t, &one->view);
    if (one->bytes == 0) { /* no element, no memory */
        t->data = NULL;
        return ATTEND_OK;
    }
    attend_status status = attend_buffer_create(s->context, one->bytes, &one->buffer);
    if (status != ATTEND_OK) return status;
    s->count++;
    *t = one->view;
    t->buffer = one->buffer;
    return output && (role & ATTEND__KEEP) == 0 ? ATTEND_OK : write_input(s, one);
}

/* A tensor that the device uses where it lies. */
static bool use_in_place(stage *s, attend_tensor *t) {
    attend_tensor view;
    if (!attend__wrapped_use(&s->wrapped, t)) return false;
    s->in_place += attend__compact_view(t, &view);
    return true;
}

static attend_status stage_all(stage *s, const attend__call *call, void *arguments) {
    const attend__fields *fields = call->fields;
    attend_status status = attend__wrap(&s->wrapped, s->context, fields, arguments);
    for (size_t i = 0; i < fields->count && status == ATTEND_OK; i++) {
        const unsigned role =
            fields->list[i].role | (call->keep_outputs ? (unsigned)ATTEND__KEEP : 0u);
        attend_tensor *t = attend__field_tensor(arguments, &fields->list[i]);
        if (t->type == ATTEND_NO_TYPE || t->data == NULL || (role & ATTEND__SMALL) != 0) continue;
        if ((role & ATTEND__SCRATCH) != 0)
            memset(t, 0,
                   sizeof *t); /* host memory is no scratch for this device: it uses its own */
        else if (!use_in_place(s, t))
            status = stage_tensor(s, t, role);
    }
    return status;
}

/* The work's status, with the device's own sentence where it has one, unless `status` is a failure
 * already: then that one and its sentence. */
static attend_status wait_for_end(attend_event *event, attend_status status) {
    char before[1024];
    (void)snprintf(before, sizeof before, "%s", attend_error_text());
    attend__set_error("");
    const attend_status ended = attend_event_wait(event, -1);
    if (status != ATTEND_OK || ended == ATTEND_OK)
        attend__set_error(before);
    else
        (void)attend__fail(ended, "%s%s%s", attend_status_text(ended),
                           *attend_error_text() ? ": " : "", attend_error_text());
    return status != ATTEND_OK ? status : ended;
}

attend_status attend__device_run(const attend__call *call, const void *arguments) {
    attend_context *context = call->context;
    attend__retired_reap(context, false);
    stage s;
    s.context = context;
    s.copied = s.in_place = 0;
    s.count = 0;
    attend__arguments resolved;
    memcpy(&resolved, arguments, call->fields->size);
    attend__sequence sequence = {.context = context, .enqueue = true};
    attend_status status = stage_all(&s, call, &resolved);
    if (status == ATTEND_OK) status = call->body(call->object, &resolved, &sequence);
    if (sequence.last != NULL) {
        /* even when a later step was refused, the earlier ones use the buffers */
        status = wait_for_end(sequence.last, status);
        attend_event_release(sequence.last);
    }
    for (size_t i = 0; i < s.count; i++) {
        if (status == ATTEND_OK && s.list[i].output) status = read_output(&s, &s.list[i]);
        attend_buffer_release(s.list[i].buffer);
    }
    status = attend__unwrap(&s.wrapped, status);
    attend__decision_moved(context, s.copied, s.in_place);
    return status;
}

static void hold_buffers(attend__retired *record, const attend__fields *fields, void *arguments) {
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(arguments, &fields->list[i]);
        if (t->type == ATTEND_NO_TYPE || t->buffer == NULL) continue;
        attend__buffer_retain(t->buffer);
        record->buffers[record->count++] = t->buffer;
    }
}

attend_status attend__device_enqueue(const attend__call *call, const void *arguments,
                                     size_t wait_count, attend_event *const *waits,
                                     attend_event **event) {
    attend_context *context = call->context;
    attend__retired_reap(context, false);
    attend__decision_moved(context, 0, 0);
    attend__retired *record = attend__retired_create(context, call->fields->count);
    if (record == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "enqueued work could not be allocated");
    attend__arguments copy;
    memcpy(&copy, arguments, call->fields->size);
    hold_buffers(record, call->fields, &copy);
    if (call->hold != NULL) call->hold(call->object);
    record->object = call->object;
    record->drop = call->drop;
    attend__sequence sequence = {
        .context = context, .enqueue = true, .wait_count = wait_count, .waits = waits};
    attend_status status = call->body(call->object, &copy, &sequence);
    if (sequence.last == NULL) { /* nothing was enqueued: refused, or nothing to do */
        attend__retired_release(context, record);
        if (status == ATTEND_OK) status = attend_user_event_create(context, event);
        if (status == ATTEND_OK) status = attend_user_event_complete(*event, ATTEND_OK);
        return status;
    }
    record->event = sequence.last;
    if (status == ATTEND_OK) {
        attend__event_retain(sequence.last);
        *event = sequence.last;
    }
    attend__retired_keep(context, record);
    return status;
}
