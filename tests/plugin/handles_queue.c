/* SPDX-License-Identifier: Apache-2.0
 *
 * Events, and the queue: one thread that takes work in order, waits for what the work waits for,
 * runs it, and completes its event. */
#include "handles_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- events --------------------------------------------------------------------------------- */

attend_status user_event_create(attend_device *device, attend_device_event **event) {
    *event = calloc(1, sizeof **event);
    if (!*event) return failed(device, ATTEND_OUT_OF_MEMORY, "handles: no memory for an event");
    (*event)->references = 1;
    return ATTEND_OK;
}

static void complete(attend_device *device, attend_device_event *event, attend_status status) {
    event->complete = 1;
    event->status = status;
    pthread_cond_broadcast(&device->changed);
}

static void drop(attend_device_event *event) {
    if (--event->references == 0) free(event);
}

attend_status user_event_complete(attend_device *device, attend_device_event *event,
                                  attend_status status) {
    pthread_mutex_lock(&device->lock);
    complete(device, event, status);
    pthread_mutex_unlock(&device->lock);
    return ATTEND_OK;
}

void event_release(attend_device *device, attend_device_event *event) {
    pthread_mutex_lock(&device->lock);
    drop(event);
    pthread_mutex_unlock(&device->lock);
}

attend_status event_query(attend_device *device, attend_device_event *event, int32_t *done) {
    pthread_mutex_lock(&device->lock);
    *done = event->complete;
    const attend_status status = event->status;
    pthread_mutex_unlock(&device->lock);
    return status;
}

attend_status event_wait(attend_device *device, attend_device_event *event, int64_t nanoseconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    if (nanoseconds > 0) {
        until.tv_sec += (time_t)(nanoseconds / 1000000000);
        until.tv_nsec += (long)(nanoseconds % 1000000000);
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
    }
    pthread_mutex_lock(&device->lock);
    int late = 0;
    while (!event->complete && late != ETIMEDOUT)
        late = nanoseconds < 0 ? pthread_cond_wait(&device->changed, &device->lock)
                               : pthread_cond_timedwait(&device->changed, &device->lock, &until);
    const attend_status status = event->complete ? event->status : ATTEND_TIMEOUT;
    pthread_mutex_unlock(&device->lock);
    if (status)
        failed(device, status,
               status == ATTEND_TIMEOUT ? "handles: the wait timed out"
                                        : "handles: the work failed");
    return status;
}

/* ---- queue ---------------------------------------------------------------------------------- */

static void run_work(work *w) {
    switch (w->operation) {
    case ATTEND_OP_PROJECT:
        run_project(&w->description.projection);
        break;
    case ATTEND_OP_COPY:
        run_copy(&w->description.copy);
        break;
    case ATTEND_OP_NORM:
        run_norm(&w->description.norm);
        break;
    case ATTEND_OP_ACTIVATE:
        run_activate(&w->description.elementwise);
        break;
    case ATTEND_OP_ROPE:
        run_rope(&w->description.rope);
        break;
    case ATTEND_OP_EMBED:
        run_embed(&w->description.embedding);
        break;
    default:
        run_attention_step(w->operation, &w->description.attention);
        break;
    }
}

static void free_work(work *w) {
    for (int i = 0; i < w->owned_count; i++)
        free(w->owned[i]);
    for (size_t i = 0; i < w->wait_count; i++)
        drop(w->waits[i]);
    drop(w->done);
    free(w);
}

void *queue_thread(void *argument) {
    attend_device *device = argument;
    pthread_mutex_lock(&device->lock);
    for (;;) {
        while (!device->first && !device->stopping)
            pthread_cond_wait(&device->changed, &device->lock);
        work *w = device->first;
        if (!w) break;
        attend_status status = ATTEND_OK;
        for (size_t i = 0; i < w->wait_count; i++) {
            while (!w->waits[i]->complete)
                pthread_cond_wait(&device->changed, &device->lock);
            if (!status) status = w->waits[i]->status;
        }
        device->first = w->next;
        if (!device->first) device->last = NULL;
        if (!status && device->fault_in > 0 && --device->fault_in == 0) status = ATTEND_DEVICE_LOST;
        device->running = 1;
        pthread_mutex_unlock(&device->lock);
        if (!status) run_work(w);
        pthread_mutex_lock(&device->lock);
        device->running = 0;
        if (!device->failed) device->failed = status;
        complete(device, w->done, status);
        free_work(w);
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}

/* Which members of a description are tensors. */
#define AT(type, member) offsetof(type, member)
#define A(member) AT(attend_attention, member)
static const struct {
    size_t size, count, at[MAX_TENSORS];
} tensors[ATTEND_OP_COUNT] = {
    [ATTEND_OP_SCORES] = {sizeof(attend_attention),
                          10,
                          {A(q), A(k), A(scores), A(mask), A(bias), A(key_mask), A(query_offsets),
                           A(query_lengths), A(key_lengths), A(alibi_slopes)}},
    [ATTEND_OP_SOFTMAX] = {sizeof(attend_attention),
                           12,
                           {A(scores), A(weights), A(weights_mean), A(lse), A(mask), A(bias),
                            A(key_mask), A(query_offsets), A(query_lengths), A(key_lengths),
                            A(alibi_slopes), A(sinks)}},
    [ATTEND_OP_MIX] = {sizeof(attend_attention),
                       9,
                       {A(weights), A(v), A(out), A(mask), A(bias), A(key_mask), A(query_offsets),
                        A(query_lengths), A(key_lengths)}},
#define P(member) AT(attend_projection, member)
    [ATTEND_OP_PROJECT] = {sizeof(attend_projection),
                           6,
                           {P(x), P(w), P(bias), P(multiplier), P(residual), P(out)}},
    [ATTEND_OP_COPY] = {sizeof(attend_copy), 2, {AT(attend_copy, x), AT(attend_copy, out)}},
#define N(member) AT(attend_norm, member)
    [ATTEND_OP_NORM] = {sizeof(attend_norm),
                        6,
                        {N(x), N(residual), N(weight), N(bias), N(out), N(sum)}},
#define E(member) AT(attend_elementwise, member)
    [ATTEND_OP_ACTIVATE] = {sizeof(attend_elementwise),
                            4,
                            {E(x), E(multiplier), E(residual), E(out)}},
#define R(member) AT(attend_rope, member)
    [ATTEND_OP_ROPE] = {sizeof(attend_rope), 5, {R(x), R(cos), R(sin), R(position_ids), R(out)}},
#define M(member) AT(attend_embedding, member)
    [ATTEND_OP_EMBED] = {sizeof(attend_embedding), 4, {M(table), M(ids), M(x), M(out)}},
};

/* Host memory is ours only until enqueue returns: it is copied. A handle becomes its memory. */
static int resolve(attend_device *device, work *w, attend_tensor *t) {
    if (!given(t)) return 1;
    const size_t bytes = element_bytes(t->type);
    if (t->buffer) {
        t->data = device->buffers[slot_of(attend_tensor_device_buffer(t))].memory +
                  (size_t)t->offset * bytes;
    } else if (t->data) {
        size_t span = 1;
        for (int32_t d = 0; d < t->rank; d++) {
            if (t->sizes[d] == 0) return 1;
            span += (size_t)((t->sizes[d] - 1) * t->strides[d]);
        }
        void *copy = malloc(span * bytes);
        if (!copy) return 0;
        memcpy(copy, (const char *)t->data + (size_t)t->offset * bytes, span * bytes);
        t->data = w->owned[w->owned_count++] = copy;
    }
    t->offset = 0;
    t->buffer = NULL;
    return 1;
}

attend_status enqueue(attend_device *device, attend_device_plan *plan, const void *description,
                      size_t wait_count, attend_device_event *const *waits,
                      attend_device_event **event) {
    work *w = calloc(1, sizeof *w + wait_count * sizeof *waits);
    attend_status status = w ? user_event_create(device, event) : ATTEND_OUT_OF_MEMORY;
    if (status) {
        free(w);
        return failed(device, status, "handles: no memory for work");
    }
    w->operation = plan->operation;
    size_t size;
    memcpy(&size, description, sizeof size);
    const size_t known = tensors[w->operation].size;
    memcpy(&w->description, description, size < known ? size : known);

    pthread_mutex_lock(&device->lock);
    int enough = 1;
    for (size_t i = 0; i < tensors[w->operation].count && enough; i++)
        enough = resolve(
            device, w,
            (attend_tensor *)(void *)((char *)&w->description + tensors[w->operation].at[i]));
    w->done = *event;
    w->done->references = 2;
    w->wait_count = wait_count;
    for (size_t i = 0; i < wait_count; i++) {
        w->waits[i] = waits[i];
        w->waits[i]->references++;
    }
    if (enough) {
        if (device->last)
            device->last->next = w;
        else
            device->first = w;
        device->last = w;
        pthread_cond_broadcast(&device->changed);
    } else {
        free_work(w);
        drop(*event);
    }
    pthread_mutex_unlock(&device->lock);
    return enough ? ATTEND_OK : failed(device, ATTEND_OUT_OF_MEMORY, "handles: no memory");
}
