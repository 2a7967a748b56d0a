/* SPDX-License-Identifier: Apache-2.0
 *
 * A map from the text of a token to its id; see vocabulary.h. */
#include "model/vocabulary.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a, 64 bits (Fowler, Noll, Vo: draft-eastlake-fnv). */
static uint64_t hash(uint64_t state, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        state = (state ^ (unsigned char)text[i]) * 0x100000001b3u;
    return state;
}

static const uint64_t hash_start = 0xcbf29ce484222325u;

bool attend__vocabulary_create(attend__vocabulary *vocabulary, size_t count, size_t bytes) {
    *vocabulary = (attend__vocabulary){0};
    size_t slots = 16, wanted;
    if (!attend__mul_size(count, 2, &wanted)) return false;
    while (slots < wanted)
        if (!attend__mul_size(slots, 2, &slots)) return false;
    vocabulary->slots = calloc(slots, sizeof *vocabulary->slots);
    vocabulary->texts = malloc(bytes ? bytes : 1);
    vocabulary->slot_count = slots;
    vocabulary->texts_bytes = bytes;
    if (vocabulary->slots && vocabulary->texts) return true;
    attend__vocabulary_free(vocabulary);
    return false;
}

/* The word's slot, or the free one where it belongs. */
static attend__word *slot_of(const attend__vocabulary *vocabulary, const char *prefix,
                             size_t prefix_bytes, const char *text, size_t bytes) {
    uint64_t at = hash(hash(hash_start, prefix, prefix_bytes), text, bytes);
    for (;; at++) {
        attend__word *const word = &vocabulary->slots[at & (vocabulary->slot_count - 1)];
        if (!word->text) return word;
        if (word->bytes == prefix_bytes + bytes && memcmp(word->text, prefix, prefix_bytes) == 0 &&
            memcmp(word->text + prefix_bytes, text, bytes) == 0)
            return word;
    }
}

void attend__vocabulary_add(attend__vocabulary *vocabulary, const char *text, size_t bytes,
                            int32_t id) {
    attend__word *const word = slot_of(vocabulary, "", 0, text, bytes);
    if (word->text) return;
    char *const copy = vocabulary->texts + vocabulary->texts_used;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    vocabulary->texts_used += bytes + 1;
    *word = (attend__word){copy, bytes, id};
    if (bytes > vocabulary->longest_bytes) vocabulary->longest_bytes = bytes;
}

const attend__word *attend__vocabulary_find(const attend__vocabulary *vocabulary,
                                            const char *prefix, size_t prefix_bytes,
                                            const char *text, size_t bytes) {
    const attend__word *const word = slot_of(vocabulary, prefix, prefix_bytes, text, bytes);
    return word->text ? word : NULL;
}

void attend__vocabulary_free(attend__vocabulary *vocabulary) {
    free(vocabulary->slots);
    free(vocabulary->texts);
    *vocabulary = (attend__vocabulary){0};
}
