/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_results.h. */
#include "tune_results.h"

#include "cli.h"
#include "report_parts.h"
#include "system.h"

#include "base/environment.h"
#include "base/folder.h"
#include "base/memory.h"
#include "base/tuning_file.h"

#include <errno.h>
#include <math.h>
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
                                 is_better(r) ? after : "nothing better",
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

void tune_print_results(const tune_report *report, double seconds) {
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
    if (report->count)
        printf("\n%zu candidates were tried, %zu were not reached, in %.1f s\n", tried, left,
               seconds);
    for (size_t i = 0; i < report->count; ++i)
        print_rejected(&report->results[i]);
    print_texts("not measured: ", "", report->failed);
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
}

/* ---- the file -------------------------------------------------------------------------------- */

/* The device's key, from the line "device KEY". */
static char *device_key(const tune_report *report) {
    const char *const lines = report->device_lines ? report->device_lines : "";
    if (strncmp(lines, "device ", 7) != 0) return NULL;
    return attend__string_part(lines + 7, strcspn(lines + 7, "\n"));
}

/* What was tried to the end of its time or of its space; the default, too, or the values of a
 * neighbouring shape would take its place. */
static char *result_lines(const tune_report *report) {
    char *const lines = cli_allocate(report->count + 1, 3 * TUNE_TEXT);
    size_t used = 0;
    for (size_t i = 0; i < report->count; ++i) {
        const tune_result *const r = &report->results[i];
        char values[TUNE_TEXT];
        if (!r->tried || isnan(r->before_s)) continue;
        tune_point_text(&r->space, &r->best, ' ', values);
        used +=
            (size_t)snprintf(lines + used, 3 * TUNE_TEXT, "%s: %s (%.4g s before, %.4g s after)\n",
                             r->space.shape, values, r->before_s, r->after_s);
    }
    return lines;
}

/* Under the lock: what is there, and what is new. */
static bool replace(const char *folder, const char *name, const char *key, const char *lines) {
    char *old;
    (void)attend__tuning_load(folder, name, key, &old);
    char *const merged = attend__tuning_merge(old, lines);
    const bool stored = merged && attend__cache_store(folder, name, key, merged, strlen(merged));
    if (!stored) cli_error("%s/%s: %s", folder, name, merged ? strerror(errno) : "out of memory");
    free(old);
    free(merged);
    return stored;
}

static bool store(const char *folder, const char *name, const char *key, const char *lines) {
    char *const path = attend__path_join(folder, "tuning.lock");
    const int lock = path ? system_lock(path) : -1;
    if (lock == -1) cli_error("%s: %s", path ? path : folder, strerror(errno));
    const bool stored = lock != -1 && replace(folder, name, key, lines);
    system_unlock(lock);
    free(path);
    if (stored) printf("kept in %s/%s\n", folder, name);
    return stored;
}

bool tune_keep(const tune_report *report, const char *out) {
    char own_name[ATTEND__TUNING_NAME], reason[300] = "out of memory";
    const char *name = own_name;
    char *folder = NULL, *const key = device_key(report), *const lines = result_lines(report);
    bool stored = true;
    if (*lines && !key) {
        cli_error("nothing was kept: the worker does not say what device it is");
        stored = false;
    } else if (*lines) {
        attend__tuning_name(key, own_name);
        if (out)
            (void)attend__tuning_split(out, &folder, &name);
        else
            folder = attend__config_folder(attend__environment_get("ATTEND_CONFIG_DIR"), true,
                                           reason, sizeof reason);
        if (!folder) cli_error("nothing was kept: %s", reason);
        stored = folder && store(folder, name, key, lines);
    }
    free(folder);
    free(key);
    free(lines);
    return stored;
}
