/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of `clblast` where it goes through several blocks: of planes, of rows, and with parts
 * of the keys that have sums of their own. Results are within the bound of float64, a sample has
 * the same bits alone and in the batch, and a NaN behind a mask changes none. CTest sets
 * ATTEND_CLBLAST_ATTENTION=composed. */
#include "attention_problem.h"

#include <math.h>
#include <string.h>

/* Blocks hold 4 Mi floats of scores. */
static const problem_sizes planes = {12, 4, 2, 70, 1500, 16, 24}; /* 24 planes, 19 at a time */
static const problem_sizes rows = {1, 2, 1, 2000, 1300, 8, 8};    /* 4000 rows, 3157 at a time */
static const problem_sizes parts = {2, 4, 2, 3, 5000, 32, 16};    /* 20 parts of the keys */
static const problem_sizes many_planes = {300, 2, 1, 40, 300, 16, 8}; /* no parts */

static void run_with_lengths(problem *p, problem_sizes n) {
    int64_t lengths[300];
    *p = problem_make(n, ATTEND_F32, 5);
    for (int64_t b = 0; b < n.B; b++)
        lengths[b] = n.S - b % 7 * 9;
    p->a.key_lengths = problem_integers(p, n.B, lengths);
    p->a.mask = problem_truths(p, 2, (const int64_t[]){n.L, n.S}, 0.9);
    problem_run(p);
}

static void check_alone(const problem *p, int64_t b) {
    problem scratch = problem_make((problem_sizes){1, 1, 1, 1, 1, 1, 1}, ATTEND_F32, 1);
    attend_attention one = p->a;
    attend_tensor *const views[] = {&one.q, &one.k, &one.v, &one.key_lengths};
    for (int t = 0; t < 4; t++) {
        views[t]->sizes[0] = 1;
        views[t]->offset += b * views[t]->strides[0];
    }
    one.out = problem_zeros(&scratch, ATTEND_F32, 4, (const int64_t[]){1, p->n.H, p->n.L, p->n.E});
    assert_int_equal(attend_run(problem_context, &one), ATTEND_OK);
    attend_tensor slice = p->a.out;
    slice.sizes[0] = 1;
    slice.offset = b * slice.strides[0];
    assert_true(problem_same_bits(&slice, &one.out));
    problem_free(&scratch);
}

static void check(problem_sizes n) {
    problem p;
    run_with_lengths(&p, n);
    problem_check(&p);
    check_alone(&p, 0);
    check_alone(&p, n.B - 1);
    problem_free(&p);
}

static void test_planes(void **state) {
    (void)state;
    check(planes);
}
static void test_rows(void **state) {
    (void)state;
    check(rows);
}
static void test_parts(void **state) {
    (void)state;
    check(parts);
}
static void test_many_planes(void **state) {
    (void)state;
    check(many_planes);
}

/* Key 7 is excluded for all, key 8 for row 0 alone. */
static void test_not_finite(void **state) {
    (void)state;
    problem clean = problem_make(parts, ATTEND_F32, 9), dirty = problem_make(parts, ATTEND_F32, 9);
    problem *const both[] = {&clean, &dirty};
    for (int i = 0; i < 2; i++) {
        both[i]->a.mask = problem_truths(both[i], 2, (const int64_t[]){parts.L, parts.S}, 1);
        for (int64_t row = 0; row < parts.L; row++)
            ((uint8_t *)both[i]->a.mask.data)[row * parts.S + 7] = 0;
        ((uint8_t *)both[i]->a.mask.data)[8] = 0;
    }
    problem_put(&dirty.a.v, 1, 0, 7, 3, (double)NAN);
    problem_put(&dirty.a.v, 1, 0, 8, 2, (double)INFINITY);
    problem_run(&clean);
    problem_run(&dirty);
    for (int64_t h = 0; h < parts.H; h++) {
        assert_true(problem_same_row(&clean.a.out, &dirty.a.out, 0, h, 1));
        assert_true(problem_same_row(&clean.a.out, &dirty.a.out, 1, h, 0));
        for (int64_t e = 0; e < parts.E; e++)
            assert_true(isinf(problem_at(&dirty.a.out, 1, h, 1, e)) == (h < 2 && e == 2));
    }
    problem_free(&clean);
    problem_free(&dirty);
}

/* Equal terms: what a sum without parts would lose. */
static void test_equal_terms(void **state) {
    (void)state;
    problem p = problem_make((problem_sizes){1, 1, 1, 1, 20000, 256, 4}, ATTEND_F32, 3);
    for (int64_t j = 0; j < 20000; j++) {
        for (int64_t d = 0; d < 256; d++)
            problem_put(&p.a.k, 0, 0, j, d, 0.7);
        for (int64_t e = 0; e < 4; e++)
            problem_put(&p.a.v, 0, 0, j, e, 0.1 + 0.1 * (double)e);
    }
    for (int64_t d = 0; d < 256; d++)
        problem_put(&p.a.q, 0, 0, 0, d, 0.3);
    problem_run(&p);
    problem_check(&p);
    problem_free(&p);
}

/* Else none of the above saw a block. */
static void test_composed(void **state) {
    (void)state;
    problem p = problem_make((problem_sizes){1, 1, 1, 4, 8, 4, 4}, ATTEND_F32, 2);
    problem_run(&p);
    attend_decision decision = {.size = sizeof decision};
    assert_int_equal(attend_context_decision(problem_context, &decision), ATTEND_OK);
    assert_non_null(strstr(decision.kernel, "__clblast_"));
    problem_free(&p);
}

/* 77 where there is no device, or no loader: CTest shows it as skipped. */
static bool has_device(void) {
    attend_options options = attend_options_default();
    options.backend = problem_backend();
    attend_context *context;
    const attend_status status = attend_open(&options, &context);
    if (status == ATTEND_OK) attend_close(context);
    return status != ATTEND_NO_DEVICE;
}

int main(int argc, char **argv) {
    char name[] = "clblast";
    char *arguments[] = {argv[0], name};
    problem_choose_backend(argc > 1 ? argc : 2, argc > 1 ? argv : arguments);
    if (!has_device()) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_planes),     cmocka_unit_test(test_rows),
        cmocka_unit_test(test_parts),      cmocka_unit_test(test_many_planes),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_equal_terms),
        cmocka_unit_test(test_composed),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
