/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of free blocks, one for each power of two. A block begins with a head that names its list;
 * larger blocks than the largest list's are not kept. */
#include "base/recycler.h"

#include <stdalign.h>
#include <stdint.h>

/* A sanitizer sees use after release only if memory really is released. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEPS 0
#endif
#endif
#ifndef KEEPS
#define KEEPS 1
#endif

typedef struct attend__recycled {
    alignas(max_align_t) struct attend__recycled *next;
    int list; /* ATTEND__RECYCLER_SIZES = none */
} recycled;

static int list_for(size_t bytes) {
    int list = 0;
    for (size_t size = 64; size < bytes && list < ATTEND__RECYCLER_SIZES; size *= 2)
        list++;
    return KEEPS ? list : ATTEND__RECYCLER_SIZES;
}

bool attend__recycler_create(attend__recycler *r) {
    for (int i = 0; i < ATTEND__RECYCLER_SIZES; i++)
        r->free[i] = NULL;
    return attend__mutex_create(&r->lock);
}

void attend__recycler_destroy(attend__recycler *r) {
    for (int i = 0; i < ATTEND__RECYCLER_SIZES; i++)
        while (r->free[i] != NULL) {
            recycled *const block = r->free[i];
            r->free[i] = block->next;
            r->release(r->self, block);
        }
    attend__mutex_destroy(&r->lock);
}

void *attend__recycler_take(attend__recycler *r, size_t bytes) {
    const int list = list_for(bytes);
    recycled *block = NULL;
    if (list < ATTEND__RECYCLER_SIZES) {
        attend__mutex_lock(&r->lock);
        block = r->free[list];
        if (block != NULL) r->free[list] = block->next;
        attend__mutex_unlock(&r->lock);
        bytes = (size_t)64 << list;
    }
    if (block == NULL) {
        if (bytes > SIZE_MAX - sizeof *block) return NULL;
        block = r->allocate(r->self, sizeof *block + bytes, alignof(max_align_t));
        if (block == NULL) return NULL;
        block->list = list;
    }
    return block + 1;
}

void attend__recycler_give(attend__recycler *r, void *memory) {
    if (memory == NULL) return;
    recycled *const block = (recycled *)memory - 1;
    if (block->list == ATTEND__RECYCLER_SIZES) {
        r->release(r->self, block);
        return;
    }
    attend__mutex_lock(&r->lock);
    block->next = r->free[block->list];
    r->free[block->list] = block;
    attend__mutex_unlock(&r->lock);
}
