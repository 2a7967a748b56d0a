/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax and attention of oracle.h in double precision, one row at a time, with their bounds
 * (docs/numerics.md; letters as there). */
#ifndef ATTEND_BENCH_ORACLE_ATTENTION_H
#define ATTEND_BENCH_ORACLE_ATTENTION_H

#include "bench_keys.h"

static const double oracle_unit = 0x1p-24; /* u of docs/numerics.md */
static const double oracle_tiny = 1e-37;

double oracle_dot(const double *a, const double *b, int64_t n);
double oracle_absolute_dot(const double *a, const double *b, int64_t n);
/* Half a unit in the last place of a 16-bit result; 0 for float32, whose rounding the bounds hold.
 */
double oracle_half_unit(attend_type type, double y);

/* weights[j] of the allowed keys from their scores; returns the log of the sum of exp. */
double oracle_softmax(const double *scores, int64_t count, double *weights);
/* errors[j] was a_j and becomes e_j; returns m. */
double oracle_score_errors(double *errors, const double *scores, const double *weights,
                           int64_t count, double lse, double head_size);
double oracle_sum_term(int64_t key_count); /* u t */

/* A query and the keys it has; what an option does not give is NULL or 0. */
typedef struct oracle_query {
    const double *q, *k, *v; /* k and v: the sample's, rows `stride` apart */
    int64_t stride, head_size, count;
    const int64_t *which;       /* [count] numbers of the keys; NULL: the first ones */
    const double *added, *size; /* [count] on the scores, and the sum of its absolute terms */
    double softcap;
} oracle_query;

/* Scratch of ORACLE_SCRATCH * count doubles: scores, weights, errors e_j of the keys. */
enum { ORACLE_SCRATCH = 3 };
/* out [head_size]; returns the log of the sum of exp. */
double oracle_attend(const oracle_query *a, double *scratch, double *out);
/* bound [head_size] of what oracle_attend left in `scratch`, before rounding; returns m + u t. */
double oracle_attend_bound(const oracle_query *a, double *scratch, double lse, double *bound);

/* One row of an attention case with its side outputs; inputs as bench_values.h has them, rounded.
 * False without memory. */
bool oracle_attention_row(const bench_case *c, double *const *inputs, int64_t row, double *want,
                          double *bound);

#endif
