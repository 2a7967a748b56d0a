/* SPDX-License-Identifier: Apache-2.0
 *
 * What `attend tune` found, shown. */
#ifndef ATTEND_CLI_TUNE_RESULTS_H
#define ATTEND_CLI_TUNE_RESULTS_H

#include "tuner.h"

typedef struct tune_time {
    double given_s, used_s;
} tune_time;
void tune_print_results(const tune_report *report, const tune_time *time);
/* What can be tuned, what it is now, and where that comes from. */
void tune_print_list(const tune_report *report);

#endif
