/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/report.h on a document that is awkward on purpose: names with every mark that some format
 * gives a meaning to, rows that failed, numbers that are not known, thousands of samples. What is
 * expected is computed by hand. The files it leaves are read by report_check.py. */
#include "report.h"

#include "cli/printable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define AWKWARD "a|b,\"c\"\n<d>;\x1b[31m \xe5\x90\x8d*"
/* as it is shown */
#define SAFE "a|b,\"c\"\\x0a<d>;\\x1b[31m \xe5\x90\x8d*"
enum { MANY = 3000 };

typedef struct row {
    const char *name, *type, *backend;
    int threads;
    bool peer;
    double median; /* 0: failed, no samples */
    double flops;
} row;

static json_t *number_or_null(double x) {
    return x > 0 ? json_real(x) : json_null();
}

/* With 1 thread from host memory, of which 3 MiB are copied. */
static json_t *make_result(const row *r, size_t samples) {
    json_t *const list = json_array();
    for (size_t i = 0; r->median > 0 && i < samples; ++i)
        json_array_append_new(list, json_real(r->median * (1 + (double)i / 3e5)));
    json_t *const result = json_pack(
        "{s:s, s:s, s:{s:i}, s:s, s:s, s:s, s:s, s:i, s:s, s:b, s:b, s:s}", "case", r->name, "op",
        "attention", "sizes", "B", 1, "shape", "B1 H2", "dtype", r->type, "backend", r->backend,
        "device", "cpu", "threads", r->threads, "kernel", "kernel,1", "peer", (int)r->peer, "ok",
        r->median > 0, "reason", r->median > 0 ? "" : "wrong: " AWKWARD);
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"median_s", r->median},
                   {"mad_s", r->median / 100},
                   {"min_s", r->median * 0.9},
                   {"p95_s", r->median * 1.1},
                   {"gflops", r->median > 0 ? r->flops / r->median * 1e-9 : 0},
                   {"gbps", r->median > 0 ? 1e6 / r->median * 1e-9 : 0},
                   {"peak_fraction", r->median > 0 ? 0.625 : 0},
                   {"max_error", 1.2e-6 / 3},
                   {"error_ratio", 0.1},
                   {"first_s", 1. / 3},
                   {"open_s", 0},
                   {"flops", r->flops},
                   {"bytes", 1e6},
                   {"copied_bytes", r->threads == 1 ? 3 << 20 : 0},
                   {"in_place_bytes", 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i)
        json_object_set_new(result, numbers[i].key, number_or_null(numbers[i].value));
    json_object_set_new(result, "peak_limit", json_string("fma"));
    json_object_set_new(result, "rows_checked", json_integer(64));
    json_object_set_new(result, "samples_s", list);
    json_object_set_new(result, "round_sizes", json_pack("[i, i]", 1, (int)samples - 1));
    return result;
}

static const row rows[] = {
    {"bert", "f32", "cpu", 2, false, 2e-3, 4e8},
    {"bert", "f32", "reference", 2, false, 4e-3, 4e8},
    {"bert", "f32", "pytorch", 2, true, 3e-3, 4e8},
    {"bert", "f32", "ggml", 2, true, 2.5e-3, 4e8},
    {"bert", "f16", "ggml", 2, true, 1e-3, 4e8}, /* another type: no rival of the rows above */
    {"bert", "f32", "cpu", 1, false, 4e-3, 4e8},
    {"bert", "f32", "pytorch", 1, true, 3e-3, 4e8},
    {"tiny", "f32", "cpu", 2, false, 20e-6, 4e5},
    {"tiny", "f32", "pytorch", 2, true, 30e-6, 4e5},
    {"tiny", "f32", "ggml", 2, true, 0, 4e5},
    {"bert-512", "f32", "cpu", 2, false, 2e-3, 4e8}, /* a shape of bench/goals.json */
    {"bert-512", "f32", "pytorch", 2, true, 2.2e-3, 4e8},
    {AWKWARD, "f32", "cpu", 2, false, 0, 4e8},
    {AWKWARD, "f32", "pytorch", 2, true, 1e-3, 4e8},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static json_t *make_document(void) {
    json_t *const results = json_array();
    for (size_t i = 0; i < ROWS; ++i)
        json_array_append_new(results, make_result(&rows[i], i ? 10 : MANY));
    json_t *const document =
        json_pack("{s:s, s:{s:{s:s, s:s}, s:s, s:n, s:[i, i], s:[{s:s, s:i, s:f, s:n}]}, s:o, "
                  "s:[{s:s, s:i, s:n, s:s}, {s:s, s:i, s:s, s:s}, {s:s, s:i, s:s, s:s}], s:[s]}",
                  "schema", "attend-bench/1", "context", "attend", "version", "1.2.3", "commit",
                  "abc", "cpu", "A " AWKWARD, "governor", "threads", 1, 2, "peaks", "device", "cpu",
                  "threads", 2, "gflops", 640.0, "gbps", "results", results, "skipped", "backend",
                  "openvino", "threads", 2, "case", "reason", "is not installed", "backend", "ggml",
                  "threads", 1, "case", "one", "reason", "cannot", "backend", "ggml", "threads", 1,
                  "case", "two", "reason", "cannot", "warnings", "beware of " AWKWARD);
    assert_non_null(document);
    return document;
}

static char *text_of(report_format format) {
    json_t *const document = make_document();
    char *const text = report_text(document, format);
    json_decref(document);
    assert_non_null(text);
    return text;
}

/* ---- reading tables ---- */

enum { MOST_CELLS = 32, CELL = 64 };
typedef struct cells {
    char text[MOST_CELLS][CELL];
    size_t count;
} cells;

/* The cells of a row of Markdown, without the blanks around them. */
static void split(const char *line, cells *c) {
    memset(c, 0, sizeof *c);
    assert_int_equal(*line, '|');
    size_t used = 0;
    for (++line; *line && *line != '\n'; ++line) {
        assert_true(c->count < MOST_CELLS && used + 2 < CELL);
        char *const text = c->text[c->count];
        if (*line == '\\') {
            text[used++] = *++line;
        } else if (*line == '|') {
            while (used && text[used - 1] == ' ')
                text[--used] = 0;
            ++c->count;
            used = 0;
        } else if (used || *line != ' ') {
            text[used++] = *line;
        }
    }
}

/* The line of the table after `heading` whose first cells are these. */
static cells find_row(const char *text, const char *heading, const char *name, const char *type) {
    const char *line = strstr(text, heading);
    assert_non_null(line);
    cells c;
    for (; line && (line = strchr(line, '\n')) != NULL;) {
        ++line;
        if (*line != '|') continue;
        split(line, &c);
        if (!strcmp(c.text[0], name) && !strcmp(c.text[1], type)) return c;
    }
    fail_msg("no row %s %s", name, type);
    return c;
}

static void expect_cells(const cells *c, const char *const *wanted) {
    size_t i = 0;
    for (; wanted[i]; ++i)
        assert_string_equal(c->text[i], wanted[i]);
    assert_int_equal(c->count, i);
}

/* ---- tests ---- */

static void finds_formats(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int format; /* -1: none */
    } cases[] = {
        {"table", REPORT_TABLE},
        {"md", REPORT_MD},
        {"csv", REPORT_CSV},
        {"json", REPORT_JSON},
        {"jsonl", REPORT_JSONL},
        {"duel", REPORT_DUEL},
        {"a/b.txt", REPORT_TABLE},
        {"x.y.json", REPORT_JSON},
        {".jsonl", REPORT_JSONL},
        {"a.csv", REPORT_CSV},
        {"a.md", REPORT_MD},
        {"", -1},
        {"txt", -1},
        {"a.table", -1},
        {"a.", -1},
        {"JSON", -1},
        {"a.md/b", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        report_format format = REPORT_FORMAT_COUNT;
        assert_int_equal(report_format_find(cases[i].name, &format), cases[i].format >= 0);
        if (cases[i].format >= 0) assert_int_equal(format, cases[i].format);
    }
}

/* No text of the document reaches the output as it is: no control characters. */
static void is_safe(void **state) {
    (void)state;
    for (int format = 0; format < REPORT_FORMAT_COUNT; ++format) {
        char *const text = text_of((report_format)format);
        for (const char *c = text; *c; ++c)
            assert_true(*c == '\n' || (unsigned char)*c >= ' ');
        free(text);
    }
}

static void keeps_every_digit(void **state) {
    (void)state;
    json_t *const document = make_document();
    char *text = report_text(document, REPORT_JSON);
    json_t *const again = json_loads(text, 0, NULL);
    assert_true(json_equal(again, document));
    assert_null(strstr(text, "\n     ")); /* samples are one line */
    free(text);
    json_decref(again);

    text = report_text(document, REPORT_JSONL);
    const char *line = text;
    for (size_t i = 0; i <= ROWS; ++i) {
        const char *const end = strchr(line, '\n');
        assert_non_null(end);
        json_t *const item = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (i == 0) {
            assert_int_equal(json_object_size(item), 4);
            assert_true(
                json_equal(json_object_get(item, "context"), json_object_get(document, "context")));
        } else {
            assert_true(
                json_equal(item, json_array_get(json_object_get(document, "results"), i - 1)));
        }
        json_decref(item);
        line = end + 1;
    }
    assert_int_equal(*line, 0);
    free(text);
    json_decref(document);
}

static void prints_markdown(void **state) {
    (void)state;
    char *const text = text_of(REPORT_MD);
    cells c = find_row(text, "attend 1.2.3", "case", "backend");
    static const char *const titles[] = {"case",       "backend",    "device", "kernel", "type",
                                         "threads",    "median",     "+- %",   "min",    "p95",
                                         "GFLOP/s",    "GB/s",       "peak %", "ratio",  "error",
                                         "first call", "copied MiB", NULL};
    expect_cells(&c, titles);
    c = find_row(text, "attend 1.2.3", "bert", "cpu");
    static const char *const first[] = {"bert",     "cpu",      "cpu",  "kernel,1", "f32",
                                        "2",        "2.000 ms", "1.0",  "1.800 ms", "2.200 ms",
                                        "200.0",    "0.5000",   "62.5", "1.00",     "4.00e-07",
                                        "333.3 ms", "-",        NULL};
    expect_cells(&c, first);
    c = find_row(text, "attend 1.2.3", "bert", "pytorch"); /* of 3 ms, the first of 2 ms */
    assert_string_equal(c.text[13], "0.67");
    c = find_row(text, "160.0", "bert", "ggml"); /* the next one, f16, is the first of its type */
    assert_string_equal(c.text[4], "f16");
    assert_string_equal(c.text[13], "1.00");
    c = find_row(text, "attend 1.2.3", SAFE, "cpu");
    static const char *const failed[] = {SAFE,   "cpu", "cpu",      "kernel,1", "f32", "2",
                                         "FAIL", "-",   "-",        "-",        "-",   "-",
                                         "-",    "-",   "4.00e-07", "-",        "-",   NULL};
    expect_cells(&c, failed);
    c = find_row(text, "400.0", "bert", "cpu"); /* with 1 thread, in host memory */
    assert_string_equal(c.text[16], "3.000");
    free(text);
}

static void prints_tables(void **state) {
    (void)state;
    char *const text = text_of(REPORT_TABLE);
    assert_null(strstr(text, "kernel,1"));
    assert_non_null(strstr(text, "\n\nFAIL tiny, f32, ggml, cpu, 2 threads: wrong: " SAFE "\n"));
    assert_non_null(strstr(text, "\npeak measured on cpu, 2 threads, 640 GFLOP/s\n"));
    assert_non_null(strstr(text, "\nskipped: openvino, 2 threads: is not installed\n"));
    const char *const skip = strstr(text, "\nskipped: ggml, 1 thread, one, two: cannot\n");
    assert_non_null(skip);
    assert_null(strstr(skip + 2, "skipped"));
    assert_non_null(strstr(text, "\nwarning: beware of " SAFE "\n"));
    const char *line = strstr(text, "\n\ncase");
    assert_non_null(line);
    size_t width = 0, count = 0;
    for (line += 2; *line != '\n'; line = strchr(line, '\n') + 1, ++count) {
        char copy[512];
        snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
        if (!width) width = printable_width(copy);
        assert_int_equal(printable_width(copy), width);
    }
    assert_int_equal(count, ROWS + 1);
    free(text);
}

static void prints_duels(void **state) {
    (void)state;
    static const struct {
        const char *heading;
        const char *cells[14];
    } wanted[] = {
        {"With 2 threads",
         {"case", "type", "ours", "by", "GFLOP/s", "best peer", "its name", "ratio", "must", "aim",
          "peak %", "pytorch", "ggml"}},
        {"With 2 threads",
         {"bert", "f32", "2.000 ms", "cpu", "200.0", "2.500 ms", "ggml", "1.25", "-", "-", "62.5",
          "133.3", "160.0"}},
        {"With 2 threads",
         {"bert", "f16", "-", "-", "-", "1.000 ms", "ggml", "-", "-", "-", "-", "-", "400.0"}},
        {"With 2 threads",
         {"tiny", "f32", "20.00 us", "cpu", "20.00", "30.00 us", "pytorch", "1.50", "-", "-",
          "62.5", "30.00 us", "FAIL"}},
        {"With 2 threads",
         {SAFE, "f32", "FAIL", "cpu", "FAIL", "1.000 ms", "pytorch", "-", "-", "-", "-", "400.0",
          "-"}},
        {"With 2 threads",
         {"bert-512", "f32", "2.000 ms", "cpu", "200.0", "2.200 ms", "pytorch", "1.10", "1.05",
          "1.15", "62.5", "181.8", "-"}},
        {"With 1 thread;",
         {"bert", "f32", "4.000 ms", "cpu", "100.0", "3.000 ms", "pytorch", "0.75", "-", "-",
          "62.5", "133.3", "-"}},
    };
    char *const text = text_of(REPORT_DUEL);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; ++i) {
        const char *const *const want = wanted[i].cells;
        const cells c = find_row(text, wanted[i].heading, want[0], want[1]);
        expect_cells(&c, want);
    }
    /* (1.25 * 1.5 * 1.1)^(1/3) = 1.273 */
    assert_non_null(strstr(text, "in 3 of 3; ours is 1.27 times"));
    assert_non_null(strstr(text, "what it must be in 1 of 1.\n"));
    assert_non_null(strstr(text, "over 1 shapes of attention: 1.10; must 1.50, aim 1.90"));
    assert_non_null(strstr(text, "in 0 of 1; ours is 0.75 times"));
    free(text);
}

/* Documents of others may lack anything, or hold something else there. */
static void takes_other_documents(void **state) {
    (void)state;
    static const char *const documents[] = {
        "{}", "[]", "{\"results\": 3, \"context\": [], \"skipped\": \"a\", \"warnings\": null}",
        "{\"results\": [1, {}, null, {\"ok\": true, \"case\": 3, \"threads\": \"a\"}],"
        " \"skipped\": [{}, 2], \"warnings\": [2, null], \"context\": {\"threads\": [null]}}",
        "{\"results\": [{\"ok\": true, \"case\": \"a\", \"threads\": 1, \"peer\": true},"
        " {\"ok\": true, \"case\": \"a\", \"threads\": 1, \"median_s\": 0}]}"};
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; ++i)
        for (int format = 0; format < REPORT_FORMAT_COUNT; ++format) {
            json_t *const document = json_loads(documents[i], 0, NULL);
            assert_non_null(document);
            char *const text = report_text(document, (report_format)format);
            assert_non_null(text);
            assert_null(strstr(text, "nan"));
            assert_null(strstr(text, "inf"));
            free(text);
            json_decref(document);
        }
}

static void write_files(void **state) {
    (void)state;
    static const struct {
        report_format format;
        const char *path;
    } files[] = {{REPORT_CSV, ATTEND_TEST_SCRATCH "/report.csv"},
                 {REPORT_JSON, ATTEND_TEST_SCRATCH "/report.json"},
                 {REPORT_JSONL, ATTEND_TEST_SCRATCH "/report.jsonl"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        char *const text = text_of(files[i].format);
        FILE *const file = fopen(files[i].path, "wb");
        assert_non_null(file);
        assert_int_equal(fputs(text, file) >= 0, 1);
        assert_int_equal(fclose(file), 0);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_formats),         cmocka_unit_test(is_safe),
        cmocka_unit_test(keeps_every_digit),     cmocka_unit_test(prints_markdown),
        cmocka_unit_test(prints_tables),         cmocka_unit_test(prints_duels),
        cmocka_unit_test(takes_other_documents), cmocka_unit_test(write_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
