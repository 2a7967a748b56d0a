/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_case.h: cases as JSON, as texts, and what they cost. One table of letters serves them all.
 */
#include "bench_case.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct operation {
    const char *text;
    const char *letters;
    bool causal;
} operation;

static const operation operations[BENCH_OP_COUNT] = {
    [BENCH_ATTENTION] = {"attention", "BHGLSD", true}, [BENCH_LAYER] = {"layer", "BLMH", true},
    [BENCH_PROJECT] = {"project", "RNK", false},       [BENCH_SOFTMAX] = {"softmax", "BHLS", true},
    [BENCH_MERGE] = {"merge", "BHLD", false},          [BENCH_KERNEL] = {"kernel", "", false},
};

typedef struct letter {
    char letter;
    const char *key; /* in JSON */
    size_t offset;
} letter;

static const letter letters[] = {
    {'B', "B", offsetof(bench_case, batch)},      {'H', "H", offsetof(bench_case, heads)},
    {'G', "G", offsetof(bench_case, kv_heads)},   {'L', "L", offsetof(bench_case, queries)},
    {'S', "S", offsetof(bench_case, keys)},       {'D', "D", offsetof(bench_case, head_size)},
    {'M', "M", offsetof(bench_case, model_size)}, {'R', "rows", offsetof(bench_case, rows)},
    {'N', "out", offsetof(bench_case, out)},      {'K', "in", offsetof(bench_case, in)},
};
enum { LETTER_COUNT = sizeof letters / sizeof letters[0] };

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

const char *bench_op_text(bench_op op) {
    return operations[op].text;
}

const char *bench_op_letters(bench_op op) {
    return operations[op].letters;
}

bool bench_op_has_causal(bench_op op) {
    return operations[op].causal;
}

bool bench_op_find(const char *text, bench_op *op) {
    for (int i = 0; i < BENCH_OP_COUNT; ++i)
        if (!strcmp(text, operations[i].text)) {
            *op = (bench_op)i;
            return true;
        }
    return false;
}

bool bench_type_find(const char *text, attend_type *type) {
    for (int i = 0; i < TYPE_COUNT; ++i)
        if (!strcmp(text, attend_type_text(types[i]))) {
            *type = types[i];
            return true;
        }
    return false;
}

static const letter *find_letter(char wanted) {
    for (int i = 0; i < LETTER_COUNT; ++i)
        if (letters[i].letter == wanted) return &letters[i];
    return NULL;
}

int64_t *bench_case_size(bench_case *c, char wanted) {
    const letter *const l = find_letter(wanted);
    return l ? (int64_t *)(void *)((char *)c + l->offset) : NULL;
}

static int64_t size_of(const bench_case *c, char wanted) {
    int64_t size;
    memcpy(&size, (const char *)c + find_letter(wanted)->offset, sizeof size);
    return size;
}

/* ---- checks ---- */

bool bench_case_check(const bench_case *c, char *reason, size_t bytes) {
    double product = 1;
    for (const char *at = operations[c->op].letters; *at; ++at) {
        const int64_t size = size_of(c, *at);
        if (size < 1) {
            snprintf(reason, bytes, "%s: a size must be at least 1", find_letter(*at)->key);
            return false;
        }
        product *= (double)size;
    }
    if (product > 4.6e18) { /* 2^62: every count of elements and operations / 8 stays below it */
        snprintf(reason, bytes, "the sizes are too large");
        return false;
    }
    if (c->op == BENCH_ATTENTION && c->heads % c->kv_heads) {
        snprintf(reason, bytes, "G: %lld heads cannot share %lld", (long long)c->heads,
                 (long long)c->kv_heads);
        return false;
    }
    if (c->op == BENCH_LAYER && c->model_size % c->heads) {
        snprintf(reason, bytes, "M: %lld is no multiple of %lld heads", (long long)c->model_size,
                 (long long)c->heads);
        return false;
    }
    if (c->causal && !operations[c->op].causal) {
        snprintf(reason, bytes, "%s knows no causal", operations[c->op].text);
        return false;
    }
    return true;
}

/* ---- JSON ---- */

static bool read_text(const json_t *object, const char *key, const char **text, char *reason,
                      size_t bytes) {
    *text = json_string_value(json_object_get(object, key));
    if (!*text) snprintf(reason, bytes, "%s: a text is missing", key);
    return *text != NULL;
}

static bool read_sizes(const json_t *object, bench_case *c, char *reason, size_t bytes) {
    for (const char *at = operations[c->op].letters; *at; ++at) {
        const char *const key = find_letter(*at)->key;
        const json_t *const value = json_object_get(object, key);
        if (!json_is_integer(value)) {
            snprintf(reason, bytes, "%s: a whole number is missing", key);
            return false;
        }
        *bench_case_size(c, *at) = json_integer_value(value);
    }
    const json_t *const causal = json_object_get(object, "causal");
    if (causal && !json_is_boolean(causal)) {
        snprintf(reason, bytes, "causal: true or false is wanted");
        return false;
    }
    c->causal = json_is_true(causal);
    return true;
}

static bool known(const bench_case *c, const char *key) {
    static const char *const common[] = {"name", "op", "dtype", "causal"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; ++i)
        if (!strcmp(key, common[i])) return true;
    for (const char *at = operations[c->op].letters; *at; ++at)
        if (!strcmp(key, find_letter(*at)->key)) return true;
    return false;
}

bool bench_case_read(const json_t *object, bench_case *c, char *reason, size_t bytes) {
    memset(c, 0, sizeof *c);
    const char *name, *op, *type;
    if (!read_text(object, "name", &name, reason, bytes) ||
        !read_text(object, "op", &op, reason, bytes) ||
        !read_text(object, "dtype", &type, reason, bytes))
        return false;
    if (strlen(name) >= sizeof c->name) {
        snprintf(reason, bytes, "name: longer than %zu bytes", sizeof c->name - 1);
        return false;
    }
    memcpy(c->name, name, strlen(name) + 1);
    if (!bench_op_find(op, &c->op)) {
        snprintf(reason, bytes, "op: '%s' is not known", op);
        return false;
    }
    if (!bench_type_find(type, &c->type)) {
        snprintf(reason, bytes, "dtype: '%s' is not f32, f16 or bf16", type);
        return false;
    }
    if (!read_sizes(object, c, reason, bytes)) return false;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (known(c, key)) continue;
        snprintf(reason, bytes, "'%s' is not known", key);
        return false;
    }
    return bench_case_check(c, reason, bytes);
}

json_t *bench_case_sizes(const bench_case *c) {
    json_t *const object = json_object();
    int faults = 0;
    for (const char *at = operations[c->op].letters; *at; ++at)
        faults |= json_object_set_new(object, find_letter(*at)->key, json_integer(size_of(c, *at)));
    if (operations[c->op].causal)
        faults |= json_object_set_new(object, "causal", json_boolean(c->causal));
    if (!faults) return object;
    json_decref(object);
    return NULL;
}

json_t *bench_case_write(const bench_case *c) {
    json_t *const object = bench_case_sizes(c);
    if (json_object_set_new(object, "name", json_string(c->name)) == 0 &&
        json_object_set_new(object, "op", json_string(operations[c->op].text)) == 0 &&
        json_object_set_new(object, "dtype", json_string(attend_type_text(c->type))) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- texts ---- */

void bench_case_text(const bench_case *c, char *text, size_t bytes) {
    size_t at = 0;
    text[0] = 0;
    if (c->op != BENCH_ATTENTION)
        at += (size_t)snprintf(text, bytes, "%s ", operations[c->op].text);
    for (const char *l = operations[c->op].letters; *l && at < bytes; ++l)
        at += (size_t)snprintf(text + at, bytes - at, "%c%lld ", *l, (long long)size_of(c, *l));
    if (at < bytes) at += (size_t)snprintf(text + at, bytes - at, "%s", attend_type_text(c->type));
    if (c->causal && at < bytes) snprintf(text + at, bytes - at, " causal");
}

/* "E64": values as wide as keys is all that cases have. */
static bool read_size(const char *word, bench_case *c, int64_t *value_size, char *reason,
                      size_t bytes) {
    int64_t *const size = word[0] == 'E' ? value_size : bench_case_size(c, word[0]);
    char *end = NULL;
    const long long number = isdigit((unsigned char)word[1]) ? strtoll(word + 1, &end, 10) : 0;
    if (!size || !end || *end || number < 1) {
        snprintf(reason, bytes, "'%s' is no size, type or option", word);
        return false;
    }
    *size = number;
    return true;
}

static bool read_word(const char *word, bench_case *c, int64_t *value_size, char *reason,
                      size_t bytes) {
    if (bench_op_find(word, &c->op) || bench_type_find(word, &c->type)) return true;
    if (!strcmp(word, "causal")) {
        c->causal = true;
        return true;
    }
    return read_size(word, c, value_size, reason, bytes);
}

static bool complete(bench_case *c, int64_t value_size, char *reason, size_t bytes) {
    bench_case other = *c;
    for (int i = 0; i < LETTER_COUNT; ++i)
        if (strchr(operations[c->op].letters, letters[i].letter))
            *bench_case_size(&other, letters[i].letter) = 0;
    for (int i = 0; i < LETTER_COUNT; ++i)
        if (*bench_case_size(&other, letters[i].letter)) {
            snprintf(reason, bytes, "%s has no size %c", operations[c->op].text, letters[i].letter);
            return false;
        }
    if (value_size && value_size != c->head_size) {
        snprintf(reason, bytes, "E%lld: cases have values as wide as keys", (long long)value_size);
        return false;
    }
    if (!c->type) c->type = ATTEND_F32;
    if (!bench_case_check(c, reason, bytes)) return false;
    bench_case_text(c, c->name, sizeof c->name);
    return true;
}

bool bench_case_parse(const char *text, bench_case *c, char *reason, size_t bytes) {
    memset(c, 0, sizeof *c);
    int64_t value_size = 0;
    while (*text) {
        char word[32];
        const size_t length = strcspn(text, " ");
        if (length >= sizeof word) {
            snprintf(reason, bytes, "'%.*s' is no size, type or option", (int)sizeof word, text);
            return false;
        }
        memcpy(word, text, length);
        word[length] = 0;
        if (length && !read_word(word, c, &value_size, reason, bytes)) return false;
        text += length + (text[length] == ' ');
    }
    return complete(c, value_size, reason, bytes);
}

/* ---- what a case costs ---- */

double bench_case_flops(const bench_case *c) {
    const double b = (double)c->batch, h = (double)c->heads, l = (double)c->queries,
                 s = (double)c->keys, d = (double)c->head_size, m = (double)c->model_size;
    switch (c->op) {
    case BENCH_ATTENTION:
        return 4 * b * h * l * s * d * (c->causal ? 0.5 : 1);
    case BENCH_LAYER:
        return 8 * b * l * m * m + 4 * b * l * l * m * (c->causal ? 0.5 : 1);
    case BENCH_PROJECT:
        return 2 * (double)c->rows * (double)c->out * (double)c->in;
    case BENCH_SOFTMAX:
        return 5 * b * h * l * s * (c->causal ? 0.5 : 1);
    default:
        return 0;
    }
}

static double elements(const bench_case *c) {
    const double b = (double)c->batch, h = (double)c->heads, g = (double)c->kv_heads,
                 l = (double)c->queries, s = (double)c->keys, d = (double)c->head_size,
                 m = (double)c->model_size;
    switch (c->op) {
    case BENCH_ATTENTION:
        return 2 * b * h * l * d + 2 * b * g * s * d;
    case BENCH_LAYER:
        return 2 * b * l * m + 4 * m * m + 4 * m;
    case BENCH_PROJECT:
        return (double)c->rows * (double)c->in + (double)c->out * (double)c->in +
               (double)c->rows * (double)c->out + (double)c->out;
    case BENCH_SOFTMAX:
        return 2 * b * h * l * s;
    case BENCH_MERGE:
        return 2 * b * h * l * d;
    default:
        return 0;
    }
}

double bench_case_bytes(const bench_case *c) {
    return elements(c) * (double)attend_type_bytes(c->type);
}

int64_t bench_case_rows(const bench_case *c) {
    switch (c->op) {
    case BENCH_ATTENTION:
    case BENCH_SOFTMAX:
        return c->batch * c->heads * c->queries;
    case BENCH_LAYER:
    case BENCH_MERGE:
        return c->batch * c->queries;
    case BENCH_PROJECT:
        return c->rows;
    default:
        return 0;
    }
}

int64_t bench_case_width(const bench_case *c) {
    switch (c->op) {
    case BENCH_ATTENTION:
        return c->head_size;
    case BENCH_SOFTMAX:
        return c->keys;
    case BENCH_LAYER:
        return c->model_size;
    case BENCH_MERGE:
        return c->heads * c->head_size;
    case BENCH_PROJECT:
        return c->out;
    default:
        return 0;
    }
}
