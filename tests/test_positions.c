/* SPDX-License-Identifier: Apache-2.0
 *
 * Where queries stand on the key axis: causality, windows and lengths under every rule of
 * positions. Which keys take part is held against rules written out here by hand, values against
 * the gate's float64. */
#include "attention_problem.h"

#include <math.h>

/* Checks values, and that the weights are positive exactly where `allowed` says. */
typedef bool rule(int64_t p, int64_t j, int64_t left, int64_t right);

static void expect_keys(problem *p, rule *allowed, int64_t offset, int64_t left, int64_t right) {
    problem_check(p);
    for (int64_t i = 0; i < p->n.L; i++) {
        int64_t count = 0;
        for (int64_t j = 0; j < p->n.S; j++) {
            const bool wanted = allowed(i + offset, j, left, right);
            count += wanted;
            assert_int_equal(problem_at(&p->a.weights, 0, 0, i, j) > 0, wanted);
        }
        if (count == 0) problem_expect_empty_row(p, (const int64_t[]){0, 0, i}, -HUGE_VAL);
    }
}

static bool causal_rule(int64_t p, int64_t j, int64_t left, int64_t right) {
    (void)left, (void)right;
    return j <= p;
}

static void test_causal_positions(void **state) {
    (void)state;
    static const int64_t lengths[][2] = {{4, 6},   {6, 4},   {1, 6}, {6, 1},
                                         {33, 70}, {70, 33}, {5, 5}};
    for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++) {
        const int64_t L = lengths[c][0], S = lengths[c][1];
        problem p = problem_make((problem_sizes){1, 2, 1, L, S, 12, 9}, ATTEND_F32, 6);
        problem_want_all(&p);
        p.a.causal = 1;
        p.a.position = ATTEND_TOP_LEFT;
        expect_keys(&p, causal_rule, 0, 0, 0);
        p.a.position = ATTEND_BOTTOM_RIGHT;
        expect_keys(&p, causal_rule, S - L, 0, 0);
        p.a.position = ATTEND_AT_OFFSETS;
        static const int64_t offsets[] = {
            -2, 2, 0, -1000, 1000, INT64_C(1) << 60, -(INT64_C(1) << 60)};
        for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++) {
            p.a.query_offset = offsets[o];
            expect_keys(&p, causal_rule, offsets[o], 0, 0);
        }
        p.a.query_offset = 5;
        p.a.query_offsets = problem_integers(&p, 1, (const int64_t[]){-3});
        expect_keys(&p, causal_rule, 2, 0, 0);

        p.a.query_offsets = (attend_tensor){0};
        p.a.query_offset = 0;
        p.a.position = ATTEND_POSITION_UNSET;
        if (L == S)
            expect_keys(&p, causal_rule, 0, 0, 0);
        else
            problem_refused(&p, ATTEND_INVALID, "position");
        p.a.position = ATTEND_TOP_LEFT;
        p.a.query_offset = 1;
        problem_refused(&p, ATTEND_INVALID, "query_offset");
        problem_free(&p);
    }
}

/* BOTTOM_RIGHT counts with the lengths of each sample. */
static void test_bottom_right_with_lengths(void **state) {
    (void)state;
    const problem_sizes n = {3, 1, 1, 9, 12, 8, 8};
    const int64_t queries[3] = {9, 4, 6}, keys[3] = {12, 7, 2};
    problem p = problem_make(n, ATTEND_F32, 7);
    problem_want_all(&p);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    p.a.query_lengths = problem_integers(&p, 3, queries);
    p.a.key_lengths = problem_integers(&p, 3, keys);
    problem_check(&p);
    for (int64_t b = 0; b < 3; b++)
        for (int64_t i = 0; i < n.L; i++)
            for (int64_t j = 0; j < n.S; j++) {
                const bool wanted = i < queries[b] && j < keys[b] && j <= i + keys[b] - queries[b];
                assert_int_equal(problem_at(&p.a.weights, b, 0, i, j) > 0, wanted);
            }
    problem_free(&p);
}

static bool window_rule(int64_t p, int64_t j, int64_t left, int64_t right) {
    return (left < 0 || p - j <= left) && (right < 0 || j - p <= right);
}

static void test_windows(void **state) {
    (void)state;
    static const int64_t windows[][2] = {{0, 0},
                                         {0, -1},
                                         {-1, 0},
                                         {2, 1},
                                         {100, 3},
                                         {31, -1},
                                         {-1, 7},
                                         {16, 16},
                                         {INT64_MAX, 0},
                                         {0, INT64_MAX},
                                         {INT64_MAX, INT64_MAX}};
    static const int64_t offsets[] = {0, 5, -5, 40, -40};
    problem p = problem_make((problem_sizes){1, 1, 1, 37, 70, 12, 9}, ATTEND_F32, 8);
    problem_want_all(&p);
    p.a.position = ATTEND_AT_OFFSETS;
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
        for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++) {
            p.a.window_left = windows[w][0];
            p.a.window_right = windows[w][1];
            p.a.query_offset = offsets[o];
            expect_keys(&p, window_rule, offsets[o], windows[w][0], windows[w][1]);
        }
    p.a.window_left = -2;
    problem_refused(&p, ATTEND_INVALID, "window_left");
    p.a.window_left = 0;
    p.a.window_right = -2;
    problem_refused(&p, ATTEND_INVALID, "window_right");
    problem_free(&p);
}

/* Other libraries' windows, as masks made by their own rule: FlashAttention (n, n) sees n keys to
 * each side; cuDNN's left bound n and ORT's local_window_size n see n keys with the row's own, so n
 * - 1 to the left. */
static void test_window_conversions(void **state) {
    (void)state;
    const problem_sizes n = {1, 1, 1, 40, 40, 8, 8};
    for (int64_t size = 1; size < 6; size++)
        for (int self_counts = 0; self_counts < 2; self_counts++) {
            problem p = problem_make(n, ATTEND_F32, 9), masked = problem_make(n, ATTEND_F32, 9);
            masked.a.mask = problem_zeros(&masked, ATTEND_BOOL, 2, (const int64_t[]){n.L, n.S});
            for (int64_t i = 0; i < n.L; i++)
                for (int64_t j = 0; j <= i; j++)
                    ((uint8_t *)masked.a.mask.data)[i * n.S + j] =
                        self_counts ? i - j < size : i - j <= size;
            p.a.causal = 1;
            p.a.window_left = self_counts ? size - 1 : size;
            problem_run(&p);
            problem_run(&masked);
            for (int64_t i = 0; i < n.L; i++)
                problem_rows_close(&p, (const int64_t[]){0, 0, i}, &masked.a.out,
                                   (const int64_t[]){0, 0, i});
            problem_free(&p);
            problem_free(&masked);
        }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causal_positions),
        cmocka_unit_test(test_bottom_right_with_lengths),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_window_conversions),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
