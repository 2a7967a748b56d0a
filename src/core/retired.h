/* SPDX-License-Identifier: Apache-2.0
 *
 * What enqueued work of a device with memory of its own still needs: held until its event is
 * complete. */
#ifndef ATTEND_CORE_RETIRED_H
#define ATTEND_CORE_RETIRED_H

#include "context.h"

typedef struct attend__retired {
    struct attend__retired *next;
    attend_event *event; /* of the last step */
    void *object;        /* given to `drop`, if there is one */
    void (*drop)(void *object);
    size_t count;
    attend_buffer *buffers[]; /* one reference each */
} attend__retired;

/* A record with room for `most` buffers; NULL if there is no memory. */
attend__retired *attend__retired_create(attend_context *context, size_t most);
/* Gives back what the record holds, and the record. */
void attend__retired_release(attend_context *context, attend__retired *record);
/* Keeps the record until its event is complete. */
void attend__retired_keep(attend_context *context, attend__retired *record);

#endif
