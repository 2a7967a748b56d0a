/* SPDX-License-Identifier: Apache-2.0
 *
 * The cases that the figures of goals.json need. */
#ifndef ATTEND_BENCH_GOAL_CASES_H
#define ATTEND_BENCH_GOAL_CASES_H

#include "case_list.h"

/* Adds those of the groups of figures in a list with commas ("masks,decode"; "shares": all), each
 * with the number of threads it is measured with. */
bool case_list_add_goals(case_list *list, const char *groups, char *reason);

#endif
