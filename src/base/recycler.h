/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for what one call needs and the next call needs again: events, records, copies of
 * arguments. What was given back is kept by size and handed out again, so that a loop of calls soon
 * allocates nothing. What is kept is bounded by what was in use at once. */
#ifndef ATTEND_BASE_RECYCLER_H
#define ATTEND_BASE_RECYCLER_H

#include "base/thread.h"

#include <stdbool.h>
#include <stddef.h>

enum { ATTEND__RECYCLER_SIZES = 18 }; /* 64 bytes, twice that, and so on to 8 MiB */

typedef struct attend__recycler {
    attend__mutex lock;
    struct attend__recycled *free[ATTEND__RECYCLER_SIZES];
    void *(*allocate)(void *self, size_t bytes, size_t alignment);
    void (*release)(void *self, void *memory);
    void *self;
} attend__recycler;

/* `allocate`, `release` and `self` are filled in; false where no lock can be had. */
bool attend__recycler_create(attend__recycler *recycler);
/* Everything has been given back. */
void attend__recycler_destroy(attend__recycler *recycler);
/* Aligned for every object of C; NULL where there is no memory. Any thread. */
void *attend__recycler_take(attend__recycler *recycler, size_t bytes);
void attend__recycler_give(attend__recycler *recycler, void *memory); /* NULL is allowed */

#endif
