/* SPDX-License-Identifier: Apache-2.0
 *
 * paragraph.h: breaks lines by the widths of UAX #11 and the rules for marks that Chinese
 * typesetting shares with others (a small part of UAX #14). */
#include "explain/paragraph.h"

#include <stdbool.h>
#include <utf8proc.h>

typedef struct character {
    utf8proc_int32_t code;
    size_t bytes, columns;
} character;

static character read_character(const char *at) {
    character c = {.code = -1, .bytes = 1, .columns = 1};
    const utf8proc_ssize_t bytes = utf8proc_iterate((const utf8proc_uint8_t *)at, -1, &c.code);
    if (bytes <= 0) return c;
    const int columns = utf8proc_charwidth(c.code);
    c.bytes = (size_t)bytes;
    c.columns = columns > 0 ? (size_t)columns : 0;
    return c;
}

static bool opens(utf8proc_int32_t code) {
    const utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_PS || category == UTF8PROC_CATEGORY_PI;
}

/* Closing brackets and quotes, commas and stops: what belongs to the text before it. */
static bool closes(utf8proc_int32_t code) {
    const utf8proc_category_t category = utf8proc_category(code);
    return category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PF ||
           category == UTF8PROC_CATEGORY_PO;
}

/* A line may end between these two. */
static bool may_break(const character *a, const character *b) {
    if (b->columns == 0 || b->code == ' ') return false;
    if (a->code == ' ') return true;
    return (a->columns == 2 || b->columns == 2) && !opens(a->code) && !closes(b->code);
}

/* Bytes and columns of the piece up to where a line may end; spaces behind it belong to it. */
static size_t next_piece(const char *at, size_t *columns, size_t *spaces) {
    character last = read_character(at);
    size_t bytes = last.bytes;
    *columns = last.columns;
    *spaces = last.code == ' ';
    while (at[bytes]) {
        const character next = read_character(at + bytes);
        if (may_break(&last, &next)) break;
        bytes += next.bytes;
        *columns += next.columns;
        *spaces = next.code == ' ' ? *spaces + 1 : 0;
        last = next;
    }
    return bytes;
}

void paragraph_put(FILE *stream, const char *safe, size_t columns) {
    size_t used = 0, held = 0; /* held: spaces that are printed when the line goes on */
    for (size_t at = 0; safe[at];) {
        size_t width = 0, spaces = 0;
        const size_t bytes = next_piece(safe + at, &width, &spaces);
        if (used > 0 && used + held + width - spaces > columns) {
            putc('\n', stream);
            used = held = 0;
        }
        used += held + width - spaces;
        for (; held > 0; --held)
            putc(' ', stream);
        fwrite(safe + at, 1, bytes - spaces, stream);
        held = spaces;
        at += bytes;
    }
    putc('\n', stream);
}
