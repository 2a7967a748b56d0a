/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of bench/goals.json from documents made by hand: medians of rounds, shares of peaks,
 * rises, and what must hold. */
#include "report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CELLS = 7, LINE = 400 };

/* A row of the table has these cells, whatever blanks stand around them. */
static void expect_row(const char *text, const char *const *cells) {
    char wanted[LINE] = "|", found[LINE];
    for (int i = 0; i < CELLS; ++i)
        snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s|", cells[i]);
    for (const char *line = text; (line = strchr(line, '\n')) != NULL;) {
        size_t used = 0;
        for (++line; *line && *line != '\n' && used + 1 < sizeof found; ++line) {
            const bool blank =
                *line == ' ' && (line[1] == ' ' || line[1] == '|' || line[-1] == '|');
            if (!blank && !(*line == ' ' && used && found[used - 1] == '|')) found[used++] = *line;
        }
        found[used] = 0;
        if (!strcmp(found, wanted)) return;
    }
    fail_msg("no row %s in\n%s", wanted, text);
}

/* Two rounds of one sample each. */
static void add_rounds(json_t *results, const char *name, int threads, double work, double first,
                       double second) {
    json_t *const result =
        json_pack("{s:s, s:s, s:i, s:b, s:b, s:f, s:f, s:f, s:[f, f], s:[i, i]}", "case", name,
                  "op", "attention", "threads", threads, "peer", 0, "ok", 1, "flops", work, "bytes",
                  work, "median_s", first, "samples_s", first, second, "round_sizes", 1, 1);
    assert_int_equal(json_array_append_new(results, result), 0);
}

static void prints_figures(void **state) {
    json_t *const results = json_array();
    char name[80];
    (void)state;
    /* half as fast in the second round, and so is what it is held against */
    add_rounds(results, "bert-512", 2, 1e9, 1e-3, 2e-3);
    add_rounds(results, "B1 H12 G12 L512 S512 D64 f32 weights", 2, 1e9, 1.5e-3, 3e-3);
    add_rounds(results, "bert-512", 1, 1e9, 2e-3, 4e-3);
    add_rounds(results, "peak-fma", 1, 2e9, 3e-3, 6e-3);
    add_rounds(results, "B1 H12 G12 L512 S512 D64 f32 weights", 1, 1e9, 5e-3, 9e-3);
    add_rounds(results, "llama-decode32k", 2, 268500000, 10e-3, 10e-3);
    add_rounds(results, "peak-read-268435456", 2, 268435456, 8e-3, 9e-3);
    for (int l = 1; l <= 64; ++l) {
        snprintf(name, sizeof name, "B1 H8 G8 L%d S8192 D64 f32", l);
        add_rounds(results, name, 2, 1e9, l * 1e-3, l * (l < 10 ? 1e-3 : 1.4e-3));
    }
    json_t *const document = json_pack("{s:o}", "results", results);
    char *const text = report_text(document, REPORT_SHARES);
    static const char *const wanted[][8] = {
        {"with the weights by without, L = 512", "2", "1.500", "0.0", "\u2264 2.000", "-", "yes"},
        {"with the weights by without, L = 512", "1", "2.375", "5.3", "\u2264 2.000", "-", "no"},
        {"bert-512, share of the FMA peak", "1", "75.0 %", "0.0", "\u2265 80.0 %", "\u2265 87.0 %",
         "no"},
        {"decode f32, H/G = 4, share of the read peak", "2", "85.0 %", "5.9", "\u2265 85.0 %", "-",
         "yes"},
        {"time a query row, L to L + 1, H8 G8 D64", "2", "1.200 at L = 10", "16.7", "\u2264 1.100",
         "-", "no"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; ++i)
        expect_row(text, wanted[i]);
    assert_null(strstr(text, "causal by full")); /* was not measured */
    assert_non_null(strstr(text, "2 of 5 figures"));
    free(text);
    json_decref(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prints_figures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
