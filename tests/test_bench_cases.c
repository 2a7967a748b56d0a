/* SPDX-License-Identifier: Apache-2.0
 *
 * The cases of the benchmark: texts, JSON, lists and ranges, what they cost, and the values that
 * all workers share. Figures were worked out by hand or by bench/peers/worker.py. */
#include "bench_case.h"
#include "bench_values.h"
#include "case_list.h"
#include "oracle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void texts_come_back(void **state) {
    static const char *const texts[] = {
        "B1 H12 G12 L512 S512 D64 f32",
        "B2 H8 G2 L1 S77 D128 bf16 causal",
        "layer B1 L10 M512 H8 f32 causal",
        "project R10 N512 K256 f16",
        "softmax B1 H2 L3 S4 f32 causal",
        "scores B1 H4 G2 L3 S5 D8 bf16",
        "merge B1 H2 L3 D4 f32",
        "B2 H8 G2 L9 S9 D16 f32 causal end packed len=3-9 window=4:2 mask=pad:5 bias alibi "
        "softcap=12.5 weights mean lse fast threads=2",
        "B1 H8 G2 L1 S99 D16 f32 len=50 window=20 mask=random kv=i8 cache=16",
        "B1 H8 G2 L9 S9 D16 bf16 mask=causal kv=bf16 cache",
        "project R1 N2 K3 f32 threads=1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        bench_case c, again;
        char text[BENCH_NAME], reason[200];
        assert_true(bench_case_parse(texts[i], &c, reason, sizeof reason));
        bench_case_text(&c, text, sizeof text);
        assert_string_equal(text, texts[i]);
        json_t *const object = bench_case_write(&c);
        assert_non_null(object);
        assert_true(bench_case_read(object, &again, reason, sizeof reason));
        assert_memory_equal(&c, &again, sizeof c);
        json_decref(object);
    }
}

static void decisions_are_cases(void **state) {
    bench_case c;
    char reason[200];
    (void)state;
    /* what attend_decision.shape says: the value size is one of its letters */
    assert_true(bench_case_parse("B1 H4 G4 L40 S40 D24 E24 f32 causal", &c, reason, sizeof reason));
    assert_int_equal(c.head_size, 24);
    assert_true(c.causal);
    assert_false(bench_case_parse("B1 H4 G4 L40 S40 D24 E8 f32", &c, reason, sizeof reason));
    assert_non_null(strstr(reason, "E8"));
    assert_false(bench_case_parse("B1 H4 G4 L40 S40 D24 f32 sinks", &c, reason, sizeof reason));
    assert_non_null(strstr(reason, "'sinks'"));
    /* options whose text does not say all: something usual */
    assert_true(bench_case_parse("B1 H4 G4 L40 S40 D24 E24 f32 window=7 mask key_lengths "
                                 "alibi_slopes weights_mean",
                                 &c, reason, sizeof reason));
    assert_string_equal(c.name, "B1 H4 G4 L40 S40 D24 f32 len=40 window=7 mask=random alibi mean");
    assert_false(bench_case_parse("project R1 N2 K2 f32 causal", &c, reason, sizeof reason));
    assert_non_null(strstr(reason, "causal"));
    assert_false(bench_case_parse("B1 H4", &c, reason, sizeof reason));
    assert_false(bench_case_parse("", &c, reason, sizeof reason));
}

static void json_is_checked(void **state) {
    static const char *const bad[] = {
        "{}",
        "{\"name\":\"a\",\"op\":\"attention\",\"dtype\":\"f32\"}",
        "{\"name\":\"a\",\"op\":\"nothing\",\"dtype\":\"f32\"}",
        "{\"name\":\"a\",\"op\":\"merge\",\"dtype\":\"f64\",\"B\":1,\"H\":1,\"L\":1,\"D\":1}",
        "{\"name\":\"a\",\"op\":\"merge\",\"dtype\":\"f32\",\"B\":1,\"H\":1,\"L\":0,\"D\":1}",
        "{\"name\":\"a\",\"op\":\"merge\",\"dtype\":\"f32\",\"B\":1.5,\"H\":1,\"L\":1,\"D\":1}",
        "{\"name\":\"a\",\"op\":\"merge\",\"dtype\":\"f32\",\"B\":1,\"H\":1,\"L\":1,\"D\":1,\"S\":"
        "1}",
        "{\"name\":\"a\",\"op\":\"merge\",\"dtype\":\"f32\",\"B\":1,\"H\":1,\"L\":1,\"D\":1,"
        "\"bias\":true}",
        "{\"name\":\"a\",\"op\":\"attention\",\"dtype\":\"f32\",\"B\":1,\"H\":1,\"G\":1,\"L\":1,"
        "\"S\":1,\"D\":1,\"softcap\":3}",
        "{\"name\":\"a\",\"op\":\"layer\",\"dtype\":\"f32\",\"B\":1,\"H\":3,\"L\":1,\"M\":4}",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        bench_case c;
        char reason[200] = "";
        json_t *const object = json_loads(bad[i], 0, NULL);
        assert_non_null(object);
        assert_false(bench_case_read(object, &c, reason, sizeof reason));
        assert_true(reason[0] != 0);
        json_decref(object);
    }
}

static void ranges(void **state) {
    static const struct {
        const char *text;
        int64_t numbers[8];
        size_t count;
    } good[] = {
        {"128,512", {128, 512}, 2},   {"8-32*2", {8, 16, 32}, 3}, {"1-4", {1, 2, 3, 4}, 4},
        {"0-12+4", {0, 4, 8, 12}, 4}, {"3-10*2,7", {3, 6, 7}, 3}, {"5-5", {5}, 1},
    };
    static const char *const bad[] = {"",      ",",     "1,",          "1,,2",   "4-1", "1-4*1",
                                      "1-4+0", "0-8*2", "1-",          "-3",     "1.5", " 1",
                                      "1-4*",  "1-4x",  "99999999999", "1-20000"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i) {
        int64_t *numbers = NULL;
        size_t count = 0;
        char reason[CASE_LIST_REASON];
        assert_true(number_list_read(good[i].text, 0, &numbers, &count, reason));
        assert_int_equal(count, good[i].count);
        assert_memory_equal(numbers, good[i].numbers, count * sizeof *numbers);
        free(numbers);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        int64_t *numbers = NULL;
        size_t count = 0;
        char reason[CASE_LIST_REASON] = "";
        assert_false(number_list_read(bad[i], 0, &numbers, &count, reason));
        assert_null(numbers);
        assert_true(reason[0] != 0);
    }
}

static void matrices(void **state) {
    char reason[CASE_LIST_REASON];
    case_list list = {NULL, 0};
    const case_matrix m = {.ops = "attention,project",
                           .heads = "4,8",
                           .kv_heads = "2",
                           .seq = "16-64*2",
                           .causal = "0,1",
                           .types = "f32,bf16"};
    (void)state;
    assert_true(case_list_add_matrix(&list, &m, reason));
    /* attention: 2 heads x 3 lengths x 2 x 2 types; a projection knows no causal */
    assert_int_equal(list.count, 24 + 12);
    assert_string_equal(list.items[0].name, "B1 H4 G2 L16 S16 D64 f32");
    assert_string_equal(list.items[24].name, "project R16 N256 K256 f32");
    case_list_release(&list);

    const case_matrix uneven = {.heads = "12", .kv_heads = "5"};
    assert_false(case_list_add_matrix(&list, &uneven, reason));
    case_list_release(&list);
    const case_matrix large = {.heads = "1-1000", .seq = "1-1000"};
    assert_false(case_list_add_matrix(&list, &large, reason));
    assert_non_null(strstr(reason, "1000000"));
    assert_int_equal(list.count, 0);
    case_list_release(&list);
}

static void named_shapes(void **state) {
    char reason[CASE_LIST_REASON];
    case_list list = {NULL, 0};
    (void)state;
    assert_true(case_list_add_named(&list, "all", NULL, reason));
    assert_int_equal(list.count, 23);
    case_list_release(&list);
    assert_true(case_list_add_named(&list, "bert-512,B1 H1 G1 L2 S2 D2 f16", "f32,bf16", reason));
    assert_int_equal(list.count, 3); /* the text names its own type */
    assert_int_equal(list.items[0].heads, 12);
    assert_int_equal(list.items[1].type, ATTEND_BF16);
    assert_int_equal(list.items[2].type, ATTEND_F16);
    case_list_release(&list);
    assert_false(case_list_add_named(&list, "bert-511", NULL, reason));
    case_list_release(&list);
}

static void costs(void **state) {
    char reason[200];
    bench_case c;
    (void)state;
    assert_true(bench_case_parse("B1 H12 G12 L512 S512 D64 f32", &c, reason, sizeof reason));
    assert_true(bench_case_flops(&c) == 805306368.0); /* 4 * 12 * 512 * 512 * 64 */
    assert_true(bench_case_bytes(&c) == 4.0 * 4 * 12 * 512 * 64);
    c.causal = true;
    assert_true(bench_case_flops(&c) == 402653184.0);
    assert_true(bench_case_parse("layer B1 L10 M512 H8 f32", &c, reason, sizeof reason));
    assert_true(bench_case_flops(&c) == 8.0 * 10 * 512 * 512 + 4.0 * 10 * 10 * 512);
    assert_true(bench_case_parse("project R10 N512 K256 bf16", &c, reason, sizeof reason));
    assert_true(bench_case_flops(&c) == 2.0 * 10 * 512 * 256);
    assert_true(bench_case_bytes(&c) == 2.0 * (10 * 256 + 512 * 256 + 10 * 512 + 512));
    assert_true(bench_case_parse("scores B2 H6 G3 L5 S7 D4 f32", &c, reason, sizeof reason));
    assert_true(bench_case_flops(&c) == 2.0 * 2 * 6 * 5 * 7 * 4);
    assert_true(bench_case_bytes(&c) == 4.0 * 2 * (6 * 5 * 4 + 3 * 7 * 4 + 6 * 5 * 7));
    c.kv_heads = 4;
    assert_false(bench_case_check(&c, reason, sizeof reason));
}

/* worker.values(1, 4, ..) and worker.values(3, 1, ..) of bench/peers/worker.py */
static void shared_values(void **state) {
    bench_case c;
    char reason[200];
    float q[6], v[6];
    (void)state;
    assert_true(bench_case_parse("B1 H1 G1 L2 S2 D3 f32", &c, reason, sizeof reason));
    bench_input_fill(&c, BENCH_Q, ATTEND_F32, q);
    bench_input_fill(&c, BENCH_V, ATTEND_F32, v);
    static const float want_q[] = {-0x1.f80c6c0000000p+1f, 0x1.f505600000000p-1f,
                                   -0x1.e182c80000000p+1f, -0x1.c1d1d40000000p+1f,
                                   -0x1.5023100000000p-1f, 0x1.38ad880000000p+0f};
    static const float want_v[] = {-0x1.c1cf8c0000000p-1f, 0x1.cb18180000000p-1f,
                                   0x1.e9d0000000000p-3f,  -0x1.1379800000000p-4f,
                                   -0x1.7523000000000p-1f, -0x1.a559740000000p-1f};
    assert_memory_equal(q, want_q, sizeof q);
    assert_memory_equal(v, want_v, sizeof v);
}

/* The oracle by hand: one query over two keys; and a NaN is never forgotten. */
static void oracle_by_hand(void **state) {
    bench_case c;
    char reason[200];
    oracle o;
    oracle_memory memory;
    float q[1], k[2], v[2];
    (void)state;
    assert_true(bench_case_parse("B1 H1 G1 L1 S2 D1 f32", &c, reason, sizeof reason));
    bench_input_fill(&c, BENCH_Q, ATTEND_F32, q);
    bench_input_fill(&c, BENCH_K, ATTEND_F32, k);
    bench_input_fill(&c, BENCH_V, ATTEND_F32, v);
    memset(&memory, 0, sizeof memory);
    assert_true(oracle_create(&c, &memory, &o));
    assert_int_equal(o.row_count, 1);
    const double a = exp((double)q[0] * (double)k[0]), b = exp((double)q[0] * (double)k[1]);
    const double want = (a * (double)v[0] + b * (double)v[1]) / (a + b);
    assert_true(fabs(o.want[0] - want) < 1e-14);
    assert_true(o.bound[0] > 0 && o.bound[0] < 1e-4);

    oracle_difference d = {0, 0};
    const float right = (float)want, wrong = NAN;
    oracle_compare(&o, 0, &right, &d);
    assert_true(d.error_ratio <= 1);
    oracle_compare(&o, 0, &wrong, &d);
    oracle_compare(&o, 0, &right, &d);
    assert_true(isnan(d.max_error) && isinf(d.error_ratio));
    oracle_release(&o);
    oracle_forget(&memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back), cmocka_unit_test(decisions_are_cases),
        cmocka_unit_test(json_is_checked), cmocka_unit_test(ranges),
        cmocka_unit_test(matrices),        cmocka_unit_test(named_shapes),
        cmocka_unit_test(costs),           cmocka_unit_test(shared_values),
        cmocka_unit_test(oracle_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
