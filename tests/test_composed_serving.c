/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed batches, pages, int8, parts of the keys and caches on a backend without whole attention:
 * the host composes it of the three steps. The operation is taken out of a built-in backend's
 * table; results are held against the same backend with it. Values in buffers that are anything
 * must be clamped there too. The backend is the program's argument, cpu without one. */
#include <attend/attend.h>

#include "core/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { B = 3, H = 4, G = 2, D = 8, E = 6, L = 4, S = 7, C = 2, W = 4, P = B * W, U = 8, V = 14 };
enum { MANY = 2048 };

static const char *backend = "cpu";
static attend_context *whole, *composed;
static float values[MANY], scales[MANY];
static int8_t bytes[MANY];
static const int32_t cu_queries[B + 1] = {0, 4, 4, 7}, cu_keys[B + 1] = {0, 7, 9, 14},
                                    lengths[B] = {7, 2, 5},
                                    table[B * W] = {4, 1, 9, 3, 0, -1, 99, 5, 7, 2, 8, INT32_MIN};

/* What a call writes. */
typedef struct results {
    float out[B * H * U * E], lse[B * H * U], weights[B * H * L * S], mean[B * L * S],
        scores[B * H * L * S];
} results;

static int open_both(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.backend = backend;
    for (int i = 0; i < MANY; i++) {
        values[i] = (float)(i * 37 % 101 - 50) / 32;
        bytes[i] = (int8_t)(i * 41 % 255 - 127);
        scales[i] = (float)(1 + i % 7) / 256;
    }
    if (attend_open(&options, &whole) || attend_open(&options, &composed)) return -1;
    composed->table.operations &= ~(UINT64_C(1) << ATTEND_OP_ATTENTION);
    return 0;
}

static int close_both(void **state) {
    (void)state;
    attend_close(whole);
    attend_close(composed);
    return 0;
}

static void succeeds(attend_status status) {
    if (status != ATTEND_OK) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

/* ---- calls ----------------------------------------------------------------------------------- */

static attend_attention packed_queries(attend_attention a, results *r) {
    a.cu_query_lengths = attend_tensor_1d(cu_queries, ATTEND_I32, B + 1);
    a.max_query_length = L;
    a.q = attend_tensor_4d(values, ATTEND_F32, 1, H, U, D);
    a.out = attend_tensor_4d(r->out, ATTEND_F32, 1, H, U, E);
    a.lse = attend_tensor_3d(r->lse, ATTEND_F32, 1, H, U);
    return a;
}

static attend_attention dense_queries(results *r, bool sides) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(values, ATTEND_F32, B, H, L, D);
    a.out = attend_tensor_4d(r->out, ATTEND_F32, B, H, L, E);
    a.lse = attend_tensor_3d(r->lse, ATTEND_F32, B, H, L);
    a.causal = 1;
    a.position = ATTEND_BOTTOM_RIGHT;
    if (!sides) return a;
    a.weights = attend_tensor_4d(r->weights, ATTEND_F32, B, H, L, S);
    a.weights_mean = attend_tensor_3d(r->mean, ATTEND_F32, B, L, S);
    a.scores = attend_tensor_4d(r->scores, ATTEND_F32, B, H, L, S);
    return a;
}

static attend_attention packed(results *r, bool sides) {
    attend_attention a = packed_queries(dense_queries(r, sides), r);
    a.cu_key_lengths = attend_tensor_1d(cu_keys, ATTEND_I32, B + 1);
    a.max_key_length = S;
    a.k = attend_tensor_4d(values + 5, ATTEND_F32, 1, G, V, D);
    a.v = attend_tensor_4d(values + 9, ATTEND_F32, 1, G, V, E);
    return a;
}

static attend_attention paged(results *r, bool sides) {
    attend_attention a = dense_queries(r, sides);
    a.k = attend_tensor_4d(values + 5, ATTEND_F32, P, G, C, D);
    a.v = attend_tensor_4d(values + 9, ATTEND_F32, P, G, C, E);
    a.page_table = attend_tensor_2d(table, ATTEND_I32, B, W);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    return a;
}

static attend_attention paged_int8(results *r, bool sides) {
    attend_attention a = packed_queries(paged(r, sides), r);
    a.k = attend_tensor_4d(bytes + 5, ATTEND_I8, P, G, C, D);
    a.v = attend_tensor_4d(bytes + 9, ATTEND_I8, P, G, C, E);
    a.k_scales = attend_tensor_3d(scales + 5, ATTEND_F32, P, G, C);
    a.v_scales = attend_tensor_3d(scales + 9, ATTEND_F32, P, G, C);
    a.key_begin = 1;
    a.key_end = 6;
    return a;
}

typedef attend_attention describe(results *r, bool sides);
static describe *const calls[] = {packed, paged, paged_int8};

/* ---- comparing ------------------------------------------------------------------------------- */

static void compare(const results *a, const results *b) {
    const float *const x = (const float *)a, *const y = (const float *)b;
    for (size_t i = 0; i < sizeof *a / sizeof *x; i++) {
        if (x[i] == y[i] || fabsf(x[i] - y[i]) < 1e-4f * (1 + fabsf(x[i]))) continue;
        fail_msg("element %zu: %g whole, %g composed", i, (double)x[i], (double)y[i]);
    }
}

static void test_host_memory(void **state) {
    (void)state;
    static results a, b;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int sides = 0; sides < 2; sides++) {
            memset(&a, 0, sizeof a);
            memset(&b, 0, sizeof b);
            const attend_attention x = calls[i](&a, sides), y = calls[i](&b, sides);
            succeeds(attend_run(whole, &x));
            succeeds(attend_run(composed, &y));
            compare(&a, &b);
            attend_plan *plan = NULL;
            memset(&b, 0, sizeof b);
            succeeds(attend_plan_create(composed, &y, &plan));
            attend_decision decision = {.size = sizeof decision};
            succeeds(attend_plan_decision(plan, &decision));
            assert_non_null(strstr(decision.refused, "composed of steps"));
            succeeds(attend_plan_run(plan, &y));
            compare(&a, &b);
            attend_plan_release(plan);
        }
}

/* Longer than they may be, out of order, far out: nothing is refused late, nothing is read beyond.
 */
static void test_values_in_buffers(void **state) {
    (void)state;
    static const int32_t wild[][B + 1] = {
        {0, 99, -5, 7}, {INT32_MAX, INT32_MIN, 3, 9}, {-1, 8, 8, 8}, {5, 4, 3, 2}, {0, 7, 7, 8}};
    static results a, b;
    for (size_t w = 0; w < sizeof wild / sizeof *wild; w++)
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
            attend_context *const contexts[] = {whole, composed};
            results *const r[] = {&a, &b};
            for (int c = 0; c < 2; c++) {
                attend_buffer *buffer = NULL;
                memset(r[c], 0, sizeof *r[c]);
                attend_attention x = calls[i](r[c], true);
                x.max_key_length = S;
                attend_tensor *const lists[] = {&x.cu_query_lengths, &x.cu_key_lengths,
                                                &x.key_lengths};
                succeeds(attend_buffer_create(contexts[c], sizeof *wild, &buffer));
                succeeds(attend_buffer_write(buffer, 0, wild[w], sizeof *wild));
                for (int n = 0; n < 3; n++) {
                    if (lists[n]->type == ATTEND_NO_TYPE) continue;
                    lists[n]->data = NULL;
                    lists[n]->buffer = buffer;
                }
                succeeds(attend_run(contexts[c], &x));
                attend_buffer_release(buffer);
            }
            compare(&a, &b);
        }
}

static void attend_as_it_grows(attend_context *context, results *r) {
    attend_cache *cache = NULL;
    attend_plan *plan = NULL;
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D;
    d.value_size = E;
    d.capacity = S;
    d.page_size = 3;
    d.type = ATTEND_I8;
    succeeds(attend_cache_create(context, &d, &cache));
    const attend_tensor k = attend_tensor_4d(values, ATTEND_F32, B, G, 1, D),
                        v = attend_tensor_4d(values, ATTEND_F32, B, G, 1, E);
    attend_attention a = dense_queries(r, false);
    a.position = ATTEND_AFTER_CACHE;
    a.cache = cache;
    succeeds(attend_plan_create(context, &a, &plan)); /* of an empty cache, for all it may hold */
    for (int step = 0; step < S; step++) {
        succeeds(attend_cache_append(cache, &k, &v, NULL));
        succeeds(step % 2 ? attend_run(context, &a) : attend_plan_run(plan, &a));
    }
    attend_plan_release(plan);
    attend_cache_release(cache);
}

static void test_cache(void **state) {
    (void)state;
    static results a, b;
    attend_as_it_grows(whole, &a);
    attend_as_it_grows(composed, &b);
    compare(&a, &b);
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_host_memory),
                                       cmocka_unit_test(test_values_in_buffers),
                                       cmocka_unit_test(test_cache)};
    return cmocka_run_group_tests(tests, open_both, close_both);
}
