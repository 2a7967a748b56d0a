/* SPDX-License-Identifier: Apache-2.0
 *
 * printable.h on utf8proc, whose tables follow UAX #11 (East Asian width). */
#include "printable.h"

#include "cli.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

enum {
    GROWTH = 4 /* the most an escape grows: one byte to "\xff"; two bytes to "\u0080", four to 10 */
};

/* Characters that steer a terminal or the order of what follows, or that XML forbids. */
static int hidden(utf8proc_int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return 1;
    default:
        return (c & 0xfffe) == 0xfffe; /* noncharacters */
    }
}

static size_t escape(char *out, size_t room, utf8proc_int32_t c) {
    const unsigned value = (unsigned)c;
    if (c < 0x80) return (size_t)snprintf(out, room, "\\x%02x", value);
    if (c < 0x10000) return (size_t)snprintf(out, room, "\\u%04x", value);
    return (size_t)snprintf(out, room, "\\U%08x", value);
}

char *printable_text(const char *bytes, size_t count) {
    const size_t room = count < SIZE_MAX / GROWTH ? count * GROWTH + 1 : SIZE_MAX;
    char *const safe = cli_allocate(room, 1);
    const utf8proc_uint8_t *const in = (const utf8proc_uint8_t *)bytes;
    size_t used = 0;
    for (size_t at = 0; at < count;) {
        utf8proc_int32_t c = -1;
        const size_t left = count - at;
        const utf8proc_ssize_t length =
            utf8proc_iterate(in + at, left < 4 ? (utf8proc_ssize_t)left : 4, &c);
        if (length <= 0) {
            used += (size_t)snprintf(safe + used, room - used, "\\x%02x", (unsigned)in[at]);
            ++at;
        } else if (hidden(c)) {
            used += escape(safe + used, room - used, c);
            at += (size_t)length;
        } else {
            memcpy(safe + used, bytes + at, (size_t)length);
            used += (size_t)length;
            at += (size_t)length;
        }
    }
    return safe;
}

/* The next character's bytes and columns. */
static size_t step(const char *at, size_t *columns) {
    utf8proc_int32_t c = -1;
    const utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)at, -1, &c);
    if (length <= 0) {
        *columns = 1;
        return 1;
    }
    const int width = utf8proc_charwidth(c);
    *columns = width > 0 ? (size_t)width : 0;
    return (size_t)length;
}

size_t printable_width(const char *safe) {
    size_t sum = 0, columns = 0;
    for (size_t at = 0; safe[at]; sum += columns)
        at += step(safe + at, &columns);
    return sum;
}

void printable_put(FILE *stream, const char *safe, size_t width) {
    size_t at = 0, used = 0, columns = 0;
    while (safe[at]) {
        const size_t bytes = step(safe + at, &columns);
        if (used + columns > width) break;
        fwrite(safe + at, 1, bytes, stream);
        used += columns;
        at += bytes;
    }
    for (; used < width; ++used)
        putc(' ', stream);
}

void printable_put_xml(FILE *stream, const char *safe) {
    for (; *safe; ++safe) {
        switch (*safe) {
        case '&':
            fputs("&amp;", stream);
            break;
        case '<':
            fputs("&lt;", stream);
            break;
        case '>':
            fputs("&gt;", stream);
            break;
        case '"':
            fputs("&quot;", stream);
            break;
        default:
            putc(*safe, stream);
        }
    }
}
