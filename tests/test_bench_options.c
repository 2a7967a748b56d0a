/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of the benchmark's cases: their words, what they leave of the keys and cost, what the
 * oracle makes of them, and that what the library prints of a call is a case. Figures were worked
 * out by hand. */
#include "attend_case.h"
#include "bench_keys.h"
#include "bench_values.h"
#include "oracle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every option, run once: the library's text of the call is a case with the same options. */
static void dispatch_texts_are_cases(void **state) {
    static const struct {
        const char *text, *again;
    } calls[] = {
        {"B2 H4 G2 L9 S9 D8 f32 causal len=5 window=3:1 softcap=2.5",
         "B2 H4 G2 L9 S9 D8 f32 causal len=9 window=3:1 softcap=2.5"}, /* which is no number */
        {"B2 H4 G2 L3 S9 D8 bf16 causal end window=-1:2 mask=pad:4 bias fast",
         "B2 H4 G2 L3 S9 D8 bf16 causal end window=-1:2 mask=random bias fast"},
        {"B2 H4 G2 L9 S9 D8 f32 packed len=3-9 alibi weights mean lse",
         "B2 H4 G2 L9 S9 D8 f32 packed alibi weights mean lse"},
        {"B1 H4 G4 L1 S9 D8 f32 kv=bf16 cache=4", "B1 H4 G4 L1 S9 D8 f32 len=9 kv=bf16 cache"},
        {"B1 H4 G4 L1 S9 D8 f32 end alibi kv=i8 cache",
         "B1 H4 G4 L1 S9 D8 f32 end len=9 alibi kv=i8 cache"},
    };
    attend_inputs inputs = {0};
    char reason[WORKER_TEXT];
    (void)state;
    assert_int_equal(attend_open(NULL, &inputs.context), ATTEND_OK);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
        bench_case c;
        worker_call call;
        attend_decision d = {.size = sizeof d};
        assert_true(bench_case_parse(calls[i].text, &c, reason, sizeof reason));
        if (attend_case_prepare(&inputs, &c, &call, reason) != WORKER_OK ||
            !call.run(call.state, reason))
            fail_msg("%s: %s", calls[i].text, reason);
        assert_int_equal(attend_context_decision(inputs.context, &d), ATTEND_OK);
        if (!bench_case_parse(d.shape, &c, reason, sizeof reason))
            fail_msg("%s is no case: %s", d.shape, reason);
        char text[BENCH_NAME];
        bench_case_text(&c, text, sizeof text);
        assert_string_equal(text, calls[i].again);
        call.release(call.state);
    }
    assert_null(inputs.first); /* what cases shared is given back */
    attend_close(inputs.context);
}

static void options_are_checked(void **state) {
    static const char *const bad[] = {
        "len=0",        "len=11",      "len=0.01",  "len=5-3",       "len=1.5",
        "len=2-",       "len=x",       "window",    "window=-1",     "window=1:",
        "mask=pad",     "mask=pad:11", "mask=some", "mask=causal:3", "softcap",
        "softcap=0",    "softcap=-1",  "kv=f64",    "kv=i8",         "cache=0",
        "packed cache", "causal=1",    "threads=0", "weights=2",     "len=3 mask=keys:0",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        char text[120], reason[200] = "";
        bench_case c;
        snprintf(text, sizeof text, "B2 H2 G1 L10 S10 D8 f32 %s", bad[i]);
        if (bench_case_parse(text, &c, reason, sizeof reason)) fail_msg("%s is accepted", text);
        assert_true(reason[0] != 0);
    }
    bench_case c;
    char reason[200];
    assert_true(bench_case_parse("len=0.5 B2 H2 G1 L10 S10 D8", &c, reason, sizeof reason));
    assert_int_equal(c.len_low, 5); /* a share, whatever stands first */
    assert_false(bench_case_parse("B2 H2 G1 L9 S10 D8 packed", &c, reason, sizeof reason));
    assert_false(bench_case_parse("B2 H2 G1 L9 S10 D8 bf16 kv=f16", &c, reason, sizeof reason));
    assert_false(bench_case_parse("layer B1 L10 M8 H2 window=3", &c, reason, sizeof reason));
    assert_non_null(strstr(reason, "layer knows no window"));
}

static void costs_of(const char *text, double flops, double bytes) {
    char reason[200];
    bench_case c;
    assert_true(bench_case_parse(text, &c, reason, sizeof reason));
    const bool same = bench_case_flops(&c) == flops && bench_case_bytes(&c) == bytes;
    if (!same)
        fail_msg("%s: %.17g operations, %.17g bytes", text, bench_case_flops(&c),
                 bench_case_bytes(&c));
}

/* Pairs and bytes counted by hand: B1 H2 G1 L4 S4 D8, so 64 operations a pair (2 heads), q and out
 * of 64 elements each, k and v of 8 a key each. */
static void kept_keys_cost(void **state) {
    (void)state;
    costs_of("B1 H2 G1 L4 S4 D8 f32", 64 * 16, 4 * (128 + 64));
    costs_of("B1 H2 G1 L4 S4 D8 f32 len=3", 64 * 12, 4 * (128 + 48));
    costs_of("B1 H2 G1 L4 S4 D8 f32 causal", 64 * 8, 4 * (128 + 64)); /* half, by the formula */
    costs_of("B1 H2 G1 L4 S4 D8 f32 mask=causal", 64 * 8, 4 * (128 + 64) + 16);
    costs_of("B1 H2 G1 L4 S4 D8 f32 mask=random", 64 * 8, 4 * (128 + 64) + 16);
    costs_of("B1 H2 G1 L4 S4 D8 f32 mask=keys:1", 64 * 4, 4 * (128 + 16) + 4);
    costs_of("B1 H2 G1 L4 S4 D8 f32 mask=pad:1", 64 * 4, 4 * (128 + 16) + 16);
    costs_of("B1 H2 G1 L4 S4 D8 f32 causal len=2", 64 * 7, 4 * (128 + 32));
    costs_of("B1 H2 G1 L4 S4 D8 f32 causal window=1", 64 * 7, 4 * (128 + 64));
    costs_of("B1 H2 G1 L4 S4 D8 f32 window=0:1", 64 * 7, 4 * (128 + 64));
    costs_of("B1 H2 G1 L1 S4 D8 f32 causal end window=1", 64 * 2, 4 * (32 + 32));
    costs_of("B1 H2 G1 L4 S4 D8 bf16 kv=bf16 cache", 64 * 16, 2 * (128 + 64));
    costs_of("B1 H2 G1 L4 S4 D8 bf16 kv=i8 cache", 64 * 16, 2 * 128 + 8 * (8 + 4));
    costs_of("B1 H2 G1 L4 S4 D8 bf16 bias weights mean lse", 64 * 16,
             2 * (128 + 64) + 2 * 32 + 2 * 32 + 2 * 16 + 4 * 8);
    costs_of("B2 H2 G1 L4 S4 D8 f32 packed len=3", 2 * 64 * 9, 4 * (2 * 96 + 2 * 48));
}

static void lengths_and_places(void **state) {
    char reason[200];
    bench_case c;
    (void)state;
    assert_true(
        bench_case_parse("B50 H3 G1 L40 S40 D8 f32 packed len=5-9", &c, reason, sizeof reason));
    int64_t row = 0;
    int seen[10] = {0};
    for (int64_t h = 0; h < c.heads; ++h)
        for (int64_t b = 0, first = 0; b < c.batch; first += bench_length(&c, b++))
            for (int64_t i = 0; i < bench_length(&c, b); ++i, ++row) {
                const bench_place p = bench_place_of(&c, row);
                assert_true(p.head == h && p.sample == b && p.query == i && p.first_key == first);
            }
    assert_int_equal(row, bench_case_rows(&c));
    for (int64_t b = 0; b < c.batch; ++b)
        seen[bench_length(&c, b)] = 1; /* outside of 5..9 is outside of the array or counted */
    for (int i = 0; i < 10; ++i)
        assert_int_equal(seen[i], i >= 5);
}

/* What a token of an int8 cache means: attend/cache.h. */
static void int8_tokens(void **state) {
    float x[] = {1.27f, -0.635f, 0.0149f, 0}, none[] = {0, 0};
    (void)state;
    bench_round_token(x, 4);
    const float scale = 1.27f / 127;
    assert_true(x[0] == 127 * scale && x[1] == -64 * scale && x[2] == 1 * scale && x[3] == 0);
    bench_round_token(none, 2);
    assert_true(none[0] == 0 && none[1] == 0);
}

/* Rows without a key, and what follows the output in a row. */
static void side_outputs_by_hand(void **state) {
    bench_case c;
    char reason[200];
    oracle o;
    oracle_memory memory;
    (void)state;
    memset(&memory, 0, sizeof memory);
    assert_true(bench_case_parse("B1 H1 G1 L3 S4 D1 f32 window=0:0 mask=keys:2 weights mean lse",
                                 &c, reason, sizeof reason));
    assert_true(oracle_create(&c, &memory, &o));
    assert_int_equal(o.width, 1 + 1 + 4 + 4);
    float v[4];
    bench_input_fill(&c, BENCH_V, ATTEND_F32, v);
    const double *const second = o.want + o.width, *const third = o.want + 2 * o.width;
    assert_true(second[0] == (double)v[1] && second[3] == 1 && second[7] == 1);
    assert_true(second[2] == 0 && third[0] == 0 && isinf(third[1]) && third[4] == 0);
    oracle_difference d = {0, 0};
    float got[10] = {0};
    got[1] = -INFINITY;
    oracle_compare(&o, 2, got, &d);
    assert_true(d.max_error == 0 && d.error_ratio == 0);
    got[1] = 0;
    oracle_compare(&o, 2, got, &d);
    assert_true(d.error_ratio > 1);
    oracle_release(&o);
    oracle_forget(&memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dispatch_texts_are_cases),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(kept_keys_cost),
        cmocka_unit_test(lengths_and_places),
        cmocka_unit_test(int8_tokens),
        cmocka_unit_test(side_outputs_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
