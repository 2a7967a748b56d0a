/* SPDX-License-Identifier: Apache-2.0
 *
 * The values that every worker computes on (protocol.md, "Values"): the same numbers in C and in
 * Python, without a file between them. */
#ifndef ATTEND_BENCH_VALUES_H
#define ATTEND_BENCH_VALUES_H

#include "bench_case.h"

typedef enum bench_role {
    BENCH_Q, /* also x and scores: the first input of an operation */
    BENCH_K,
    BENCH_V,
    BENCH_W,                   /* the weights of a projection */
    BENCH_BIAS,                /* its bias */
    BENCH_W_Q,                 /* and W_K, W_V, W_O: a layer's */
    BENCH_B_Q = BENCH_W_Q + 4, /* and B_K, B_V, B_O */
    BENCH_ROLE_COUNT = BENCH_B_Q + 4
} bench_role;

/* Elements of that input of the case; 0 when the operation has none. */
int64_t bench_input_count(const bench_case *c, bench_role role);

/* Fills `elements` with all values of that input, rounded to `type`. */
void bench_input_fill(const bench_case *c, bench_role role, attend_type type, void *elements);

/* Rounds to a storage type and back. */
float bench_round(attend_type type, float x);

#endif
