/* SPDX-License-Identifier: Apache-2.0
 *
 * The last step before the backend: addresses become what the device expects, waits and events are
 * translated, and the plan runs or is enqueued. Also attend__step, through which layers and
 * compositions come here. */
#include "compose.h"
#include "error.h"
#include "plan_cache.h"

#include <string.h>

/* Where a tensor without elements lies: its own address and offset may be anything, and backends
 * may add 0 to this. Never read or written. */
static _Alignas(64) unsigned char nothing[64];

static void use_nothing(attend_tensor *t) {
    t->data = nothing;
    t->buffer = NULL;
    t->offset = 0;
    memset(t->strides, 0, sizeof t->strides);
}

/* The stride of a dimension of 1 is never followed and may be anything; backends multiply it. */
static void drop_idle_strides(attend_tensor *t) {
    for (int32_t i = 0; i < t->rank; i++)
        if (t->sizes[i] == 1) t->strides[i] = 0;
}

/* Host-memory devices get plain pointers with the offset added, so that a backend has one thing to
 * follow. */
static void use_pointers(const attend__fields *fields, void *description) {
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(description, &fields->list[i]);
        if (!attend__given(t)) continue;
        if (attend__span_bytes(t) == 0) {
            use_nothing(t);
            continue;
        }
        drop_idle_strides(t);
        if (t->buffer != NULL) t->data = t->buffer->host;
        t->buffer = NULL;
        if (t->data != NULL)
            t->data = (char *)t->data + (size_t)t->offset * attend_type_bytes(t->type);
        t->offset = 0;
    }
}

static void use_device_buffers(const attend__fields *fields, void *description) {
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(description, &fields->list[i]);
        if (!attend__given(t)) continue;
        drop_idle_strides(t);
        if (t->buffer != NULL) t->buffer = (attend_buffer *)(void *)t->buffer->device;
    }
}

static attend_status check_workspace(const attend_plan *plan, const void *completed) {
    if (plan->key.operation > ATTEND_OP_MIX) return ATTEND_OK;
    const attend_tensor *w = &((const attend_attention *)completed)->workspace;
    if (!attend__given(w) || (uint64_t)w->sizes[0] >= plan->info.workspace_bytes) return ATTEND_OK;
    return attend__fail(ATTEND_SHAPE, "workspace: %lld bytes, the plan needs %zu",
                        (long long)w->sizes[0], plan->info.workspace_bytes);
}

/* What the next step waits for: the step before it, or the caller's events. */
static attend_status enqueue_waiting(attend_plan *plan, const void *completed,
                                     const attend__sequence *sequence,
                                     attend_device_event **event) {
    attend_context *context = sequence->context;
    const size_t count = sequence->last != NULL ? 1 : sequence->wait_count;
    attend_device_event *few[16], **waits = few;
    if (count > sizeof few / sizeof *few) {
        size_t bytes = count * sizeof *waits; /* the caller's array has as many pointers */
        waits = attend__recycler_take(&context->calls, bytes);
        if (waits == NULL)
            return attend__fail(ATTEND_OUT_OF_MEMORY, "a list of %zu waits could not be copied",
                                count);
    }
    for (size_t i = 0; i < count; i++)
        waits[i] = sequence->last != NULL ? sequence->last->device : sequence->waits[i]->device;
    const attend_status status =
        context->table.enqueue(context->device, plan->device, completed, count, waits, event);
    if (waits != few) attend__recycler_give(&context->calls, waits);
    return status;
}

static attend_status enqueue(attend_plan *plan, const void *completed, attend__sequence *sequence) {
    attend_context *context = sequence->context;
    attend_device_event *device = NULL;
    attend_status status = enqueue_waiting(plan, completed, sequence, &device);
    if (status != ATTEND_OK) return status;
    attend_event *event = NULL;
    status = attend__event_create(context, device, &event);
    if (status != ATTEND_OK) {
        /* the work is under way and nobody could be told when it ends */
        context->table.event_wait(context->device, device, -1);
        context->table.event_release(context->device, device);
        return status;
    }
    attend_event_release(sequence->last);
    sequence->last = event;
    return ATTEND_OK;
}

attend_status attend__plan_execute(attend_plan *plan, void *completed, attend__sequence *sequence) {
    attend_context *context = sequence->context;
    if (plan->composed != NULL) return attend__composition_execute(plan, completed, sequence);
    const attend_status status = check_workspace(plan, completed);
    if (status != ATTEND_OK) return status;
    const attend__fields *fields = attend__operation_fields((attend_operation)plan->key.operation);
    if (attend__host_memory(context)) {
        use_pointers(fields, completed);
        return context->table.run(context->device, plan->device, completed);
    }
    use_device_buffers(fields, completed);
    return enqueue(plan, completed, sequence);
}

attend_status attend__step(attend__sequence *sequence, attend_operation operation,
                           const void *description, attend_plan *plan) {
    attend_context *context = sequence->context;
    attend__description completed;
    /* arrays of lengths and indices were read when the call came in; here they may come out of a
     * buffer */
    attend__problem problem = {.values_checked = true,
                               .without_memory = sequence->planning,
                               .extent = sequence->extent};
    attend_status status =
        attend__description_copy(attend__operation_text(operation),
                                 attend__operation_fields(operation), description, &completed);
    if (status == ATTEND_OK) status = attend__validate(context, operation, &completed, &problem);
    if (status != ATTEND_OK || problem.empty) return status;
    /* one that is composed of steps has scratch of L x S, which a call of these sizes may never
     * ask for */
    if (sequence->planning && (context->table.operations >> operation & 1u) == 0) return ATTEND_OK;
    if (plan != NULL) {
        status = attend__plan_admits(plan, &problem, &completed);
        if (status == ATTEND_OK) attend__plan_hold(plan);
    } else {
        status = attend__plan_cache_get(context, &problem, &completed, sequence->extent, &plan);
    }
    if (status != ATTEND_OK) return status;
    if (!sequence->planning) status = attend__plan_execute(plan, &completed, sequence);
    if (status == ATTEND_OK && !sequence->planning) {
        attend__shape shape;
        attend__problem_shape(&problem, &completed, &shape);
        attend__decision_note(context, plan->info.kernel, &shape);
    }
    attend__plan_drop(plan);
    return status;
}
