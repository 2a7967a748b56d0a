/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_set.h: memory, titles, notices. */
#include "view/weight_set.h"

#include "printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const uint16_t *weight_set_head(const weight_set *set, size_t layer, size_t head) {
    return set->codes + (layer * set->heads + head) * set->rows.count * set->columns.count;
}

void weight_set_title(const weight_set *set, size_t layer, size_t head,
                      char title[WEIGHT_TITLE_BYTES]) {
    const int number = set->layer_numbers[layer];
    if (set->combined)
        snprintf(title, WEIGHT_TITLE_BYTES, "layer %d, %s of %zu heads", number,
                 strcmp(set->combined, "max") ? set->combined : "maximum", set->model_heads);
    else
        snprintf(title, WEIGHT_TITLE_BYTES, "layer %d, head %d", number, set->head_numbers[head]);
}

void weight_set_notice(weight_set *set, const char *format, ...) {
    char sentence[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    char **const longer = cli_allocate(set->notice_count + 1, sizeof *longer);
    if (set->notice_count) memcpy(longer, set->notices, set->notice_count * sizeof *longer);
    free(set->notices);
    set->notices = longer;
    set->notices[set->notice_count++] = printable_text(sentence, strlen(sentence));
}

void weight_set_free(weight_set *set) {
    token_axis_free(&set->rows);
    token_axis_free(&set->columns);
    for (size_t i = 0; i < set->notice_count; ++i)
        free(set->notices[i]);
    free(set->notices);
    free(set->layer_numbers);
    free(set->head_numbers);
    free(set->codes);
    free(set->patterns);
    free(set->caption);
    free(set->text);
    free(set->source);
    free(set->backend);
    free(set->device);
    memset(set, 0, sizeof *set);
}

/* ---- tokens -----------------------------------------------------------------------------------
 */

void token_axis_make(token_axis *axis, size_t count) {
    axis->count = count;
    axis->raw = cli_allocate(count, sizeof *axis->raw);
    axis->safe = cli_allocate(count, sizeof *axis->safe);
    axis->numbers = cli_allocate(count, sizeof *axis->numbers);
    axis->special = cli_allocate(count, sizeof *axis->special);
    axis->second = cli_allocate(count, sizeof *axis->second);
    for (size_t i = 0; i < count; ++i)
        axis->numbers[i] = i;
}

/* A copy in which U+FFFD stands for every byte that is no UTF-8, and for NUL, which would end it.
 */
static char *whole_utf8(const char *text, size_t bytes) {
    static const char replacement[] = "\xef\xbf\xbd";
    enum { LONGEST = sizeof replacement - 1 };
    char *const copy = cli_allocate(bytes < SIZE_MAX / LONGEST ? bytes * LONGEST + 1 : SIZE_MAX, 1);
    size_t used = 0;
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c = -1;
        const size_t left = bytes - at;
        const utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                         left < 4 ? (utf8proc_ssize_t)left : 4, &c);
        const size_t taken = length > 0 ? (size_t)length : 1;
        const bool good = length > 0 && c != 0;
        memcpy(copy + used, good ? text + at : replacement, good ? taken : LONGEST);
        used += good ? taken : LONGEST;
        at += taken;
    }
    return copy;
}

void token_axis_put(token_axis *axis, size_t index, const char *text, size_t bytes) {
    axis->raw[index] = whole_utf8(text, bytes);
    axis->safe[index] = printable_text(text, bytes);
}

void token_axis_free(token_axis *axis) {
    for (size_t i = 0; i < axis->count; ++i) {
        free(axis->raw[i]);
        free(axis->safe[i]);
    }
    free(axis->raw);
    free(axis->safe);
    free(axis->numbers);
    free(axis->special);
    free(axis->second);
    memset(axis, 0, sizeof *axis);
}
