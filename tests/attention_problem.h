/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of attention share: one problem with its memory, its run on the backend under
 * test, and its comparison with the gate's float64 oracle over all rows. The backend is the
 * program's argument, else ATTEND_TEST_BACKEND, else cpu. */
#ifndef ATTENTION_PROBLEM_H
#define ATTENTION_PROBLEM_H

#include "gate.h"

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */

enum { PROBLEM_TENSORS = 96 };

typedef struct problem_sizes {
    int64_t B, H, G, L, S, D, E;
} problem_sizes;

typedef struct problem {
    problem_sizes n;
    attend_attention a;
    void *memory[PROBLEM_TENSORS];
    int count;
    gate_random random;
} problem;

extern attend_context *problem_context;

/* The program's backend: for main, and cmocka's group functions that open and close
 * problem_context. */
void problem_choose_backend(int argc, char **argv);
const char *problem_backend(void);
int problem_open(void **state);
int problem_close(void **state);

/* Random q, k, v of `type` and an output; every option off. The same seed gives the same values. */
problem problem_make(problem_sizes n, attend_type type, uint64_t seed);
void problem_free(problem *p);
/* A tensor of zeros, or of standard normal values, or of ones and zeros, that lives as long as the
 * problem. */
attend_tensor problem_zeros(problem *p, attend_type type, int32_t rank, const int64_t *sizes);
attend_tensor problem_normals(problem *p, attend_type type, int32_t rank, const int64_t *sizes);
attend_tensor problem_truths(problem *p, int32_t rank, const int64_t *sizes, double share);
attend_tensor problem_integers(problem *p, int64_t count, const int64_t *values);
/* Asks for weights, their mean, masked scores and lse, all F32. */
void problem_want_all(problem *p);

/* Runs, and asserts success. */
void problem_run(const problem *p);
/* Runs, and asserts that it was refused with `status` and a sentence that begins with `name`. */
void problem_refused(const problem *p, attend_status status, const char *name);
/* Runs and asserts that all outputs asked for are within the bound of float64. */
void problem_check(const problem *p);
/* The same of outputs that something else has written. */
void problem_compare(const problem *p);

/* Every element of two tensors of equal sizes has the same bits (a NaN: is NaN in both). */
bool problem_same_bits(const attend_tensor *x, const attend_tensor *y);
/* The same for one row (b, h, i) of tensors [B, H, L, n]. */
bool problem_same_row(const attend_tensor *x, const attend_tensor *y, int64_t b, int64_t h,
                      int64_t i);
/* Asserts that row (b, h, i) of p->a.out differs from row (c, g, k) of `other` by at most the two
 * bounds. */
void problem_rows_close(const problem *p, const int64_t row[3], const attend_tensor *other,
                        const int64_t other_row[3]);
/* Asserts a row without a key: out 0, weights 0 (both asked for), and this lse. */
void problem_expect_empty_row(const problem *p, const int64_t row[3], double lse);

static inline double problem_at(const attend_tensor *t, int64_t i0, int64_t i1, int64_t i2,
                                int64_t i3) {
    return gate_load(t, (const int64_t[4]){i0, i1, i2, i3});
}
static inline void problem_put(const attend_tensor *t, int64_t i0, int64_t i1, int64_t i2,
                               int64_t i3, double value) {
    gate_store(t, (const int64_t[4]){i0, i1, i2, i3}, value);
}

#endif
