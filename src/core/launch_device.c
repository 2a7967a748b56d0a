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

/* Operands of a call lie in one block that the context keeps, up to the size of a buffer that
 * devices of OpenCL's full profile give (CL_DEVICE_MAX_MEM_ALLOC_SIZE, OpenCL 1.2, table 4.3).
 * Beyond, in calls that do not repeat, and where no block can be had, each has a buffer for the
 * call, which takes less time than the copying. */
enum { BLOCK_BYTES = 128 << 20, BLOCKS_KEPT = 4, ALIGNMENT = 64 };

typedef struct staged {
    attend_tensor *tensor; /* of the call */
    attend_tensor host, view;
    attend_buffer *buffer; /* of the block, or its own */
    size_t at, bytes;
    bool input, output;
} staged;

typedef struct stage {
    attend_context *context;
    attend__wrapped wrapped;
    uint64_t copied, in_place; /* bytes */
    attend__scratch block;
    size_t block_bytes, count;
    staged list[ATTEND__MAX_FIELDS];
} stage;

attend_status attend__staging_create(attend_context *context) {
    if (attend__host_memory(context)) return ATTEND_OK;
    const attend_status status =
        attend__scratch_pool_create(context, 0, BLOCKS_KEPT, &context->staging);
    if (status == ATTEND_OK) attend__scratch_pool_follow(context->staging);
    return status;
}

static attend_status write_input(stage *s, staged *one) {
    s->copied += one->bytes;
    if (attend__is_compact(&one->host, &one->view))
        return attend_buffer_write(one->buffer, one->at, attend__tensor_start(&one->host),
                                   one->bytes);
    void *packed = attend__recycler_take(&s->context->calls, one->bytes);
    if (packed == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%zu bytes to pack an input could not be had",
                            one->bytes);
    attend__gather(&one->host, &one->view, packed);
    const attend_status status = attend_buffer_write(one->buffer, one->at, packed, one->bytes);
    attend__recycler_give(&s->context->calls, packed);
    return status;
}

static attend_status read_output(stage *s, staged *one) {
    s->copied += one->bytes;
    if (attend__is_compact(&one->host, &one->view))
        return attend_buffer_read(one->buffer, one->at, attend__tensor_start(&one->host),
                                  one->bytes);
    void *packed = attend__recycler_take(&s->context->calls, one->bytes);
    if (packed == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%zu bytes to unpack an output could not be had",
                            one->bytes);
    const attend_status status = attend_buffer_read(one->buffer, one->at, packed, one->bytes);
    if (status == ATTEND_OK) attend__scatter(&one->host, &one->view, packed);
    attend__recycler_give(&s->context->calls, packed);
    return status;
}

/* Adds it to the list; its memory comes when all are known. */
static void add_staged(stage *s, attend_tensor *t, unsigned role) {
    staged *one = &s->list[s->count];
    one->tensor = t;
    one->host = *t;
    one->buffer = NULL;
    one->output = (role & ATTEND__OUTPUT) != 0;
    one->input = !one->output || (role & ATTEND__KEEP) != 0;
    one->bytes = attend__compact_view(t, &one->view);
    if (one->bytes == 0) { /* no element, no memory */
        t->data = NULL;
        return;
    }
    one->at = s->block_bytes;
    const size_t room = (one->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    s->block_bytes = room > SIZE_MAX - s->block_bytes ? SIZE_MAX : s->block_bytes + room;
    s->count++;
}

/* A tensor that the device uses where it lies. */
static bool use_in_place(stage *s, attend_tensor *t) {
    attend_tensor view;
    if (!attend__wrapped_use(&s->wrapped, t)) return false;
    s->in_place += attend__compact_view(t, &view);
    return true;
}

static attend_status place(stage *s, staged *one) {
    attend_status status = ATTEND_OK;
    one->buffer = s->block.buffer;
    if (one->buffer == NULL) {
        one->at = 0;
        status = attend_buffer_create(s->context, one->bytes, &one->buffer);
        if (status != ATTEND_OK) return status;
    }
    *one->tensor = one->view;
    one->tensor->buffer = one->buffer;
    one->tensor->offset = (int64_t)(one->at / attend_type_bytes(one->view.type));
    return one->input ? write_input(s, one) : ATTEND_OK;
}

/* A block may be larger than this call's: where it cannot be had, the operands' own may fit. */
static void take_block(stage *s) {
    char before[ATTEND__ERROR_BYTES];
    if (s->count == 0 || s->block_bytes > BLOCK_BYTES) return;
    attend__error_copy(before);
    if (attend__scratch_get(s->context->staging, s->block_bytes, &s->block) != ATTEND_OK)
        attend__set_error(before);
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
            add_staged(s, t, role);
    }
    if (status == ATTEND_OK && !call->once) take_block(s);
    for (size_t i = 0; i < s->count && status == ATTEND_OK; i++)
        status = place(s, &s->list[i]);
    return status;
}

/* Outputs come back, memory is given back. Nothing uses it any more. */
static attend_status unstage_all(stage *s, attend_status status) {
    const attend__sequence ended = {.context = s->context};
    for (size_t i = 0; i < s->count; i++) {
        staged *const one = &s->list[i];
        if (status == ATTEND_OK && one->output) status = read_output(s, one);
        if (one->buffer != s->block.buffer) attend_buffer_release(one->buffer);
    }
    attend__scratch_return(s->context->staging, &s->block, &ended);
    return attend__unwrap(&s->wrapped, status);
}

/* The work's status, with the device's own sentence where it has one, unless `status` is a failure
 * already: then that one and its sentence. */
static attend_status wait_for_end(attend_event *event, attend_status status) {
    char before[ATTEND__ERROR_BYTES];
    attend__error_copy(before);
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
    s.count = s.block_bytes = 0;
    s.block = (attend__scratch){0};
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
    status = unstage_all(&s, status);
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
