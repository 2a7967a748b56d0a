/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentence of the last failure, kept per thread. */
#ifndef ATTEND_CORE_ERROR_H
#define ATTEND_CORE_ERROR_H

#include "attend/core.h"

#if defined(__MINGW32__) /* where "printf" means Microsoft's, without %zu */
#define ATTEND__PRINTF(text, first) __attribute__((format(gnu_printf, text, first)))
#elif defined(__GNUC__)
#define ATTEND__PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define ATTEND__PRINTF(text, first)
#endif

/* Stores the sentence and returns `status`, so that a check reads `return
 * attend__fail(ATTEND_SHAPE, "..")`. A sentence longer than the store (1023 bytes) is cut. */
attend_status attend__fail(attend_status status, const char *format, ...) ATTEND__PRINTF(2, 3);
void attend__set_error(const char *text);
/* The sentence as it is, to be put back by attend__set_error after what must not change it. */
enum { ATTEND__ERROR_BYTES = 1024 };
void attend__error_copy(char to[ATTEND__ERROR_BYTES]);

#endif
