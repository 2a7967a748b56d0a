/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory between two pages that may not be touched, so that a kernel that reads or writes one
 * element too many ends the test. The elements lie against the page behind them or against the one
 * before them. POSIX only. */
#ifndef ATTEND_TESTS_GUARDED_H
#define ATTEND_TESTS_GUARDED_H

#include <stddef.h>

typedef struct guarded {
    void *data;
    char *mapping;
    size_t mapped_bytes;
} guarded;

typedef enum guarded_side { GUARDED_BEHIND, GUARDED_BEFORE } guarded_side;

/* `bytes` bytes, filled with 0xff (NaN in every floating-point type). Ends the program if there is
 * no memory. */
guarded guarded_create(size_t bytes, guarded_side side);
void guarded_destroy(guarded *g);

#endif
