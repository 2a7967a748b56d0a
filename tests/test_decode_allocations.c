/* SPDX-License-Identifier: Apache-2.0
 *
 * 10,000 steps of decoding, each an append and an attention over all there is, allocate nothing
 * after the first, whatever the cache's type and pages, with a plan and without; on backends that
 * work on host memory (a device gets copies of it). The backend is the program's argument, cpu
 * without one; "reference" takes 1,000 steps, because its definitions are slow. */
#include "counting.h"

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, D = 8, MOST = 10000 };

static attend_context *context;
static const char *backend = "cpu";
static float q[B * H * D], k[B * G * D], v[B * G * D], out[B * H * D], cosines[MOST * D / 2],
    sines[MOST * D / 2];

static int open(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.allocator = &counting_allocator;
    options.backend = backend;
    options.threads = 2;
    for (int i = 0; i < B * H * D; i++)
        q[i] = (float)(i * 37 % 101 - 50) / 32;
    for (int i = 0; i < B * G * D; i++) {
        k[i] = (float)(i * 41 % 97 - 48) / 32;
        v[i] = (float)(i * 29 % 89 - 44) / 32;
    }
    return attend_rope_tables(MOST, D, 10000, cosines, sines) || attend_open(&options, &context);
}

static int close(void **state) {
    (void)state;
    attend_close(context);
    return 0;
}

static void succeeds(attend_status status) {
    if (status) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

/* ---- decoding -------------------------------------------------------------------------------- */

static attend_cache *make_cache(attend_type type, int64_t page_size, int64_t steps) {
    attend_cache_desc d = attend_cache_desc_default();
    attend_cache *cache;
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D;
    d.capacity = steps;
    d.page_size = page_size;
    d.type = type;
    d.rope_cos = attend_tensor_2d(cosines, ATTEND_F32, steps, D / 2);
    d.rope_sin = attend_tensor_2d(sines, ATTEND_F32, steps, D / 2);
    succeeds(attend_cache_create(context, &d, &cache));
    return cache;
}

static attend_attention step_of(attend_cache *cache) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, B, H, 1, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, B, H, 1, D);
    a.cache = cache;
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    return a;
}

static void one_step(attend_cache *cache, attend_plan *plan) {
    const attend_tensor new_k = attend_tensor_4d(k, ATTEND_F32, B, G, 1, D);
    const attend_tensor new_v = attend_tensor_4d(v, ATTEND_F32, B, G, 1, D);
    const attend_attention a = step_of(cache);
    succeeds(attend_cache_append(cache, &new_k, &new_v, NULL));
    succeeds(plan ? attend_plan_run(plan, &a) : attend_run(context, &a));
}

static void decode(attend_type type, int64_t page_size, int planned) {
    const int64_t steps = strcmp(backend, "reference") ? MOST : 1000;
    attend_cache *const cache = make_cache(type, page_size, steps);
    attend_plan *plan = NULL;
    if (planned) {
        attend_attention largest = step_of(cache);
        largest.max_key_length = steps;
        succeeds(attend_plan_create(context, &largest, &plan));
    }
    one_step(cache, plan);
    const size_t before = atomic_load(&counted_allocations);
    for (int64_t step = 1; step < steps; step++) {
        one_step(cache, plan);
        if (atomic_load(&counted_allocations) != before)
            fail_msg("%s, pages of %d: step %d allocated", attend_type_text(type), (int)page_size,
                     (int)step);
    }
    assert_int_equal(attend_cache_length(cache, B - 1), steps);
    attend_plan_release(plan);
    attend_cache_release(cache);
}

static void test_f32_block(void **state) {
    (void)state;
    decode(ATTEND_F32, 0, 0);
}
static void test_int8_pages(void **state) {
    (void)state;
    decode(ATTEND_I8, 16, 0);
}
static void test_f16_pages_planned(void **state) {
    (void)state;
    decode(ATTEND_F16, 100, 1);
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32_block),
                                       cmocka_unit_test(test_int8_pages),
                                       cmocka_unit_test(test_f16_pages_planned)};
    return cmocka_run_group_tests(tests, open, close);
}
