/* SPDX-License-Identifier: Apache-2.0
 *
 * The same bits, whatever else goes on: for each instruction set of the backend cpu, the output of
 * attention is compared byte by byte over thread counts, runs, a sample alone or in a batch, and
 * with or without side outputs. The options of a case are drawn from a seed, printed with each
 * failure. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "attend/attend.h"
#include "isas.h"

enum { CASES = 40, SAMPLES = 3 };

static const int32_t thread_counts[] = {1, 2, 3, 8};

typedef struct problem {
    int64_t H, G, L, S, D, E;
    float *q, *k, *v, *bias, *slopes, *sinks;
    uint8_t *mask;
    int64_t key_lengths[SAMPLES], query_lengths[SAMPLES];
    int causal, window, use_bias, use_mask, use_lengths, use_slopes, use_sinks, bottom_right;
    double softcap;
} problem;

static uint64_t state;

static int64_t drawn(int64_t from, int64_t to) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return from + (int64_t)((state >> 33) % (uint64_t)(to - from + 1));
}

static float *drawn_floats(int64_t count) {
    float *const x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)drawn(-1000, 1000) * 0x1.8p-9f;
    return x;
}

static problem drawn_problem(uint64_t seed) {
    state = seed * 7919 + 1;
    problem p = {0};
    p.G = drawn(1, 3);
    p.H = p.G * drawn(1, 3);
    p.L = drawn(1, 90);
    p.S = drawn(0, 1) ? drawn(1, 90) : drawn(230, 600);
    p.D = drawn(1, 100);
    p.E = drawn(1, 100);
    p.q = drawn_floats(SAMPLES * p.H * p.L * p.D);
    p.k = drawn_floats(SAMPLES * p.G * p.S * p.D);
    p.v = drawn_floats(SAMPLES * p.G * p.S * p.E);
    p.bias = drawn_floats(p.H * p.L * p.S);
    p.slopes = drawn_floats(p.H);
    p.sinks = drawn_floats(p.H);
    p.mask = malloc((size_t)(SAMPLES * p.S));
    assert_non_null(p.mask);
    for (int64_t i = 0; i < SAMPLES * p.S; i++)
        p.mask[i] = drawn(0, 3) > 0;
    for (int b = 0; b < SAMPLES; b++) {
        p.key_lengths[b] = drawn(0, p.S);
        p.query_lengths[b] = drawn(0, p.L);
    }
    p.causal = drawn(0, 2) == 0;
    p.window = drawn(0, 3) == 0;
    p.use_bias = drawn(0, 2) == 0;
    p.use_mask = drawn(0, 2) == 0;
    p.use_lengths = drawn(0, 2) == 0;
    p.use_slopes = drawn(0, 3) == 0;
    p.use_sinks = drawn(0, 3) == 0;
    p.bottom_right = drawn(0, 1) == 0;
    p.softcap = drawn(0, 3) == 0 ? 3.0 : 0.0;
    /* what an excluded key holds must not matter either; an allowed one brings NaN, whose bits
     * count too */
    if (drawn(0, 2) == 0) p.v[drawn(0, SAMPLES * p.G * p.S * p.E - 1)] = NAN;
    return p;
}

static void problem_free(problem *p) {
    void *const all[] = {p->q, p->k, p->v, p->bias, p->slopes, p->sinks, p->mask};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
}

/* The samples first .. first + count - 1 as a batch of their own. */
static attend_attention describe(const problem *p, int64_t first, int64_t count, float *out) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(p->q + first * p->H * p->L * p->D, ATTEND_F32, count, p->H, p->L, p->D);
    a.k = attend_tensor_4d(p->k + first * p->G * p->S * p->D, ATTEND_F32, count, p->G, p->S, p->D);
    a.v = attend_tensor_4d(p->v + first * p->G * p->S * p->E, ATTEND_F32, count, p->G, p->S, p->E);
    a.out = attend_tensor_4d(out, ATTEND_F32, count, p->H, p->L, p->E);
    a.causal = p->causal;
    if (p->window) a.window_left = 40;
    a.position = p->bottom_right ? ATTEND_BOTTOM_RIGHT : ATTEND_TOP_LEFT;
    a.softcap = p->softcap;
    if (p->use_bias) a.bias = attend_tensor_3d(p->bias, ATTEND_F32, p->H, p->L, p->S);
    if (p->use_mask)
        a.key_mask = attend_tensor_2d(p->mask + first * p->S, ATTEND_BOOL, count, p->S);
    if (p->use_lengths) {
        a.key_lengths = attend_tensor_1d(p->key_lengths + first, ATTEND_I64, count);
        a.query_lengths = attend_tensor_1d(p->query_lengths + first, ATTEND_I64, count);
    }
    if (p->use_slopes) a.alibi_slopes = attend_tensor_1d(p->slopes, ATTEND_F32, p->H);
    if (p->use_sinks) a.sinks = attend_tensor_1d(p->sinks, ATTEND_F32, p->H);
    return a;
}

static attend_context *open_cpu(const char *isa, int32_t threads) {
    attend_options o = attend_options_default();
    o.backend = "cpu";
    o.isa = isa;
    o.threads = threads;
    o.ignore_environment = 1;
    attend_context *context = NULL;
    if (attend_open(&o, &context) != ATTEND_OK) fail_msg("attend_open: %s", attend_error_text());
    return context;
}

static void run(attend_context *context, const attend_attention *a) {
    if (attend_run(context, a) != ATTEND_OK) fail_msg("attend_run: %s", attend_error_text());
}

static void expect_same(const float *got, const float *expected, int64_t count, const char *what,
                        uint64_t seed, const char *isa) {
    if (memcmp(got, expected, (size_t)count * sizeof *got) != 0)
        fail_msg("case %u, %s: other bits %s", (unsigned)seed, isa, what);
}

static void check_side_outputs(attend_context *context, const problem *p, const float *expected,
                               uint64_t seed, const char *isa) {
    const int64_t out_count = SAMPLES * p->H * p->L * p->E,
                  weights_count = SAMPLES * p->H * p->L * p->S;
    float *const out = malloc((size_t)out_count * sizeof *out);
    float *const side = malloc((size_t)(4 * weights_count) * sizeof *side);
    assert_true(out != NULL && side != NULL);
    for (int wanted = 1; wanted < 16; wanted++) {
        attend_attention a = describe(p, 0, SAMPLES, out);
        if (wanted & 1) a.weights = attend_tensor_4d(side, ATTEND_F32, SAMPLES, p->H, p->L, p->S);
        if (wanted & 2)
            a.scores =
                attend_tensor_4d(side + weights_count, ATTEND_F32, SAMPLES, p->H, p->L, p->S);
        if (wanted & 4)
            a.weights_mean =
                attend_tensor_3d(side + 2 * weights_count, ATTEND_F32, SAMPLES, p->L, p->S);
        if (wanted & 8)
            a.lse = attend_tensor_3d(side + 3 * weights_count, ATTEND_F32, SAMPLES, p->H, p->L);
        a.scores_stage = (attend_scores_stage)(ATTEND_SCORES_RAW + wanted % 4);
        run(context, &a);
        expect_same(out, expected, out_count, "with side outputs", seed, isa);
    }
    free(out);
    free(side);
}

static void check_case(attend_context *const *contexts, uint64_t seed, const char *isa) {
    problem p = drawn_problem(seed);
    const int64_t sample = p.H * p.L * p.E, count = SAMPLES * sample;
    float *const expected = malloc((size_t)count * sizeof *expected);
    float *const out = malloc((size_t)count * sizeof *out);
    assert_true(expected != NULL && out != NULL);
    attend_attention a = describe(&p, 0, SAMPLES, expected);
    run(contexts[0], &a);
    a = describe(&p, 0, SAMPLES, out);
    for (size_t t = 0; t < sizeof thread_counts / sizeof thread_counts[0]; t++) {
        for (int again = 0; again < 2; again++) {
            memset(out, 0x55, (size_t)count * sizeof *out);
            run(contexts[t], &a);
            expect_same(out, expected, count, "with other threads", seed, isa);
        }
    }
    for (int64_t b = 0; b < SAMPLES; b++) {
        attend_attention alone = describe(&p, b, 1, out);
        run(contexts[b % 4], &alone);
        expect_same(out, expected + b * sample, sample, "alone", seed, isa);
    }
    check_side_outputs(contexts[1], &p, expected, seed, isa);
    free(expected);
    free(out);
    problem_free(&p);
}

static void test_same_bits(void **unused) {
    (void)unused;
    for (size_t i = 0; i < ISA_COUNT; i++) {
        attend_context *contexts[4];
        for (size_t t = 0; t < 4; t++)
            contexts[t] = open_cpu(isas[i], thread_counts[t]);
        for (uint64_t seed = 1; seed <= CASES; seed++)
            check_case(contexts, seed, isas[i]);
        for (size_t t = 0; t < 4; t++)
            attend_close(contexts[t]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
