/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of goals.json: cases by other cases or by the machine's peaks. Each round gives one
 * value, from what was measured next to each other in it; the figure is the median of the rounds,
 * so that a machine whose speed drifts moves it little. A table of Markdown, like the duel. */
#include "report_parts.h"

#include "cli/cli.h"
#include "goals.h"
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WHAT, THREADS, MEASURED, SPREAD, MUST, AIM, HOLDS, COLUMNS };
static const char *const titles[COLUMNS] = {"figure", "threads", "measured", "+- %",
                                            "must",   "aim",     "holds"};

typedef struct view {
    const json_t *results, *figure;
    double threads;
    const char *wrong; /* a case that is not ok */
    bool missing;      /* a case that was not measured */
} view;

/* Values of rounds, and their number. */
typedef struct rounds {
    double *values;
    size_t count;
} rounds;

/* A figure's value; `at`: the number of queries it comes from, 0 where there is none. */
typedef struct value {
    double median, spread;
    json_int_t at;
} value;

static const json_t *find(view *v, const char *name) {
    const bool one_backend = json_object_get(v->figure, "backend") != NULL;
    for (size_t i = 0; i < json_array_size(v->results); ++i) {
        const json_t *const r = json_array_get(v->results, i);
        if (one_backend && !report_same_text(r, v->figure, "backend")) continue;
        if (strcmp(report_string(r, "case"), name) != 0 ||
            report_number(r, "threads") != v->threads || json_is_true(json_object_get(r, "peer")))
            continue;
        if (!json_is_true(json_object_get(r, "ok"))) v->wrong = report_string(r, "case");
        return r;
    }
    v->missing = true;
    return NULL;
}

/* The medians of a result's rounds. */
static rounds rounds_of(const json_t *result) {
    const json_t *const samples = json_object_get(result, "samples_s"), *const sizes =
                                                                            json_object_get(
                                                                                result,
                                                                                "round_sizes");
    const size_t sample_count = json_array_size(samples), round_count = json_array_size(sizes);
    double *const all = cli_allocate(sample_count + 1, sizeof *all);
    size_t *const counts = cli_allocate(round_count + 1, sizeof *counts);
    for (size_t i = 0; i < sample_count; ++i)
        all[i] = json_number_value(json_array_get(samples, i));
    size_t taken = 0;
    for (size_t i = 0; i < round_count; ++i) {
        const size_t size = (size_t)json_integer_value(json_array_get(sizes, i));
        counts[i] = size <= sample_count - taken ? size : 0;
        taken += counts[i];
    }
    rounds r = {cli_allocate(round_count + 1, sizeof *r.values), 0};
    r.count = round_medians(all, counts, round_count, r.values);
    free(all);
    free(counts);
    return r;
}

/* Sums round by round of the cases under a key; no rounds where there are no such cases. */
static rounds sum_of(view *v, const char *key, json_int_t queries) {
    const json_t *const names = json_object_get(v->figure, key);
    rounds sum = {NULL, 0};
    for (size_t i = 0; i < json_array_size(names); ++i) {
        char name[GOALS_NAME];
        goals_case_name(json_string_value(json_array_get(names, i)), queries, name);
        const json_t *const result = find(v, name);
        rounds one = rounds_of(result);
        if (sum.values && one.count > sum.count) one.count = sum.count;
        for (size_t k = 0; sum.values && k < one.count; ++k)
            one.values[k] += sum.values[k];
        free(sum.values);
        sum = one;
    }
    return sum;
}

static value summarize(rounds r) {
    const sample_summary s = summarize_samples(r.values, r.count);
    return (value){s.median, s.mad / s.median, 0};
}

/* a by b, round by round, times a factor; both are freed. */
static value quotient(rounds a, rounds b, double factor) {
    if (b.count < a.count) a.count = b.count;
    for (size_t k = 0; k < a.count; ++k)
        a.values[k] *= factor / b.values[k];
    const value x = summarize(a);
    free(a.values);
    free(b.values);
    return x;
}

/* ---- kinds ---- */

static value time_of(view *v) {
    const rounds r = sum_of(v, "of", 0);
    const value x = summarize(r);
    free(r.values);
    return x;
}

static value ratio_of(view *v) {
    const rounds of = sum_of(v, "of", 0);
    return quotient(of, sum_of(v, "by", 0), 1);
}

/* The case's rate by the peak's: flops or bytes a second. */
static value share_of(view *v, const char *amount) {
    const json_t *const names = json_object_get(v->figure, "of");
    const json_t *const result = find(v, json_string_value(json_array_get(names, 0)));
    char name[GOALS_NAME] = "peak-fma";
    if (!strcmp(amount, "bytes")) goals_read_name(report_number(result, amount), name);
    const json_t *const peak = result ? find(v, name) : NULL;
    const double factor = report_number(result, amount) / report_number(peak, amount);
    const rounds top = rounds_of(peak);
    return quotient(top, rounds_of(result), factor);
}

/* The largest rise of the time a query row from one number of queries to the next. */
static value rise_of(view *v) {
    const json_int_t first = json_integer_value(json_object_get(v->figure, "from")),
                     last = json_integer_value(json_object_get(v->figure, "to"));
    value worst = {NAN, NAN, 0};
    for (json_int_t n = first; n < last; ++n) {
        const rounds more = sum_of(v, "of", n + 1);
        value x = quotient(more, sum_of(v, "of", n), (double)n / (double)(n + 1));
        x.at = n + 1;
        if (!(x.median <= worst.median)) worst = x;
    }
    return worst;
}

static value measure(view *v, const char *kind) {
    if (!strcmp(kind, "fma")) return share_of(v, "flops");
    if (!strcmp(kind, "read")) return share_of(v, "bytes");
    if (!strcmp(kind, "rise")) return rise_of(v);
    return !strcmp(kind, "time") ? time_of(v) : ratio_of(v);
}

/* ---- cells ---- */

static char *number_cell(const char *kind, const char *before, double x, json_int_t at) {
    char text[REPORT_NUMBER], whole[2 * REPORT_NUMBER];
    if (!strcmp(kind, "time")) {
        report_time(x, text);
    } else if (!strcmp(kind, "fma") || !strcmp(kind, "read")) {
        report_percent(x, text);
        snprintf(text + strlen(text), REPORT_NUMBER - strlen(text), " %%");
    } else {
        snprintf(text, sizeof text, "%.3f", x);
    }
    snprintf(whole, sizeof whole, "%s%s", before, isfinite(x) ? text : "-");
    if (at && isfinite(x)) snprintf(whole, sizeof whole, "%s at L = %lld", text, (long long)at);
    return report_copy(whole);
}

static char *goal_cell(const view *v, const char *kind, size_t which, double *goal) {
    const json_t *const least = json_object_get(v->figure, "least"), *const most = json_object_get(
                                                                         v->figure, "most");
    const json_t *const number = json_array_get(least ? least : most, which);
    *goal = number ? json_number_value(number) : NAN;
    return number ? number_cell(kind, least ? "\u2265 " : "\u2264 ", *goal, 0) : report_copy("-");
}

static void add_row(view *v, report_grid *grid, size_t *kept, size_t *goals) {
    const char *const kind = report_string(v->figure, "kind");
    const value x = measure(v, kind);
    if (v->missing) return;
    char **const row = report_grid_row(grid);
    char text[REPORT_NUMBER];
    double must, aim;
    row[WHAT] = report_copy(report_string(v->figure, "what"));
    snprintf(text, sizeof text, "%.0f", v->threads);
    row[THREADS] = report_copy(text);
    row[MEASURED] = v->wrong ? report_copy("FAIL") : number_cell(kind, "", x.median, x.at);
    report_percent(x.spread, text);
    row[SPREAD] = report_copy(text);
    row[MUST] = goal_cell(v, kind, 0, &must);
    row[AIM] = goal_cell(v, kind, 1, &aim);
    const bool least = json_object_get(v->figure, "least") != NULL;
    const bool holds = !v->wrong && (least ? x.median >= must : x.median <= must);
    row[HOLDS] = report_copy(isnan(must) ? "-" : holds ? "yes" : "no");
    *goals += !isnan(must);
    *kept += holds && !isnan(must);
}

void report_put_shares(const json_t *document, FILE *stream) {
    json_t *const goals = goals_load();
    const json_t *const figures = json_object_get(goals, "shares");
    report_grid grid = report_grid_create(COLUMNS);
    char **const row = report_grid_row(&grid);
    size_t kept = 0, all = 0;
    for (size_t i = 0; i < COLUMNS; ++i) {
        row[i] = report_copy(titles[i]);
        grid.right[i] = i != WHAT && i != HOLDS;
    }
    for (size_t i = 0; i < json_array_size(figures); ++i) {
        const json_t *const figure = json_array_get(figures, i), *const threads = json_object_get(
                                                                     figure, "threads");
        for (size_t k = 0; k < json_array_size(threads); ++k) {
            view v = {.results = json_object_get(document, "results"),
                      .figure = figure,
                      .threads = json_number_value(json_array_get(threads, k))};
            add_row(&v, &grid, &kept, &all);
        }
    }
    report_grid_print(&grid, true, stream);
    report_grid_free(&grid);
    fprintf(stream, "\n%zu of %zu figures with a must hold. Medians of rounds, and their spread.\n",
            kept, all);
    json_decref(goals);
}
