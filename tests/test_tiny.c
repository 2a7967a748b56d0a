/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of a few rows over a few keys, which have a way of their own on the CPU: within the bound
 * of float64, with the bits that the same sample has with side outputs, in a padded batch, or where
 * its rows lie elsewhere; and numbers that are not finite come through. */
#include "attention_problem.h"

#include <math.h>

static const problem_sizes sizes[] = {
    {1, 8, 8, 10, 10, 64, 64}, {2, 3, 3, 5, 1, 8, 8},     {1, 2, 2, 16, 64, 64, 64},
    {1, 2, 2, 16, 65, 32, 32}, {1, 2, 2, 17, 64, 32, 32}, {3, 4, 2, 3, 17, 40, 24},
    {1, 6, 2, 2, 33, 7, 100},  {2, 1, 1, 13, 31, 130, 1}, {1, 1, 1, 9, 15, 1, 33},
    {1, 4, 4, 7, 48, 65, 17},  {4, 2, 2, 12, 63, 20, 70}, {1, 8, 1, 1, 20, 64, 64},
    {1, 4, 4, 1, 10, 64, 64},  {2, 4, 4, 4, 64, 48, 80},  {1, 2, 2, 2, 3, 66, 31},
    {1, 3, 3, 3, 40, 16, 16},  {2, 2, 2, 4, 16, 129, 65}, {40, 4, 4, 11, 49, 32, 32},
};
enum { COUNT = sizeof sizes / sizeof *sizes };

static void test_bounds_and_side_outputs(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        problem p = problem_make(sizes[i], ATTEND_F32, 40 + (uint64_t)i);
        problem_check(&p);
        const attend_tensor plain = p.a.out;
        problem_want_all(&p);
        p.a.out = problem_zeros(&p, ATTEND_F32, 4, plain.sizes);
        problem_check(&p);
        if (!problem_same_bits(&plain, &p.a.out)) fail_msg("sizes %d: other bits", i);
        problem_free(&p);
    }
}

/* The first sample of a batch whose other samples are longer, and by itself. */
static void test_in_a_padded_batch(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        problem_sizes more = sizes[i];
        more.B = 2;
        more.L += 5;
        more.S += 70;
        problem p = problem_make(more, ATTEND_F32, 80 + (uint64_t)i);
        p.a.query_lengths = problem_integers(&p, 2, (const int64_t[]){sizes[i].L, more.L});
        p.a.key_lengths = problem_integers(&p, 2, (const int64_t[]){sizes[i].S, more.S});
        problem_run(&p);
        attend_tensor first = p.a.out;
        first.sizes[0] = 1;
        first.sizes[2] = sizes[i].L;
        problem alone = problem_make(more, ATTEND_F32, 80 + (uint64_t)i);
        attend_tensor *const views[] = {&alone.a.q, &alone.a.k, &alone.a.v, &alone.a.out};
        for (int t = 0; t < 4; t++) {
            views[t]->sizes[0] = 1;
            views[t]->sizes[2] = t == 0 || t == 3 ? sizes[i].L : sizes[i].S;
        }
        problem_run(&alone);
        if (!problem_same_bits(&first, &alone.a.out)) fail_msg("sizes %d: other bits", i);
        problem_free(&alone);
        problem_free(&p);
    }
}

/* [B, n, H, .] seen as [B, H, n, .], with the same numbers. */
static attend_tensor other_layout(problem *p, const attend_tensor *t) {
    const int64_t swapped[] = {t->sizes[0], t->sizes[2], t->sizes[1], t->sizes[3]};
    attend_tensor view = problem_zeros(p, ATTEND_F32, 4, swapped);
    const int64_t stride = view.strides[1];
    view.strides[1] = view.strides[2];
    view.strides[2] = stride;
    view.sizes[1] = t->sizes[1];
    view.sizes[2] = t->sizes[2];
    for (int64_t b = 0; b < t->sizes[0]; b++)
        for (int64_t h = 0; h < t->sizes[1]; h++)
            for (int64_t r = 0; r < t->sizes[2]; r++)
                for (int64_t e = 0; e < t->sizes[3]; e++)
                    problem_put(&view, b, h, r, e, problem_at(t, b, h, r, e));
    return view;
}

static void test_other_layouts(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        problem p = problem_make(sizes[i], ATTEND_F32, 120 + (uint64_t)i);
        problem_run(&p);
        const attend_tensor plain = p.a.out;
        p.a.q = other_layout(&p, &p.a.q);
        p.a.k = other_layout(&p, &p.a.k);
        p.a.v = other_layout(&p, &p.a.v);
        p.a.out = other_layout(&p, &p.a.out);
        problem_run(&p);
        if (!problem_same_bits(&plain, &p.a.out)) fail_msg("sizes %d: other bits", i);
        problem_free(&p);
    }
}

static void test_what_is_not_finite(void **state) {
    (void)state;
    static const double values[] = {NAN, INFINITY, -INFINITY, 3e38, -3e38, 1e-40};
    for (int i = 0; i < COUNT; i++) {
        for (int x = 0; x < 18; x++) {
            problem p = problem_make(sizes[i], ATTEND_F32, 160 + (uint64_t)i);
            const attend_tensor *const t = x % 3 == 0 ? &p.a.q : x % 3 == 1 ? &p.a.k : &p.a.v;
            for (int64_t d = 0; d < t->sizes[3]; d++)
                problem_put(t, 0, t->sizes[1] - 1, t->sizes[2] / 2, d, values[x / 3]);
            problem_run(&p);
            const attend_tensor plain = p.a.out;
            problem_want_all(&p);
            p.a.out = problem_zeros(&p, ATTEND_F32, 4, plain.sizes);
            problem_run(&p);
            if (!problem_same_bits(&plain, &p.a.out)) fail_msg("sizes %d, value %d", i, x);
            problem_free(&p);
        }
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_and_side_outputs),
        cmocka_unit_test(test_in_a_padded_batch),
        cmocka_unit_test(test_other_layouts),
        cmocka_unit_test(test_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
