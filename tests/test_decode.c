/* SPDX-License-Identifier: Apache-2.0
 *
 * Few query rows over many keys: a backend may cut the keys into chunks and share them out; and
 * the few that many rows leave over. Sizes around such cuts against float64, chunks that no row
 * sees, values that must not be read, and the same bits over threads, batches and side outputs. */
#include "attention_problem.h"

#include <math.h>
#include <stdlib.h>

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};

/* ---- sizes ----------------------------------------------------------------------------------- */

static void test_sizes_of_keys(void **state) {
    (void)state;
    static const int64_t keys[] = {1,   15,  16,  17,   31,   33,   255,  256,  257,
                                   511, 512, 513, 1023, 1024, 1025, 2049, 4100, 16385};
    for (size_t s = 0; s < sizeof keys / sizeof *keys; s++) {
        for (int type = 0; type < 3; type++) {
            for (int64_t queries = 1; queries <= 5; queries += 4) {
                const problem_sizes n = {1, 4, 2, queries, keys[s], 24 + 8 * type, 40};
                problem p = problem_make(n, types[type], 7 + s);
                problem_check(&p);
                problem_free(&p);
            }
        }
    }
}

/* Any number of rows of a group, on both sides of where a backend may change its ways. */
static void test_rows_of_a_group(void **state) {
    (void)state;
    static const int64_t rows[] = {1, 2, 3, 7, 12, 13, 16, 17, 23, 24, 25, 31, 63, 64, 65, 71};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int type = 0; type < 3; type++) {
            const problem_sizes grouped = {1, rows[r], 1, 1, 1100, 64, 17};
            const problem_sizes several = {1, 1, 1, rows[r], 600, 130, 64};
            problem p = problem_make(grouped, types[type], 70 + r);
            problem_check(&p);
            problem_free(&p);
            p = problem_make(several, types[type], 90 + r);
            p.a.causal = 1;
            p.a.position = ATTEND_BOTTOM_RIGHT;
            problem_check(&p);
            problem_free(&p);
        }
    }
}

enum { WHOLE, CAUSAL, WINDOW, PADDING, MASKED, LEFT_OVER_KINDS };

/* Rows beyond whole vectors of rows, for which a backend may have another way. */
static problem left_over(int64_t rows, attend_type type, int kind) {
    const problem_sizes n = {2, 2, 2 - rows % 4 / 3, rows, 300 + rows, 64, 72};
    problem p = problem_make(n, type, 400 + (uint64_t)rows);
    p.a.position = ATTEND_BOTTOM_RIGHT;
    p.a.causal = kind == CAUSAL;
    if (kind == WINDOW) p.a.window_left = 20;
    if (kind == WINDOW) p.a.window_right = 3;
    if (kind == PADDING) {
        p.a.key_lengths = problem_integers(&p, 2, (const int64_t[]){n.S, 130});
        p.a.query_lengths = problem_integers(&p, 2, (const int64_t[]){rows - 1, rows});
    }
    if (kind == MASKED) p.a.mask = problem_truths(&p, 2, (const int64_t[]){rows, n.S}, 0.4);
    return p;
}

static void test_rows_left_over(void **state) {
    (void)state;
    static const int64_t rows[] = {13, 17, 33, 39, 49, 65, 197};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int kind = 0; kind < LEFT_OVER_KINDS; kind++) {
            const attend_type type = types[(r + (size_t)kind) % 3];
            problem p = left_over(rows[r], type, kind), bare = p;
            problem_want_all(&p);
            problem_check(&p);
            bare.a.out = problem_zeros(&p, type, 4, p.a.out.sizes);
            problem_run(&bare);
            assert_true(problem_same_bits(&p.a.out, &bare.a.out));
            problem_free(&p);
        }
    }
}

/* ---- what is left out ------------------------------------------------------------------------ */

static void fill(const attend_tensor *t, int64_t first, int64_t last, double value) {
    for (int64_t b = 0; b < t->sizes[0]; b++)
        for (int64_t g = 0; g < t->sizes[1]; g++)
            for (int64_t j = first; j < last; j++)
                for (int64_t d = 0; d < t->sizes[3]; d++)
                    problem_put(t, b, g, j, d, value);
}

/* Only keys first .. last - 1 may be read: elsewhere there is NaN. */
static void poison_outside(const problem *p, int64_t first, int64_t last) {
    fill(&p->a.k, 0, first, NAN);
    fill(&p->a.v, 0, first, NAN);
    fill(&p->a.k, last, p->n.S, NAN);
    fill(&p->a.v, last, p->n.S, NAN);
}

static void test_windows(void **state) {
    (void)state;
    static const int64_t offsets[] = {-3, 0, 500, 511, 512, 700, 1029, 1600, 2500};
    for (size_t o = 0; o < sizeof offsets / sizeof *offsets; o++) {
        const problem_sizes n = {1, 6, 2, 3, 1700, 32, 32};
        problem p = problem_make(n, ATTEND_F32, 200 + o);
        p.a.causal = 1;
        p.a.window_left = 40;
        p.a.position = ATTEND_AT_OFFSETS;
        p.a.query_offset = offsets[o];
        const int64_t first = offsets[o] - 40, last = offsets[o] + 3;
        const int64_t begin = first < 0 ? 0 : first > n.S ? n.S : first;
        poison_outside(&p, begin, last < begin ? begin : last > n.S ? n.S : last);
        problem_want_all(&p);
        problem_check(&p);
        problem_free(&p);
    }
}

static void test_key_ranges(void **state) {
    (void)state;
    static const int64_t ranges[][2] = {{0, 1},      {5, 5},     {100, 513}, {511, 513},
                                        {512, 1024}, {600, 601}, {1023, 0},  {1299, 1300}};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        for (int type = 0; type < 3; type++) {
            const problem_sizes n = {2, 4, 2, 1, 1300, 20, 33};
            problem p = problem_make(n, types[type], 300 + r);
            p.a.key_begin = ranges[r][0];
            p.a.key_end = ranges[r][1];
            poison_outside(&p, ranges[r][0], ranges[r][1] == 0 ? n.S : ranges[r][1]);
            p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){n.B, n.H, n.L});
            problem_check(&p);
            problem_free(&p);
        }
    }
}

/* Values of excluded keys are read and must not count. */
static void test_masked_values(void **state) {
    (void)state;
    for (int type = 0; type < 3; type++) {
        const problem_sizes n = {1, 4, 2, 2, 1200, 16, 48};
        problem p = problem_make(n, types[type], 400);
        p.a.mask = problem_truths(&p, 2, (const int64_t[]){n.L, n.S}, 0.7);
        for (int64_t j = 0; j < n.S; j++) {
            uint8_t *const keep = (uint8_t *)p.a.mask.data + j;
            if (keep[0] != 0 || keep[n.S] != 0) continue;
            for (int64_t g = 0; g < n.G; g++)
                problem_put(&p.a.v, 0, g, j, j % n.E, j % 2 ? NAN : INFINITY);
        }
        problem_check(&p);
        problem_free(&p);
    }
}

static void test_terms(void **state) {
    (void)state;
    const problem_sizes n = {2, 6, 3, 2, 1030, 40, 24};
    problem p = problem_make(n, ATTEND_F32, 500);
    p.a.bias = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){1, n.H, n.L, n.S});
    p.a.alibi_slopes = problem_normals(&p, ATTEND_F32, 2, (const int64_t[]){1, n.H});
    p.a.alibi_slopes.strides[0] = 0;
    p.a.alibi_slopes.sizes[0] = n.B;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    p.a.softcap = 3.0;
    p.a.sinks = problem_normals(&p, ATTEND_F32, 1, (const int64_t[]){n.H});
    p.a.key_mask = problem_truths(&p, 2, (const int64_t[]){n.B, n.S}, 0.8);
    problem_want_all(&p);
    problem_check(&p);
    problem_free(&p);
}

/* ---- bits ------------------------------------------------------------------------------------ */

static const problem_sizes ragged = {4, 6, 2, 5, 5000, 64, 80};

static const int64_t ragged_keys[] = {300, 5000, 1, 513}, ragged_queries[] = {5, 1, 0, 2};

/* One long sample among short ones, one without queries. */
static problem ragged_problem(attend_type type) {
    problem p = problem_make(ragged, type, 600);
    p.a.key_lengths = problem_integers(&p, 4, ragged_keys);
    p.a.query_lengths = problem_integers(&p, 4, ragged_queries);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    return p;
}

static void run_with_threads(const problem *p, int32_t threads) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = problem_backend();
    options.threads = threads;
    assert_int_equal(attend_open(&options, &context), ATTEND_OK);
    assert_int_equal(attend_run(context, &p->a), ATTEND_OK);
    attend_close(context);
}

static void test_bits_of_threads(void **state) {
    (void)state;
    static const int32_t counts[] = {2, 3, 7};
    for (int type = 0; type < 3; type++) {
        problem p = ragged_problem(types[type]);
        run_with_threads(&p, 1);
        const attend_tensor one = p.a.out;
        problem_compare(&p);
        for (int c = 0; c < 3; c++) {
            p.a.out = problem_zeros(&p, types[type], 4, one.sizes);
            run_with_threads(&p, counts[c]);
            assert_true(problem_same_bits(&one, &p.a.out));
        }
        problem_free(&p);
    }
}

static void test_bits_of_rows_left_over(void **state) {
    (void)state;
    for (int i = 0; i < 3 * LEFT_OVER_KINDS; i++) {
        problem p = left_over(i % 2 ? 197 : 33, types[i % 3], i / 3);
        run_with_threads(&p, 1);
        const attend_tensor one = p.a.out;
        for (int32_t threads = 2; threads < 8; threads += 5) {
            p.a.out = problem_zeros(&p, types[i % 3], 4, one.sizes);
            run_with_threads(&p, threads);
            assert_true(problem_same_bits(&one, &p.a.out));
        }
        problem_free(&p);
    }
}

static void test_bits_of_a_sample_alone(void **state) {
    (void)state;
    problem p = ragged_problem(ATTEND_F32);
    problem_run(&p);
    for (int64_t b = 0; b < ragged.B; b++) {
        const int64_t queries = ragged_queries[b];
        if (queries == 0) continue;
        attend_attention one = p.a;
        attend_tensor *const views[] = {&one.q, &one.k, &one.v};
        for (int t = 0; t < 3; t++) {
            views[t]->sizes[0] = 1;
            views[t]->offset += b * views[t]->strides[0];
            views[t]->sizes[2] = t == 0 ? queries : ragged_keys[b];
        }
        one.key_lengths = one.query_lengths = (attend_tensor){0};
        one.out =
            problem_zeros(&p, ATTEND_F32, 4, (const int64_t[]){1, ragged.H, queries, ragged.E});
        assert_int_equal(attend_run(problem_context, &one), ATTEND_OK);
        attend_tensor slice = p.a.out;
        slice.sizes[0] = 1;
        slice.sizes[2] = queries;
        slice.offset = b * slice.strides[0];
        assert_true(problem_same_bits(&slice, &one.out));
    }
    problem_free(&p);
}

static void test_bits_with_side_outputs(void **state) {
    (void)state;
    problem p = ragged_problem(ATTEND_F32), more = ragged_problem(ATTEND_F32);
    problem_want_all(&more);
    problem_run(&p);
    problem_check(&more);
    assert_true(problem_same_bits(&p.a.out, &more.a.out));
    problem_free(&p);
    problem_free(&more);
}

/* In memory of the caller: of exactly the size that the plan asks for. */
static void test_own_workspace(void **state) {
    (void)state;
    problem p = ragged_problem(ATTEND_F32);
    problem_run(&p);
    const attend_tensor expected = p.a.out;
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(problem_context, &p.a, &plan), ATTEND_OK);
    const size_t bytes = attend_plan_workspace_bytes(plan);
    unsigned char *const memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(memory);
    p.a.out = problem_zeros(&p, ATTEND_F32, 4, expected.sizes);
    p.a.workspace = attend_tensor_1d(memory, ATTEND_U8, (int64_t)bytes);
    assert_int_equal(attend_plan_run(plan, &p.a), ATTEND_OK);
    assert_true(problem_same_bits(&expected, &p.a.out));
    attend_plan_release(plan);
    free(memory);
    problem_free(&p);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_of_keys),
        cmocka_unit_test(test_rows_of_a_group),
        cmocka_unit_test(test_rows_left_over),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_key_ranges),
        cmocka_unit_test(test_masked_values),
        cmocka_unit_test(test_terms),
        cmocka_unit_test(test_bits_of_threads),
        cmocka_unit_test(test_bits_of_rows_left_over),
        cmocka_unit_test(test_bits_of_a_sample_alone),
        cmocka_unit_test(test_bits_with_side_outputs),
        cmocka_unit_test(test_own_workspace),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
