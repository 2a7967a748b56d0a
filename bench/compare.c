/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.h. */
#include "compare.h"

#include "report_parts.h"
#include "statistics.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LARGEST_P = 0.05, LEAST_CHANGE = 0.03, LEAST_MADS = 3;

/* ---- documents ---- */

static const char *const texts[] = {"case", "op", "dtype", "backend", "device"};

/* Absent is fine: there are no rounds then. */
static bool check_rounds(const json_t *result) {
    const json_t *const rounds = json_object_get(result, "round_sizes");
    const size_t samples = json_array_size(json_object_get(result, "samples_s"));
    size_t left = samples;
    if (!rounds || json_is_null(rounds)) return true;
    for (size_t i = 0; i < json_array_size(rounds); ++i) {
        const json_t *const size = json_array_get(rounds, i);
        const json_int_t value = json_is_integer(size) ? json_integer_value(size) : -1;
        if (value < 0 || (uint64_t)value > left) return false;
        left -= (size_t)value;
    }
    return json_is_array(rounds) && left == 0;
}

static bool check_result(const json_t *result, char *reason, size_t bytes) {
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        if (!json_is_string(json_object_get(result, texts[i]))) {
            snprintf(reason, bytes, "a result has no text '%s'", texts[i]);
            return false;
        }
    const json_t *const samples = json_object_get(result, "samples_s");
    const json_t *const ok = json_object_get(result, "ok");
    if (!json_is_integer(json_object_get(result, "threads")) || !json_is_boolean(ok) ||
        !json_is_array(samples)) {
        snprintf(reason, bytes, "a result of %s lacks 'threads', 'ok' or 'samples_s'",
                 json_string_value(json_object_get(result, "case")));
        return false;
    }
    bool times = !json_is_true(ok) || json_array_size(samples) > 0;
    for (size_t i = 0; i < json_array_size(samples); ++i) {
        const json_t *const sample = json_array_get(samples, i);
        times = times && json_is_number(sample) && json_number_value(sample) > 0;
    }
    const bool rounds = check_rounds(result);
    if (!times || !rounds)
        snprintf(reason, bytes, "the %s of %s are not %s", times ? "'round_sizes'" : "samples",
                 json_string_value(json_object_get(result, "case")),
                 times ? "the sizes of its rounds" : "times");
    return times && rounds;
}

bool compare_check(const json_t *document, char *reason, size_t bytes) {
    if (strcmp(report_string(document, "schema"), "attend-bench/1") != 0) {
        snprintf(reason, bytes, "its schema is not attend-bench/1");
        return false;
    }
    const json_t *const results = json_object_get(document, "results");
    if (!json_is_array(results) || !json_is_object(json_object_get(document, "context"))) {
        snprintf(reason, bytes, "it has no 'results' or no 'context'");
        return false;
    }
    for (size_t i = 0; i < json_array_size(results); ++i)
        if (!check_result(json_array_get(results, i), reason, bytes)) return false;
    return true;
}

/* ---- pairs ---- */

/* How strictly two results belong together. */
enum { WITH_THREADS, WITH_DEVICE, BY_CASE, LEVEL_COUNT };

static bool belong(const json_t *a, const json_t *b, int level) {
    if (!report_same_text(a, b, "case") || !report_same_text(a, b, "op") ||
        !report_same_text(a, b, "dtype") || !report_same_text(a, b, "backend") ||
        json_is_true(json_object_get(a, "peer")) != json_is_true(json_object_get(b, "peer")))
        return false;
    if (level <= WITH_DEVICE && !report_same_text(a, b, "device")) return false;
    return level > WITH_THREADS || report_same_number(a, b, "threads");
}

typedef struct side {
    const json_t *results;
    size_t count;
    bool *paired;
} side;

/* The only free result of `s` that belongs to `other`; SIZE_MAX when there is none, or a choice. */
static size_t find_only(const side *s, const json_t *other, int level) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < s->count; ++i) {
        if (s->paired[i] || !belong(json_array_get(s->results, i), other, level)) continue;
        if (found != SIZE_MAX) return SIZE_MAX;
        found = i;
    }
    return found;
}

static void pair_up(side *a, side *b, int level, comparison *c) {
    for (size_t i = 0; i < a->count; ++i) {
        const json_t *const left = json_array_get(a->results, i);
        if (a->paired[i]) continue;
        const size_t j = find_only(b, left, level);
        if (j == SIZE_MAX) continue;
        const json_t *const right = json_array_get(b->results, j);
        if (find_only(a, right, level) != i) continue;
        a->paired[i] = b->paired[j] = true;
        c->pairs[c->count++] = (compare_pair){.a = left, .b = right, .ratio = NAN, .p = 1};
    }
}

static void list_alone(const side *s, comparison *c) {
    for (size_t i = 0; i < s->count; ++i)
        if (!s->paired[i]) c->alone[c->alone_count++] = json_array_get(s->results, i);
}

/* ---- differences ---- */

typedef struct observations {
    double *values; /* medians of rounds, or samples */
    size_t count;
    sample_summary summary; /* of all samples */
} observations;

static bool take_rounds(const json_t *result, const double *samples, observations *o) {
    const json_t *const list = json_object_get(result, "round_sizes");
    const size_t rounds = json_array_size(list);
    size_t *const sizes = calloc(rounds + 1, sizeof *sizes);
    if (!sizes) return false;
    for (size_t i = 0; i < rounds; ++i)
        sizes[i] = (size_t)json_integer_value(json_array_get(list, i));
    if (rounds) o->count = round_medians(samples, sizes, rounds, o->values);
    free(sizes);
    return true;
}

static bool observe(const json_t *result, observations *o) {
    const json_t *const list = json_object_get(result, "samples_s");
    o->count = json_array_size(list);
    double *const samples = calloc(o->count + 1, sizeof *samples);
    o->values = calloc(o->count + 1, sizeof *o->values);
    bool good = samples && o->values;
    for (size_t i = 0; good && i < o->count; ++i)
        o->values[i] = samples[i] = json_number_value(json_array_get(list, i));
    if (good) {
        o->summary = summarize_samples(samples, o->count);
        good = take_rounds(result, samples, o);
    }
    free(samples);
    return good;
}

static bool is_ok(const json_t *result) {
    return json_is_true(json_object_get(result, "ok"));
}

/* p of values that do not overlap at all: 2 m! n! / (m + n)!. */
static double least_p(size_t m, size_t n) {
    double p = 2;
    for (size_t i = 1; i <= n; ++i)
        p *= (double)i / (double)(m + i);
    return fmin(p, 1);
}

/* Leaves p uncorrected and the verdict as if it were significant. `least` is the least p that so
 * many rounds can give. */
static bool measure(compare_pair *pair, double *least) {
    const bool a_ok = is_ok(pair->a), b_ok = is_ok(pair->b);
    if (!a_ok || !b_ok) {
        pair->verdict = a_ok ? COMPARE_BROKEN : b_ok ? COMPARE_MENDED : COMPARE_NEITHER;
        return true;
    }
    observations a = {NULL, 0, {0, 0, 0, 0}}, b = a;
    bool good = observe(pair->a, &a) && observe(pair->b, &b);
    if (good) {
        const double change = b.summary.median - a.summary.median;
        pair->ratio = b.summary.median / a.summary.median;
        pair->p = rank_sum_p(a.values, a.count, b.values, b.count);
        *least = least_p(a.count, b.count);
        good = !isnan(pair->p);
        const bool large = fabs(pair->ratio - 1) > LEAST_CHANGE &&
                           fabs(change) > LEAST_MADS * fmax(a.summary.mad, b.summary.mad);
        pair->verdict = !large ? COMPARE_SAME : change > 0 ? COMPARE_SLOWER : COMPARE_FASTER;
    }
    free(a.values);
    free(b.values);
    return good;
}

static bool judge(comparison *c) {
    double *const p = calloc(2 * c->count + 1, sizeof *p);
    size_t tests = 0, next = 0;
    bool good = p != NULL;
    double *const least = good ? p + c->count : NULL;
    for (size_t i = 0; good && i < c->count; ++i) {
        good = measure(&c->pairs[i], &least[tests]);
        if (!isnan(c->pairs[i].ratio)) p[tests++] = c->pairs[i].p;
    }
    if (good) correct_for_count(p, tests);
    for (size_t i = 0; good && i < c->count; ++i) {
        compare_pair *const pair = &c->pairs[i];
        if (isnan(pair->ratio)) continue;
        const bool hopeless = least[next] * (double)tests >= LARGEST_P;
        pair->p = p[next++];
        if (pair->verdict != COMPARE_SAME && !(pair->p < LARGEST_P))
            pair->verdict = hopeless ? COMPARE_UNCLEAR : COMPARE_SAME;
    }
    free(p);
    return good;
}

bool compare_documents(const json_t *a, const json_t *b, comparison *c) {
    memset(c, 0, sizeof *c);
    side left = {.results = json_object_get(a, "results")},
         right = {.results = json_object_get(b, "results")};
    left.count = json_array_size(left.results);
    right.count = json_array_size(right.results);
    left.paired = calloc(left.count + 1, sizeof *left.paired);
    right.paired = calloc(right.count + 1, sizeof *right.paired);
    c->pairs = calloc(left.count + 1, sizeof *c->pairs);
    c->alone = calloc(left.count + right.count + 1, sizeof *c->alone);
    bool good = left.paired && right.paired && c->pairs && c->alone;
    if (good) {
        for (int level = 0; level < LEVEL_COUNT; ++level)
            pair_up(&left, &right, level, c);
        list_alone(&left, c);
        c->alone_in_a = c->alone_count;
        list_alone(&right, c);
        good = judge(c);
    }
    free(left.paired);
    free(right.paired);
    if (!good) compare_release(c);
    return good;
}

void compare_release(comparison *c) {
    free(c->pairs);
    free((void *)c->alone);
    memset(c, 0, sizeof *c);
}

/* ---- contexts ---- */

/* What makes another experiment of it; not the date, the load or the command. */
static const char *const context_keys[] = {
    "attend", "compiler", "flags",     "build_type",  "cpu",     "processors", "memory_bytes",
    "os",     "governor", "cpu_quota", "environment", "threads", "cache"};

static bool note(json_t *list, const char *key, const json_t *a, const json_t *b) {
    if (json_equal(a, b) || (!a && !b)) return true;
    json_t *const item = json_pack("{s:s}", "key", key);
    json_object_set_new(item, "a", a ? json_deep_copy(a) : json_null());
    json_object_set_new(item, "b", b ? json_deep_copy(b) : json_null());
    return json_array_append_new(list, item) == 0;
}

static const json_t *find_worker(const json_t *context, const char *name) {
    const json_t *const workers = json_object_get(context, "workers");
    for (size_t i = 0; i < json_array_size(workers); ++i)
        if (!strcmp(report_string(json_array_get(workers, i), "name"), name))
            return json_array_get(workers, i);
    return NULL;
}

/* Versions of peers and drivers; attend's own is a key of the context. */
static bool note_workers(json_t *list, const json_t *a, const json_t *b) {
    static const char *const keys[] = {"version", "driver", "platform", "device_name", "settings"};
    const json_t *const workers = json_object_get(a, "workers");
    bool good = true;
    for (size_t i = 0; i < json_array_size(workers); ++i) {
        const json_t *const left = json_array_get(workers, i);
        const char *const name = report_string(left, "name");
        const json_t *const right = find_worker(b, name);
        for (size_t k = 0; right && find_worker(a, name) == left && k < sizeof keys / sizeof *keys;
             ++k) {
            char key[160];
            snprintf(key, sizeof key, "%s of %.100s", keys[k], name);
            good &=
                note(list, key, json_object_get(left, keys[k]), json_object_get(right, keys[k]));
        }
    }
    return good;
}

json_t *compare_contexts(const json_t *a, const json_t *b) {
    const json_t *const left = json_object_get(a, "context"), *const right =
                                                                  json_object_get(b, "context");
    json_t *const list = json_array();
    bool good = list != NULL;
    for (size_t i = 0; i < sizeof context_keys / sizeof context_keys[0]; ++i)
        good = good && note(list, context_keys[i], json_object_get(left, context_keys[i]),
                            json_object_get(right, context_keys[i]));
    if (good && note_workers(list, left, right)) return list;
    json_decref(list);
    return NULL;
}
