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
    BENCH_W,                          /* the weights of a projection */
    BENCH_BIAS,                       /* its bias */
    BENCH_W_Q,                        /* and W_K, W_V, W_O: a layer's */
    BENCH_B_Q = BENCH_W_Q + 4,        /* and B_K, B_V, B_O */
    BENCH_SCORE_BIAS = BENCH_B_Q + 4, /* of attention: added to the scores */
    BENCH_ROLE_COUNT
} bench_role;

/* Elements of that input of the case; 0 when the operation has none. */
int64_t bench_input_count(const bench_case *c, bench_role role);

/* Its storage type; I8 for keys and values that a cache keeps so: their values are float32 until
 * then. */
attend_type bench_input_type(const bench_case *c, bench_role role);
/* Two inputs with the same values: same formula, count and type. */
bool bench_same_input(const bench_case *a, const bench_case *b, bench_role role);

/* Fills `elements` with all values of that input, rounded to `type` (F32, F16 or BF16). */
void bench_input_fill(const bench_case *c, bench_role role, attend_type type, void *elements);

/* Rounds to a storage type and back. */
float bench_round(attend_type type, float x);
/* The same for a token of an int8 cache, as attend/cache.h says: one scale for its elements. */
void bench_round_token(float *elements, int64_t count);

#endif
