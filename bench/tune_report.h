/* SPDX-License-Identifier: Apache-2.0
 *
 * How the tuner's report (tuner.h) is filled. */
#ifndef ATTEND_BENCH_TUNE_REPORT_H
#define ATTEND_BENCH_TUNE_REPORT_H

#include "tuner.h"

void tune_report_start(tune_report *report);
/* Keeps what the worker says of its device. */
void tune_report_device(tune_report *report, const runner *r);
/* What the worker's lines (NULL: none) say can be tuned; that a case has nothing is noted. */
int tune_report_spaces(tune_report *report, const bench_case *c, const char *lines,
                       tune_space spaces[TUNE_MOST_SPACES]);
/* Adds a result, the default at first. NULL: no memory, which the report says, too. */
tune_result *tune_report_add(tune_report *report, const bench_case *c, const tune_space *space);

#endif
