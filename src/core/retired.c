/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of records of enqueued work. Devices have no callbacks here, so ended work is found by
 * asking: at each later call of the context, when it finishes, and when it closes. */
#include "retired.h"

#include "launch.h"

#include <string.h>

attend__retired *attend__retired_create(attend_context *context, size_t most) {
    const size_t bytes =
        sizeof(attend__retired) + most * sizeof(attend_buffer *); /* most <= ATTEND__MAX_FIELDS */
    attend__retired *record = attend__recycler_take(&context->calls, bytes);
    if (record != NULL) memset(record, 0, bytes);
    return record;
}

void attend__retired_release(attend_context *context, attend__retired *record) {
    attend_event_release(record->event);
    for (size_t i = 0; i < record->count; i++)
        attend_buffer_release(record->buffers[i]);
    if (record->drop != NULL) record->drop(record->object);
    attend__recycler_give(&context->calls, record);
}

void attend__retired_keep(attend_context *context, attend__retired *record) {
    attend__mutex_lock(&context->lock);
    record->next = context->retired;
    context->retired = record;
    attend__mutex_unlock(&context->lock);
}

/* Puts records back whose work is still under way. */
static void keep_all(attend_context *context, attend__retired *records) {
    while (records != NULL) {
        attend__retired *next = records->next;
        attend__retired_keep(context, records);
        records = next;
    }
}

void attend__retired_reap(attend_context *context, bool all) {
    /* the list is taken out, so that the device is never called under the lock */
    attend__mutex_lock(&context->lock);
    attend__retired *taken = context->retired;
    context->retired = NULL;
    attend__mutex_unlock(&context->lock);
    if (taken == NULL) return;
    attend__context_retain(context); /* the records may be what holds it */
    attend__retired *unfinished = NULL;
    while (taken != NULL) {
        attend__retired *next = taken->next;
        int32_t complete = all;
        if (all)
            (void)attend_event_wait(taken->event, -1);
        else
            (void)attend_event_query(taken->event,
                                     &complete); /* how it ended is its event's to tell */
        if (complete) {
            attend__retired_release(context, taken);
        } else {
            taken->next = unfinished;
            unfinished = taken;
        }
        taken = next;
    }
    keep_all(context, unfinished);
    attend__context_release(context);
}
