/* SPDX-License-Identifier: Apache-2.0
 *
 * The bits of a sample's attention do not depend on the number of threads, on the rest of the
 * batch, or on side outputs. */
#include "attention_problem.h"

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};

static const problem_sizes several = {3, 4, 2, 75, 300, 48, 32};

static problem with_options(attend_type type) {
    problem p = problem_make(several, type, 28);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    p.a.mask = problem_truths(&p, 2, (const int64_t[]){several.L, several.S}, 0.9);
    p.a.key_lengths = problem_integers(&p, 3, (const int64_t[]){300, 290, 260});
    return p;
}

static void test_bits_of_threads(void **state) {
    (void)state;
    for (int type = 0; type < 3; type++) {
        problem p = with_options(types[type]);
        problem_run(&p);
        const attend_tensor first = p.a.out;
        static const int32_t counts[] = {1, 2, 3, 8};
        for (int c = 0; c < 4; c++) {
            attend_options options = attend_options_default();
            attend_context *context;
            options.backend = problem_backend();
            options.threads = counts[c];
            p.a.out = problem_zeros(&p, types[type], 4, first.sizes);
            assert_int_equal(attend_open(&options, &context), ATTEND_OK);
            assert_int_equal(attend_run(context, &p.a), ATTEND_OK);
            attend_close(context);
            assert_true(problem_same_bits(&first, &p.a.out));
        }
        problem_free(&p);
    }
}

static void test_bits_of_a_sample_alone(void **state) {
    (void)state;
    for (int type = 0; type < 3; type++) {
        problem p = with_options(types[type]);
        problem_run(&p);
        for (int64_t b = 0; b < several.B; b++) {
            attend_attention one = p.a;
            attend_tensor *const views[] = {&one.q, &one.k, &one.v, &one.key_lengths};
            for (int t = 0; t < 4; t++) {
                views[t]->sizes[0] = 1;
                views[t]->offset += b * views[t]->strides[0];
            }
            one.out = problem_zeros(&p, types[type], 4,
                                    (const int64_t[]){1, several.H, several.L, several.E});
            assert_int_equal(attend_run(problem_context, &one), ATTEND_OK);
            attend_tensor slice = p.a.out;
            slice.sizes[0] = 1;
            slice.offset = b * slice.strides[0];
            assert_true(problem_same_bits(&slice, &one.out));
        }
        problem_free(&p);
    }
}

static void test_bits_with_side_outputs(void **state) {
    (void)state;
    for (int type = 0; type < 3; type++) {
        problem p = with_options(types[type]), more = with_options(types[type]);
        problem_want_all(&more);
        problem_run(&p);
        problem_run(&more);
        assert_true(problem_same_bits(&p.a.out, &more.a.out));
        problem_free(&p);
        problem_free(&more);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits_of_threads),
        cmocka_unit_test(test_bits_of_a_sample_alone),
        cmocka_unit_test(test_bits_with_side_outputs),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
