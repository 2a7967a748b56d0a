/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/plot.h on documents made by hand: how many bars, lines and fields there have to be, and
 * where points of known times lie. The files it leaves are read by plot_check.py. */
#include "plot.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct row {
    const char *name, *type, *backend;
    int queries, keys;
    double median; /* 0: failed */
    double flops;
} row;

static const row rows[] = {
    /* a line of three lengths, one of two, and a single mark in the same field */
    {"short", "f32", "cpu", 64, 64, 1e-4, 1e7},
    {"middle", "f32", "cpu", 256, 256, 1e-3, 2e8},
    {"long", "f32", "cpu", 1024, 1024, 1e-2, 3e9},
    {"short", "bf16", "cpu", 64, 64, 2e-4, 1e7},
    {"middle", "bf16", "cpu", 256, 256, 2e-3, 2e8},
    {"middle", "f32", "a<b>&\"c\"", 256, 256, 3e-3, 2e8},
    {"long", "f32", "a<b>&\"c\"", 1024, 1024, 0, 3e9},
    /* one query, two numbers of keys */
    {"decode-1k", "f32", "cpu", 1, 1000, 1e-5, 1e6},
    {"decode-4k", "f32", "cpu", 1, 4000, 4e-5, 4e6},
    /* no arithmetic; one length alone, with a name that is markup and would steer a terminal */
    {"<merge> & \"x\"\x1b[31m", "f32", "cpu", 33, 0, 1e-5, 0},
    {"<merge> & \"x\"\x1b[31m", "f32", "a<b>&\"c\"", 33, 0, 0, 0},
};
enum { ROWS = sizeof rows / sizeof rows[0], FAILED = 2 };

static void set_number(json_t *object, const char *key, double x) {
    json_object_set_new(object, key, isfinite(x) ? json_real(x) : json_null());
}

static json_t *make_result(const row *r, bool failed) {
    const bool ok = r->median > 0 && !failed;
    const double median = ok ? r->median : (double)NAN;
    json_t *const result = json_pack(
        "{s:s, s:s, s:{s:i, s:i, s:b}, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:s}", "case", r->name,
        "op", r->keys ? "attention" : "merge", "sizes", "B", 1, "L", r->queries, "causal", 0,
        "shape", r->name, "dtype", r->type, "backend", r->backend, "device", "cpu:0", "threads", 2,
        "peer", strcmp(r->backend, "cpu") != 0, "ok", (int)ok, "reason", ok ? "" : "wrong");
    if (r->keys) json_object_set_new(json_object_get(result, "sizes"), "S", json_integer(r->keys));
    set_number(result, "median_s", median);
    set_number(result, "min_s", median * 0.9);
    set_number(result, "p95_s", median * 1.2);
    set_number(result, "flops", r->flops);
    set_number(result, "bytes", 1e6);
    set_number(result, "gflops", r->flops / median * 1e-9);
    set_number(result, "gbps", 1e6 / median * 1e-9);
    return result;
}

static json_t *make_document(size_t count, bool failed) {
    json_t *const results = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(results, make_result(&rows[i], failed));
    json_t *const document = json_pack(
        "{s:s, s:{s:{s:s, s:s}, s:s, s:s, s:[i]}, s:o, s:[], s:[s]}", "schema", "attend-bench/1",
        "context", "attend", "version", "1.2.3", "commit", "abc", "cpu", "Fast & <furious>", "date",
        "2026-01-02", "threads", 2, "results", results, "skipped", "warnings", "noise");
    assert_non_null(document);
    return document;
}

/* Takes the document; the picture and its document stay as files of that name. */
static char *draw(json_t *document, const char *name) {
    char path[64];
    char *const text = plot_document(document);
    assert_non_null(text);
    snprintf(path, sizeof path, "plot-%s.json", name);
    assert_int_equal(json_dump_file(document, path, 0), 0);
    snprintf(path, sizeof path, "plot-%s.svg", name);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    json_decref(document);
    return text;
}

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        ++count;
    return count;
}

static void has(const char *text, const char *part, size_t times) {
    if (count_of(text, part) != times)
        fail_msg("'%s' is there %zu times, not %zu", part, count_of(text, part), times);
}

/* ---- tests ---- */

static void draws_bars(void **state) {
    (void)state;
    char *const text = draw(make_document(ROWS, false), "all");
    has(text, "<g class=\"result ", ROWS - FAILED);
    has(text, ">FAIL</text>", FAILED);
    has(text, ">&lt;merge&gt; &amp; &quot;x&quot;\\x1b[31m</tspan>", 1);
    has(text, ">GB/s</text>", 2); /* above and below */
    has(text, ">GFLOP/s</text>", 2);
    has(text, ">Processor Fast &amp; &lt;furious&gt;, threads 2</text>", 1);
    has(text, "commit abc, measured 2026-01-02", 1);
    has(text, "1 warning:", 1);
    has(text, "<script", 0);
    has(text, "href", 0);
    has(text, "prefers-color-scheme: dark", 1);
    free(text);
}

static void draws_lines(void **state) {
    (void)state;
    char *const text = draw(make_document(ROWS, false), "lines");
    has(text, ">sequence length L</text>", 1);
    has(text, ">keys S</text>", 1);
    has(text, ">attention B1, S = L</text>", 1);
    has(text, ">attention B1 L1</text>", 1);
    has(text, "<g class=\"line ", 4);
    has(text, "class=\"whisker\"", 3 + 2 + 1 + 2);
    /* Equal ratios of lengths and of times are equal distances. */
    const char *const line = strstr(strstr(text, "<g class=\"line "), " d=\"M");
    double x[3], y[3];
    assert_int_equal(
        sscanf(line, " d=\"M%lf %lfL%lf %lfL%lf %lf\"", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
        6);
    assert_true(x[1] - x[0] > 50 && fabs((x[2] - x[1]) - (x[1] - x[0])) < 0.2);
    assert_true(y[0] - y[1] > 50 && fabs((y[1] - y[2]) - (y[0] - y[1])) < 0.2);
    free(text);
}

static void draws_no_line_of_one_length(void **state) {
    (void)state;
    char *const text = draw(make_document(1, false), "one");
    has(text, "<g class=\"result ", 1);
    has(text, "<g class=\"line ", 0);
    has(text, "Time of a call", 0);
    free(text);
}

static void draws_failures(void **state) {
    (void)state;
    char *const text = draw(make_document(ROWS, true), "failed");
    has(text, "<g class=\"result ", 0);
    has(text, "<g class=\"line ", 0);
    has(text, ">FAIL</text>", ROWS);
    free(text);
}

static void draws_nothing_measured(void **state) {
    (void)state;
    char *const text = draw(make_document(0, false), "none");
    has(text, "nothing was measured", 1);
    free(text);
    /* an object that is no document of ours is no reason to fall over */
    char *const empty = plot_document(NULL);
    assert_non_null(empty);
    has(empty, "nothing was measured", 1);
    free(empty);
}

/* A barrier has no rate: a bar of 0 GB/s would say that it is slow. */
static void draws_times(void **state) {
    (void)state;
    json_t *const document = make_document(0, false);
    for (int i = 1; i <= 2; ++i) {
        json_t *const result = make_result(&rows[9], false);
        json_object_set_new(result, "median_s", json_real(i * 20e-9));
        json_object_set_new(result, "threads", json_integer(i));
        json_object_set_new(result, "bytes", json_integer(0));
        json_object_set_new(result, "gbps", json_integer(0));
        json_array_append_new(json_object_get(document, "results"), result);
    }
    char *const text = draw(document, "times");
    has(text, "<g class=\"result ", 2);
    has(text, "shorter is better", 1);
    has(text, "longer is better", 0);
    has(text, "class=\"ink\">40.00 ns</text>", 1);
    has(text, "class=\"muted\">20.00 ns</text>", 2);
    free(text);
}

/* Nine series: the ninth has the first's colour, under a pattern. */
static void repeats_colors(void **state) {
    (void)state;
    json_t *const document = make_document(0, false);
    for (int i = 0; i < 9; ++i) {
        json_t *const result = make_result(&rows[0], false);
        json_object_set_new(result, "threads", json_integer(i + 1));
        json_array_append_new(json_object_get(document, "results"), result);
    }
    char *const text = draw(document, "nine");
    has(text, "<g class=\"result s0\"", 2);
    has(text, "<g class=\"result s7\"", 1);
    has(text, "url(#p1)", 2); /* the bar and the key */
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_bars),
        cmocka_unit_test(draws_lines),
        cmocka_unit_test(draws_no_line_of_one_length),
        cmocka_unit_test(draws_failures),
        cmocka_unit_test(draws_nothing_measured),
        cmocka_unit_test(draws_times),
        cmocka_unit_test(repeats_colors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
