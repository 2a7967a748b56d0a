/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools of device memory for intermediate results. A block given back while work on the device still uses it carries
 * that work's event, and is not handed out before the event is complete. */
#include "base/checked.h"
#include "error.h"
#include "launch.h"
#include "retired.h"

#include <string.h>

typedef struct block {
    attend_buffer *buffer;
    attend_event *event; /* NULL: free at once */
} block;

struct attend__scratch_pool {
    attend_context *context;
    attend__mutex lock;
    size_t bytes; /* of a new block */
    size_t count, most;
    block blocks[];
};

static void release_block(block *b) {
    if (b->event != NULL) (void)attend_event_wait(b->event, -1);
    attend_event_release(b->event);
    attend_buffer_release(b->buffer);
}

attend_status attend__scratch_pool_create(attend_context *context, size_t bytes, size_t most,
                                          attend__scratch_pool **result) {
    size_t size = 0;
    *result = NULL;
    attend__scratch_pool *pool = NULL;
    if (attend__mul_size(most, sizeof(block), &size) && attend__add_size(size, sizeof *pool, &size))
        pool = attend__context_allocate(context, size);
    if (pool == NULL) return attend__fail(ATTEND_OUT_OF_MEMORY, "a pool of scratch memory could not be allocated");
    memset(pool, 0, size);
    pool->context = context;
    pool->bytes = bytes;
    pool->most = most;
    if (!attend__mutex_create(&pool->lock)) {
        attend__context_free(context, pool);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "a lock could not be made");
    }
    *result = pool;
    if (bytes == 0 || most == 0) return ATTEND_OK;
    const attend_status status = attend_buffer_create(context, bytes, &pool->blocks[0].buffer);
    if (status == ATTEND_OK) {
        pool->count = 1;
    } else {
        attend__scratch_pool_release(pool);
        *result = NULL;
    }
    return status;
}

void attend__scratch_pool_release(attend__scratch_pool *pool) {
    if (pool == NULL) return;
    attend_context *context = pool->context;
    for (size_t i = 0; i < pool->count; i++)
        release_block(&pool->blocks[i]);
    attend__mutex_destroy(&pool->lock);
    attend__context_free(context, pool);
}

/* Under the lock: takes a free block of at least `bytes`; too small ones that are free go to `small`. */
static attend_buffer *take(attend__scratch_pool *pool, size_t bytes, block *small) {
    for (size_t i = 0; i < pool->count; i++) {
        block *b = &pool->blocks[i];
        int32_t complete = 1;
        if (b->event != NULL) (void)attend_event_query(b->event, &complete);
        if (!complete) continue;
        const block found = *b;
        if (found.buffer->bytes < bytes && small->buffer != NULL) continue;
        *b = pool->blocks[--pool->count];
        if (found.buffer->bytes < bytes) {
            *small = found; /* one a call is enough for the pool to follow growing sizes */
            i--;
            continue;
        }
        attend_event_release(found.event);
        return found.buffer;
    }
    return NULL;
}

attend_status attend__scratch_get(attend__scratch_pool *pool, size_t bytes, attend__scratch *scratch) {
    block small = {NULL, NULL};
    scratch->used_bytes = 0;
    attend__mutex_lock(&pool->lock);
    scratch->buffer = take(pool, bytes, &small);
    if (pool->bytes < bytes) pool->bytes = bytes;
    const size_t wanted = pool->bytes;
    attend__mutex_unlock(&pool->lock);
    release_block(&small);
    if (scratch->buffer != NULL) return ATTEND_OK;
    return attend_buffer_create(pool->context, wanted, &scratch->buffer);
}

attend_status attend__scratch_tensor(attend__scratch *scratch, attend_type type, int32_t rank,
                                     const int64_t *sizes, attend_tensor *tensor) {
    const size_t element = attend_type_bytes(type);
    size_t bytes = element, start = 0, end = 0;
    bool fits = true;
    for (int32_t i = 0; i < rank && fits; i++)
        fits = sizes[i] >= 0 && attend__mul_size(bytes, (size_t)sizes[i], &bytes);
    fits = fits && attend__add_size(scratch->used_bytes, 63, &start);
    start = start / 64 * 64;
    if (!fits || !attend__add_size(start, bytes, &end) || end > scratch->buffer->bytes)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "scratch of %zu bytes is too small", scratch->buffer->bytes);
    scratch->used_bytes = end;
    *tensor = attend_tensor_nd(NULL, type, rank, sizes);
    if (scratch->buffer->host != NULL) {
        tensor->data = (char *)scratch->buffer->host + start;
    } else {
        tensor->buffer = scratch->buffer;
        tensor->offset = (int64_t)(start / element);
    }
    return ATTEND_OK;
}

void attend__scratch_return(attend__scratch_pool *pool, attend__scratch *scratch,
                            const attend__sequence *sequence) {
    block back = {scratch->buffer, NULL};
    scratch->buffer = NULL;
    if (back.buffer == NULL) return;
    if (sequence->enqueue && sequence->last != NULL) {
        attend__event_retain(sequence->last);
        back.event = sequence->last;
    }
    attend__mutex_lock(&pool->lock);
    const bool kept = pool->count < pool->most;
    if (kept) pool->blocks[pool->count++] = back;
    attend__mutex_unlock(&pool->lock);
    if (kept) return;
    attend__retired *record = back.event != NULL ? attend__retired_create(pool->context, 1) : NULL;
    if (record == NULL) { /* nothing waits for it, or there is no memory to remember it: then wait here */
        release_block(&back);
        return;
    }
    record->event = back.event;
    record->buffers[record->count++] = back.buffer;
    attend__retired_keep(pool->context, record);
}
