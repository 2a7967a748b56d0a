/* SPDX-License-Identifier: Apache-2.0
 *
 * An allocator that counts, for tests of what allocates and what does not. */
#ifndef COUNTING_H
#define COUNTING_H

#include <attend/attend.h>

#include <stdatomic.h>
#include <stdlib.h>

static atomic_size_t counted_allocations;

static void *counting_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    atomic_fetch_add(&counted_allocations, 1);
    const size_t aligned = alignment < 64 ? 64 : alignment;
    return aligned_alloc(aligned, (bytes + aligned) / aligned * aligned);
}

static void counting_release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static const attend_allocator counting_allocator = {counting_allocate, counting_release, NULL};

#endif
