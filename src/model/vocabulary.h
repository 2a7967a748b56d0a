/* SPDX-License-Identifier: Apache-2.0
 *
 * A map from the text of a token to its id, read only once it is filled: any number of threads may
 * ask. */
#ifndef ATTEND_MODEL_VOCABULARY_H
#define ATTEND_MODEL_VOCABULARY_H

#include "attend/core.h"

#include <stdbool.h>

typedef struct attend__word {
    const char *text; /* ends with NUL; lives as long as the vocabulary */
    size_t bytes;
    int32_t id;
} attend__word;

typedef struct attend__vocabulary {
    attend__word *slots; /* open addressing, at most half full; text NULL = free */
    size_t slot_count;   /* a power of two */
    char *texts;
    size_t texts_bytes, texts_used;
    size_t longest_bytes; /* of any word: longer ones need no search */
} attend__vocabulary;

/* Room for `count` words whose texts with their NULs take `bytes`. false without memory. */
bool attend__vocabulary_create(attend__vocabulary *vocabulary, size_t count, size_t bytes);
/* Copies the text. A text that is there already keeps its id. Only as much as was made room for. */
void attend__vocabulary_add(attend__vocabulary *vocabulary, const char *text, size_t bytes,
                            int32_t id);
/* The word that is `prefix` followed by `text`, or NULL. */
const attend__word *attend__vocabulary_find(const attend__vocabulary *vocabulary,
                                            const char *prefix, size_t prefix_bytes,
                                            const char *text, size_t bytes);
void attend__vocabulary_free(attend__vocabulary *vocabulary);

#endif
