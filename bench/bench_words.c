/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_words.h: one table of options, each with its kind of value. */
#include "bench_words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind {
    FLAG, /* bool */
    REAL, /* double above 0 */
    TYPE,
    LENGTHS, /* LOW or LOW-HIGH: counts, or shares of S with a point */
    WINDOW,  /* LEFT or LEFT:RIGHT */
    MASK,    /* causal, random, keys:N, pad:N; N as a length */
    CACHE,   /* nothing, or tokens of a page */
    THREADS
} kind;

typedef struct word {
    const char *text;
    kind kind;
    size_t offset; /* of FLAG, REAL, TYPE */
} word;

static const word words[] = {
    {"causal", FLAG, offsetof(bench_case, causal)},
    {"end", FLAG, offsetof(bench_case, at_end)},
    {"packed", FLAG, offsetof(bench_case, packed)},
    {"len", LENGTHS, 0},
    {"window", WINDOW, 0},
    {"mask", MASK, 0},
    {"bias", FLAG, offsetof(bench_case, bias)},
    {"alibi", FLAG, offsetof(bench_case, alibi)},
    {"softcap", REAL, offsetof(bench_case, softcap)},
    {"weights", FLAG, offsetof(bench_case, weights)},
    {"mean", FLAG, offsetof(bench_case, mean)},
    {"lse", FLAG, offsetof(bench_case, lse)},
    {"kv", TYPE, offsetof(bench_case, kv_type)},
    {"cache", CACHE, 0},
    {"fast", FLAG, offsetof(bench_case, fast)},
    {"threads", THREADS, 0},
};
enum { WORD_COUNT = sizeof words / sizeof words[0] };

/* What the library calls an option, where a case says it otherwise. */
static const struct {
    const char *text, *word;
} others[] = {{"key_lengths", "len"},
              {"alibi_slopes", "alibi"},
              {"weights_mean", "mean"},
              {"cu_lengths", "packed"},
              {"page_table", "cache"}};

static const char *const mask_texts[BENCH_MASK_COUNT] = {"", "causal", "random", "keys", "pad"};

static const struct {
    const char *text;
    attend_type type;
} kv_types[] = {{"f32", ATTEND_F32},
                {"f16", ATTEND_F16},
                {"bf16", ATTEND_BF16},
                {"int8", ATTEND_I8}, /* the library's name */
                {"i8", ATTEND_I8}};
enum { KV_TYPES = sizeof kv_types / sizeof kv_types[0] };

int bench_word_find(const char *text, size_t length) {
    const char *own = text;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; ++i)
        if (strlen(others[i].text) == length && !memcmp(others[i].text, text, length)) {
            own = others[i].word;
            length = strlen(own);
        }
    for (int i = 0; i < WORD_COUNT; ++i)
        if (strlen(words[i].text) == length && !memcmp(words[i].text, own, length)) return i;
    return -1;
}

const char *bench_word_text(int number) {
    return number < WORD_COUNT ? words[number].text : NULL;
}

/* ---- values ---- */

/* A whole number from `least` on; moves behind it. */
static bool read_count(const char **at, int64_t least, int64_t *number) {
    char *end = NULL;
    if (**at < '0' || **at > '9') return false;
    const long long value = strtoll(*at, &end, 10);
    if (value < least || value > INT32_MAX) return false;
    *number = value;
    *at = end;
    return true;
}

/* "300", or "0.5" of all. */
static bool read_length(const char **at, int64_t all, int64_t *number) {
    const size_t digits = strspn(*at, "0123456789");
    if ((*at)[digits] != '.') return read_count(at, 1, number) && *number <= all;
    char *end = NULL;
    const double share = strtod(*at, &end);
    *at = end;
    *number = llround(share * (double)all);
    return share > 0 && share <= 1 && *number >= 1;
}

static bool read_lengths(const char *value, bench_case *c) {
    if (!*value) { /* of the library's text: given, nobody knows which */
        c->len_low = c->len_high = c->keys;
        return true;
    }
    if (!read_length(&value, c->keys, &c->len_low)) return false;
    c->len_high = c->len_low;
    if (*value == '-') {
        ++value;
        if (!read_length(&value, c->keys, &c->len_high)) return false;
    }
    return !*value && c->len_low <= c->len_high;
}

static bool read_window(const char *value, bench_case *c) {
    c->window = true;
    c->window_right = -1;
    if (!strncmp(value, "-1:", 3)) { /* no bound, as in attend_attention */
        c->window_left = -1;
        value += 2;
    } else if (!read_count(&value, 0, &c->window_left)) {
        return false;
    }
    if (*value == ':') {
        ++value;
        if (!read_count(&value, 0, &c->window_right)) return false;
    }
    return !*value;
}

static bool read_mask(const char *value, bench_case *c) {
    const size_t length = strcspn(value, ":");
    c->mask = *value ? BENCH_MASK_NONE : BENCH_MASK_RANDOM;
    for (int i = 1; i < BENCH_MASK_COUNT; ++i)
        if (strlen(mask_texts[i]) == length && !memcmp(mask_texts[i], value, length))
            c->mask = (bench_mask)i;
    value += length;
    if (c->mask != BENCH_MASK_KEYS && c->mask != BENCH_MASK_PAD) return c->mask && !*value;
    if (*value++ != ':') return false;
    return read_length(&value, c->keys, &c->mask_keys) && !*value;
}

static bool read_cache(const char *value, bench_case *c) {
    c->cache = true;
    return !*value || (read_count(&value, 1, &c->page) && !*value);
}

static bool read_type(const char *value, attend_type *type) {
    for (int i = 0; i < KV_TYPES; ++i)
        if (!strcmp(value, kv_types[i].text)) {
            *type = kv_types[i].type;
            return true;
        }
    return false;
}

static bool read_real(const char *value, double *number) {
    char *end = NULL;
    *number = strtod(value, &end);
    return end != value && !*end && *number > 0 && *number <= 1e6;
}

static bool read_threads(const char *value, bench_case *c) {
    int64_t number = 0;
    const bool good = read_count(&value, 1, &number) && !*value;
    c->threads = (int32_t)number;
    return good;
}

static bool read_value(const word *w, const char *value, bench_case *c) {
    void *const place = (char *)c + w->offset;
    switch (w->kind) {
    case FLAG:
        *(bool *)place = true;
        return !*value;
    case REAL:
        return read_real(value, place);
    case TYPE:
        return read_type(value, place);
    case LENGTHS:
        return read_lengths(value, c);
    case WINDOW:
        return read_window(value, c);
    case MASK:
        return read_mask(value, c);
    case CACHE:
        return read_cache(value, c);
    default:
        return read_threads(value, c);
    }
}

bool bench_word_read(int number, const char *value, bench_case *c, char *reason, size_t bytes) {
    if (read_value(&words[number], value, c)) return true;
    snprintf(reason, bytes, "%s: '%s' is no value of it", words[number].text, value);
    return false;
}

/* ---- writing ---- */

static bool write_range(char *value, size_t bytes, int64_t low, char between, int64_t high) {
    const int used = snprintf(value, bytes, "%lld", (long long)low);
    if (high >= 0 && used > 0)
        snprintf(value + used, bytes - (size_t)used, "%c%lld", between, (long long)high);
    return true;
}

static bool write_mask(const bench_case *c, char *value, size_t bytes) {
    if (c->mask == BENCH_MASK_KEYS || c->mask == BENCH_MASK_PAD)
        snprintf(value, bytes, "%s:%lld", mask_texts[c->mask], (long long)c->mask_keys);
    else
        snprintf(value, bytes, "%s", mask_texts[c->mask]);
    return c->mask != BENCH_MASK_NONE;
}

bool bench_word_write(int number, const bench_case *c, char *value, size_t bytes) {
    const word *const w = &words[number];
    const void *const place = (const char *)c + w->offset;
    value[0] = 0;
    switch (w->kind) {
    case FLAG:
        return *(const bool *)place;
    case REAL:
        snprintf(value, bytes, "%.10g", *(const double *)place);
        return *(const double *)place > 0;
    case TYPE:
        for (int i = 0; i < KV_TYPES; ++i)
            if (kv_types[i].type == c->kv_type) snprintf(value, bytes, "%s", kv_types[i].text);
        return *value;
    case LENGTHS:
        return c->len_low && write_range(value, bytes, c->len_low, '-',
                                         c->len_high > c->len_low ? c->len_high : -1);
    case WINDOW:
        return c->window && write_range(value, bytes, c->window_left, ':', c->window_right);
    case MASK:
        return write_mask(c, value, bytes);
    case CACHE:
        return c->cache && (!c->page || write_range(value, bytes, c->page, 0, -1));
    default:
        return c->threads && write_range(value, bytes, c->threads, 0, -1);
    }
}

/* ---- checks ---- */

static const char *attention_fault(const bench_case *c) {
    if (c->packed && c->queries != c->keys) return "packed: as many queries as keys are wanted";
    if (c->packed && c->cache) return "packed: does not go with a cache here";
    if (c->kv_type == ATTEND_I8 && !c->cache) return "kv=i8: goes with a cache only";
    if (c->kv_type && c->kv_type != c->type && c->kv_type != ATTEND_I8 && c->type != ATTEND_F32)
        return "kv: only f32 queries have keys of another floating-point type";
    if (c->len_high > c->keys || c->mask_keys > c->keys) return "a length is above S";
    return NULL;
}

bool bench_words_check(const bench_case *c, char *reason, size_t bytes) {
    const char *const op = bench_op_text(c->op);
    char value[32];
    for (int i = 0; i < WORD_COUNT && c->op != BENCH_ATTENTION; ++i) {
        if (words[i].kind == THREADS || (bench_op_has_causal(c->op) && i == 0)) continue;
        if (!bench_word_write(i, c, value, sizeof value)) continue;
        snprintf(reason, bytes, "%s knows no %s", op, words[i].text);
        return false;
    }
    const char *const fault = c->op == BENCH_ATTENTION ? attention_fault(c) : NULL;
    if (fault) snprintf(reason, bytes, "%s", fault);
    return !fault;
}
