/* SPDX-License-Identifier: Apache-2.0
 *
 * The search for parameters that suit a device: each candidate runs in a worker process of its own
 * beside one with the defaults, is held against the oracle before it is timed, and has to win
 * round after round. No ask outlasts the given time, so that a candidate that hangs costs a part of
 * it and one that crashes costs nothing else. */
#ifndef ATTEND_BENCH_TUNER_H
#define ATTEND_BENCH_TUNER_H

#include "entry.h"
#include "tune_space.h"

/* One kernel on one case. */
typedef struct tune_result {
    const bench_case *c;
    tune_space space;
    tune_point best;                 /* the default where nothing is better */
    double before_s, after_s, ratio; /* medians of the same rounds; their ratio's median */
    size_t tried, left;              /* candidates; those that time did not reach */
    json_t *rejected;                /* texts: the values, why */
} tune_result;

typedef struct tune_plan {
    const runner *device; /* who is started */
    const bench_case *cases;
    size_t case_count;
    double end_s; /* on the clock (attend__clock_nanoseconds) */
    /* Called before each candidate; may be NULL. */
    void (*progress)(void *user, const bench_case *c, const char *kernel, const char *values);
    void *user;
} tune_plan;

typedef struct tune_report {
    tune_result *results;
    size_t count;
    char *device_lines; /* what the worker says of the device */
    json_t *failed;     /* texts: cases that could not be measured at all, why */
    json_t *plain;      /* names of cases whose kernels have no parameters */
    /* of the time, in workers that start and build, and in rounds */
    double start_s, measure_s;
    bool interrupted, no_memory;
} tune_report;

/* Fills the report; released by tune_report_release. */
void tune_run(const tune_plan *plan, tune_report *report);
/* The spaces of the cases as they are in force, with nothing measured; `tried` 0. */
void tune_look(const tune_plan *plan, tune_report *report);
void tune_report_release(tune_report *report);

/* Whether as many wins among so many rounds are more than chance. */
bool tune_is_gain(size_t wins, size_t rounds, double ratio);

#endif
