/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h. C11's aligned_alloc is missing on Windows and wants sizes that are multiples of the
 * alignment. */
#ifdef __linux__
#define _GNU_SOURCE /* madvise */
#endif
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LARGE_PAGE = 2 << 20 };

/* Only advice: memory without large pages works as well, a little slower. */
static void advise_large_pages(void *memory, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)bytes;
#endif
}

void *attend__aligned_allocate(size_t bytes, size_t alignment) {
    if (bytes == 0) bytes = 1;
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (bytes >= LARGE_PAGE && alignment < LARGE_PAGE) alignment = LARGE_PAGE;
#ifdef _WIN32
    return _aligned_malloc(bytes, alignment);
#else
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, bytes) != 0) return NULL;
    if (bytes >= LARGE_PAGE) advise_large_pages(memory, bytes);
    return memory;
#endif
}

void attend__aligned_free(void *memory) {
#ifdef _WIN32
    _aligned_free(memory);
#else
    free(memory);
#endif
}

char *attend__string_part(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *attend__string_copy(const char *text) {
    return text == NULL ? NULL : attend__string_part(text, strlen(text));
}
