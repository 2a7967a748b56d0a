/* SPDX-License-Identifier: Apache-2.0
 *
 * labels.h: one label a line; a last line end begins no further line. */
#include "view/labels.h"

#include "model/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Of the tokenizers of the BERT, GPT, T5 and Llama families. */
static bool stands_for_no_text(const char *label) {
    static const char *const names[] = {
        "[CLS]", "[SEP]", "[PAD]", "<s>",   "</s>",          "<pad>",
        "<cls>", "<sep>", "<bos>", "<eos>", "<|endoftext|>", "<|begin_of_text|>",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i)
        if (!strcmp(label, names[i])) return true;
    return false;
}

/* The first byte that is no UTF-8, or NUL; `size` if there is none. */
static size_t first_fault(const unsigned char *bytes, size_t size) {
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c = -1;
        const size_t left = size - at;
        const utf8proc_ssize_t length =
            utf8proc_iterate(bytes + at, left < 4 ? (utf8proc_ssize_t)left : 4, &c);
        if (length <= 0 || c == 0) return at;
        at += (size_t)length;
    }
    return size;
}

static size_t count_lines(const unsigned char *bytes, size_t size) {
    size_t lines = size > 0 && bytes[size - 1] != '\n';
    for (size_t i = 0; i < size; ++i)
        lines += bytes[i] == '\n';
    return lines;
}

static void put_lines(token_axis *axis, const char *text, size_t size) {
    for (size_t i = 0, at = 0; i < axis->count; ++i) {
        const char *const end = memchr(text + at, '\n', size - at);
        const size_t length = end ? (size_t)(end - text) - at : size - at;
        const size_t shown = length - (length > 0 && text[at + length - 1] == '\r');
        token_axis_put(axis, i, text + at, shown);
        axis->special[i] = stands_for_no_text(axis->raw[i]);
        at += length + 1;
    }
}

static bool check(const char *path, const unsigned char *bytes, size_t size, size_t count,
                  const char *what) {
    const size_t fault = first_fault(bytes, size), lines = count_lines(bytes, size);
    if (fault < size)
        cli_error("%s: byte %zu, in line %zu, is not UTF-8 text", path, fault,
                  count_lines(bytes, fault) + (fault == 0 || bytes[fault - 1] == '\n'));
    else if (lines != count)
        cli_error("%s: has %zu labels, one a line, and the weights have %zu %s", path, lines, count,
                  what);
    return fault == size && lines == count;
}

bool labels_read(token_axis *axis, const char *path, size_t count, const char *what) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    if (path && attend__file_read(path, &bytes, &size)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    const bool good = !path || check(path, bytes, size, count, what);
    if (good) token_axis_make(axis, count);
    if (good && path) put_lines(axis, (const char *)bytes, size);
    for (size_t i = 0; good && !path && i < count; ++i) {
        char number[24];
        token_axis_put(axis, i, number, (size_t)snprintf(number, sizeof number, "%zu", i));
    }
    free(bytes);
    return good;
}
