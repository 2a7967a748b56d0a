/* SPDX-License-Identifier: Apache-2.0
 *
 * case_list.h. */
#include "case_list.h"

#include "shapes_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define CASE_LIST_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define CASE_LIST_PRINTF
#endif
static bool refuse(char *reason, const char *format, ...) CASE_LIST_PRINTF;
static bool refuse(char *reason, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(reason, CASE_LIST_REASON, format, list);
    va_end(list);
    return false;
}

static bool no_memory(char *reason) {
    return refuse(reason, "%s", "out of memory");
}

/* The next item of a list separated by commas, copied; NULL at the end of the list or without
 * memory (*fault). */
static char *next_item(const char **at, bool *fault) {
    if (!**at) return NULL;
    const size_t length = strcspn(*at, ",");
    char *const item = calloc(length + 1, 1);
    *fault = !item;
    if (!item) return NULL;
    memcpy(item, *at, length);
    *at += length;
    if (**at == ',')
        *at += (*at)[1] ? 1 : 0; /* a last comma makes an empty item, which is refused */
    return item;
}

/* ---- numbers ---- */

typedef struct numbers {
    int64_t *items;
    size_t count;
} numbers;

static bool read_number(const char **at, int64_t least, int64_t *number) {
    char *end = NULL;
    if (**at < '0' || **at > '9') return false;
    errno = 0;
    const long long value = strtoll(*at, &end, 10);
    if (errno || value < least || value > INT32_MAX) return false;
    *number = value;
    *at = end;
    return true;
}

static bool push(numbers *n, int64_t number) {
    int64_t *const items = realloc(n->items, (n->count + 1) * sizeof *items);
    if (!items) return false;
    n->items = items;
    n->items[n->count++] = number;
    return true;
}

/* "8", "8-32", "8-32*2", "8-32+8" */
static bool read_range(const char *item, int64_t least, numbers *n, char *reason) {
    const char *at = item;
    int64_t first, last, step = 1;
    bool times = false;
    bool good = read_number(&at, least, &first);
    last = first;
    if (good && *at == '-') {
        ++at;
        good = read_number(&at, first, &last);
        if (good && (*at == '*' || *at == '+')) {
            times = *at++ == '*';
            good = read_number(&at, times ? 2 : 1, &step);
        }
    }
    if (!good || *at || (times && first == 0))
        return refuse(reason, "'%s' is no number and no range such as 128, 1-4, 8-32*2 or 0-12+4",
                      item);
    for (int64_t i = first; i <= last; i = times ? i * step : i + step) {
        if (n->count == CASE_LIST_MOST) return refuse(reason, "'%s' has too many values", item);
        if (!push(n, i)) return no_memory(reason);
    }
    return true;
}

bool number_list_read(const char *text, int64_t least, int64_t **list, size_t *count,
                      char *reason) {
    numbers n = {NULL, 0};
    const char *at = text;
    bool fault = false, good = *text || refuse(reason, "'%s' is no number", text);
    for (char *item; good && (item = next_item(&at, &fault)) != NULL; free(item))
        good = read_range(item, least, &n, reason);
    if (fault) good = no_memory(reason);
    *list = n.items;
    *count = n.count;
    if (good) return true;
    free(n.items);
    *list = NULL;
    return false;
}

/* ---- the list ---- */

bool case_list_add(case_list *list, const bench_case *c, char *reason) {
    for (size_t i = 0; i < list->count; ++i)
        if (list->items[i].type == c->type && list->items[i].threads == c->threads &&
            !strcmp(list->items[i].name, c->name))
            return true;
    if (list->count == CASE_LIST_MOST) return refuse(reason, "%s", "there are too many cases");
    bench_case *const items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items) return no_memory(reason);
    list->items = items;
    list->items[list->count++] = *c;
    return true;
}

void case_list_release(case_list *list) {
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

static bool add_in_types(case_list *list, bench_case c, const char *types, char *reason) {
    const char *at = types ? types : "f32";
    bool fault = false, good = *at || refuse(reason, "'%s' is no type", at);
    for (char *item; good && (item = next_item(&at, &fault)) != NULL; free(item)) {
        good = bench_type_find(item, &c.type) ||
               refuse(reason, "'%s' is no type: f32, f16 or bf16", item);
        good = good && case_list_add(list, &c, reason);
    }
    return fault ? no_memory(reason) : good;
}

/* ---- names ---- */

static const char *const default_names[] = {"minilm-b32", "vit-b8",     "bert-512",
                                            "gpt2-1024",  "bert-layer", "gemm-512x768x768"};
enum { DEFAULT_COUNT = sizeof default_names / sizeof default_names[0] };

static bool wanted(const char *item, const char *op, const char *name) {
    if (!strcmp(item, "all") || !strcmp(item, op) || !strcmp(item, name)) return true;
    for (size_t i = 0; !strcmp(item, "default") && i < DEFAULT_COUNT; ++i)
        if (!strcmp(default_names[i], name)) return true;
    return false;
}

static bool add_shape(case_list *list, const char *op, const char *name, const json_t *sizes,
                      const char *types, char *reason) {
    json_t *const object = json_deep_copy(sizes);
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "op", json_string(op));
    json_object_set_new(object, "dtype", json_string("f32"));
    bench_case c;
    const bool good = bench_case_read(object, &c, reason, CASE_LIST_REASON);
    json_decref(object);
    return good && add_in_types(list, c, types, reason);
}

/* *found: at least one shape has that name. */
static bool add_shapes(case_list *list, const json_t *shapes, const char *item, const char *types,
                       char *reason) {
    bool found = false;
    for (int op = 0; op < BENCH_OP_COUNT; ++op) {
        const char *const text = bench_op_text((bench_op)op);
        json_t *const group = json_object_get(shapes, text);
        const char *name;
        json_t *sizes;
        json_object_foreach(group, name, sizes) {
            if (!wanted(item, text, name)) continue;
            found = true;
            if (!add_shape(list, text, name, sizes, types, reason)) return false;
        }
    }
    return found ||
           refuse(
               reason,
               "'%s' is no named shape (attend bench --list prints them) and no text of sizes such "
               "as 'B1 H12 G12 L512 S512 D64 f32'",
               item);
}

static bool names_type(const char *text) {
    return strstr(text, "f32") || strstr(text, "f16");
}

static bool add_named(case_list *list, const json_t *shapes, const char *item, const char *types,
                      char *reason) {
    if (!strpbrk(item, " ")) return add_shapes(list, shapes, item, types, reason);
    bench_case c;
    char why[CASE_LIST_REASON / 2];
    if (!bench_case_parse(item, &c, why, sizeof why)) {
        snprintf(reason, CASE_LIST_REASON, "'%.150s' is no shape: %s", item, why);
        return false;
    }
    return add_in_types(list, c, names_type(item) ? attend_type_text(c.type) : types, reason);
}

bool case_list_add_named(case_list *list, const char *names, const char *types, char *reason) {
    json_t *const shapes = json_loads(bench_shapes_text, 0, NULL);
    if (!shapes) return no_memory(reason);
    const char *at = names;
    bool fault = false, good = *at || refuse(reason, "'%s' is no shape", names);
    for (char *item; good && (item = next_item(&at, &fault)) != NULL; free(item))
        good = add_named(list, shapes, item, types, reason);
    json_decref(shapes);
    return fault ? no_memory(reason) : good;
}

/* ---- matrix ---- */

enum { BATCH, HEADS, KV_HEADS, SEQ, KEYS, DIM, CAUSAL, AXIS_COUNT };
typedef struct axis {
    const char *option, *fallback; /* NULL: follows another axis */
    int64_t least;
} axis;
static const axis axes[AXIS_COUNT] = {
    [BATCH] = {"--batch", "1", 1},        [HEADS] = {"--heads", "12", 1},
    [KV_HEADS] = {"--kv-heads", NULL, 1}, [SEQ] = {"--seq", "512", 1},
    [KEYS] = {"--keys", NULL, 1},         [DIM] = {"--dim", "64", 1},
    [CAUSAL] = {"--causal", "0", 0},
};

static bench_case matrix_case(bench_op op, const int64_t *v) {
    bench_case c = {.op = op, .causal = bench_op_has_causal(op) && v[CAUSAL] != 0};
    const int64_t values[] = {
        v[BATCH],          v[HEADS],          v[KV_HEADS],       v[SEQ],           v[KEYS], v[DIM],
        v[HEADS] * v[DIM], v[BATCH] * v[SEQ], v[HEADS] * v[DIM], v[HEADS] * v[DIM]};
    static const char letters[] = "BHGLSDMRNK";
    for (size_t i = 0; letters[i]; ++i)
        if (strchr(bench_op_letters(op), letters[i])) *bench_case_size(&c, letters[i]) = values[i];
    return c;
}

/* The combination number `index` of the lists; axes that follow another take its value. */
static void combination(const numbers *lists, size_t index, int64_t *values) {
    for (int i = AXIS_COUNT - 1; i >= 0; --i) {
        if (!lists[i].count) continue;
        values[i] = lists[i].items[index % lists[i].count];
        index /= lists[i].count;
    }
    if (!lists[KV_HEADS].count) values[KV_HEADS] = values[HEADS];
    if (!lists[KEYS].count) values[KEYS] = values[SEQ];
}

static bool add_combinations(case_list *list, bench_op op, const numbers *lists, size_t count,
                             const char *types, char *reason) {
    for (size_t i = 0; i < count; ++i) {
        int64_t values[AXIS_COUNT] = {0};
        combination(lists, i, values);
        bench_case c = matrix_case(op, values);
        char why[200];
        if (!bench_case_check(&c, why, sizeof why)) return refuse(reason, "%s", why);
        const char *at = types ? types : "f32";
        bool fault = false, good = true;
        for (char *item; good && (item = next_item(&at, &fault)) != NULL; free(item)) {
            good = bench_type_find(item, &c.type) ||
                   refuse(reason, "'%s' is no type: f32, f16 or bf16", item);
            bench_case_text(&c, c.name, sizeof c.name);
            good = good && case_list_add(list, &c, reason);
        }
        if (fault) return no_memory(reason);
        if (!good) return false;
    }
    return true;
}

static bool read_axes(const case_matrix *m, numbers *lists, double *combinations, char *reason) {
    const char *const texts[AXIS_COUNT] = {m->batch, m->heads, m->kv_heads, m->seq,
                                           m->keys,  m->dim,   m->causal};
    *combinations = 1;
    for (int i = 0; i < AXIS_COUNT; ++i) {
        const char *const text = texts[i] ? texts[i] : axes[i].fallback;
        char why[CASE_LIST_REASON];
        if (!text) continue;
        if (!number_list_read(text, axes[i].least, &lists[i].items, &lists[i].count, why)) {
            snprintf(reason, CASE_LIST_REASON, "%s: %.300s", axes[i].option, why);
            return false;
        }
        for (size_t j = 0; i == CAUSAL && j < lists[i].count; ++j)
            if (lists[i].items[j] > 1)
                return refuse(reason, "%s: 0 and 1 are its values", axes[i].option);
        *combinations *= (double)lists[i].count;
    }
    if (*combinations <= CASE_LIST_MOST) return true;
    snprintf(reason, CASE_LIST_REASON, "the matrix has %.0f cases; %d are the most", *combinations,
             CASE_LIST_MOST);
    return false;
}

bool case_list_add_matrix(case_list *list, const case_matrix *matrix, char *reason) {
    numbers lists[AXIS_COUNT] = {{NULL, 0}};
    double combinations = 0;
    bool good = read_axes(matrix, lists, &combinations, reason), fault = false;
    const char *at = matrix->ops ? matrix->ops : "attention";
    for (char *item; good && (item = next_item(&at, &fault)) != NULL; free(item)) {
        bench_op op;
        good =
            (bench_op_find(item, &op) && op != BENCH_KERNEL) ||
            refuse(reason, "--op: '%s' is not attention, layer, project, scores, softmax or merge",
                   item);
        good =
            good && add_combinations(list, op, lists, (size_t)combinations, matrix->types, reason);
    }
    for (int i = 0; i < AXIS_COUNT; ++i)
        free(lists[i].items);
    return fault ? no_memory(reason) : good;
}
