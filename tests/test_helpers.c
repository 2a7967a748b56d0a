/* SPDX-License-Identifier: Apache-2.0
 *
 * The helpers on host memory against tables of other projects and against their definitions in long
 * double; and the defaults of every description. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

/* ---- ALiBi ----------------------------------------------------------------------------------- */

/* The recipe of the paper's own code: a power of two gives a geometric series from 2^(-8/n); other
 * numbers take the series of the next lower power, then every other element of that of the next
 * higher. */
static void test_alibi(void **state) {
    (void)state;
    static const float twelve[12] = {0x1p-1f,     0x1p-2f,     0x1p-3f,     0x1p-4f,
                                     0x1p-5f,     0x1p-6f,     0x1p-7f,     0x1p-8f,
                                     0.70710678f, 0.35355339f, 0.17677670f, 0.08838835f};
    float slopes[64];
    assert_int_equal(attend_alibi_slopes(12, slopes), ATTEND_OK);
    for (int h = 0; h < 12; h++)
        assert_true(fabsf(slopes[h] - twelve[h]) <= 1e-7f * twelve[h]);
    assert_int_equal(attend_alibi_slopes(64, slopes), ATTEND_OK);
    for (int h = 0; h < 64; h++)
        assert_true(fabsl(slopes[h] - powl(2, -8.0L * (h + 1) / 64)) <= 6e-8L * slopes[h]);
    assert_int_equal(attend_alibi_slopes(1, slopes), ATTEND_OK);
    assert_true(slopes[0] == 0x1p-8f);
    assert_int_equal(attend_alibi_slopes(0, slopes), ATTEND_INVALID);
    assert_int_equal(attend_alibi_slopes(-4, slopes), ATTEND_INVALID);
    assert_int_equal(attend_alibi_slopes(4, NULL), ATTEND_NULL_POINTER);
}

/* ---- T5 -------------------------------------------------------------------------------------- */

/* Runs of equal buckets by distance 0, 1, 2, .. as transformers' T5 computes them for 32 buckets
 * and 128. */
static const int both_ways[] = {1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 7, 9, 14, 18, 27}; /* then the last */
static const int one_way[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1, 1,
                              3, 2, 3, 3, 4, 4, 5, 6, 6, 7, 8, 10, 10, 12, 14};

static void check_buckets(const attend_t5_bias *d, const float *bias, const int *runs, int count,
                          int first) {
    int distance = 0;
    for (int bucket = 0; bucket < count; bucket++)
        for (int n = 0; n < runs[bucket]; n++, distance++)
            assert_true(bias[d->key_length - 1 - distance] == (float)(first + bucket));
    for (; distance < d->key_length; distance++)
        assert_true(bias[d->key_length - 1 - distance] == (float)(first + count));
}

static void test_t5(void **state) {
    (void)state;
    enum { KEYS = 200 };
    float table[32], bias[KEYS];
    for (int i = 0; i < 32; i++)
        table[i] = (float)i;
    attend_t5_bias d = attend_t5_bias_default();
    d.table = table;
    d.bias = bias;
    d.heads = d.query_length = 1;
    d.key_length = KEYS;
    d.query_offset = KEYS - 1; /* the query stands on the last key: all others are its past */
    assert_int_equal(attend_t5_position_bias(&d), ATTEND_OK);
    check_buckets(&d, bias, both_ways, sizeof both_ways / sizeof *both_ways, 0);
    d.bidirectional = 0;
    assert_int_equal(attend_t5_position_bias(&d), ATTEND_OK);
    check_buckets(&d, bias, one_way, sizeof one_way / sizeof *one_way, 0);
}

/* Buckets of the future lie behind those of the past; [H, L, S] from [buckets, H]. */
static void test_t5_layout(void **state) {
    (void)state;
    enum { H = 3, L = 4, S = 6, BUCKETS = 8 };
    float table[BUCKETS][H], bias[H][L][S];
    for (int b = 0; b < BUCKETS; b++)
        for (int h = 0; h < H; h++)
            table[b][h] = (float)(10 * b + h);
    attend_t5_bias d = attend_t5_bias_default();
    d.table = &table[0][0];
    d.bias = &bias[0][0][0];
    d.heads = H;
    d.query_length = L;
    d.key_length = S;
    d.buckets = BUCKETS;
    d.max_distance = 3; /* distances 0, 1, then 2, then 3 and more: buckets 0 to 3, future 4 more */
    d.query_offset = 1;
    assert_int_equal(attend_t5_position_bias(&d), ATTEND_OK);
    for (int h = 0; h < H; h++)
        for (int i = 0; i < L; i++)
            for (int j = 0; j < S; j++) {
                const int relative = j - i - 1, distance = relative < 0 ? -relative : relative;
                const int bucket = (relative > 0 ? 4 : 0) + (distance < 3 ? distance : 3);
                assert_true(bias[h][i][j] == (float)(10 * bucket + h));
            }
}

static void test_t5_refused(void **state) {
    (void)state;
    float room[4] = {1, 2, 3, 4};
    attend_t5_bias good = attend_t5_bias_default(), d;
    good.table = good.bias = room;
    assert_int_equal(attend_t5_position_bias(&good), ATTEND_OK); /* no heads: nothing is written */
    assert_int_equal(attend_t5_position_bias(NULL), ATTEND_NULL_POINTER);
#define REFUSED(wanted, words, change)                                                             \
    d = good;                                                                                      \
    d.heads = d.query_length = d.key_length = 1;                                                   \
    change;                                                                                        \
    assert_int_equal(attend_t5_position_bias(&d), wanted);                                         \
    assert_non_null(strstr(attend_error_text(), words));
    REFUSED(ATTEND_NULL_POINTER, "table: ", d.table = NULL)
    REFUSED(ATTEND_NULL_POINTER, "bias: ", d.bias = NULL)
    REFUSED(ATTEND_INVALID, "heads: ", d.heads = -1)
    REFUSED(ATTEND_INVALID, "query_length: ", d.query_length = -1)
    REFUSED(ATTEND_INVALID, "key_length: ", d.key_length = -1)
    REFUSED(ATTEND_INVALID, "buckets: ", d.buckets = 2)
    REFUSED(ATTEND_INVALID, "buckets: ", d.buckets = 9)
    REFUSED(ATTEND_INVALID, "buckets: ", d.buckets = 1; d.bidirectional = 0)
    REFUSED(ATTEND_INVALID, "max_distance: 8", d.max_distance = 8)
    REFUSED(ATTEND_INVALID, "max_distance: 16", d.max_distance = 16; d.bidirectional = 0)
    REFUSED(ATTEND_OUT_OF_RANGE, "query_offset: ", d.query_offset = INT64_MIN)
    assert_true(room[0] == 1 && room[1] == 2);
}

/* ---- positions
 * ------------------------------------------------------------------------------------ */

static void test_sinusoidal(void **state) {
    (void)state;
    enum { ROWS = 50, WIDTH = 7 }; /* odd: the last column is a sine without its cosine */
    float table[ROWS][WIDTH];
    assert_int_equal(attend_sinusoidal_positions(ROWS, WIDTH, &table[0][0]), ATTEND_OK);
    for (int p = 0; p < ROWS; p++)
        for (int m = 0; m < WIDTH; m++) {
            const long double angle = p / powl(10000, (m - m % 2) / (long double)WIDTH);
            assert_true(fabsl(table[p][m] - (m % 2 ? cosl(angle) : sinl(angle))) <= 6.1e-8L);
        }
    assert_int_equal(attend_sinusoidal_positions(-1, 4, &table[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_sinusoidal_positions(1, -4, &table[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_sinusoidal_positions(1, 4, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_sinusoidal_positions(0, 4, NULL), ATTEND_OK);
}

static void test_rope_tables(void **state) {
    (void)state;
    enum { ROWS = 40, HALF = 5 };
    float c[ROWS][HALF], s[ROWS][HALF];
    assert_int_equal(attend_rope_tables(ROWS, 2 * HALF, 500, &c[0][0], &s[0][0]), ATTEND_OK);
    for (int p = 0; p < ROWS; p++)
        for (int r = 0; r < HALF; r++) {
            const long double angle = p * powl(500, -2.0L * r / (2 * HALF));
            assert_true(fabsl(c[p][r] - cosl(angle)) <= 6.1e-8L);
            assert_true(fabsl(s[p][r] - sinl(angle)) <= 6.1e-8L);
        }
    assert_int_equal(attend_rope_tables(1, 3, 500, &c[0][0], &s[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_rope_tables(-1, 2, 500, &c[0][0], &s[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_rope_tables(1, 2, 0, &c[0][0], &s[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_rope_tables(1, 2, NAN, &c[0][0], &s[0][0]), ATTEND_INVALID);
    assert_int_equal(attend_rope_tables(1, 2, 500, NULL, &s[0][0]), ATTEND_NULL_POINTER);
    assert_int_equal(attend_rope_tables(1, 2, 500, &c[0][0], NULL), ATTEND_NULL_POINTER);
}

/* ---- defaults, and the cache that this version does not have
 * ---------------------------------------- */

typedef void init_form(void *description, size_t size);

/* Every _init writes its size first, no byte past `size`, and zeros in members it does not know. */
static void test_init(void **state) {
    (void)state;
    static const struct {
        init_form *init;
        size_t size;
    } all[] = {{attend_attention_init, sizeof(attend_attention)},
               {attend_t5_bias_init, sizeof(attend_t5_bias)},
               {attend_projection_init, sizeof(attend_projection)},
               {attend_copy_init, sizeof(attend_copy)},
               {attend_norm_init, sizeof(attend_norm)},
               {attend_elementwise_init, sizeof(attend_elementwise)},
               {attend_rope_init, sizeof(attend_rope)},
               {attend_embedding_init, sizeof(attend_embedding)},
               {attend_cache_desc_init, sizeof(attend_cache_desc)},
               {attend_multihead_desc_init, sizeof(attend_multihead_desc)},
               {attend_multihead_args_init, sizeof(attend_multihead_args)},
               {attend_feedforward_desc_init, sizeof(attend_feedforward_desc)},
               {attend_feedforward_args_init, sizeof(attend_feedforward_args)},
               {attend_block_desc_init, sizeof(attend_block_desc)},
               {attend_block_args_init, sizeof(attend_block_args)}};
    static unsigned char bytes[8192];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const size_t sizes[] = {all[i].size, all[i].size - 8, sizeof(size_t), all[i].size + 40};
        for (int k = 0; k < 4; k++) {
            memset(bytes, 0xee, sizeof bytes);
            all[i].init(bytes, sizes[k]);
            size_t size;
            memcpy(&size, bytes, sizeof size);
            assert_int_equal(size, sizes[k]);
            assert_int_equal(bytes[sizes[k]], 0xee);
            for (size_t at = all[i].size; at < sizes[k]; at++)
                assert_int_equal(bytes[at], 0);
        }
        memset(bytes, 0xee, sizeof bytes);
        all[i].init(bytes, sizeof(size_t) - 1);
        assert_int_equal(bytes[0], 0xee);
        all[i].init(NULL, all[i].size);
    }
    const attend_attention a = attend_attention_default();
    assert_true(a.window_left == -1 && a.window_right == -1 &&
                a.scores_stage == ATTEND_SCORES_MASKED);
    const attend_norm n = attend_norm_default();
    assert_true(n.kind == ATTEND_LAYER_NORM && n.eps == 1e-5);
    const attend_block_desc b = attend_block_default();
    assert_true(b.norm == ATTEND_LAYER_NORM && b.eps == 1e-5);
    const attend_multihead_desc m = attend_multihead_default();
    assert_true(m.window_left == -1 && m.window_right == -1);
    assert_true(attend_embedding_default().scale == 1.0);
    assert_int_equal(attend_feedforward_default().activation, ATTEND_RELU);
}

static void test_cache(void **state) {
    (void)state;
    attend_context *context = NULL;
    attend_cache *cache = (attend_cache *)(void *)&context;
    const attend_cache_desc d = attend_cache_desc_default();
    assert_int_equal(attend_open(NULL, &context), ATTEND_OK);
    assert_int_equal(attend_cache_create(NULL, &d, &cache), ATTEND_NULL_POINTER);
    assert_int_equal(attend_cache_create(context, NULL, &cache), ATTEND_NULL_POINTER);
    assert_int_equal(attend_cache_create(context, &d, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_cache_create(context, &d, &cache), ATTEND_INVALID);
    assert_non_null(strstr(attend_error_text(), "batch: "));
    assert_null(cache);
    assert_int_equal(attend_cache_append(NULL, NULL, NULL, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_cache_truncate(NULL, NULL), ATTEND_NULL_POINTER);
    attend_cache_release(NULL);
    attend_close(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alibi),      cmocka_unit_test(test_t5),
        cmocka_unit_test(test_t5_layout),  cmocka_unit_test(test_t5_refused),
        cmocka_unit_test(test_sinusoidal), cmocka_unit_test(test_rope_tables),
        cmocka_unit_test(test_init),       cmocka_unit_test(test_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
