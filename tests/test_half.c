/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of many rows in 16 bits where dot products of pairs could go wrong: subnormal and huge
 * elements, which such products flush or lose, against float64; and the same bits for a row in any
 * company, with keys cut anywhere and excluded keys of any value, also with precision FAST. */
#include "attention_problem.h"

#include <math.h>
#include <string.h>

#include "isas.h"

/* With and without CUT, no few rows are left over, which a backend may compute otherwise. */
enum { ROWS = 70, KEYS = 200, CUT = 14 };

static void on_each_isa(void (*test)(void)) {
    const bool cpu = strcmp(problem_backend(), "cpu") == 0;
    for (size_t i = 0; i < (cpu ? ISA_COUNT : 1); i++) {
        attend_options o = attend_options_default();
        o.backend = problem_backend();
        if (cpu) o.isa = isas[i];
        o.threads = 1 + (int)(i % 2);
        assert_int_equal(attend_open(&o, &problem_context), ATTEND_OK);
        if (cpu) print_message("%s\n", isas[i]);
        test();
        attend_close(problem_context);
    }
}

/* The rows from CUT on by themselves, which lie elsewhere in their vectors then, and bring no
 * others along. */
static void expect_same_rows(problem *p, const char *what) {
    attend_attention few = p->a;
    few.weights = few.weights_mean = few.scores = few.lse = (attend_tensor){0};
    few.q.offset += CUT * few.q.strides[2];
    few.q.sizes[2] -= CUT;
    if (few.position == ATTEND_AT_OFFSETS) few.query_offset += CUT;
    few.out =
        problem_zeros(p, p->a.out.type, 4, (const int64_t[]){p->n.B, p->n.H, p->n.L - CUT, p->n.E});
    assert_int_equal(attend_run(problem_context, &few), ATTEND_OK);
    attend_tensor rest = p->a.out;
    rest.offset += CUT * rest.strides[2];
    rest.sizes[2] -= CUT;
    if (!problem_same_bits(&few.out, &rest)) fail_msg("other bits: %s", what);
}

/* ---- the ends of the range ------------------------------------------------------------------- */

typedef struct range_case {
    const char *what;
    double q, k, v; /* the size of elements; 0: left alone */
    double scale;
    int step; /* of every so many columns of q and k */
} range_case;

/* Elements that are far from 1 sit in every fifth row, so that others share its vectors. */
static void check_range(const range_case *c, attend_type type, int64_t depth) {
    problem p = problem_make((problem_sizes){1, 2, 1, ROWS, KEYS, depth, 9}, type, 90);
    p.a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes); /* shows more */
    p.a.has_scale = c->scale != 0;
    p.a.scale = c->scale;
    for (int64_t h = 0; h < 2 && c->q != 0; h++)
        for (int64_t i = 0; i < ROWS; i += 5)
            for (int64_t d = 0; d < depth; d += c->step)
                problem_put(&p.a.q, 0, h, i, d, (double)(1 - 2 * (d % 2)) * c->q);
    for (int64_t j = 0; j < KEYS; j++)
        for (int64_t d = 0; d < depth; d++) {
            if (c->k != 0 && d % c->step == 0)
                problem_put(&p.a.k, 0, 0, j, d, problem_at(&p.a.k, 0, 0, j, d) / 4 * c->k);
            if (c->v != 0 && d < 9)
                problem_put(&p.a.v, 0, 0, j, d, problem_at(&p.a.v, 0, 0, j, d) / 4 * c->v);
        }
    problem_want_all(&p);
    problem_check(&p);
    expect_same_rows(&p, c->what);
    problem_free(&p);
}

static void check_ranges(void) {
    static const range_case bf16[] = {
        {"subnormal q, huge k", 0x1p-130, 0x1p121, 0, 1, 3},
        {"subnormal q", 0x1.8p-128, 0, 0, 0, 3},
        {"huge q, subnormal k", 0x1p126, 0x1p-128, 0, 1, 3},
        {"subnormal k", 0, 0x1p-130, 0, 0, 3},
        {"q at the limit, subnormal k", 0x1.8p63, 0x1p-128, 0, 1, 3},
        {"scale that lifts subnormal k", 0, 0x1p-120, 0, 0x1p122, 1},
        {"scale that lifts small products", 0x1p-60, 0x1p-60, 0, 0x1p122, 1},
        {"subnormal v", 0, 0, 0x1p-130, 0, 3},
        {"huge v", 0, 0, 0x1p120, 0, 3},
    };
    static const range_case f16[] = {
        {"subnormal q, large k", 0x1p-20, 60000, 0, 4, 3},
        {"large q, subnormal k", 60000, 0x1p-20, 0, 4, 3},
        {"subnormal v", 0, 0, 0x1p-20, 0, 3},
    };
    static const int64_t depths[] = {1, 5, 64, 67};
    for (int i = 0; i < 4; i++) {
        for (size_t c = 0; c < sizeof bf16 / sizeof *bf16; c++)
            check_range(&bf16[c], ATTEND_BF16, depths[i]);
        for (size_t c = 0; c < sizeof f16 / sizeof *f16; c++)
            check_range(&f16[c], ATTEND_F16, depths[i]);
    }
}

static void test_ranges(void **state) {
    (void)state;
    on_each_isa(check_ranges);
}

/* ---- what is not a number -------------------------------------------------------------------- */

/* NaN of an allowed key or query reaches what it feeds, infinite scores as they always do, and
 * nothing else changes. */
static void check_not_finite(void) {
    for (int fast = 0; fast < 2; fast++) {
        problem p = problem_make((problem_sizes){1, 1, 1, ROWS, KEYS, 33, 9}, ATTEND_BF16, 91);
        p.a.precision = fast ? ATTEND_PRECISION_FAST : ATTEND_PRECISION_DEFAULT;
        p.a.causal = 1;
        p.a.position = ATTEND_AT_OFFSETS;
        p.a.query_offset = KEYS - ROWS;
        problem_run(&p);
        attend_tensor clean = p.a.out;
        p.a.out = problem_zeros(&p, ATTEND_BF16, 4, clean.sizes);
        problem_put(&p.a.q, 0, 0, 7, 32, (double)NAN);
        problem_put(&p.a.q, 0, 0, 20, 0, (double)INFINITY);
        problem_put(&p.a.k, 0, 0, KEYS - 10, 32, (double)NAN);
        problem_put(&p.a.v, 0, 0, KEYS - 20, 3, (double)NAN);
        problem_run(&p);
        for (int64_t i = 0; i < ROWS; i++)
            for (int64_t e = 0; e < 9; e++) {
                const bool wrong =
                    i == 7 || i == 20 || i >= ROWS - 10 || (i >= ROWS - 20 && e == 3);
                const double got = problem_at(&p.a.out, 0, 0, i, e);
                if (wrong ? !isnan(got) : got != problem_at(&clean, 0, 0, i, e))
                    fail_msg("row %d, column %d: %g", (int)i, (int)e, got);
            }
        problem_free(&p);
    }
}

static void test_not_finite(void **state) {
    (void)state;
    on_each_isa(check_not_finite);
}

/* ---- FAST ------------------------------------------------------------------------------------ */

/* Keys begin, windows end, and masks cut at odd places, with and without NaN in what they exclude.
 */
static void check_fast_bits(void) {
    for (int c = 0; c < 6; c++) {
        problem both[2];
        for (int dirty = 0; dirty < 2; dirty++) {
            problem *const p = &both[dirty];
            const problem_sizes n = {1, 2, 1, ROWS, 301, 35, 33};
            const int64_t key_begin = c * 3, key_end = 301 - c;
            *p = problem_make(n, ATTEND_BF16, 92);
            p->a.precision = ATTEND_PRECISION_FAST;
            p->a.position = ATTEND_AT_OFFSETS;
            p->a.query_offset = 200;
            p->a.key_begin = key_begin;
            p->a.key_end = key_end;
            if (c % 2) p->a.window_left = 120 + c;
            if (c % 3) p->a.causal = 1;
            if (c > 3) p->a.key_mask = problem_truths(p, 2, (const int64_t[]){1, n.S}, 0.5);
            for (int64_t j = 0; j < n.S && dirty; j++) {
                const bool masked = c > 3 && !((uint8_t *)p->a.key_mask.data)[j];
                for (int64_t e = 0; e < n.E && (masked || j < key_begin || j >= key_end); e++) {
                    problem_put(&p->a.k, 0, 0, j, e, (double)NAN);
                    problem_put(&p->a.v, 0, 0, j, e, j % 3 ? (double)INFINITY : (double)NAN);
                }
            }
            problem_run(p);
            expect_same_rows(p, "FAST");
        }
        if (!problem_same_bits(&both[0].a.out, &both[1].a.out)) fail_msg("case %d: other bits", c);
        for (int dirty = 0; dirty < 2; dirty++)
            problem_free(&both[dirty]);
    }
}

static void test_fast_bits(void **state) {
    (void)state;
    on_each_isa(check_fast_bits);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_fast_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
