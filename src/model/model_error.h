/* SPDX-License-Identifier: Apache-2.0
 *
 * Failures of libattend-model: formatted here, kept by libattend, so that attend_error_text gives
 * them too. */
#ifndef ATTEND_MODEL_MODEL_ERROR_H
#define ATTEND_MODEL_MODEL_ERROR_H

#include "attend/core.h"

#if defined(__GNUC__)
#define ATTEND__MODEL_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define ATTEND__MODEL_PRINTF(text, first)
#endif

/* Stores the sentence, cut at 1023 bytes, and returns `status`. */
attend_status attend__model_fail(attend_status status, const char *format, ...)
    ATTEND__MODEL_PRINTF(2, 3);
/* OUT_OF_MEMORY while working on `file`. */
attend_status attend__model_no_memory(const char *file);

#endif
