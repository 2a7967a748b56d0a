/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of bad arguments share: zeros to read, patterned memory to write, and the check
 * that a refused call named what was wrong and wrote nothing. */
#ifndef ATTEND_TEST_ARGUMENTS_H
#define ATTEND_TEST_ARGUMENTS_H

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>

extern attend_context *arguments_context,
    *arguments_other; /* two contexts on the backend under test */
extern const attend_tensor arguments_none;

int arguments_open(void **state);
int arguments_close(void **state);

/* A contiguous view of zeros, and one of patterned memory that no earlier call of this returned. */
attend_tensor arguments_input(attend_type type, int32_t rank, const int64_t *sizes);
attend_tensor arguments_output(attend_type type, int32_t rank, const int64_t *sizes);
/* Gives all patterned memory back, with its pattern. */
void arguments_reset(void);
/* The same memory seen through a buffer of `arguments_context`, which enqueue calls want. */
attend_tensor arguments_in_buffer(attend_tensor t);
/* A view of a buffer of the other context. */
attend_tensor arguments_foreign(attend_tensor t);

/* `name` is the case's, for the message. */
void arguments_refused(const char *name, attend_status got, attend_status wanted,
                       const char *words);

#define IN(type, ...)                                                                              \
    arguments_input(ATTEND_##type, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),  \
                    (int64_t[]){__VA_ARGS__})
#define OUT(type, ...)                                                                             \
    arguments_output(ATTEND_##type, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                     (int64_t[]){__VA_ARGS__})

#endif
