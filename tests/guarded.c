/* SPDX-License-Identifier: Apache-2.0
 *
 * See guarded.h. Anonymous memory of POSIX systems. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "guarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

guarded guarded_create(size_t bytes, guarded_side side) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page - 1) / page * page;
    guarded g = {NULL, NULL, inner + 2 * page};
    void *const mapping =
        mmap(NULL, g.mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0 ||
        mprotect((char *)mapping + page + inner, page, PROT_NONE) != 0) {
        fprintf(stderr, "guarded: no memory\n");
        exit(1);
    }
    g.mapping = mapping;
    memset(g.mapping + page, 0xff, inner);
    g.data = g.mapping + page + (side == GUARDED_BEHIND ? inner - bytes : 0);
    return g;
}

void guarded_destroy(guarded *g) {
    munmap(g->mapping, g->mapped_bytes);
}
