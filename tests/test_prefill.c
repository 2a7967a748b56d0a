/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of many query rows at the sizes where strips, sets and blocks of a backend begin and
 * end, and at the ends of the range of numbers, against float64; and the same bits for every number
 * of threads, with and without side outputs, alone and in a batch. */
#include "attention_problem.h"

#include <math.h>
#include <string.h>

#include "isas.h"

enum { CONTEXTS = 3 }; /* with 1, 2, 3 threads */
static attend_context *contexts[CONTEXTS];
static const double infinity = HUGE_VAL;

/* Runs `test` with every instruction set that the backend can be lowered to. */
static void on_each_isa(void (*test)(void)) {
    const bool cpu = strcmp(problem_backend(), "cpu") == 0;
    for (size_t i = 0; i < (cpu ? ISA_COUNT : 1); i++) {
        for (int t = 0; t < CONTEXTS; t++) {
            attend_options o = attend_options_default();
            o.backend = problem_backend();
            if (cpu) o.isa = isas[i];
            o.threads = t + 1;
            assert_int_equal(attend_open(&o, &contexts[t]), ATTEND_OK);
        }
        problem_context = contexts[0];
        test();
        for (int t = 0; t < CONTEXTS; t++)
            attend_close(contexts[t]);
    }
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Sample b of a batch by itself: tensors without a batch are shared. */
static attend_attention sample_of(const attend_attention *a, int64_t b) {
    attend_attention one = *a;
    attend_tensor *const all[] = {
        &one.q,   &one.k, &one.v, &one.out, &one.key_mask, &one.key_lengths, &one.query_lengths,
        &one.bias};
    for (size_t t = 0; t < sizeof all / sizeof *all; t++) {
        if (all[t]->type == 0 || (all[t] == &one.bias && one.bias.rank < 4)) continue;
        all[t]->offset += b * all[t]->strides[0];
        all[t]->sizes[0] = 1;
    }
    return one;
}

static void expect_same_out(problem *p, const attend_attention *a, const char *what) {
    attend_attention bare = *a;
    bare.weights = bare.weights_mean = bare.scores = bare.lse = (attend_tensor){0};
    bare.out = problem_zeros(p, a->out.type, 4, a->out.sizes);
    for (int t = 0; t < CONTEXTS; t++) {
        assert_int_equal(attend_run(contexts[t], &bare), ATTEND_OK);
        if (!problem_same_bits(&bare.out, &a->out)) fail_msg("other bits: %s", what);
    }
    for (int64_t b = 0; b < p->n.B; b++) {
        attend_attention one = sample_of(&bare, b);
        one.out = problem_zeros(p, a->out.type, 4, one.out.sizes);
        assert_int_equal(attend_run(contexts[b % CONTEXTS], &one), ATTEND_OK);
        const attend_attention expected = sample_of(a, b);
        if (!problem_same_bits(&one.out, &expected.out)) fail_msg("other bits alone: %s", what);
    }
}

enum { PLAIN, CAUSAL, WINDOW, MASK, KEY_MASK, BIAS, LENGTHS, TERMS, SINKS, KINDS };
static const char *const kinds[] = {"plain", "causal",  "window", "mask", "key mask",
                                    "bias",  "lengths", "terms",  "sinks"};

static void set_kind(problem *p, int kind) {
    const problem_sizes n = p->n;
    const int64_t plane[2] = {n.L, n.S};
    p->a.position = n.S % 2 ? ATTEND_BOTTOM_RIGHT : ATTEND_TOP_LEFT;
    p->a.causal = kind == CAUSAL || kind == TERMS;
    if (kind == WINDOW) p->a.window_left = 30;
    if (kind == WINDOW) p->a.window_right = 4;
    if (kind == MASK || kind == SINKS) p->a.mask = problem_truths(p, 2, plane, 0.4);
    if (kind == KEY_MASK) p->a.key_mask = problem_truths(p, 2, (const int64_t[]){n.B, n.S}, 0.5);
    if (kind == BIAS || kind == TERMS) {
        p->a.bias = problem_normals(p, ATTEND_F32, 2, plane);
        for (int64_t i = 0; i < n.L * n.S; i += 3)
            ((float *)p->a.bias.data)[i] = -(float)infinity;
    }
    if (kind == LENGTHS) {
        p->a.key_lengths = problem_integers(p, 2, (const int64_t[]){n.S / 2, n.S});
        p->a.query_lengths = problem_integers(p, 2, (const int64_t[]){n.L, n.L - 16});
    }
    if (kind == TERMS) p->a.alibi_slopes = problem_normals(p, ATTEND_F32, 1, &n.H);
    if (kind == TERMS) p->a.softcap = 3;
    if (kind == SINKS) p->a.sinks = problem_normals(p, ATTEND_F32, 1, &n.H);
}

static void check_sizes(void) {
    static const int64_t lengths[] = {17, 33, 47, 48, 49, 240, 241};
    static const int64_t key_counts[] = {1, 127, 128, 129, 300};
    static const int64_t head_sizes[] = {1, 3, 40, 64, 65, 129};
    for (int c = 0; c < 7 * 5 * 2; c++) {
        const int kind = c % KINDS;
        const int64_t L = lengths[c % 7], shared = c % 3 == 0 ? 2 : 1;
        const problem_sizes n = {
            2, shared, 1, L, key_counts[c / 7 % 5], head_sizes[c % 6], head_sizes[c / 3 % 6]};
        problem p =
            problem_make(n, c < 35 ? ATTEND_F32 : ATTEND_F32 + (attend_type)(c % 3), (uint64_t)c);
        set_kind(&p, kind);
        problem_want_all(&p);
        p.a.scores_stage = (attend_scores_stage)(1 + c % 4);
        problem_check(&p);
        expect_same_out(&p, &p.a, kinds[kind]);
        problem_free(&p);
    }
}

static void test_sizes(void **state) {
    (void)state;
    on_each_isa(check_sizes);
}

/* ---- the ends of the range of numbers -------------------------------------------------------- */

static void multiply(attend_tensor *t, double factor) {
    for (int64_t b = 0; b < t->sizes[0]; b++)
        for (int64_t h = 0; h < t->sizes[1]; h++)
            for (int64_t i = 0; i < t->sizes[2]; i++)
                for (int64_t d = 0; d < t->sizes[3]; d++)
                    problem_put(t, b, h, i, d, problem_at(t, b, h, i, d) * factor);
}

static void check_scales(void) {
    static const struct {
        double scale, q, k;
    } cases[] = {{0, 1, 1},
                 {-1.5, 1, 1},
                 {1e38, 1e-18, 1e-18},
                 {1e-38, 2e18, 2e18},
                 {1e29, 1e-14, 1e-15},
                 {1e30, 1e-15, 1e-15},
                 {1e31, 1e-15, 1e-16},
                 {1e-30, 1e15, 1e15},
                 {1e-31, 1e15, 1e16},
                 {-1e38, 1e-18, 1e-18}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const problem_sizes n = {2, 1, 1, 49, 150, 3, 5};
        problem p = problem_make(n, ATTEND_F32, 40 + c);
        problem_want_all(&p);
        multiply(&p.a.q, cases[c].q);
        multiply(&p.a.k, cases[c].k);
        p.a.has_scale = 1;
        p.a.scale = cases[c].scale;
        for (int masked = 0; masked < 2; masked++) {
            if (masked) p.a.mask = problem_truths(&p, 2, (const int64_t[]){n.L, n.S}, 0.6);
            problem_check(&p);
            expect_same_out(&p, &p.a, "scale");
        }
        problem_free(&p);
    }
}

static void test_scales(void **state) {
    (void)state;
    on_each_isa(check_scales);
}

/* Scores of 3e38 and -3e38 in one row, whose difference is no number: all weight on the highest. */
static void check_wide_scores(void) {
    const problem_sizes n = {1, 1, 1, 35, 260, 1, 4};
    for (int c = 0; c < 4; c++) {
        problem p = problem_make(n, ATTEND_F32, 50);
        problem_want_all(&p);
        p.a.has_scale = 1;
        p.a.scale = c % 2 ? 0.5 : 1;
        if (c / 2) p.a.bias = problem_zeros(&p, ATTEND_F32, 1, &n.S);
        for (int64_t i = 0; i < n.L; i++)
            problem_put(&p.a.q, 0, 0, i, 0, i % 2 ? 1 : -1);
        for (int64_t j = 0; j < n.S; j++)
            problem_put(&p.a.k, 0, 0, j, 0, j == 140 ? 3e38 : j == 3 ? -3e38 : 1e37);
        problem_run(&p);
        for (int64_t i = 0; i < n.L; i++) {
            const int64_t best = i % 2 ? 140 : 3;
            for (int64_t e = 0; e < n.E; e++)
                assert_true(problem_at(&p.a.out, 0, 0, i, e) == problem_at(&p.a.v, 0, 0, best, e));
            for (int64_t j = 0; j < n.S; j++)
                assert_true(problem_at(&p.a.weights, 0, 0, i, j) == (j == best));
            assert_true(isfinite(problem_at(&p.a.lse, 0, 0, i, 0)));
        }
        expect_same_out(&p, &p.a, "wide scores");
        problem_free(&p);
    }
}

static void test_wide_scores(void **state) {
    (void)state;
    on_each_isa(check_wide_scores);
}

static void check_sinks(void) {
    static const double sinks[] = {-infinity, -3e38, -1e4, -90, -40, 40, 69.5, 90, 105, 1e4, 3e38};
    enum { HEADS = sizeof sinks / sizeof *sinks };
    const problem_sizes n = {1, HEADS, HEADS, 20, 140, 16, 8};
    problem p = problem_make(n, ATTEND_F32, 60);
    problem_want_all(&p);
    p.a.sinks = problem_zeros(&p, ATTEND_F32, 1, &n.H);
    for (int64_t h = 0; h < HEADS; h++)
        gate_store(&p.a.sinks, &h, sinks[h]);
    p.a.mask = problem_truths(&p, 2, (const int64_t[]){n.L, n.S}, 0.5);
    memset((uint8_t *)p.a.mask.data + 3 * n.S, 0, (size_t)n.S); /* a row of sinks alone */
    problem_check(&p);
    expect_same_out(&p, &p.a, "sinks");
    problem_free(&p);
}

static void test_sinks(void **state) {
    (void)state;
    on_each_isa(check_sinks);
}

/* ---- masks in blocks ------------------------------------------------------------------------- */

/* Blocks of keys that are open or closed for each of a run of rows, and one wrong key in some. */
static void check_block_masks(void) {
    static const int64_t runs[] = {16, 48, 50, 240};
    for (int c = 0; c < 8; c++) {
        const int64_t run = runs[c % 4];
        const problem_sizes n = {2, 2, 1 + c / 4, 250, c % 2 ? 512 : 650, 16, 8};
        problem p = problem_make(n, ATTEND_F32, 80 + (uint64_t)c);
        problem_want_all(&p);
        const bool alike = c % 4 < 2; /* all samples have one mask */
        const int64_t sizes[] = {alike ? 1 : n.B, 1, n.L, n.S};
        p.a.mask = problem_truths(&p, 4, sizes, 0.5);
        uint8_t *const keep = p.a.mask.data;
        for (int64_t at = 0; at < sizes[0] * n.L * n.S; at++) {
            const int64_t row = at / n.S, block = at % n.S / 128;
            const bool open = (row / run * 7 + block * 5) % 3 != 0;
            keep[at] = at % 9973 == 0 ? !open : open;
        }
        p.a.causal = c == 3;
        p.a.position = ATTEND_BOTTOM_RIGHT;
        problem_check(&p);
        if (alike) expect_same_out(&p, &p.a, "mask in blocks");
        problem_free(&p);
    }
}

static void test_block_masks(void **state) {
    (void)state;
    on_each_isa(check_block_masks);
}

/* ---- NaN ------------------------------------------------------------------------------------- */

/* Weights of a row of NaN: NaN where the row may use the key, 0 elsewhere; the mean is NaN there.
 */
static void check_nan_rows(void) {
    const problem_sizes n = {1, 2, 1, 50, 150, 16, 8};
    problem p = problem_make(n, ATTEND_F32, 70);
    const int64_t plane[2] = {n.L, n.S};
    problem_want_all(&p);
    p.a.mask = problem_truths(&p, 2, plane, 0.7);
    p.a.bias = problem_normals(&p, ATTEND_F32, 2, plane);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    for (int64_t i = 0; i < n.L * n.S; i += 5)
        ((float *)p.a.bias.data)[i] = -(float)infinity;
    for (int64_t i = 0; i < n.L; i += 7)
        problem_put(&p.a.q, 0, 1, i, 3, (double)NAN);
    problem_run(&p);
    for (int64_t i = 0; i < n.L; i++)
        for (int64_t j = 0; j < n.S; j++) {
            const bool allowed = ((uint8_t *)p.a.mask.data)[i * n.S + j] && j <= i + n.S - n.L &&
                                 (i * n.S + j) % 5 != 0;
            const bool wrong = i % 7 == 0 && allowed;
            const double weight = problem_at(&p.a.weights, 0, 1, i, j);
            assert_true(wrong ? isnan(weight) : allowed ? weight > 0 : weight == 0);
            assert_true(isnan(problem_at(&p.a.weights_mean, 0, i, j, 0)) == wrong);
            assert_true(isfinite(problem_at(&p.a.weights, 0, 0, i, j)));
        }
    for (int64_t i = 0; i < n.L; i++)
        assert_true(isnan(problem_at(&p.a.out, 0, 1, i, 2)) == (i % 7 == 0));
    problem_free(&p);
}

static void test_nan_rows(void **state) {
    (void)state;
    on_each_isa(check_nan_rows);
}

/* NaN and infinity in every place that no row may use: keys outside a range, rows past a query
 * length, biases where the mask, the window or a length excludes. */
static void check_unused_places(void) {
    const problem_sizes n = {2, 2, 1, 49, 300, 20, 17};
    problem clean = problem_make(n, ATTEND_F32, 80), dirty = problem_make(n, ATTEND_F32, 80);
    problem *const both[] = {&clean, &dirty};
    for (int c = 0; c < 2; c++) {
        problem *const p = both[c];
        problem_want_all(p);
        p->a.key_begin = 37;
        p->a.key_end = 270;
        p->a.key_lengths = problem_integers(p, 2, (const int64_t[]){300, 131});
        p->a.query_lengths = problem_integers(p, 2, (const int64_t[]){30, 49});
        p->a.mask = problem_truths(p, 2, (const int64_t[]){n.L, n.S}, 0.5);
        p->a.bias = problem_normals(p, ATTEND_F32, 4, (const int64_t[]){n.B, 1, n.L, n.S});
        for (int64_t b = 0; b < n.B && c; b++) {
            for (int64_t j = 0; j < n.S; j++)
                for (int64_t d = 0; d < n.D && (j < 37 || j >= (b ? 131 : 270)); d++) {
                    problem_put(&p->a.k, b, 0, j, d, j % 2 ? (double)NAN : infinity);
                    if (d < n.E) problem_put(&p->a.v, b, 0, j, d, j % 3 ? -infinity : (double)NAN);
                }
            for (int64_t i = b ? 49 : 30; i < n.L; i++)
                for (int64_t d = 0; d < n.D; d++)
                    problem_put(&p->a.q, b, i % 2, i, d, (double)NAN);
            for (int64_t at = 0; at < n.L * n.S; at++) {
                const int64_t i = at / n.S, j = at % n.S;
                const bool past = i >= (b ? 49 : 30) || j < 37 || j >= (b ? 131 : 270);
                if (past || !((uint8_t *)p->a.mask.data)[at])
                    problem_put(&p->a.bias, b, 0, i, j, at % 2 ? (double)NAN : infinity);
            }
        }
        problem_run(p);
        expect_same_out(p, &p->a, "unused places");
    }
    assert_true(problem_same_bits(&clean.a.out, &dirty.a.out));
    assert_true(problem_same_bits(&clean.a.weights, &dirty.a.weights));
    assert_true(problem_same_bits(&clean.a.weights_mean, &dirty.a.weights_mean));
    assert_true(problem_same_bits(&clean.a.scores, &dirty.a.scores));
    assert_true(problem_same_bits(&clean.a.lse, &dirty.a.lse));
    problem_free(&clean);
    problem_free(&dirty);
}

static void test_unused_places(void **state) {
    (void)state;
    on_each_isa(check_unused_places);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),       cmocka_unit_test(test_scales),
        cmocka_unit_test(test_wide_scores), cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_nan_rows),    cmocka_unit_test(test_unused_places),
        cmocka_unit_test(test_block_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
