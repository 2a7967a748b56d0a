/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_results.h. */
#include "tune_results.h"

#include "cli.h"
#include "report_parts.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables ---------------------------------------------------------------------------------- */

static void fill_row(report_grid *grid, const char *const *texts) {
    char **const row = report_grid_row(grid);
    for (size_t i = 0; i < grid->columns; ++i)
        row[i] = report_copy(texts[i]);
}

static void print_texts(const char *title, const char *kernel, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); ++i) {
        char *const text = report_copy(json_string_value(json_array_get(list, i)));
        printf("%s%s%s\n", title, kernel, text);
        free(text);
    }
}

static const double EARLY = 0.9; /* of the time: worth a word */

static bool is_better(const tune_result *r) {
    return r->ratio < 1;
}

static void add_result(report_grid *grid, const tune_result *r) {
    char before[TUNE_TEXT], after[TUNE_TEXT], gain[REPORT_NUMBER], was[REPORT_NUMBER],
        is[REPORT_NUMBER];
    const tune_point start = tune_default(&r->space);
    tune_point_text(&r->space, &start, ' ', before);
    tune_point_text(&r->space, &r->best, ' ', after);
    report_time(r->before_s, was);
    report_time(r->after_s, is);
    snprintf(gain, sizeof gain, "%.0f %%", (1 / r->ratio - 1) * 100);
    const char *const texts[] = {r->space.kernel,
                                 r->c->name,
                                 before,
                                 is_better(r) ? after
                                 : r->tried   ? "nothing better"
                                              : "none tried",
                                 was,
                                 is_better(r) ? is : "-",
                                 is_better(r) ? gain : "-"};
    fill_row(grid, texts);
}

static void print_rejected(const tune_result *r) {
    char kernel[TUNE_NAME + 2];
    snprintf(kernel, sizeof kernel, "%s ", r->space.kernel);
    print_texts("rejected: ", kernel, r->rejected);
}

/* How the time was spent, and why it was not where there was more of it. */
static void print_time(const tune_report *report, size_t tried, size_t left,
                       const tune_time *time) {
    const double used = time->used_s;
    char rest[60] = "none is left";
    if (left) snprintf(rest, sizeof rest, "%zu were not reached", left);
    printf("\n%zu candidates were tried, %s, in %.1f s of %g: %.0f %% to start and build, %.0f %% "
           "to measure\n",
           tried, rest, used, time->given_s, 100 * report->start_s / used,
           100 * report->measure_s / used);
    if (left && !report->interrupted && used < EARLY * time->given_s)
        puts("it ended early: another candidate would not have been built, measured and held "
             "against the default anew");
}

void tune_print_results(const tune_report *report, const tune_time *time) {
    static const char *const titles[] = {"kernel", "case",  "before", "after",
                                         "time",   "after", "gain"};
    size_t tried = 0, left = 0;
    report_grid grid = report_grid_create(sizeof titles / sizeof *titles);
    for (size_t i = 4; i < grid.columns; ++i)
        grid.right[i] = true;
    fill_row(&grid, titles);
    for (size_t i = 0; i < report->count; ++i) {
        add_result(&grid, &report->results[i]);
        tried += report->results[i].tried;
        left += report->results[i].left;
    }
    if (report->count) report_grid_print(&grid, false, stdout);
    report_grid_free(&grid);
    if (report->count) print_time(report, tried, left, time);
    for (size_t i = 0; i < report->count; ++i)
        print_rejected(&report->results[i]);
    print_texts("not measured: ", "", report->failed);
    print_texts("no parameters: ", "", report->plain);
}

void tune_print_list(const tune_report *report) {
    static const char *const titles[] = {"kernel", "case",    "parameter",
                                         "values", "default", "in force"};
    if (report->device_lines) {
        char *const lines = attend__string_copy(report->device_lines);
        for (char *line = lines ? strtok(lines, "\n") : NULL; line; line = strtok(NULL, "\n")) {
            char *const text = report_copy(line);
            puts(text);
            free(text);
        }
        free(lines);
        puts("");
    }
    report_grid grid = report_grid_create(sizeof titles / sizeof *titles);
    fill_row(&grid, titles);
    for (size_t i = 0; i < report->count; ++i) {
        const tune_result *const r = &report->results[i];
        for (int k = 0; k < r->space.count; ++k) {
            const tune_parameter *const p = &r->space.parameters[k];
            char values[TUNE_TEXT], first[16];
            size_t used = 0;
            for (int v = 0; v < p->count; ++v)
                used += (size_t)snprintf(values + used, sizeof values - used, "%s%d", v ? " " : "",
                                         p->values[v]);
            snprintf(first, sizeof first, "%d", p->values[p->first]);
            const char *const texts[] = {
                k ? "" : r->space.kernel,  k ? "" : r->c->name, p->name, values, first,
                k ? "" : r->space.in_force};
            fill_row(&grid, texts);
        }
    }
    if (report->count) report_grid_print(&grid, false, stdout);
    report_grid_free(&grid);
    print_texts("not planned: ", "", report->failed);
    print_texts("no parameters: ", "", report->plain);
}
