/* SPDX-License-Identifier: Apache-2.0
 *
 * precision FAST may round the weights to the storage type: its error is at most twice that of the
 * plain composition in that type, which rounds weights and output. Both are taken against float64
 * (the backend reference with float32 outputs). */
#include "attention_problem.h"

#include <math.h>
#include <string.h>

static attend_context *oracle;

static attend_tensor weights_of(problem *p, attend_type type) {
    const int64_t sizes[] = {p->n.B, p->n.H, p->n.L, p->n.S};
    return problem_zeros(p, type, 4, sizes);
}

static double mixed(const problem *p, const attend_tensor *w, const int64_t at[4]) {
    double sum = 0;
    for (int64_t j = 0; j < p->n.S; j++) {
        const double weight = problem_at(w, at[0], at[1], at[2], j);
        if (weight != 0)
            sum += weight * problem_at(&p->a.v, at[0], at[1] / (p->n.H / p->n.G), j, at[3]);
    }
    return sum;
}

/* Largest differences to float64: of the plain composition, and of what the backend gave. */
static void compare(problem *p, const attend_tensor *exact, const attend_tensor *rounded,
                    double *plain, double *fast) {
    attend_tensor one = problem_zeros(p, p->a.out.type, 4, (const int64_t[]){1, 1, 1, 1});
    *plain = *fast = 0;
    for (int64_t i = 0; i < p->n.B * p->n.H * p->n.L * p->n.E; i++) {
        const int64_t e = i % p->n.E, l = i / p->n.E % p->n.L;
        const int64_t h = i / p->n.E / p->n.L % p->n.H, b = i / p->n.E / p->n.L / p->n.H;
        const double want = problem_at(exact, b, h, l, e);
        problem_put(&one, 0, 0, 0, 0, mixed(p, rounded, (const int64_t[]){b, h, l, e}));
        *plain = fmax(*plain, fabs(problem_at(&one, 0, 0, 0, 0) - want));
        *fast = fmax(*fast, fabs(problem_at(&p->a.out, b, h, l, e) - want));
    }
}

static void test_twice_the_plain_error(void **state) {
    (void)state;
    static const attend_type types[] = {ATTEND_F16, ATTEND_BF16};
    static const problem_sizes sizes[] = {{2, 4, 2, 37, 333, 64, 64},
                                          {1, 2, 2, 70, 70, 33, 17},
                                          {1, 3, 1, 5, 1000, 128, 40},
                                          {1, 2, 1, 131, 391, 80, 65}};
    for (int t = 0; t < 2; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            problem p = problem_make(sizes[s], types[t], 50 + s);
            p.a.causal = 1;
            p.a.position = ATTEND_BOTTOM_RIGHT;
            attend_attention a = p.a;
            a.weights = weights_of(&p, types[t]); /* rounded once, as the composition does */
            a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes);
            assert_int_equal(attend_run(oracle, &a), ATTEND_OK);
            p.a.precision = ATTEND_PRECISION_FAST;
            problem_run(&p);
            double plain, fast;
            compare(&p, &a.out, &a.weights, &plain, &fast);
            assert_true(plain > 0);
            if (!(fast <= 2 * plain)) fail_msg("case %zu: %g beside %g", s, fast, plain);
            problem_free(&p);
        }
}

/* A key behind a mask has no effect here either. */
static void test_poison(void **state) {
    (void)state;
    problem p = problem_make((problem_sizes){1, 2, 2, 9, 300, 64, 64}, ATTEND_F16, 60);
    p.a.precision = ATTEND_PRECISION_FAST;
    p.a.mask = problem_truths(&p, 1, (const int64_t[]){300}, 0.8);
    ((uint8_t *)p.a.mask.data)[3] = 0;
    problem_run(&p);
    const attend_tensor before = p.a.out;
    for (int64_t e = 0; e < 64; e++) {
        problem_put(&p.a.v, 0, 0, 3, e, e % 2 ? NAN : INFINITY);
        problem_put(&p.a.k, 0, 1, 3, e, NAN);
    }
    p.a.out = problem_zeros(&p, ATTEND_F16, 4, before.sizes);
    problem_run(&p);
    assert_true(problem_same_bits(&before, &p.a.out));
    problem_free(&p);
}

static int open_both(void **state) {
    attend_options options = attend_options_default();
    options.backend = "reference";
    if (attend_open(&options, &oracle) != ATTEND_OK) return -1;
    return problem_open(state);
}

static int close_both(void **state) {
    attend_close(oracle);
    return problem_close(state);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twice_the_plain_error),
        cmocka_unit_test(test_poison),
    };
    return cmocka_run_group_tests(tests, open_both, close_both);
}
