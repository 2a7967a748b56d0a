/* SPDX-License-Identifier: Apache-2.0
 *
 * Failures of libattend-model; see model_error.h. */
#include "model/model_error.h"

#include <stdarg.h>
#include <stdio.h>

attend_status attend__model_fail(attend_status status, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return attend_error_set(status, text);
}

attend_status attend__model_no_memory(const char *file) {
    return attend__model_fail(ATTEND_OUT_OF_MEMORY, "%s: not enough memory to read it", file);
}
