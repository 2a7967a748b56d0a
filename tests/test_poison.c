/* SPDX-License-Identifier: Apache-2.0
 *
 * Excluded keys never touch a result: NaN and infinities behind every kind of exclusion change no
 * bit. What an allowed key or a query brings must come through to the outputs it feeds, and to no
 * others. */
#include "attention_problem.h"

#include <math.h>
#include <string.h>

static const problem_sizes sizes = {2, 4, 2, 45, 290, 24, 20};

/* ---- ways to exclude key j for some rows ----------------------------------------------------- */

typedef enum way {
    BY_MASK,
    BY_SHARED_MASK, /* one row for all queries */
    BY_SHORT_MASK,  /* whose last dimension ends before j */
    BY_BIAS,
    BY_CAUSALITY,
    BY_WINDOW,
    BY_KEY_LENGTH,
    BY_KEY_MASK,
    BY_ALL,
    WAYS
} way;

static bool has(way w, way one) {
    return w == one || (w == BY_ALL && (one == BY_MASK || one == BY_BIAS || one == BY_CAUSALITY));
}

static int64_t place_of(way w, int64_t j) {
    return has(w, BY_CAUSALITY) ? j - 20
                                : j - 10; /* position of row 0: the edge lies between rows */
}

static bool excluded(way w, int64_t i, int64_t j) {
    const int64_t p = i + place_of(w, j);
    switch (w) {
    case BY_MASK:
        return i % 3 != 0;
    case BY_BIAS:
        return i % 2 == 0;
    case BY_CAUSALITY:
        return j > p;
    case BY_WINDOW:
        return j < p - 7 || j > p + 3;
    case BY_ALL:
        return i % 3 != 0 || i % 2 == 0 || j > p;
    default:
        return true;
    }
}

/* Sets the option so that `excluded` holds for key j. All other keys stay allowed but where
 * positions say no. */
static void exclude(problem *p, way w, int64_t j) {
    const problem_sizes n = p->n;
    const int64_t plane[2] = {n.L, n.S}, row[2] = {n.B, n.S};
    p->a.position = ATTEND_AT_OFFSETS;
    p->a.query_offset = place_of(w, j);
    if (has(w, BY_CAUSALITY)) p->a.causal = 1;
    if (w == BY_WINDOW) {
        p->a.window_left = 7;
        p->a.window_right = 3;
    }
    if (w == BY_KEY_LENGTH) p->a.key_lengths = problem_integers(p, n.B, (const int64_t[]){j, j});
    if (w == BY_SHORT_MASK) p->a.mask = problem_truths(p, 1, &j, 2);
    if (w == BY_SHARED_MASK) {
        p->a.mask = problem_truths(p, 1, &n.S, 2);
        ((uint8_t *)p->a.mask.data)[j] = 0;
    }
    if (w == BY_KEY_MASK) {
        p->a.key_mask = problem_truths(p, 2, row, 2);
        for (int64_t b = 0; b < n.B; b++)
            ((uint8_t *)p->a.key_mask.data)[b * n.S + j] = 0;
    }
    if (has(w, BY_MASK)) p->a.mask = problem_truths(p, 2, plane, 2);
    if (has(w, BY_BIAS)) p->a.bias = problem_normals(p, ATTEND_F32, 2, plane);
    for (int64_t i = 0; i < n.L; i++) {
        if (has(w, BY_MASK)) ((uint8_t *)p->a.mask.data)[i * n.S + j] = i % 3 == 0;
        if (has(w, BY_BIAS) && i % 2 == 0)
            ((float *)p->a.bias.data)[i * n.S + j] = -(float)HUGE_VAL;
    }
}

/* ---- poison ---------------------------------------------------------------------------------- */

static void poison(attend_tensor *t, int64_t j, double value) {
    for (int64_t b = 0; b < t->sizes[0]; b++)
        for (int64_t g = 0; g < t->sizes[1]; g++)
            for (int64_t d = 0; d < t->sizes[3]; d++)
                problem_put(t, b, g, j, d, value);
}

static bool row_not_finite(const attend_tensor *t, int64_t b, int64_t h, int64_t i) {
    for (int64_t e = 0; e < t->sizes[3]; e++)
        if (isfinite(problem_at(t, b, h, i, e))) return false;
    return true;
}

static void check_rows(const problem *clean, const problem *dirty, way w, int64_t j, bool in_k) {
    const problem_sizes n = clean->n;
    for (int64_t row = 0; row < n.B * n.H * n.L; row++) {
        const int64_t i = row % n.L, h = row / n.L % n.H, b = row / n.L / n.H;
        const bool same = problem_same_row(&clean->a.out, &dirty->a.out, b, h, i);
        if (!excluded(w, i, j)) {
            /* comes through: from K into every number of the row, from V into the output alone */
            assert_true(row_not_finite(&dirty->a.out, b, h, i));
            assert_true(!in_k || isnan(problem_at(&dirty->a.lse, b, h, i, 0)));
            continue;
        }
        if (!same)
            fail_msg("way %d: row %d of %s sees key %d", (int)w, (int)i, in_k ? "k" : "v", (int)j);
        assert_true(problem_same_row(&clean->a.weights, &dirty->a.weights, b, h, i));
        assert_true(problem_same_row(&clean->a.scores, &dirty->a.scores, b, h, i));
        assert_true(problem_same_row(&clean->a.lse, &dirty->a.lse, b, h, i));
    }
    for (int64_t i = 0; i < n.L; i++)
        for (int64_t s = 0; s < n.S && excluded(w, i, j); s++)
            assert_true(problem_at(&clean->a.weights_mean, 0, i, s, 0) ==
                        problem_at(&dirty->a.weights_mean, 0, i, s, 0));
}

/* Infinities in K of an allowed key give scores of either sign, whose meaning test_edges holds. */
static void poison_one(way w, attend_type type, int64_t j, bool side_outputs) {
    static const double values[] = {(double)NAN, HUGE_VAL, -HUGE_VAL};
    for (int value = 0; value < 3; value++) {
        for (int in_k = 0; in_k < 2; in_k++) {
            bool some_allowed = false;
            for (int64_t i = 0; i < sizes.L; i++)
                some_allowed = some_allowed || !excluded(w, i, j);
            if (in_k && value && some_allowed) continue;
            problem clean = problem_make(sizes, type, 11), dirty = problem_make(sizes, type, 11);
            exclude(&clean, w, j);
            exclude(&dirty, w, j);
            problem_want_all(&clean);
            problem_want_all(&dirty);
            problem_run(&clean);
            poison(in_k ? &dirty.a.k : &dirty.a.v, j, values[value]);
            problem_run(&dirty);
            check_rows(&clean, &dirty, w, j, in_k);
            if (!side_outputs) {
                attend_attention bare = dirty.a;
                const attend_tensor none = {0};
                bare.weights = bare.weights_mean = bare.scores = bare.lse = none;
                bare.out = problem_zeros(&dirty, type, 4, bare.out.sizes);
                assert_int_equal(attend_run(problem_context, &bare), ATTEND_OK);
                assert_true(problem_same_bits(&bare.out, &dirty.a.out));
            }
            problem_free(&clean);
            problem_free(&dirty);
        }
    }
}

static void test_excluded_keys_have_no_effect(void **state) {
    (void)state;
    /* in the middle and at both ends of tiles, in the first and the last */
    static const int64_t keys[] = {3, 15, 16, 47, 128, 255, 256, 287};
    for (int w = 0; w < WAYS; w++)
        for (size_t c = 0; c < sizeof keys / sizeof *keys; c++)
            poison_one((way)w,
                       c % 3 == 0   ? ATTEND_F32
                       : c % 3 == 1 ? ATTEND_F16
                                    : ATTEND_BF16,
                       keys[c], c % 2 == 0);
    for (int w = 0; w < WAYS; w++)
        poison_one((way)w, ATTEND_F32, 100, true);
}

/* The bias too may hold anything where something else excludes. */
static void test_bias_of_excluded_keys(void **state) {
    (void)state;
    problem clean = problem_make(sizes, ATTEND_F32, 12),
            dirty = problem_make(sizes, ATTEND_F32, 12);
    problem *const both[] = {&clean, &dirty};
    const int64_t plane[2] = {sizes.L, sizes.S};
    for (int c = 0; c < 2; c++) {
        problem *const p = both[c];
        p->a.causal = 1;
        p->a.position = ATTEND_BOTTOM_RIGHT;
        p->a.mask = problem_truths(p, 2, plane, 0.5);
        p->a.bias = problem_normals(p, ATTEND_F32, 2, plane);
        problem_want_all(p);
        float *const bias = p->a.bias.data;
        for (int64_t n = 0; n < sizes.L * sizes.S && c; n++) {
            const int64_t i = n / sizes.S, j = n % sizes.S;
            if (!((uint8_t *)p->a.mask.data)[n] || j > i + sizes.S - sizes.L)
                bias[n] = n % 2 ? (float)NAN : (float)HUGE_VAL;
        }
        problem_run(p);
    }
    assert_true(problem_same_bits(&clean.a.out, &dirty.a.out));
    assert_true(problem_same_bits(&clean.a.weights, &dirty.a.weights));
    assert_true(problem_same_bits(&clean.a.lse, &dirty.a.lse));
    problem_free(&clean);
    problem_free(&dirty);
}

/* ---- what must come through ------------------------------------------------------------------ */

/* A NaN in one query row makes that row NaN and changes no other bit. */
static void test_nan_query_row(void **state) {
    (void)state;
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    for (int type = 0; type < 3; type++) {
        for (int64_t bad = 0; bad < sizes.L; bad += 11) {
            problem clean = problem_make(sizes, types[type], 13),
                    dirty = problem_make(sizes, types[type], 13);
            problem_want_all(&clean);
            problem_want_all(&dirty);
            problem_put(&dirty.a.q, 1, 2, bad, sizes.D - 1, (double)NAN);
            problem_run(&clean);
            problem_run(&dirty);
            for (int64_t row = 0; row < sizes.B * sizes.H * sizes.L; row++) {
                const int64_t i = row % sizes.L, h = row / sizes.L % sizes.H,
                              b = row / sizes.L / sizes.H;
                if (b == 1 && h == 2 && i == bad) {
                    for (int64_t e = 0; e < sizes.E; e++)
                        assert_true(isnan(problem_at(&dirty.a.out, b, h, i, e)));
                    assert_true(isnan(problem_at(&dirty.a.lse, b, h, i, 0)));
                    assert_true(isnan(problem_at(&dirty.a.weights, b, h, i, 5)));
                    continue;
                }
                assert_true(problem_same_row(&clean.a.out, &dirty.a.out, b, h, i));
                assert_true(problem_same_row(&clean.a.weights, &dirty.a.weights, b, h, i));
            }
            problem_free(&clean);
            problem_free(&dirty);
        }
    }
}

/* A NaN or infinity in one element of an allowed value reaches that column of its group's rows
 * alone; an infinity may become NaN where its weight rounds to 0. */
static void test_one_value_element(void **state) {
    (void)state;
    static const double values[] = {(double)NAN, HUGE_VAL, -HUGE_VAL};
    for (int value = 0; value < 3; value++) {
        problem clean = problem_make(sizes, ATTEND_F32, 14),
                dirty = problem_make(sizes, ATTEND_F32, 14);
        problem_put(&dirty.a.v, 0, 1, 200, 7, values[value]);
        problem_run(&clean);
        problem_run(&dirty);
        for (int64_t row = 0; row < sizes.B * sizes.H * sizes.L; row++) {
            const int64_t i = row % sizes.L, h = row / sizes.L % sizes.H,
                          b = row / sizes.L / sizes.H;
            const bool fed = b == 0 && h / 2 == 1;
            if (!fed) assert_true(problem_same_row(&clean.a.out, &dirty.a.out, b, h, i));
            for (int64_t e = 0; e < sizes.E && fed; e++) {
                const double got = problem_at(&dirty.a.out, b, h, i, e),
                             was = problem_at(&clean.a.out, b, h, i, e);
                if (e == 7)
                    assert_true(value == 0 ? isnan(got) : !isfinite(got));
                else
                    assert_true(fabs(got - was) <= 1e-5);
            }
        }
        problem_free(&clean);
        problem_free(&dirty);
    }
}

/* A NaN bias of an allowed key: that row is NaN. A NaN key that a row's mask excludes elsewhere
 * changes nothing there, which test_excluded_keys_have_no_effect holds. */
static void test_nan_bias_comes_through(void **state) {
    (void)state;
    problem clean = problem_make(sizes, ATTEND_F32, 15),
            dirty = problem_make(sizes, ATTEND_F32, 15);
    const int64_t plane[2] = {sizes.L, sizes.S};
    clean.a.bias = problem_normals(&clean, ATTEND_F32, 2, plane);
    dirty.a.bias = problem_normals(&dirty, ATTEND_F32, 2, plane);
    ((float *)dirty.a.bias.data)[17 * sizes.S + 130] = (float)NAN;
    problem_run(&clean);
    problem_run(&dirty);
    for (int64_t i = 0; i < sizes.L; i++)
        assert_true(i == 17 ? row_not_finite(&dirty.a.out, 1, 3, i)
                            : problem_same_row(&clean.a.out, &dirty.a.out, 1, 3, i));
    problem_free(&clean);
    problem_free(&dirty);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_excluded_keys_have_no_effect),
        cmocka_unit_test(test_bias_of_excluded_keys),
        cmocka_unit_test(test_nan_query_row),
        cmocka_unit_test(test_one_value_element),
        cmocka_unit_test(test_nan_bias_comes_through),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
