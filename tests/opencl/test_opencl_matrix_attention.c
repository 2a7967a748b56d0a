/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention by matrix units, emulated (ATTEND_MATRIX). With each one's fragments the log-sum-exp
 * has the bits of the kernel without it, since the emulation adds up scores in its order; outputs,
 * for which weights are split into 16-bit parts, are within the bound of float32; whatever the head
 * sizes, rows and masks. By the program's argument `small`: fewer, for slow devices. */
#include "attention_problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const units[] = {"nvidia", "intel16", "intel8"};
enum { UNITS = sizeof units / sizeof *units };
static bool small;

static attend_context *opened(const char *unit) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    char setting[40];
    options.backend = "opencl";
    (void)snprintf(setting, sizeof setting, "emulated-%s", unit);
    assert_int_equal(setenv("ATTEND_MATRIX", strcmp(unit, "off") ? setting : unit, 1), 0);
    assert_int_equal(attend_open(&options, &context), ATTEND_OK);
    return context;
}

/* Runs by the unit; its kernel is to be named like this. */
static void run_by(const problem *p, const char *unit, const char *kernel) {
    attend_context *const context = opened(unit);
    attend_decision decision = {.size = sizeof decision};
    if (attend_run(context, &p->a) != ATTEND_OK) fail_msg("%s: %s", unit, attend_error_text());
    assert_int_equal(attend_context_decision(context, &decision), ATTEND_OK);
    if (strstr(decision.kernel, kernel) == NULL)
        fail_msg("%s: \"%s\" is no \"%s\"", unit, decision.kernel, kernel);
    attend_close(context);
}

enum { PLAIN, CAUSAL, MASKED, CAPPED, DIRTY, ODD, SETTINGS };

static void put_nan(const attend_tensor *t, int64_t key, int64_t last) {
    for (int64_t e = 0; e < last; e++)
        problem_put(t, 0, 0, key, e, NAN);
}

static problem make(problem_sizes n, attend_type type, int setting) {
    problem p = problem_make(n, type, 31);
    p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){n.B, n.H, n.L});
    p.a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes); /* its bound is that of float32 */
    if (setting == CAUSAL || setting == DIRTY) {
        p.a.causal = 1;
        p.a.position = ATTEND_BOTTOM_RIGHT;
    }
    if (setting == MASKED || setting == DIRTY || setting == ODD)
        p.a.mask = problem_truths(&p, 4, (const int64_t[]){n.B, 1, n.L, n.S}, 0.7);
    if (setting == CAPPED) p.a.softcap = 3.0f;
    if (setting == DIRTY) { /* a key that nobody may see */
        put_nan(&p.a.k, n.S - 2, n.D);
        put_nan(&p.a.v, n.S - 2, n.E);
        for (int64_t i = 0; i < n.B * n.L; i++)
            problem_put(&p.a.mask, i / n.L, 0, i % n.L, n.S - 2, 0);
    }
    if (setting == ODD) { /* values that some rows see */
        put_nan(&p.a.v, n.S / 2, n.E);
        problem_put(&p.a.v, 0, 0, n.S - 1, n.E / 2, INFINITY);
    }
    return p;
}

/* Tails of fragments, tiles, slices and partial sums; queries that stay in local memory and not;
 * split keys and several chunks of one group. */
static const problem_sizes shapes[] = {
    {1, 2, 1, 37, 333, 64, 64}, {1, 1, 1, 65, 70, 33, 17},   {2, 1, 1, 17, 16, 1, 3},
    {1, 1, 1, 40, 130, 80, 80}, {1, 1, 1, 33, 290, 150, 40}, {1, 1, 1, 20, 60, 128, 200},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check(const problem *p, const char *unit) {
    char kernel[64];
    problem other = *p;
    other.a.out = problem_zeros(&other, p->a.out.type, 4, p->a.out.sizes);
    other.a.lse = problem_zeros(&other, ATTEND_F32, 3, p->a.lse.sizes);
    (void)snprintf(kernel, sizeof kernel, "_matrix_%s_emulated", unit);
    run_by(&other, unit, kernel);
    if (!problem_same_bits(&p->a.lse, &other.a.lse))
        fail_msg("%s: L %d, S %d, D %d, E %d: other bits", unit, (int)p->n.L, (int)p->n.S,
                 (int)p->n.D, (int)p->n.E);
    problem_compare(&other);
    while (other.count > p->count)
        free(other.memory[--other.count]);
}

static void agree_with_the_baseline(void **state) {
    (void)state;
    const int count = small ? 1 : SHAPES + UNITS; /* some shapes twice, all else in turn */
    for (int i = 0; i < count; i++) {
        const attend_type type = (i + i / SHAPES) % 2 ? ATTEND_BF16 : ATTEND_F16;
        const problem_sizes tiny = {1, 1, 1, 17, 70, 20, 5};
        problem p = make(small ? tiny : shapes[i % SHAPES], type,
                         small ? DIRTY : (i + i / SHAPES) % SETTINGS);
        run_by(&p, "off", "opencl_tile");
        for (int u = 0; u < UNITS; u++)
            if (small || (i + i / SHAPES) % UNITS == u) check(&p, units[u]);
        if (type == ATTEND_F16 && i % 3 == 0) check(&p, "arm"); /* which has no BF16 */
        problem_free(&p);
    }
}

/* Weights from 1 down to 2^-121 where the larger ones meet values of 0: each column's sum is that
 * of weights below another power of two. */
static void small_weights_count(void **state) {
    (void)state;
    const problem_sizes n = {1, 1, 1, 17, 122, 8, 12};
    for (int u = 0; u < (small ? 0 : UNITS + 1); u++) {
        const attend_type type = u < UNITS ? ATTEND_F16 : ATTEND_BF16;
        problem p = make(n, type, PLAIN);
        p.a.scale = 0.6875f;
        for (int64_t i = 0; i < (n.L + n.S) * n.D; i++) {
            const int64_t row = i / n.D, d = i % n.D;
            if (row < n.L)
                problem_put(&p.a.q, 0, 0, row, d, d == 0 ? 1 - (double)row / 256 : 0);
            else
                problem_put(&p.a.k, 0, 0, row - n.L, d, d == 0 ? -(double)(row - n.L) : 1);
        }
        for (int64_t i = 0; i < n.S * n.E; i++) {
            const int64_t key = i / n.E, e = i % n.E;
            const double v = (type == ATTEND_F16 ? 0x1p13 : 0x1p127) * (1 + (double)(key % 7) / 8);
            problem_put(&p.a.v, 0, 0, key, e, key < 10 * e || e == 0 ? 0 : v);
        }
        run_by(&p, units[u % UNITS], "_emulated");
        problem_compare(&p);
        problem_free(&p);
    }
}

/* Types that differ, or are wider. */
static void other_types_do_without(void **state) {
    (void)state;
    problem p = make(shapes[2], ATTEND_F16, PLAIN);
    p.a.q = problem_normals(&p, ATTEND_F32, 4, p.a.q.sizes);
    p.a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes);
    run_by(&p, "nvidia", "opencl_tile");
    problem_free(&p);
}

/* The unit's self-test agrees, but the kernel of attention cannot be had: the one without is taken,
 * and the decision says so. */
static void without_a_kernel(void **state) {
    (void)state;
    if (small) skip(); /* Oclgrind reports programs that do not build */
    problem p = make(shapes[1], ATTEND_F16, PLAIN);
    assert_int_equal(setenv("ATTEND_TEST_FROM", "#define KEY_PITCH", 1), 0);
    assert_int_equal(setenv("ATTEND_TEST_TO", "#error ", 1), 0);
    attend_context *const context = opened("nvidia");
    attend_plan *plan = NULL;
    attend_decision decision = {.size = sizeof decision};
    assert_int_equal(attend_plan_create(context, &p.a, &plan), ATTEND_OK);
    assert_int_equal(attend_plan_run(plan, &p.a), ATTEND_OK);
    assert_int_equal(attend_plan_decision(plan, &decision), ATTEND_OK);
    assert_non_null(strstr(decision.kernel, "opencl_tile"));
    assert_non_null(strstr(decision.refused, "matrix_nvidia_emulated is not used"));
    attend_plan_release(plan);
    attend_close(context);
    assert_int_equal(unsetenv("ATTEND_TEST_FROM"), 0);
    problem_compare(&p);
    problem_free(&p);
}

int main(int argc, char **argv) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    small = argc > 1 && strcmp(argv[1], "small") == 0;
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) || setenv("ATTEND_KERNELS", "tile", 1) ||
        setenv("ATTEND_CACHE", "off", 1) || unsetenv("ATTEND_MATRIX"))
        return 1;
    options.backend = "opencl";
    if (attend_open(&options, &context)) return 77; /* no device */
    attend_close(context);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_kernel), /* the first: what was built is kept */
        cmocka_unit_test(agree_with_the_baseline),
        cmocka_unit_test(small_weights_count),
        cmocka_unit_test(other_types_do_without),
    };
    return cmocka_run_group_tests_name("attention by matrix units", tests, NULL, NULL);
}
