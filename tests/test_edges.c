/* SPDX-License-Identifier: Apache-2.0
 *
 * Edges of the meaning of attention: rows without a key, huge scores, all options together, mask
 * shapes, sizes of 0, strides, sinks, grouped heads. Values are held against the gate's float64. */
#include "attention_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
static const double infinity = HUGE_VAL;

/* ---- rows without a key, and infinite scores --------------------------------------------- */

static void test_empty_rows(void **state) {
    (void)state;
    const problem_sizes n = {2, 2, 2, 20, 70, 24, 17};
    const int64_t plane[2] = {n.L, n.S};
    for (int c = 0; c < 12; c++) {
        problem p = problem_make(n, types[c % 3], 1);
        problem_want_all(&p);
        if (c >= 6) {
            p.a.sinks = problem_zeros(&p, ATTEND_F32, 1, &n.H);
            gate_store(&p.a.sinks, &(int64_t){1}, 0.75);
        }
        if (c / 3 % 2 == 0) {
            p.a.mask = problem_truths(&p, 2, plane, 0.5);
            memset((uint8_t *)p.a.mask.data + 7 * n.S, 0, (size_t)n.S);
        } else {
            p.a.bias = problem_normals(&p, types[c % 3], 2, plane);
            for (int64_t j = 0; j < n.S; j++)
                gate_store(&p.a.bias, (const int64_t[2]){7, j}, -infinity);
        }
        problem_check(&p);
        problem_expect_empty_row(&p, (const int64_t[]){1, 0, 7}, c >= 6 ? 0 : -infinity);
        problem_expect_empty_row(&p, (const int64_t[]){1, 1, 7}, c >= 6 ? 0.75 : -infinity);
        problem_free(&p);
    }
}

/* Rows at and beyond a query length: out and weights 0, scores and lse -inf, a sink or not. */
static void test_rows_beyond_the_query_length(void **state) {
    (void)state;
    const problem_sizes n = {3, 2, 1, 33, 40, 16, 16};
    problem p = problem_make(n, ATTEND_F32, 2);
    problem_want_all(&p);
    p.a.query_lengths = problem_integers(&p, 3, (const int64_t[]){0, 13, 33});
    p.a.sinks = problem_normals(&p, ATTEND_F32, 1, &n.H);
    for (int stage = ATTEND_SCORES_RAW; stage <= ATTEND_SCORES_MASKED; stage++) {
        p.a.scores_stage = (attend_scores_stage)stage;
        problem_check(&p);
        problem_expect_empty_row(&p, (const int64_t[]){0, 1, 0}, -infinity);
        problem_expect_empty_row(&p, (const int64_t[]){1, 0, 13}, -infinity);
        assert_true(problem_at(&p.a.scores, 1, 0, 13, 5) == -infinity);
        assert_true(isfinite(problem_at(&p.a.scores, 1, 0, 12, 5)));
    }
    problem_free(&p);
}

/* The same beside rows of which the last are fewer than a vector, where a key that a bias excludes
 * holds NaN: its scores are no other row's. */
static void test_padding_beside_excluded_keys(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        const problem_sizes n = {2, 3, 1, 31, i % 2 ? 40 : 4, 3, 3};
        problem p = problem_make(n, types[i / 4], 29);
        p.a.query_lengths = problem_integers(&p, 2, (const int64_t[]){26, 22});
        const bool all = i / 2 % 2;
        if (all) problem_want_all(&p);
        p.a.bias = problem_zeros(&p, types[i / 4], 1, &n.S);
        gate_store(&p.a.bias, &(int64_t){0}, -infinity);
        for (int64_t b = 0; b < n.B; b++)
            for (int64_t d = 0; d < n.D; d++) {
                problem_put(&p.a.k, b, 0, 0, d, (double)NAN);
                problem_put(&p.a.v, b, 0, 0, d, (double)NAN);
            }
        p.a.scores_stage = ATTEND_SCORES_MASKED;
        problem_check(&p);
        if (all) problem_expect_empty_row(&p, (const int64_t[]){0, 2, 26}, -infinity);
        problem_free(&p);
    }
}

/* Sets K so that z_j = value exactly: q is 1 in its first element, 0 elsewhere. */
static void set_scores(problem *p, int64_t j, double value) {
    p->a.has_scale = 1;
    p->a.scale = 1;
    for (int64_t i = 0; i < p->n.L; i++)
        for (int64_t d = 0; d < p->n.D; d++)
            problem_put(&p->a.q, 0, 0, i, d, d == 0);
    for (int64_t d = 0; d < p->n.D; d++)
        problem_put(&p->a.k, 0, 0, j, d, d == 0 ? value : 0);
}

/* Infinite scores that data made: -inf has weight 0, all -inf is a row of zeros, +inf a row of NaN.
 */
static void test_infinite_scores(void **state) {
    (void)state;
    const problem_sizes n = {1, 1, 1, 3, 50, 1, 9};
    problem p = problem_make(n, ATTEND_F32, 3);
    problem_want_all(&p);
    set_scores(&p, 20, -infinity);
    problem_run(&p);
    assert_true(problem_at(&p.a.weights, 0, 0, 1, 20) == 0);
    assert_true(isfinite(problem_at(&p.a.out, 0, 0, 1, 4)) &&
                problem_at(&p.a.out, 0, 0, 1, 4) != 0);
    for (int64_t j = 0; j < n.S; j++)
        set_scores(&p, j, -infinity);
    problem_run(&p);
    problem_expect_empty_row(&p, (const int64_t[]){0, 0, 2}, -infinity);
    set_scores(&p, 49, infinity);
    problem_run(&p);
    for (int64_t e = 0; e < n.E; e++)
        assert_true(isnan(problem_at(&p.a.out, 0, 0, 0, e)));
    assert_true(isnan(problem_at(&p.a.lse, 0, 0, 0, 0)));
    /* beside finite scores too, in every weight */
    set_scores(&p, 3, 0.5);
    problem_run(&p);
    assert_true(isnan(problem_at(&p.a.lse, 0, 0, 0, 0)));
    assert_true(isnan(problem_at(&p.a.weights, 0, 0, 0, 3)));
    assert_true(isnan(problem_at(&p.a.weights, 0, 0, 0, 49)));
    problem_free(&p);
}

/* Valid scores far below any constant somebody may have taken for "excluded", beside excluded keys.
 */
static void test_huge_negative_scores(void **state) {
    (void)state;
    static const double levels[] = {-1e4, -1e7, -1e30, -3e38, 1e7, 3e38};
    const problem_sizes n = {1, 1, 1, 4, 70, 4, 8};
    for (size_t c = 0; c < sizeof levels / sizeof *levels; c++) {
        problem p = problem_make(n, ATTEND_F32, 4);
        problem_want_all(&p);
        for (int64_t j = 0; j < n.S; j++)
            set_scores(&p, j, levels[c]);
        p.a.mask = problem_truths(&p, 1, &n.S, 0.5);
        ((uint8_t *)p.a.mask.data)[1] = 1;
        problem_run(&p);
        double allowed = 0;
        for (int64_t j = 0; j < n.S; j++)
            allowed += ((uint8_t *)p.a.mask.data)[j];
        for (int64_t j = 0; j < n.S; j++) {
            const double want = ((uint8_t *)p.a.mask.data)[j] ? 1 / allowed : 0;
            assert_true(fabs(problem_at(&p.a.weights, 0, 0, 2, j) - want) <= 1e-6 * want);
        }
        assert_true(fabs(problem_at(&p.a.lse, 0, 0, 2, 0) - (levels[c] + log(allowed))) <=
                    1e-6 * fabs(levels[c]));
        problem_free(&p);
    }
}

/* Scores 2e4 apart: all weight on one key. A softcap brings them back into range, before the mask.
 */
static void test_wide_scores_and_softcap(void **state) {
    (void)state;
    const problem_sizes n = {1, 1, 1, 2, 40, 4, 8};
    problem p = problem_make(n, ATTEND_F32, 5);
    problem_want_all(&p);
    for (int64_t j = 0; j < n.S; j++)
        set_scores(&p, j, j == 11 ? 1e4 : -1e4);
    problem_check(&p);
    for (int64_t e = 0; e < n.E; e++)
        assert_true(problem_at(&p.a.out, 0, 0, 0, e) == problem_at(&p.a.v, 0, 0, 11, e));

    p.a.softcap = 0.5;
    p.a.bias = problem_zeros(&p, ATTEND_F32, 1, &n.S);
    for (int64_t j = 30; j < n.S; j++) {
        gate_store(&p.a.bias, &j, -infinity);
        for (int64_t e = 0; e < n.E; e++)
            problem_put(&p.a.v, 0, 0, j, e, 1000);
    }
    problem_check(&p);
    for (int64_t e = 0; e < n.E; e++)
        assert_true(fabs(problem_at(&p.a.out, 0, 0, 1, e)) < 10);
    problem_free(&p);
}

/* ---- everything at once, and masks ------------------------------------------------------- */

static void test_all_options_together(void **state) {
    (void)state;
    const problem_sizes n = {2, 6, 3, 50, 150, 40, 24};
    for (int c = 0; c < 6; c++) {
        problem p = problem_make(n, types[c % 3], 10 + (uint64_t)c);
        problem_want_all(&p);
        p.a.mask = problem_truths(&p, 3, (const int64_t[]){n.H, n.L, n.S}, 0.7);
        p.a.bias = problem_normals(&p, types[c % 3], 4, (const int64_t[]){n.B, 1, n.L, n.S});
        p.a.key_mask = problem_truths(&p, 2, (const int64_t[]){n.B, n.S}, 0.8);
        p.a.causal = 1;
        p.a.window_left = 60;
        p.a.window_right = 20;
        p.a.position = ATTEND_BOTTOM_RIGHT;
        p.a.key_lengths = problem_integers(&p, 2, (const int64_t[]){150, 90});
        p.a.query_lengths = problem_integers(&p, 2, (const int64_t[]){41, 50});
        p.a.softcap = 5;
        p.a.has_scale = 1;
        p.a.scale = -0.3;
        p.a.alibi_slopes = problem_normals(&p, ATTEND_F32, 2, (const int64_t[]){n.B, n.H});
        p.a.sinks = problem_normals(&p, ATTEND_F32, 1, &n.H);
        p.a.scores_stage = (attend_scores_stage)(1 + c % 4);
        problem_check(&p);
        problem_free(&p);
    }
}

/* All patterns of full and broadcast dimensions, every rank, and a short last dimension. */
static void test_mask_shapes(void **state) {
    (void)state;
    const problem_sizes n = {2, 3, 3, 6, 19, 8, 8};
    const int64_t full[4] = {n.B, n.H, n.L, n.S};
    for (int pattern = 0; pattern < 16 * 4 * 2; pattern++) {
        const int32_t rank = 1 + pattern / 16 % 4;
        int64_t shape[4];
        for (int32_t d = 0; d < rank; d++)
            shape[d] = pattern >> d & 1 ? full[4 - rank + d] : 1;
        if (pattern >= 64) shape[rank - 1] = 11;
        problem p = problem_make(n, ATTEND_F32, 20);
        problem_want_all(&p);
        p.a.mask = problem_truths(&p, rank, shape, 0.7);
        problem_check(&p);
        p.a.bias = problem_normals(&p, ATTEND_F32, rank, shape);
        p.a.mask = (attend_tensor){0};
        problem_check(&p);
        problem_free(&p);
    }
}

/* ---- sizes of 0 -------------------------------------------------------------------------- */

static void test_sizes_of_zero(void **state) {
    (void)state;
    static const problem_sizes shapes[] = {
        {2, 2, 1, 3, 0, 8, 8}, /* no key */
        {2, 2, 1, 0, 5, 8, 8}, /* no query */
        {0, 2, 1, 3, 5, 8, 8}, /* no sample */
        {2, 2, 1, 3, 5, 0, 8}, /* scores of 0: the mean */
        {2, 2, 1, 3, 5, 8, 0}, /* no value */
        {2, 2, 1, 3, 0, 0, 8}, {2, 0, 1, 3, 5, 8, 8},
    };
    for (size_t c = 0; c < sizeof shapes / sizeof *shapes; c++)
        for (int type = 0; type < 3; type++) {
            problem p = problem_make(shapes[c], types[type], 21);
            problem_want_all(&p);
            memset(p.a.out.data, 0x7f, attend_type_bytes(types[type]));
            problem_check(&p);
            if (shapes[c].S == 0)
                problem_expect_empty_row(&p, (const int64_t[]){1, 1, 2}, -infinity);
            problem_free(&p);
        }
}

/* Samples without a key or a query beside others. */
static void test_lengths_of_zero(void **state) {
    (void)state;
    const problem_sizes n = {4, 2, 2, 10, 40, 16, 16};
    problem p = problem_make(n, ATTEND_F32, 22);
    problem_want_all(&p);
    p.a.key_lengths = problem_integers(&p, 4, (const int64_t[]){0, 40, 0, 3});
    p.a.query_lengths = problem_integers(&p, 4, (const int64_t[]){10, 0, 0, 10});
    problem_check(&p);
    problem_expect_empty_row(&p, (const int64_t[]){0, 0, 0}, -infinity);
    problem_expect_empty_row(&p, (const int64_t[]){1, 1, 9}, -infinity);
    p.a.key_lengths = problem_integers(&p, 4, (const int64_t[]){0, 41, 0, 3});
    problem_refused(&p, ATTEND_OUT_OF_RANGE, "key_lengths");
    p.a.key_lengths = problem_integers(&p, 4, (const int64_t[]){0, 40, -1, 3});
    problem_refused(&p, ATTEND_OUT_OF_RANGE, "key_lengths");
    problem_free(&p);
}

/* ---- layouts, heads, sinks --------------------------------------------------------------- */

static void test_layouts(void **state) {
    (void)state;
    const problem_sizes n = {2, 3, 3, 21, 45, 16, 16};
    for (int type = 0; type < 3; type++) {
        problem p = problem_make(n, types[type], 23);
        problem_check(&p);
        /* q, k and v out of one packed array [B, L, 3, H, D], S = L; v a part of k */
        problem packed = problem_make((problem_sizes){2, 3, 3, 21, 21, 16, 16}, types[type], 24);
        const attend_tensor all =
            problem_normals(&packed, types[type], 5, (const int64_t[]){2, 21, 3, 3, 16});
        attend_tensor *const views[3] = {&packed.a.q, &packed.a.k, &packed.a.v};
        for (int t = 0; t < 3; t++) {
            views[t]->data = all.data;
            views[t]->offset = t * 48;
            memcpy(views[t]->strides, (const int64_t[]){21 * 144, 16, 144, 1}, 4 * sizeof(int64_t));
        }
        problem_check(&packed);
        packed.n.E = packed.a.v.sizes[3] = packed.a.out.sizes[3] = 10;
        packed.a.v.offset = packed.a.k.offset + 3;
        problem_check(&packed);

        /* transposed K, innermost stride 2 of V, one key/value head repeated by stride 0 */
        const attend_tensor turned =
            problem_normals(&p, types[type], 4, (const int64_t[]){2, 3, 16, 45});
        const attend_tensor wide =
            problem_normals(&p, types[type], 4, (const int64_t[]){2, 3, 45, 32});
        p.a.k.data = turned.data;
        memcpy(p.a.k.strides, (const int64_t[]){3 * 16 * 45, 16 * 45, 1, 45}, 4 * sizeof(int64_t));
        p.a.v.data = wide.data;
        memcpy(p.a.v.strides, (const int64_t[]){3 * 45 * 32, 0, 32, 2}, 4 * sizeof(int64_t));
        problem_check(&p);
        p.a.q.strides[2] = -16;
        problem_refused(&p, ATTEND_STRIDE, "q");
        problem_free(&p);
        problem_free(&packed);
    }
}

static void test_head_counts(void **state) {
    (void)state;
    problem one = problem_make((problem_sizes){1, 8, 1, 7, 33, 16, 16}, ATTEND_F32, 25);
    problem_check(&one);
    problem_free(&one);
    problem odd = problem_make((problem_sizes){1, 6, 4, 7, 33, 16, 16}, ATTEND_F32, 26);
    problem_refused(&odd, ATTEND_SHAPE, "k");
    problem_free(&odd);
}

static void test_strong_sink(void **state) {
    (void)state;
    const problem_sizes n = {1, 2, 2, 9, 60, 16, 16};
    problem p = problem_make(n, ATTEND_F32, 27);
    problem_want_all(&p);
    p.a.sinks = problem_zeros(&p, ATTEND_F32, 1, &n.H);
    for (int64_t h = 0; h < n.H; h++)
        gate_store(&p.a.sinks, &h, 50);
    problem_check(&p);
    for (int64_t e = 0; e < n.E; e++)
        assert_true(fabs(problem_at(&p.a.out, 0, 1, 4, e)) < 1e-15);
    problem_free(&p);
}

/* So far below a sink that each weight is 0 in float32, while the values' sum is a normal number.
 * Products of CLBlast lose it (docs/numerics.md). */
static void test_far_below_a_sink(void **state) {
    (void)state;
    static const int64_t queries[] = {1, 9, 70}, keys[] = {700, 60, 130};
    const char *const composed = getenv("ATTEND_CLBLAST_ATTENTION");
    if (composed && !strcmp(composed, "composed")) skip();
    for (int i = 0; i < 9; i++) {
        const problem_sizes n = {1, 2, 2, queries[i / 3], keys[i / 3], 16, 16};
        problem p = problem_make(n, ATTEND_F32, 28);
        p.a.sinks = problem_zeros(&p, ATTEND_F32, 1, &n.H);
        for (int64_t h = 0; h < n.H; h++)
            gate_store(&p.a.sinks, &h, (const double[]){88, 110, 140}[i % 3]);
        for (int64_t at[4] = {0}; at[1] < n.G; at[1]++)
            for (at[2] = 0; at[2] < n.S; at[2]++)
                for (at[3] = 0; at[3] < n.E; at[3]++)
                    gate_store(&p.a.v, at, 0x1p122 * problem_at(&p.a.v, 0, at[1], at[2], at[3]));
        problem_check(&p);
        assert_true(fabs(problem_at(&p.a.out, 0, 1, n.L - 1, 3)) > 1e-30);
        problem_free(&p);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_rows),
        cmocka_unit_test(test_rows_beyond_the_query_length),
        cmocka_unit_test(test_padding_beside_excluded_keys),
        cmocka_unit_test(test_infinite_scores),
        cmocka_unit_test(test_huge_negative_scores),
        cmocka_unit_test(test_wide_scores_and_softcap),
        cmocka_unit_test(test_all_options_together),
        cmocka_unit_test(test_mask_shapes),
        cmocka_unit_test(test_sizes_of_zero),
        cmocka_unit_test(test_lengths_of_zero),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_head_counts),
        cmocka_unit_test(test_strong_sink),
        cmocka_unit_test(test_far_below_a_sink),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
