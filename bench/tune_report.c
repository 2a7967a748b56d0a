/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_report.h, and the report without a search. */
#include "tune_report.h"

#include "tune_trial.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void tune_report_start(tune_report *report) {
    memset(report, 0, sizeof *report);
    report->failed = json_array();
    report->plain = json_array();
}

void tune_report_device(tune_report *report, const runner *r) {
    const char *const lines = json_string_value(json_object_get(r->about, "tuning"));
    if (!report->device_lines && lines) report->device_lines = attend__string_copy(lines);
}

int tune_report_spaces(tune_report *report, const bench_case *c, const char *lines,
                       tune_space spaces[TUNE_MOST_SPACES]) {
    const int count = lines ? tune_spaces_read(lines, spaces) : 0;
    if (count == 0) json_array_append_new(report->plain, json_string(c->name));
    return count;
}

tune_result *tune_report_add(tune_report *report, const bench_case *c, const tune_space *space) {
    tune_result *const results =
        realloc(report->results, (report->count + 1) * sizeof *report->results);
    if (!results) {
        report->no_memory = true;
        return NULL;
    }
    report->results = results;
    tune_result *const r = &results[report->count++];
    *r = (tune_result){.c = c,
                       .space = *space,
                       .best = tune_default(space),
                       .before_s = NAN,
                       .after_s = NAN,
                       .ratio = 1,
                       .rejected = json_array()};
    return r;
}

void tune_look(const tune_plan *plan, tune_report *report) {
    tune_report_start(report);
    for (size_t i = 0; i < plan->case_count && !process_interrupted(); ++i) {
        tune_space spaces[TUNE_MOST_SPACES];
        tune_trial t = {.r = *plan->device};
        t.e = (entry){.c = &plan->cases[i], .r = &t.r, .id = 1};
        const bool going = entry_prepare(&t.e, NULL);
        tune_report_device(report, &t.r);
        const bool ready = going && t.e.state == ENTRY_READY;
        const int count =
            ready ? tune_report_spaces(report, &plan->cases[i], t.e.tuning, spaces) : 0;
        for (int k = 0; k < count; ++k)
            (void)tune_report_add(report, &plan->cases[i], &spaces[k]);
        if (going && !ready)
            json_array_append_new(report->failed, json_string(t.e.reason));
        tune_trial_end(&t);
    }
    report->interrupted = process_interrupted();
}

void tune_report_release(tune_report *report) {
    for (size_t i = 0; i < report->count; ++i)
        json_decref(report->results[i].rejected);
    free(report->results);
    free(report->device_lines);
    json_decref(report->failed);
    json_decref(report->plain);
    memset(report, 0, sizeof *report);
}
