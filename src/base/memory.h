/* SPDX-License-Identifier: Apache-2.0
 *
 * Aligned memory and copies of strings, on every system. */
#ifndef ATTEND_BASE_MEMORY_H
#define ATTEND_BASE_MEMORY_H

#include <stddef.h>

/* alignment: a power of two. 0 bytes give a pointer of their own. NULL if there is no memory. Not
 * cleared. From 2 MB on the memory is aligned for large pages, and the system asked for them: one
 * sweep over weights or a cache touches more small pages than a processor keeps translations of. */
void *attend__aligned_allocate(size_t bytes, size_t alignment);
void attend__aligned_free(void *memory); /* NULL is allowed */

/* A copy to be freed with free(); NULL for NULL, and if there is no memory. */
char *attend__string_copy(const char *text);
/* The first `length` bytes of `text` as a string. */
char *attend__string_part(const char *text, size_t length);

#endif
