/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_tuning.h: the list of parameters, and texts of values and shapes. */
#include "ocl_tuning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEND_X(kernel, parameter, rows, tile, plain, ...)                                        \
    static const int values_##kernel##_##parameter[] = {__VA_ARGS__};
OCL_TUNING_LIST(ATTEND_X)
#undef ATTEND_X

const ocl_tuned_parameter attend__ocl_tuned_parameters[OCL_TUNED_COUNT] = {
#define ATTEND_X(kernel, parameter, rows, tile, plain, ...)                                        \
    {#kernel,                                                                                      \
     #parameter,                                                                                   \
     {rows, tile, plain},                                                                          \
     values_##kernel##_##parameter,                                                                \
     sizeof values_##kernel##_##parameter / sizeof(int)},
    OCL_TUNING_LIST(ATTEND_X)
#undef ATTEND_X
};

/* ---- values ---------------------------------------------------------------------------------- */

static bool same(const char *whole, const char *part, size_t length) {
    return strlen(whole) == length && !strncmp(whole, part, length);
}

/* All names of a kind, ", " between; without a kernel, the kernels. */
static void list_names(const char *kernel, size_t length, char *text, size_t bytes) {
    size_t used = 0;
    const char *last = "";
    text[0] = 0;
    for (int i = 0; i < OCL_TUNED_COUNT; i++) {
        const ocl_tuned_parameter *const p = &attend__ocl_tuned_parameters[i];
        const char *const name = kernel ? p->name : p->kernel;
        if (kernel ? !same(p->kernel, kernel, length) : !strcmp(p->kernel, last)) continue;
        last = p->kernel;
        const int n = snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", name);
        if (n < 0 || (size_t)n >= bytes - used) return;
        used += (size_t)n;
    }
}

static bool allowed(const ocl_tuned_parameter *p, const char *text, size_t length, int *value) {
    char digits[12] = "";
    if (length == 0 || length >= sizeof digits || text[0] < '0' || text[0] > '9') return false;
    memcpy(digits, text, length);
    char *end;
    const long long read = strtoll(digits, &end, 10);
    for (int i = 0; !*end && i < p->value_count; i++) {
        if (p->values[i] != read) continue;
        *value = p->values[i];
        return true;
    }
    return false;
}

/* One "NAME=VALUE" of `length` bytes. */
static bool read_one(const ocl_tuned_part *part, const char *text, size_t length, int *values,
                     char reason[OCL_TUNED_TEXT]) {
    char names[200];
    const char *const equals = memchr(text, '=', length);
    const size_t name = equals ? (size_t)(equals - text) : length;
    for (int i = 0; i < OCL_TUNED_COUNT; i++) {
        const ocl_tuned_parameter *const p = &attend__ocl_tuned_parameters[i];
        if (!same(p->kernel, part->kernel, part->kernel_length) || !same(p->name, text, name))
            continue;
        const size_t at = equals ? name + 1 : name;
        if (allowed(p, text + at, length - at, &values[i])) return true;
        size_t used =
            (size_t)snprintf(reason, OCL_TUNED_TEXT, "%s of %s cannot be \"%.*s\" but", p->name,
                             p->kernel, (int)(length - at < 40 ? length - at : 40), text + at);
        for (int v = 0; v < p->value_count && used < OCL_TUNED_TEXT - 20; v++)
            used += (size_t)snprintf(reason + used, OCL_TUNED_TEXT - used, "%s %d", v ? "," : "",
                                     p->values[v]);
        return false;
    }
    list_names(part->kernel, part->kernel_length, names, sizeof names);
    if (names[0])
        (void)snprintf(reason, OCL_TUNED_TEXT, "%.*s has no parameter \"%.*s\" but %s",
                       (int)part->kernel_length, part->kernel, (int)(name < 40 ? name : 40), text,
                       names);
    else {
        list_names(NULL, 0, names, sizeof names);
        (void)snprintf(
            reason, OCL_TUNED_TEXT, "\"%.*s\" is no kernel with parameters; these are: %s",
            (int)(part->kernel_length < 40 ? part->kernel_length : 40), part->kernel, names);
    }
    return false;
}

bool attend__ocl_tuned_read(const ocl_tuned_part *part, int values[OCL_TUNED_COUNT],
                            char reason[OCL_TUNED_TEXT]) {
    int read[OCL_TUNED_COUNT];
    memcpy(read, values, sizeof read);
    const char *at = part->text, *const end = part->text + part->length;
    while (at < end) {
        size_t length = 0;
        while (at + length < end && at[length] != ',' && at[length] != ' ')
            length++;
        if (!read_one(part, at, length, read, reason)) return false;
        at += length + (at + length < end);
    }
    memcpy(values, read, sizeof read);
    return true;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static int power(int64_t n) {
    int bits = 0;
    while (n > 1) {
        n /= 2;
        bits++;
    }
    return bits;
}

static const char *type_text(attend_type type) {
    return type == ATTEND_F16    ? "f16"
           : type == ATTEND_BF16 ? "bf16"
           : type == ATTEND_I8   ? "i8"
                                 : "f32";
}

void attend__ocl_tuned_key(const ocl_source *source, const ocl_tuned_shape *shape,
                           char key[OCL_TUNED_TEXT]) {
    (void)snprintf(key, OCL_TUNED_TEXT, "%.*s %s %s %s %s %d %d %d %d",
                   (int)strcspn(source->name, "."), source->name, source->digest,
                   type_text(shape->type), shape->mask, shape->phase, shape->head,
                   power(shape->sizes[0]), power(shape->sizes[1]), power(shape->sizes[2]));
}

/* A key, taken apart. */
typedef struct shape_words {
    char kernel[40], digest[24], type[8], mask[16], phase[16];
    int head, sizes[3];
} shape_words;

static bool take_apart(const char *key, shape_words *w) {
    return sscanf(key, "%39s %23s %7s %15s %15s %d %d %d %d", w->kernel, w->digest, w->type,
                  w->mask, w->phase, &w->head, &w->sizes[0], &w->sizes[1], &w->sizes[2]) == 9;
}

/* A factor of two counts 1 for rows and keys, 2 for head sizes, half for how many heads there are;
 * another kind of mask 2. MOST: further apart, shapes say nothing of each other. */
int attend__ocl_tuned_distance(const char *key, const char *line) {
    enum { MOST = 6 };
    shape_words a, b;
    if (!take_apart(key, &a) || !take_apart(line, &b) || strcmp(a.kernel, b.kernel) != 0 ||
        strcmp(a.digest, b.digest) != 0 || strcmp(a.type, b.type) != 0 ||
        strcmp(a.phase, b.phase) != 0)
        return -1;
    int distance = strcmp(a.mask, b.mask) ? 2 : 0;
    if (a.head != b.head) distance += 1 + 2 * abs(power(a.head) - power(b.head));
    for (int i = 0; i < 3; i++)
        if (b.sizes[i] < 0 || b.sizes[i] > 64) return -1;
    distance += abs(a.sizes[0] - b.sizes[0]) + abs(a.sizes[1] - b.sizes[1]) +
                abs(a.sizes[2] - b.sizes[2]) / 2;
    return distance <= MOST ? distance : -1;
}
