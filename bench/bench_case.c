/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_case.h: cases as JSON and as texts. One table of letters serves both; options are words
 * (bench_words.h). */
#include "bench_words.h"

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
    [BENCH_ATTENTION] = {"attention", "BHGLSD", true},
    [BENCH_LAYER] = {"layer", "BLMH", true},
    [BENCH_PROJECT] = {"project", "RNK", false},
    [BENCH_SCORES] = {"scores", "BHGLSD", false},
    [BENCH_SOFTMAX] = {"softmax", "BHLS", true},
    [BENCH_MERGE] = {"merge", "BHLD", false},
    [BENCH_KERNEL] = {"kernel", "", false},
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

enum { OPTION_TEXT = 48 }; /* bytes of an option's value, its end included */

const char *bench_op_text(bench_op op) {
    return operations[op].text;
}

const char *bench_op_letters(bench_op op) {
    return operations[op].letters;
}

bool bench_op_has_causal(bench_op op) {
    return operations[op].causal;
}

attend_type bench_kv_type(const bench_case *c) {
    return c->kv_type ? c->kv_type : c->type;
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
    if (c->kv_heads && c->heads % c->kv_heads) {
        snprintf(reason, bytes, "G: %lld heads cannot share %lld", (long long)c->heads,
                 (long long)c->kv_heads);
        return false;
    }
    if (c->op == BENCH_LAYER && c->model_size % c->heads) {
        snprintf(reason, bytes, "M: %lld is no multiple of %lld heads", (long long)c->model_size,
                 (long long)c->heads);
        return false;
    }
    return bench_words_check(c, reason, bytes);
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
    return true;
}

/* true, or the value's text; false is as if it were not there. */
static bool read_options(const json_t *object, bench_case *c, char *reason, size_t bytes) {
    for (int i = 0; bench_word_text(i); ++i) {
        const json_t *const value = json_object_get(object, bench_word_text(i));
        if (!value || json_is_false(value)) continue;
        const char *const text = json_is_true(value) ? "" : json_string_value(value);
        if (!text) {
            snprintf(reason, bytes, "%s: true, false or a text is wanted", bench_word_text(i));
            return false;
        }
        if (!bench_word_read(i, text, c, reason, bytes)) return false;
    }
    return true;
}

static bool known(const bench_case *c, const char *key) {
    static const char *const common[] = {"name", "op", "dtype"};
    if (bench_word_find(key, strlen(key)) >= 0) return true;
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
    if (!read_sizes(object, c, reason, bytes) || !read_options(object, c, reason, bytes))
        return false;
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
    for (int i = 0; bench_word_text(i); ++i) {
        char value[OPTION_TEXT];
        if (!bench_word_write(i, c, value, sizeof value)) continue;
        faults |= json_object_set_new(object, bench_word_text(i),
                                      *value ? json_string(value) : json_true());
    }
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
    for (int i = 0; bench_word_text(i) && at < bytes; ++i) {
        char value[OPTION_TEXT];
        if (bench_word_write(i, c, value, sizeof value))
            at += (size_t)snprintf(text + at, bytes - at, " %s%s%s", bench_word_text(i),
                                   *value ? "=" : "", value);
    }
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

/* Operation, types and sizes. */
static bool read_word(const char *word, bench_case *c, int64_t *value_size, char *reason,
                      size_t bytes) {
    if (bench_op_find(word, &c->op) || bench_type_find(word, &c->type)) return true;
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

/* One pass over the words of a text: options, whose values may be shares of sizes, or all others.
 */
static bool read_words(const char *text, bool options, bench_case *c, int64_t *value_size,
                       char *reason, size_t bytes) {
    while (*text) {
        char word[OPTION_TEXT];
        const size_t length = strcspn(text, " ");
        if (length >= sizeof word) {
            snprintf(reason, bytes, "'%.*s' is no size, type or option", (int)sizeof word, text);
            return false;
        }
        memcpy(word, text, length);
        word[length] = 0;
        text += length + (text[length] == ' ');
        const size_t name = strcspn(word, "=");
        const int option = bench_word_find(word, name);
        const char *const value = word + name + (word[name] == '=');
        if (!length || (option >= 0) != options) continue;
        if (options ? !bench_word_read(option, value, c, reason, bytes)
                    : !read_word(word, c, value_size, reason, bytes))
            return false;
    }
    return true;
}

bool bench_case_parse(const char *text, bench_case *c, char *reason, size_t bytes) {
    memset(c, 0, sizeof *c);
    int64_t value_size = 0;
    return read_words(text, false, c, &value_size, reason, bytes) &&
           read_words(text, true, c, &value_size, reason, bytes) &&
           complete(c, value_size, reason, bytes);
}
