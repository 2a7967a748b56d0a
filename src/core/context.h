/* SPDX-License-Identifier: Apache-2.0
 *
 * What a context, a buffer and an event are inside. A context is one opened device of one backend
 * with its host table; everything made from it holds a reference. */
#ifndef ATTEND_CORE_CONTEXT_H
#define ATTEND_CORE_CONTEXT_H

#include "attend/plugin.h"
#include "base/recycler.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>

struct attend__plan_cache; /* plan_cache.h */
struct attend__worker;     /* worker.h */
struct attend__retired;    /* launch.c: enqueued work whose objects are still held */

struct attend_context {
    atomic_int references;
    int64_t process; /* the process that opened it: in a forked child every call answers FORKED */
    uint64_t serial; /* tells it from a later context at the same address */
    attend_host host;
    attend_device *device;
    attend_device_table table;
    struct attend__module *module; /* registry.h */
    struct attend__settings
        *settings; /* config.h: what API and environment asked for; owns its strings */
    struct attend__thread_pool *pool; /* base/thread_pool.h; started at the first parallel call */
    struct attend__worker *worker;    /* host-memory devices: started at the first enqueue */
    struct attend__plan_cache *plans;
    struct attend__scratch_pool *staging; /* launch_device.c; devices with memory of their own */
    struct attend__retired *retired;
    attend__recycler calls; /* memory of events and of enqueued calls */
    attend__mutex lock;     /* guards worker, retired and their creation */
    char *backend_name, *device_name, *reason, *refused; /* of the decision record */
};

/* OK, or FORKED / SHUT_DOWN / NULL_POINTER with a sentence; first thing every entry point asks. */
attend_status attend__context_check(const attend_context *context);
void attend__context_retain(attend_context *context);
void attend__context_release(attend_context *context);

static inline bool attend__host_memory(const attend_context *context) {
    return (context->table.flags & ATTEND_DEVICE_HOST_MEMORY) != 0;
}

/* Memory of the context's allocator. */
void *attend__context_allocate(attend_context *context, size_t bytes);
void attend__context_free(attend_context *context, void *memory);

struct attend_buffer {
    atomic_int references;
    attend_context *context;
    size_t bytes;
    void *host;                   /* host-memory devices: the memory */
    attend_device_buffer *device; /* other devices */
    bool owned;                   /* host memory that this buffer allocated */
};
void attend__buffer_retain(attend_buffer *buffer);

/* An event is either a device's (`device` set) or the worker's (state under `lock`). */
struct attend_event {
    atomic_int references;
    attend_context *context;
    attend_device_event *device;
    bool user;
    attend__mutex lock;
    attend__condition changed;
    bool complete;
    bool claimed; /* user events: somebody completes it */
    attend_status status;
    char sentence[256]; /* why the work failed, for the thread that waits */
};
attend_status attend__event_create(attend_context *context, attend_device_event *device,
                                   attend_event **event);
void attend__event_retain(attend_event *event);
void attend__event_complete(attend_event *event, attend_status status);
/* OK, or why these cannot be waited for by work of the context: NULL among them, or another
 * context's. */
attend_status attend__waits_check(const attend_context *context, size_t count,
                                  attend_event *const *waits);

#endif
