/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of records of enqueued work. Devices have no callbacks here, so ended work is found by asking: at each
 * later call of the context, when it finishes, and when it closes. */
#include "retired.h"

#include "launch.h"

#include <string.h>

attend__retired *attend__retired_create(attend_context *context, size_t most) {
    const size_t bytes = sizeof(attend__retired) + most * sizeof(attend_buffer *); /* most <= ATTEND__MAX_FIELDS */
    attend__retired *record = attend__context_allocate(context, bytes);
    if (record != NULL) memset(record, 0, bytes);
    return record;
}

void attend__retired_release(attend_context *context, attend__retired *record) {
    attend_event_release(record->event);
    for (size_t i = 0; i < record->count; i++)
        attend_buffer_release(record->buffers[i]);
    if (record->drop != NULL) record->drop(record->object);
    attend__context_free(context, record);
}

void attend__retired_keep(attend_context *context, attend__retired *record) {
    attend__mutex_lock(&context->lock);
    record->next = context->retired;
    context->retired = record;
    attend__mutex_unlock(&context->lock);
}

/* Under the lock: takes the records out of the list whose events are complete. */
static attend__retired *take_complete(attend_context *context) {
    attend__retired *taken = NULL, **link = &context->retired;
    while (*link != NULL) {
        attend__retired *record = *link;
        int32_t complete = 0;
        (void)attend_event_query(record->event, &complete); /* how the work ended is its event's to tell */
        if (complete) {
            *link = record->next;
            record->next = taken;
            taken = record;
        } else {
            link = &record->next;
        }
    }
    return taken;
}

void attend__retired_reap(attend_context *context, bool all) {
    attend__mutex_lock(&context->lock);
    attend__retired *taken = context->retired;
    if (all)
        context->retired = NULL;
    else
        taken = take_complete(context);
    attend__mutex_unlock(&context->lock);
    while (taken != NULL) {
        attend__retired *next = taken->next;
        if (all) (void)attend_event_wait(taken->event, -1);
        attend__retired_release(context, taken);
        taken = next;
    }
}
