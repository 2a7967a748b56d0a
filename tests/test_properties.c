/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities of attention that hold whatever the values are: they need no oracle, only a bound. */
#include "attention_problem.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const problem_sizes plain = {2, 3, 3, 37, 261, 40, 24};

static void test_weights_sum_to_one(void **state) {
    (void)state;
    problem p = problem_make(plain, ATTEND_F32, 1);
    problem_want_all(&p);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    problem_run(&p);
    gate_row row;
    assert_true(gate_row_make(&row, plain.S));
    for (int64_t n = 0; n < plain.B * plain.H * plain.L; n++) {
        const int64_t i = n % plain.L, h = n / plain.L % plain.H, b = n / plain.L / plain.H;
        double sum = 0, bound = 0;
        gate_row_compute(&row, &p.a, b, h, i);
        for (int64_t j = 0; j < plain.S; j++) {
            sum += problem_at(&p.a.weights, b, h, i, j);
            bound += row.weight_bound[j];
        }
        assert_true(fabs(sum - 1) <= bound);
    }
    gate_row_free(&row);
    problem_free(&p);
}

/* Row i of a causal call is the only row of a call with keys 0..i. */
static void test_causal_is_truncation(void **state) {
    (void)state;
    const problem_sizes n = {1, 2, 2, 140, 140, 33, 20};
    problem p = problem_make(n, ATTEND_F32, 2);
    p.a.causal = 1;
    problem_run(&p);
    for (int64_t i = 0; i < n.L; i++) {
        attend_attention one = p.a;
        float out[2][20];
        one.causal = 0;
        one.q.sizes[2] = 1;
        one.q.offset = i * one.q.strides[2];
        one.k.sizes[2] = one.v.sizes[2] = i + 1;
        one.out = attend_tensor_4d(out, ATTEND_F32, 1, n.H, 1, n.E);
        assert_int_equal(attend_run(problem_context, &one), ATTEND_OK);
        for (int64_t h = 0; h < n.H; h++)
            problem_rows_close(&p, (const int64_t[]){0, h, i}, &one.out,
                               (const int64_t[]){0, h, 0});
    }
    problem_free(&p);
}

/* Padding with a key length, a key mask or a mask is the call without those keys. */
static void test_padding_is_removal(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 7, 64, 65, 200, 260};
    for (size_t c = 0; c < sizeof lengths / sizeof *lengths; c++) {
        const int64_t n = lengths[c];
        problem p = problem_make(plain, ATTEND_F32, 3 + c),
                shorter = problem_make(plain, ATTEND_F32, 3 + c);
        shorter.a.k.sizes[2] = shorter.a.v.sizes[2] = n;
        problem_run(&shorter);
        const attend_tensor keys = problem_integers(&p, 2, (const int64_t[]){n, n});
        const attend_tensor row =
            problem_zeros(&p, ATTEND_BOOL, 2, (const int64_t[]){plain.B, plain.S});
        for (int64_t j = 0; j < plain.B * plain.S; j++)
            ((uint8_t *)row.data)[j] = j % plain.S < n;
        for (int way = 0; way < 3; way++) {
            p.a.key_lengths = way == 0 ? keys : (attend_tensor){0};
            p.a.key_mask = way == 1 ? row : (attend_tensor){0};
            p.a.mask =
                way == 2 ? attend_tensor_1d(row.data, ATTEND_BOOL, plain.S) : (attend_tensor){0};
            problem_run(&p);
            for (int64_t i = 0; i < plain.L; i++)
                problem_rows_close(&p, (const int64_t[]){1, 2, i}, &shorter.a.out,
                                   (const int64_t[]){1, 2, i});
        }
        problem_free(&p);
        problem_free(&shorter);
    }
}

/* The order of keys does not matter. 100 and 261 have no common divisor. */
static void test_permuted_keys(void **state) {
    (void)state;
    problem p = problem_make(plain, ATTEND_F32, 4), other = problem_make(plain, ATTEND_F32, 4);
    problem_want_all(&p);
    problem_want_all(&other);
    for (int64_t n = 0; n < plain.B * plain.G * plain.S; n++) {
        const int64_t j = n % plain.S, to = (j * 100 + 17) % plain.S, g = n / plain.S % plain.G;
        const int64_t b = n / plain.S / plain.G;
        for (int64_t d = 0; d < plain.D; d++)
            problem_put(&other.a.k, b, g, to, d, problem_at(&p.a.k, b, g, j, d));
        for (int64_t e = 0; e < plain.E; e++)
            problem_put(&other.a.v, b, g, to, e, problem_at(&p.a.v, b, g, j, e));
    }
    problem_run(&p);
    problem_run(&other);
    for (int64_t i = 0; i < plain.L; i++) {
        problem_rows_close(&p, (const int64_t[]){1, 1, i}, &other.a.out,
                           (const int64_t[]){1, 1, i});
        for (int64_t j = 0; j < plain.S; j++) {
            const double one = problem_at(&p.a.weights, 1, 1, i, j);
            const double two = problem_at(&other.a.weights, 1, 1, i, (j * 100 + 17) % plain.S);
            assert_true(fabs(one - two) <= 1e-4 * one);
        }
    }
    problem_free(&p);
    problem_free(&other);
}

/* Grouped heads read head h div (H / G): the same bits as heads repeated next to each other, and
 * not those of a tiling (head h mod G). */
static void test_grouped_is_repeated(void **state) {
    (void)state;
    const problem_sizes n = {2, 6, 2, 19, 130, 32, 16};
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    for (int type = 0; type < 3; type++) {
        problem p = problem_make(n, types[type], 5);
        const problem_sizes full = {2, 6, 6, 19, 130, 32, 16};
        problem repeated = problem_make(full, types[type], 6),
                tiled = problem_make(full, types[type], 6);
        problem *const others[] = {&repeated, &tiled};
        for (int o = 0; o < 2; o++) {
            others[o]->a.q = p.a.q;
            for (int64_t at = 0; at < n.B * n.H * n.S; at++) {
                const int64_t j = at % n.S, h = at / n.S % n.H, b = at / n.S / n.H,
                              g = o ? h % 2 : h / 3;
                for (int64_t d = 0; d < n.D; d++)
                    problem_put(&others[o]->a.k, b, h, j, d, problem_at(&p.a.k, b, g, j, d));
                for (int64_t e = 0; e < n.E; e++)
                    problem_put(&others[o]->a.v, b, h, j, e, problem_at(&p.a.v, b, g, j, e));
            }
            problem_run(others[o]);
        }
        problem_check(&p);
        for (int64_t row = 0; row < n.B * n.H * n.L; row++) {
            const int64_t at[3] = {row / n.L / n.H, row / n.L % n.H, row % n.L};
            problem_rows_close(&p, at, &repeated.a.out, at);
        }
        assert_false(problem_same_row(&p.a.out, &tiled.a.out, 0, 1, 0));
        problem_free(&p);
        problem_free(&repeated);
        problem_free(&tiled);
    }
}

/* Merges parts of the keys by their lse: out = sum of out_p exp(lse_p - lse), in double. */
static void merge_parts(problem *p, const int64_t *cuts, int parts) {
    const problem_sizes n = p->n;
    enum { MOST = 7, ROWS = 9, E = 12 };
    static float out[MOST][ROWS][E], lse[MOST][ROWS];
    problem_run(p);
    for (int c = 0; c < parts; c++) {
        attend_attention part = p->a;
        part.k.sizes[2] = part.v.sizes[2] = cuts[c + 1] - cuts[c];
        part.k.offset = cuts[c] * part.k.strides[2];
        part.v.offset = cuts[c] * part.v.strides[2];
        part.out = attend_tensor_4d(out[c], ATTEND_F32, 1, 1, n.L, n.E);
        part.lse = attend_tensor_3d(lse[c], ATTEND_F32, 1, 1, n.L);
        assert_int_equal(attend_run(problem_context, &part), ATTEND_OK);
    }
    gate_row row;
    assert_true(gate_row_make(&row, n.S));
    for (int64_t i = 0; i < n.L; i++) {
        gate_row_compute(&row, &p->a, 0, 0, i);
        double total = 0;
        for (int c = 0; c < parts; c++)
            total += exp((double)lse[c][i]);
        for (int64_t e = 0; e < n.E; e++) {
            double merged = 0, bound;
            for (int c = 0; c < parts; c++)
                merged += (double)out[c][i][e] * exp((double)lse[c][i]) / total;
            (void)gate_row_output(&row, &p->a, 0, 0, e, &bound);
            /* the parts carry their own bounds, and that of their lse */
            assert_true(fabs(merged - problem_at(&p->a.out, 0, 0, i, e)) <= 4 * bound);
        }
    }
    gate_row_free(&row);
}

static void test_parts_merge(void **state) {
    (void)state;
    const problem_sizes n = {1, 1, 1, 9, 150, 16, 12};
    for (int parts = 1; parts <= 7; parts++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            problem p = problem_make(n, ATTEND_F32, seed);
            int64_t cuts[8] = {0};
            /* every fourth part is empty */
            for (int c = 1; c < parts; c++)
                cuts[c] = c % 4 == 2 ? cuts[c - 1] : gate_range(&p.random, cuts[c - 1], n.S);
            cuts[parts] = n.S;
            merge_parts(&p, cuts, parts);
            problem_free(&p);
        }
    }
}

/* The lowest finite bias excludes nothing: a row full of it is a plain softmax, here the mean. */
static void test_lowest_bias_is_uniform(void **state) {
    (void)state;
    const problem_sizes n = {1, 2, 2, 5, 77, 16, 16};
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    for (int type = 0; type < 3; type++) {
        problem p = problem_make(n, ATTEND_F32, 8);
        const double lowest = types[type] == ATTEND_F16 ? -65504.0 : -(double)FLT_MAX;
        p.a.bias = problem_zeros(&p, types[type], 1, &n.S);
        for (int64_t j = 0; j < n.S; j++)
            gate_store(&p.a.bias, &j, types[type] == ATTEND_BF16 ? -0x1.fep127 : lowest);
        problem_want_all(&p);
        problem_run(&p);
        /* -FLT_MAX swallows every score; beside -65504 scores keep steps of 1/128 */
        for (int64_t i = 0; i < n.L && types[type] != ATTEND_F16; i++)
            for (int64_t e = 0; e < n.E; e++) {
                double mean = 0, size = 0;
                for (int64_t j = 0; j < n.S; j++) {
                    mean += problem_at(&p.a.v, 0, 1, j, e) / (double)n.S;
                    size += fabs(problem_at(&p.a.v, 0, 1, j, e)) / (double)n.S;
                }
                assert_true(fabs(problem_at(&p.a.out, 0, 1, i, e) - mean) <= 1e-5 * size);
            }
        for (int64_t i = 0; i < n.L; i++)
            for (int64_t j = 0; j < n.S; j++)
                assert_true(problem_at(&p.a.weights, 0, 0, i, j) > 0);
        problem_free(&p);
    }
}

static void test_sink_minus_infinity_is_none(void **state) {
    (void)state;
    problem p = problem_make(plain, ATTEND_F32, 9), without = problem_make(plain, ATTEND_F32, 9);
    problem_want_all(&p);
    problem_want_all(&without);
    p.a.sinks = problem_zeros(&p, ATTEND_F32, 1, &plain.H);
    for (int64_t h = 0; h < plain.H; h++)
        gate_store(&p.a.sinks, &h, -HUGE_VAL);
    p.a.causal = without.a.causal = 1;
    p.a.position = without.a.position = ATTEND_BOTTOM_RIGHT;
    problem_run(&p);
    problem_run(&without);
    assert_true(problem_same_bits(&p.a.out, &without.a.out));
    assert_true(problem_same_bits(&p.a.weights, &without.a.weights));
    assert_true(problem_same_bits(&p.a.lse, &without.a.lse));
    problem_free(&p);
    problem_free(&without);
}

/* A sink of 0 is one more key of zeros with a value of zeros. */
static void test_sink_zero_is_a_zero_key(void **state) {
    (void)state;
    const problem_sizes more = {2, 3, 3, 37, 262, 40, 24};
    problem p = problem_make(more, ATTEND_F32, 10);
    for (int64_t n = 0; n < more.B * more.G; n++) {
        for (int64_t d = 0; d < more.D; d++)
            problem_put(&p.a.k, n / more.G, n % more.G, more.S - 1, d, 0);
        for (int64_t e = 0; e < more.E; e++)
            problem_put(&p.a.v, n / more.G, n % more.G, more.S - 1, e, 0);
    }
    problem_run(&p);
    attend_attention sunk = p.a;
    sunk.k.sizes[2] = sunk.v.sizes[2] = plain.S;
    sunk.sinks = problem_zeros(&p, ATTEND_F32, 1, &more.H);
    sunk.out = problem_zeros(&p, ATTEND_F32, 4, sunk.out.sizes);
    assert_int_equal(attend_run(problem_context, &sunk), ATTEND_OK);
    for (int64_t i = 0; i < more.L; i++)
        problem_rows_close(&p, (const int64_t[]){1, 2, i}, &sunk.out, (const int64_t[]){1, 2, i});
    problem_free(&p);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_sum_to_one),
        cmocka_unit_test(test_causal_is_truncation),
        cmocka_unit_test(test_padding_is_removal),
        cmocka_unit_test(test_permuted_keys),
        cmocka_unit_test(test_grouped_is_repeated),
        cmocka_unit_test(test_parts_merge),
        cmocka_unit_test(test_lowest_bias_is_uniform),
        cmocka_unit_test(test_sink_minus_infinity_is_none),
        cmocka_unit_test(test_sink_zero_is_a_zero_key),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
