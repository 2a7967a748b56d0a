/* SPDX-License-Identifier: Apache-2.0
 *
 * Who takes part in a benchmark: one worker for each device of the chosen backends and each number
 * of threads, and one for each peer and number of threads. */
#ifndef ATTEND_CLI_BENCH_TARGETS_H
#define ATTEND_CLI_BENCH_TARGETS_H

#include "cli.h"
#include "runner.h"

typedef struct bench_targets {
    runner *runners;
    size_t count;
} bench_targets;

typedef struct target_choice {
    const char *backends; /* "all", "none", or names with commas; NULL: ATTEND_BACKEND, else all */
    const char *devices;  /* "all", or ids, parts of names, cpu and gpu; NULL: ATTEND_DEVICE, .. */
    const int64_t *threads;
    size_t thread_count;
    const cli_values *peers; /* [NAME=]FILE */
    const char *python;      /* runs files that end in .py */
    double timeout_s;
} target_choice;

/* False after a failure, which has been reported; *status is the exit status then. */
bool bench_targets_create(const target_choice *choice, bench_targets *targets, int *status);
void bench_targets_release(bench_targets *targets);

#endif
