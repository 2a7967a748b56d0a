/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library has to reach (goals.json): times beside the peers', and figures that compare
 * cases with each other and with the machine's peaks in one run. */
#ifndef ATTEND_BENCH_GOALS_H
#define ATTEND_BENCH_GOALS_H

#include <jansson.h>

/* The text of goals.json, parsed; NULL without memory. */
json_t *goals_load(void);

enum { GOALS_NAME = 192 }; /* bytes of a name, its end included */

/* A case of a figure by its name in goals.json, with `queries` in the place of its star. */
void goals_case_name(const char *text, json_int_t queries, char name[GOALS_NAME]);
/* The peak that reading `bytes` is held against: a block of about the same size. */
void goals_read_name(double bytes, char name[GOALS_NAME]);

#endif
