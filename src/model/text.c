/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as a list of characters; see text.h. */
#include "model/text.h"

#include "base/checked.h"
#include "model/model_error.h"

#include <stdlib.h>
#include <utf8proc.h>

bool attend__grow(void **items, size_t *capacity, size_t count, size_t item_bytes) {
    if (count < *capacity) return true;
    size_t wanted, bytes;
    if (!attend__mul_size(count ? count : 8, 2, &wanted) ||
        !attend__mul_size(wanted, item_bytes, &bytes))
        return false;
    void *const grown = realloc(*items, bytes);
    if (!grown) return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

bool attend__text_append(attend__text *text, int32_t code, size_t begin, size_t end) {
    void *items = text->items;
    if (!attend__grow(&items, &text->capacity, text->count, sizeof *text->items)) return false;
    text->items = items;
    text->items[text->count++] = (attend__character){code, begin, end};
    return true;
}

attend_status attend__text_decode(attend__text *text, const char *name, const char *bytes,
                                  size_t size) {
    size_t at = 0;
    while (at < size) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes + at,
                                                       (utf8proc_ssize_t)(size - at), &code);
        if (used <= 0)
            return attend__model_fail(ATTEND_FORMAT, "%s: not UTF-8 at byte %zu (0x%02x)", name, at,
                                      (unsigned)(unsigned char)bytes[at]);
        if (!attend__text_append(text, code, at, at + (size_t)used))
            return attend__model_fail(ATTEND_OUT_OF_MEMORY,
                                      "%s: not enough memory for its characters", name);
        at += (size_t)used;
    }
    return ATTEND_OK;
}

void attend__text_free(attend__text *text) {
    free(text->items);
    *text = (attend__text){0};
}
