/* SPDX-License-Identifier: Apache-2.0
 *
 * What `attend tune` found: shown, and kept in a tuning file. */
#ifndef ATTEND_CLI_TUNE_RESULTS_H
#define ATTEND_CLI_TUNE_RESULTS_H

#include "tuner.h"

void tune_print_results(const tune_report *report, double seconds);
/* What can be tuned, what it is now, and where that comes from. */
void tune_print_list(const tune_report *report);

/* Adds the results to the file of the device: `out`, or NULL: in the configuration folder. Two
 * processes take turns. False after a failure, which has been reported. */
bool tune_keep(const tune_report *report, const char *out);

#endif
