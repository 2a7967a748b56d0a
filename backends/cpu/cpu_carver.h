/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays cut from one piece of memory, each on a cache line of its own. */
#ifndef ATTEND_CPU_CARVER_H
#define ATTEND_CPU_CARVER_H

#include "base/checked.h"
#include "cpu_workspace.h"

typedef struct attend__carver {
    char *memory; /* NULL: only measure */
    size_t used;
    bool fits;
} attend__carver;

static inline void *attend__carve(attend__carver *c, int64_t count, int64_t each,
                                  size_t element_bytes) {
    void *const here = c->memory == NULL ? NULL : c->memory + c->used;
    size_t bytes = 0;
    const size_t mask = ATTEND__CPU_ALIGNMENT - 1;
    if (!attend__mul_size((size_t)count, (size_t)each, &bytes) ||
        !attend__mul_size(bytes, element_bytes, &bytes) || !attend__add_size(bytes, mask, &bytes) ||
        !attend__add_size(c->used, bytes & ~mask, &c->used))
        c->fits = false;
    return here;
}

#endif
