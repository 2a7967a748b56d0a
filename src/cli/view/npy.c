/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.h. The header is a Python literal; only what NumPy writes of the language is read. */
#include "view/npy.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>

enum { MOST_WORD = 32 };

typedef struct reader {
    const unsigned char *at, *end;
    npy_array *array;
    char *fault;
    bool has_descr, has_order, has_shape;
} reader;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(const reader *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(r->fault, NPY_FAULT_BYTES, format, list);
    va_end(list);
    return false;
}

static void skip_blanks(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        ++r->at;
}

/* Blanks, then that character. */
static bool take(reader *r, char wanted) {
    skip_blanks(r);
    if (r->at == r->end || *r->at != (unsigned char)wanted) return false;
    ++r->at;
    return true;
}

/* A text in either kind of quotes, without escapes. */
static bool take_word(reader *r, char word[MOST_WORD]) {
    skip_blanks(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"')) return false;
    const unsigned char quote = *r->at++;
    size_t length = 0;
    while (r->at < r->end && *r->at != quote && *r->at >= ' ' && *r->at <= '~' && *r->at != '\\' &&
           length + 1 < MOST_WORD)
        word[length++] = (char)*r->at++;
    word[length] = 0;
    return r->at < r->end && *r->at++ == quote;
}

static bool take_size(reader *r, size_t *size) {
    skip_blanks(r);
    if (r->at == r->end || *r->at < '0' || *r->at > '9') return false;
    for (*size = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9'; ++r->at)
        if (!attend__mul_size(*size, 10, size) ||
            !attend__add_size(*size, (size_t)(*r->at - '0'), size))
            return false;
    if (r->at < r->end && *r->at == 'L') ++r->at; /* Python 2 wrote 3L */
    return true;
}

static bool read_descr(reader *r) {
    char word[MOST_WORD];
    if (!take_word(r, word)) return fail(r, "its elements are not single numbers (descr)");
    number_format *const f = &r->array->format;
    f->big_endian = word[0] == '>';
    if ((word[0] != '<' && word[0] != '>') || word[1] != 'f' || !word[2] || word[3])
        return fail(r, "its elements are '%s', and only floats of 2, 4 or 8 bytes are read", word);
    f->kind = word[2] == '2' ? NUMBER_F16 : word[2] == '4' ? NUMBER_F32 : NUMBER_F64;
    if (word[2] == '2' || word[2] == '4' || word[2] == '8') return true;
    return fail(r, "its elements are '%s', and only floats of 2, 4 or 8 bytes are read", word);
}

static bool read_order(reader *r) {
    skip_blanks(r);
    const size_t left = (size_t)(r->end - r->at);
    r->array->fortran = left >= 4 && !memcmp(r->at, "True", 4);
    const bool plain = left >= 5 && !memcmp(r->at, "False", 5);
    r->at += r->array->fortran ? 4 : plain ? 5 : 0;
    return r->array->fortran || plain || fail(r, "fortran_order is neither True nor False");
}

static bool read_shape(reader *r) {
    npy_array *const a = r->array;
    if (!take(r, '(')) return fail(r, "its shape is no list of sizes");
    a->rank = 0;
    while (!take(r, ')')) {
        if (a->rank == NPY_MOST_RANK)
            return fail(r, "its shape has more than %d sizes", (int)NPY_MOST_RANK);
        if (!take_size(r, &a->sizes[a->rank]))
            return fail(r, "size %d of its shape is no number that fits", a->rank);
        ++a->rank;
        if (take(r, ',')) continue;
        if (take(r, ')')) break;
        return fail(r, "its shape does not end");
    }
    a->count = 1;
    for (int i = 0; i < a->rank; ++i)
        if (!attend__mul_size(a->count, a->sizes[i], &a->count))
            return fail(r, "its shape has more elements than memory can hold");
    return true;
}

static bool read_entry(reader *r) {
    char name[MOST_WORD];
    bool *seen = NULL;
    bool (*read)(reader *) = NULL;
    if (!take_word(r, name) || !take(r, ':')) return fail(r, "its header is no dictionary");
    if (!strcmp(name, "descr")) {
        seen = &r->has_descr;
        read = read_descr;
    } else if (!strcmp(name, "fortran_order")) {
        seen = &r->has_order;
        read = read_order;
    } else if (!strcmp(name, "shape")) {
        seen = &r->has_shape;
        read = read_shape;
    } else {
        return fail(r, "its header has '%s', which no version of the format has", name);
    }
    if (*seen) return fail(r, "its header has %s twice", name);
    *seen = true;
    return read(r);
}

static bool read_dictionary(reader *r) {
    if (!take(r, '{')) return fail(r, "its header is no dictionary");
    while (!take(r, '}')) {
        if (!read_entry(r)) return false;
        if (take(r, ',')) continue;
        if (take(r, '}')) break;
        return fail(r, "its header does not end");
    }
    skip_blanks(r);
    if (r->at != r->end) return fail(r, "its header goes on after its end");
    if (!r->has_descr || !r->has_order || !r->has_shape)
        return fail(r, "its header lacks %s",
                    !r->has_descr   ? "descr"
                    : !r->has_order ? "fortran_order"
                                    : "shape");
    return true;
}

bool npy_read(const unsigned char *bytes, size_t size, npy_array *array,
              char fault[NPY_FAULT_BYTES]) {
    static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    enum { VERSION = sizeof magic, LENGTH = VERSION + 2 };
    reader r = {.array = array, .fault = fault};
    memset(array, 0, sizeof *array);
    if (size < LENGTH + 4 || memcmp(bytes, magic, sizeof magic))
        return fail(&r, "it is no .npy file");
    const unsigned version = bytes[VERSION];
    if (version < 1 || version > 3 || bytes[VERSION + 1] != 0)
        return fail(&r, "its version %u.%u is not 1.0, 2.0 or 3.0", version, bytes[VERSION + 1]);
    const size_t start = version == 1 ? LENGTH + 2 : LENGTH + 4;
    size_t length = 0;
    for (size_t i = start; i > LENGTH; --i)
        length = length << 8 | bytes[i - 1];
    if (length > size - start)
        return fail(&r, "its header of %zu bytes ends behind the file's %zu", length, size);
    r.at = bytes + start;
    r.end = r.at + length;
    if (!read_dictionary(&r)) return false;
    array->data = r.end;
    size_t wanted = 0;
    const size_t got = size - start - length;
    if (!attend__mul_size(array->count, number_bytes(array->format.kind), &wanted) || wanted != got)
        return fail(&r,
                    "it has %zu bytes of elements, and its shape is of %zu elements of %zu bytes",
                    got, array->count, number_bytes(array->format.kind));
    return true;
}
