/* SPDX-License-Identifier: Apache-2.0
 *
 * attend compare: what changed between two runs of attend bench. */
#include "cli.h"
#include "compare.h"
#include "report_parts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *limit, *format;
} settings;

typedef enum format { TABLE, MD, JSON } format;

static const char *const verdicts[] = {
    [COMPARE_SAME] = "same",       [COMPARE_FASTER] = "faster", [COMPARE_SLOWER] = "slower",
    [COMPARE_BROKEN] = "FAIL",     [COMPARE_MENDED] = "ok now", [COMPARE_NEITHER] = "FAIL in both",
    [COMPARE_UNCLEAR] = "unclear",
};

/* NULL after a failure, which has been reported. */
static json_t *read_document(const char *path) {
    json_error_t where;
    json_t *const document = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    char reason[300];
    if (!document && where.line < 0)
        cli_error("%s", where.text); /* names the file */
    else if (!document)
        cli_error("%s: line %d, column %d: %s", path, where.line, where.column, where.text);
    else if (compare_check(document, reason, sizeof reason))
        return document;
    else
        cli_error("%s: no results to compare: %s", path, reason);
    json_decref(document);
    return NULL;
}

/* "5%" or "5", as a share; negative: none is given. */
static bool read_limit(const char *text, double *limit) {
    *limit = -1;
    if (!text) return true;
    char *end = NULL;
    errno = 0;
    const double percent = strtod(text, &end);
    if (end != text && *end == '%') ++end;
    if (end == text || *end || errno || !(percent >= 0) || !isfinite(percent)) return false;
    *limit = percent / 100;
    return true;
}

/* ---- what is printed ---- */

static void print_contexts(const json_t *differences) {
    for (size_t i = 0; i < json_array_size(differences); ++i) {
        const json_t *const item = json_array_get(differences, i);
        char *const a = json_dumps(json_object_get(item, "a"), JSON_ENCODE_ANY | JSON_COMPACT);
        char *const b = json_dumps(json_object_get(item, "b"), JSON_ENCODE_ANY | JSON_COMPACT);
        char *const left = report_copy(a ? a : "?"), *const right = report_copy(b ? b : "?");
        char *const key = report_copy(report_string(item, "key"));
        printf("another context: %s: %s against %s\n", key, left, right);
        free(a);
        free(b);
        free(left);
        free(right);
        free(key);
    }
}

static char *time_of(const json_t *result) {
    char text[REPORT_NUMBER];
    report_time(report_number(result, "median_s"), text);
    return report_copy(text);
}

static char *threads_of(const compare_pair *pair) {
    const int a = (int)report_number(pair->a, "threads"),
              b = (int)report_number(pair->b, "threads");
    char text[2 * REPORT_NUMBER];
    snprintf(text, sizeof text, a == b ? "%d" : "%d, %d", a, b);
    return report_copy(text);
}

static char *ratio_of(const compare_pair *pair) {
    char text[REPORT_NUMBER] = "-";
    if (!isnan(pair->ratio)) snprintf(text, sizeof text, "%.3f", pair->ratio);
    return report_copy(text);
}

static char *p_of(const compare_pair *pair) {
    char text[REPORT_NUMBER] = "-";
    if (!isnan(pair->ratio)) snprintf(text, sizeof text, "%.2g", pair->p);
    return report_copy(text);
}

static void print_pairs(const comparison *c, bool markdown) {
    static const char *const titles[] = {"case",   "backend", "device", "type", "threads",
                                         "before", "after",   "ratio",  "p",    "verdict"};
    enum { COLUMNS = sizeof titles / sizeof titles[0], FIRST_NUMBER = 4, LAST_NUMBER = 8 };
    report_grid grid = report_grid_create(COLUMNS);
    char **cells = report_grid_row(&grid);
    for (int i = 0; i < COLUMNS; ++i) {
        cells[i] = report_copy(titles[i]);
        grid.right[i] = i >= FIRST_NUMBER && i <= LAST_NUMBER;
    }
    for (size_t i = 0; i < c->count; ++i) {
        const compare_pair *const pair = &c->pairs[i];
        cells = report_grid_row(&grid);
        cells[0] = report_copy(report_string(pair->a, "case"));
        cells[1] = report_copy(report_string(pair->a, "backend"));
        cells[2] = report_copy(report_string(pair->a, "device"));
        cells[3] = report_copy(report_string(pair->a, "dtype"));
        cells[4] = threads_of(pair);
        cells[5] = time_of(pair->a);
        cells[6] = time_of(pair->b);
        cells[7] = ratio_of(pair);
        cells[8] = p_of(pair);
        cells[9] = report_copy(verdicts[pair->verdict]);
    }
    report_grid_print(&grid, markdown, stdout);
    report_grid_free(&grid);
}

static void print_alone(const comparison *c) {
    for (size_t i = 0; i < c->alone_count; ++i) {
        char *const name = report_copy(report_string(c->alone[i], "case"));
        char *const backend = report_copy(report_string(c->alone[i], "backend"));
        printf("only in the %s run: %s on %s\n", i < c->alone_in_a ? "first" : "second", name,
               backend);
        free(name);
        free(backend);
    }
}

static size_t count_of(const comparison *c, compare_verdict verdict) {
    size_t count = 0;
    for (size_t i = 0; i < c->count; ++i)
        count += c->pairs[i].verdict == verdict;
    return count;
}

static void print_summary(const comparison *c) {
    const size_t faster = count_of(c, COMPARE_FASTER), slower = count_of(c, COMPARE_SLOWER),
                 broken = count_of(c, COMPARE_BROKEN), mended = count_of(c, COMPARE_MENDED),
                 unclear = count_of(c, COMPARE_UNCLEAR);
    if (unclear)
        printf("unclear: %zu result%s far apart, but too few rounds to tell from chance\n", unclear,
               unclear == 1 ? " is" : "s are");
    if (!c->count)
        puts("nothing to compare");
    else if (!faster && !slower && !broken && !mended)
        printf("no significant change in %zu results\n", c->count);
    else
        printf("of %zu results %zu are faster, %zu slower, %zu wrong now, %zu right now\n",
               c->count, faster, slower, broken, mended);
}

static json_t *identity(const json_t *result) {
    static const char *const keys[] = {"case", "op", "dtype", "backend", "device", "threads"};
    json_t *const item = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; ++i)
        json_object_set(item, keys[i], json_object_get(result, keys[i]));
    return item;
}

static json_t *pairs_as_json(const comparison *c) {
    json_t *const list = json_array();
    for (size_t i = 0; i < c->count; ++i) {
        const compare_pair *const pair = &c->pairs[i];
        json_t *const item = identity(pair->a);
        json_object_set(item, "before_s", json_object_get(pair->a, "median_s"));
        json_object_set(item, "after_s", json_object_get(pair->b, "median_s"));
        json_object_set_new(item, "ratio",
                            isnan(pair->ratio) ? json_null() : json_real(pair->ratio));
        json_object_set_new(item, "p", isnan(pair->ratio) ? json_null() : json_real(pair->p));
        json_object_set_new(item, "verdict", json_string(verdicts[pair->verdict]));
        json_array_append_new(list, item);
    }
    return list;
}

/* Results without a partner. */
static json_t *alone_as_json(const comparison *c, size_t from, size_t to) {
    json_t *const list = json_array();
    for (size_t i = from; i < to; ++i)
        json_array_append_new(list, identity(c->alone[i]));
    return list;
}

static void print_json(const comparison *c, json_t *contexts) {
    json_t *const whole =
        json_pack("{s:s, s:O, s:o, s:o, s:o}", "schema", "attend-compare/1", "contexts", contexts,
                  "pairs", pairs_as_json(c), "only_before", alone_as_json(c, 0, c->alone_in_a),
                  "only_after", alone_as_json(c, c->alone_in_a, c->alone_count));
    json_dumpf(whole, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(whole);
}

/* ---- the verdict of the whole ---- */

static bool passes(const comparison *c, double limit) {
    if (!c->count || count_of(c, COMPARE_BROKEN)) return false;
    for (size_t i = 0; i < c->count; ++i)
        if (limit >= 0 && c->pairs[i].verdict == COMPARE_SLOWER && c->pairs[i].ratio - 1 > limit)
            return false;
    return true;
}

static int compare(const json_t *a, const json_t *b, double limit, format shown) {
    comparison c;
    json_t *const contexts = compare_contexts(a, b);
    if (!contexts || !compare_documents(a, b, &c)) {
        json_decref(contexts);
        cli_error("out of memory");
        return CLI_FAILED;
    }
    if (shown == JSON) {
        print_json(&c, contexts);
    } else {
        print_contexts(contexts);
        print_pairs(&c, shown == MD);
        print_alone(&c);
        print_summary(&c);
    }
    const bool passed = passes(&c, limit);
    json_decref(contexts);
    compare_release(&c);
    return passed ? CLI_OK : CLI_FAILED;
}

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    static const char *const formats[] = {[TABLE] = "table", [MD] = "md", [JSON] = "json"};
    double limit;
    int shown = TABLE;
    if (!read_limit(s->limit, &limit))
        return cli_usage("compare", "--fail-above: '%s' is no share such as 5%%", s->limit);
    while (s->format && shown <= JSON && strcmp(s->format, formats[shown]) != 0)
        ++shown;
    if (shown > JSON)
        return cli_usage("compare", "--format: '%s' is not table, md or json", s->format);
    json_t *const a = read_document(call->words[0]);
    json_t *const b = a ? read_document(call->words[1]) : NULL;
    const int status = b ? compare(a, b, limit, (format)shown) : CLI_FAILED;
    json_decref(a);
    json_decref(b);
    return status;
}

static const cli_option options[] = {
    {"fail-above", "PERCENT", "status 1 when something is significantly slower by more than this",
     offsetof(settings, limit), false},
    {"format", "FORMAT", "table, md or json (table)", offsetof(settings, format), false},
};

const cli_command cli_compare = {
    .name = "compare",
    .words = "BEFORE.json AFTER.json",
    .summary = "tell what changed between two runs of attend bench",
    .details =
        "A difference counts when a rank test on the rounds says so (p < 0.05, corrected for the "
        "number of\n"
        "cases), and it is above 3 % and above three times the spread. What was right and is wrong "
        "now gives\n"
        "status 1, too. A ratio above 1 is slower. Unclear is what would count in a run of more "
        "rounds.\n\n"
        "  attend compare before.json after.json --fail-above 5%\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 2,
    .most_words = 2,
    .run = run,
};
