/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentence of the last failure: a fixed store per thread, so that keeping it cannot fail. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char sentence[ATTEND__ERROR_BYTES];

attend_status attend__fail(attend_status status, const char *format, ...) {
    va_list arguments;
    char next[sizeof sentence]; /* an argument may be the sentence itself */
    va_start(arguments, format);
    vsnprintf(next, sizeof next, format, arguments);
    va_end(arguments);
    attend__set_error(next);
    return status;
}

void attend__set_error(const char *text) {
    if (text == sentence) return;
    snprintf(sentence, sizeof sentence, "%s", text ? text : "");
}

const char *attend_error_text(void) {
    return sentence;
}

attend_status attend_error_set(attend_status status, const char *text) {
    attend__set_error(text);
    return status;
}

void attend__error_copy(char to[ATTEND__ERROR_BYTES]) {
    (void)snprintf(to, ATTEND__ERROR_BYTES, "%s", attend_error_text());
}
