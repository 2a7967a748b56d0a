/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as a list of characters, each with the bytes of the caller's text that it came from, so that
 * every token can be traced back however normalization moved things about. */
#ifndef ATTEND_MODEL_TEXT_H
#define ATTEND_MODEL_TEXT_H

#include "attend/core.h"

#include <stdbool.h>

typedef struct attend__character {
    int32_t code;
    size_t begin, end;
} attend__character;

typedef struct attend__text {
    attend__character *items;
    size_t count, capacity;
} attend__text;

/* Room for one more of `item_bytes`; false without memory, and the list is as it was. */
bool attend__grow(void **items, size_t *capacity, size_t count, size_t item_bytes);

bool attend__text_append(attend__text *text, int32_t code, size_t begin, size_t end);
/* FORMAT with the byte offset where `bytes` is not UTF-8; OUT_OF_MEMORY. `name` begins the
 * sentence. */
attend_status attend__text_decode(attend__text *text, const char *name, const char *bytes,
                                  size_t size);
void attend__text_free(attend__text *text); /* and makes it empty */

#endif
