/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools of device memory for intermediate results. A block that work on the device still uses stays
 * with the records of enqueued work (retired.h) and comes back to its pool when that work has
 * ended. Blocks are buffers without a reference to the context: a pool may belong to a plan that
 * the context itself keeps. */
#include "base/checked.h"
#include "error.h"
#include "launch.h"
#include "retired.h"

#include <string.h>

typedef struct block {
    attend_buffer buffer; /* first: what attend__scratch points to */
    attend__scratch_pool *pool;
    struct block *next;
} block;

/* Of a pool that follows its calls: so many are a period, and what the last full period and this
 * one needed is what a block has. Blocks up to a size are kept anyway. */
enum { PERIOD = 32, TIMES_TOO_LARGE = 4, KEPT_ANYWAY = 1 << 20 };

struct attend__scratch_pool {
    atomic_int references; /* the owner's, and one for each block that is out */
    attend_context *context;
    attend__mutex lock;
    size_t bytes; /* of a new block */
    size_t free_count, most;
    block *free;
    bool follows;
    int calls; /* of this period */
    size_t needed, needed_before;
};

static attend_status create_block(attend__scratch_pool *pool, size_t bytes, block **result) {
    attend_context *context = pool->context;
    block *b = attend__context_allocate(context, sizeof *b);
    if (b == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "scratch memory could not be allocated");
    memset(b, 0, sizeof *b);
    atomic_init(&b->buffer.references, 1);
    b->buffer.context = context;
    b->buffer.bytes = bytes;
    b->pool = pool;
    attend_status status = ATTEND_OK;
    if (attend__host_memory(context)) {
        b->buffer.host = context->host.allocate(context->host.self, bytes, 64);
        if (b->buffer.host == NULL)
            status = attend__fail(ATTEND_OUT_OF_MEMORY,
                                  "%zu bytes of scratch memory could not be had", bytes);
    } else {
        status = context->table.buffer_create(context->device, bytes, &b->buffer.device);
    }
    if (status == ATTEND_OK)
        *result = b;
    else
        attend__context_free(context, b);
    return status;
}

static void destroy_block(block *b) {
    attend_context *context = b->buffer.context;
    if (b->buffer.host != NULL) context->host.release(context->host.self, b->buffer.host);
    if (b->buffer.device != NULL) context->table.buffer_release(context->device, b->buffer.device);
    attend__context_free(context, b);
}

static void drop_pool(attend__scratch_pool *pool) {
    if (atomic_fetch_sub_explicit(&pool->references, 1, memory_order_acq_rel) != 1) return;
    while (pool->free != NULL) {
        block *b = pool->free;
        pool->free = b->next;
        destroy_block(b);
    }
    attend__mutex_destroy(&pool->lock);
    attend__context_free(pool->context, pool);
}

attend_status attend__scratch_pool_create(attend_context *context, size_t bytes, size_t most,
                                          attend__scratch_pool **result) {
    *result = NULL;
    attend__scratch_pool *pool = attend__context_allocate(context, sizeof *pool);
    if (pool == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY,
                            "a pool of scratch memory could not be allocated");
    memset(pool, 0, sizeof *pool);
    atomic_init(&pool->references, 1);
    pool->context = context;
    pool->bytes = bytes;
    pool->most = most;
    if (!attend__mutex_create(&pool->lock)) {
        attend__context_free(context, pool);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "a lock could not be made");
    }
    if (bytes > 0 && most > 0) {
        const attend_status status = create_block(pool, bytes, &pool->free);
        if (status != ATTEND_OK) {
            drop_pool(pool);
            return status;
        }
        pool->free_count = 1;
    }
    *result = pool;
    return ATTEND_OK;
}

void attend__scratch_pool_follow(attend__scratch_pool *pool) {
    pool->follows = true;
}

void attend__scratch_pool_release(attend__scratch_pool *pool) {
    if (pool != NULL) drop_pool(pool);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Under the lock: a call needs `bytes`. */
static void count_in(attend__scratch_pool *pool, size_t bytes) {
    if (!pool->follows) {
        pool->bytes = larger(pool->bytes, bytes);
        return;
    }
    if (pool->calls == PERIOD) {
        pool->needed_before = pool->needed;
        pool->needed = 0;
        pool->calls = 0;
    }
    pool->calls++;
    pool->needed = larger(pool->needed, bytes);
    pool->bytes = larger(pool->needed, pool->needed_before);
}

static bool is_too_large(const attend__scratch_pool *pool, const block *b) {
    return pool->follows && b->buffer.bytes > KEPT_ANYWAY &&
           b->buffer.bytes / TIMES_TOO_LARGE > pool->bytes;
}

/* Under the lock: takes what is too large by now off the list. */
static block *take_too_large(attend__scratch_pool *pool) {
    block *taken = NULL;
    for (block **at = &pool->free; *at != NULL;) {
        block *const b = *at;
        if (!is_too_large(pool, b)) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        b->next = taken;
        taken = b;
        pool->free_count--;
    }
    return taken;
}

attend_status attend__scratch_get(attend__scratch_pool *pool, size_t bytes,
                                  attend__scratch *scratch) {
    memset(scratch, 0, sizeof *scratch);
    attend__mutex_lock(&pool->lock);
    count_in(pool, bytes);
    const size_t wanted = pool->bytes > 0 ? pool->bytes : 1;
    block *found = pool->free;
    if (found != NULL) {
        pool->free = found->next;
        pool->free_count--;
    }
    attend__mutex_unlock(&pool->lock);
    if (found != NULL && found->buffer.bytes < bytes) { /* so that the pool follows growing sizes */
        destroy_block(found);
        found = NULL;
    }
    attend_status status = ATTEND_OK;
    if (found == NULL) status = create_block(pool, wanted, &found);
    if (status != ATTEND_OK) return status;
    atomic_fetch_add_explicit(&pool->references, 1, memory_order_relaxed);
    scratch->buffer = &found->buffer;
    return ATTEND_OK;
}

attend_status attend__scratch_tensor(attend__scratch *scratch, attend_type type, int32_t rank,
                                     const int64_t *sizes, attend_tensor *tensor) {
    const size_t element = attend_type_bytes(type);
    if (scratch->buffer == NULL) { /* of a plan */
        *tensor = attend_tensor_nd(NULL, type, rank, sizes);
        return ATTEND_OK;
    }
    size_t bytes = element, start = 0, end = 0;
    bool fits = true;
    for (int32_t i = 0; i < rank && fits; i++)
        fits = sizes[i] >= 0 && attend__mul_size(bytes, (size_t)sizes[i], &bytes);
    fits = fits && attend__add_size(scratch->used_bytes, 63, &start);
    start = start / 64 * 64;
    if (!fits || !attend__add_size(start, bytes, &end) || end > scratch->buffer->bytes)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "scratch of %zu bytes is too small",
                            scratch->buffer->bytes);
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

static void give_back(void *object) {
    block *b = object;
    attend__scratch_pool *pool = b->pool;
    attend__mutex_lock(&pool->lock);
    const bool kept = pool->free_count < pool->most && !is_too_large(pool, b);
    if (kept) {
        b->next = pool->free;
        pool->free = b;
        pool->free_count++;
    }
    block *unwanted = take_too_large(pool);
    attend__mutex_unlock(&pool->lock);
    if (!kept) destroy_block(b);
    while (unwanted != NULL) {
        block *const next = unwanted->next;
        destroy_block(unwanted);
        unwanted = next;
    }
    drop_pool(pool);
}

void attend__scratch_return(attend__scratch_pool *pool, attend__scratch *scratch,
                            const attend__sequence *sequence) {
    block *b = (block *)(void *)scratch->buffer;
    scratch->buffer = NULL;
    if (b == NULL) return;
    if (!sequence->enqueue || sequence->last == NULL) {
        give_back(b);
        return;
    }
    attend__retired *record = attend__retired_create(pool->context, 0);
    if (record == NULL) { /* no memory to remember it: then wait here */
        (void)attend_event_wait(sequence->last, -1);
        give_back(b);
        return;
    }
    attend__event_retain(sequence->last);
    record->event = sequence->last;
    record->object = b;
    record->drop = give_back;
    attend__retired_keep(pool->context, record);
}
