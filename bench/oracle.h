/* SPDX-License-Identifier: Apache-2.0
 *
 * What a case's output has to be, in double precision, on some of its rows; and how far an answer
 * may be from it (docs/numerics.md). Own loops on the values of protocol.md: no code of the library
 * takes part. */
#ifndef ATTEND_BENCH_ORACLE_H
#define ATTEND_BENCH_ORACLE_H

#include "bench_values.h"

enum { ORACLE_MOST_ROWS = 64, ORACLE_MOST_VALUES = 1 << 18 };

typedef struct oracle {
    size_t row_count, width;
    int64_t *rows;
    double *want, *bound; /* [row_count, width] */
} oracle;

/* The inputs of the last case: those that the next one shares are not made again. Zeroed before its
 * first use. */
typedef struct oracle_memory {
    double *values[BENCH_ROLE_COUNT];
    bench_case c[BENCH_ROLE_COUNT]; /* whose they are */
} oracle_memory;
void oracle_forget(oracle_memory *memory);

/* Chooses the rows (first, last, the rest spread without a pattern) and computes them. False
 * without memory; nothing is left behind then. */
bool oracle_create(const bench_case *c, oracle_memory *memory, oracle *o);
void oracle_release(oracle *o);

typedef struct oracle_difference {
    double max_error;   /* largest |got - want|; NaN where got is NaN */
    double error_ratio; /* largest |got - want| / bound; infinite where got is not finite */
} oracle_difference;

/* `got` is row number `row` of the oracle's rows. Takes the maximum with what *d holds. */
void oracle_compare(const oracle *o, size_t row, const float *got, oracle_difference *d);

/* The largest |want|: what the errors of peers, which make no promise, are held against. */
double oracle_largest(const oracle *o);

#endif
