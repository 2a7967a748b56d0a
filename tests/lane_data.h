/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of lane_kernels.h share: the tables of this machine, random numbers from a seed
 * that is printed, and matrices of lanes between pages that may not be touched. */
#ifndef ATTEND_TESTS_LANE_DATA_H
#define ATTEND_TESTS_LANE_DATA_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "cpu_kernels.h"
#include "guarded.h"

extern const attend__lane_kernels *lane_tables[];
extern int lane_table_count;

/* The seed is the program's argument, if it has one. */
void lane_start(int argc, char **argv);

int lane_random_in(int from, int to);
/* -2 .. 2 */
float lane_random_float(void);

/* Floats against the page behind or the one before them, by chance. */
typedef struct floats {
    guarded memory;
    float *x;
} floats;

floats floats_of(int64_t count);
floats random_floats(int64_t count);
/* [n][lane_rows], of which the last row ends with the lanes that are used. */
floats lanes_of(const attend__lane_kernels *k, int64_t n, int64_t vectors);
floats random_lanes(const attend__lane_kernels *k, int64_t n, int64_t vectors);
void floats_free(floats *one, floats *two); /* two: may be NULL */

void expect_bits(float got, float expected, const char *what);
void expect_near(double got, double expected, double bound, const char *what);

#endif
