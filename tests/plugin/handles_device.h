/* SPDX-License-Identifier: Apache-2.0
 *
 * The device, its work and its events: shared by the memory and the queue of the module. */
#ifndef HANDLES_DEVICE_H
#define HANDLES_DEVICE_H

#include "handles.h"

#include <pthread.h>

enum { MAX_BUFFERS = 4096, MAX_TENSORS = 20 };

struct attend_device_event {
    int references, complete;
    attend_status status;
};

typedef struct work {
    struct work *next;
    attend_operation operation;
    union {
        attend_attention attention;
        attend_projection projection;
        attend_copy copy;
        attend_norm norm;
        attend_elementwise elementwise;
        attend_rope rope;
        attend_embedding embedding;
    } description;
    void *owned[MAX_TENSORS];
    int owned_count;
    attend_device_event *done;
    size_t wait_count;
    attend_device_event *waits[];
} work;

struct attend_device {
    const attend_host *host;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below and every event */
    pthread_cond_t changed;
    work *first, *last;
    int stopping, running, fault_in;
    attend_status failed; /* first failure since the last finish */
    struct {
        char *memory;
        size_t bytes;
    } buffers[MAX_BUFFERS];
};

struct attend_device_plan {
    attend_operation operation;
};

attend_status failed(attend_device *device, attend_status status, const char *text);
size_t slot_of(const attend_device_buffer *buffer);

/* handles_queue.c */
void *queue_thread(void *device);
attend_status enqueue(attend_device *device, attend_device_plan *plan, const void *description,
                      size_t wait_count, attend_device_event *const *waits,
                      attend_device_event **event);
attend_status user_event_create(attend_device *device, attend_device_event **event);
attend_status user_event_complete(attend_device *device, attend_device_event *event,
                                  attend_status status);
attend_status event_query(attend_device *device, attend_device_event *event, int32_t *done);
attend_status event_wait(attend_device *device, attend_device_event *event, int64_t nanoseconds);
void event_release(attend_device *device, attend_device_event *event);

#endif
