/* SPDX-License-Identifier: Apache-2.0
 *
 * The patterns of a set's heads as a table or as JSON. */
#ifndef ATTEND_CLI_PATTERNS_TABLE_H
#define ATTEND_CLI_PATTERNS_TABLE_H

#include "view/weight_set.h"

/* How to sort: "layer" (and head), "head", "kind" or a column of head_patterns; the numbers are
 * sorted from the largest down. */
bool patterns_can_sort(const char *column);
/* Names of all columns, for sentences. */
extern const char patterns_columns[];

void patterns_print_table(const weight_set *set, const char *sort);
bool patterns_print_json(const weight_set *set, const char *sort); /* false without memory */

#endif
