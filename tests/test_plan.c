/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: smaller calls give the bits of a call without a plan, larger ones and unplanned options
 * are refused, running allocates nothing, any number of threads may run one; and the cache behind
 * calls without a plan. */
#include "counting.h"

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, L = 9, S = 12, D = 16, E = 8, MOST = 4096 };

static attend_context *context;
static float values[MOST];
static const int32_t lengths[B] = {7, 5};
static const attend_tensor none;

static int open(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.allocator = &counting_allocator;
    for (int i = 0; i < MOST; i++)
        values[i] = (float)(i * 37 % 101 - 50) / 32;
    return attend_open(&options, &context) == ATTEND_OK ? 0 : -1;
}

static int close(void **state) {
    (void)state;
    attend_close(context);
    return 0;
}

/* A device with memory of its own has host memory copied at each run, and needs memory for that. */
static bool copies(void) {
    attend_decision decision = {.size = sizeof decision};
    assert_int_equal(attend_context_decision(context, &decision), ATTEND_OK);
    return strcmp(decision.backend, "cpu") != 0 && strcmp(decision.backend, "reference") != 0;
}

/* ---- calls ----------------------------------------------------------------------------------- */

typedef struct sizes {
    int64_t b, h, g, l, s, d, e;
} sizes;

static const sizes largest = {B, H, G, L, S, D, E};

static attend_attention call_of(sizes n, float *out) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(values, ATTEND_F32, n.b, n.h, n.l, n.d);
    a.k = attend_tensor_4d(values + 7, ATTEND_F32, n.b, n.g, n.s, n.d);
    a.v = attend_tensor_4d(values + 31, ATTEND_F32, n.b, n.g, n.s, n.e);
    a.out = attend_tensor_4d(out, ATTEND_F32, n.b, n.h, n.l, n.e);
    a.causal = 1;
    a.position = ATTEND_BOTTOM_RIGHT;
    return a;
}

static attend_plan *plan_of(sizes n) {
    attend_plan *plan = NULL;
    float nothing;
    const attend_attention a = call_of(n, &nothing);
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    return plan;
}

static void check_same(attend_plan *plan, const attend_attention *a) {
    static float planned[MOST], plain[MOST];
    attend_attention x = *a;
    memset(planned, 0x33, sizeof planned);
    memset(plain, 0x33, sizeof plain);
    x.out.data = planned;
    if (attend_plan_run(plan, &x) != ATTEND_OK) fail_msg("%s", attend_error_text());
    x.out.data = plain;
    assert_int_equal(attend_run(context, &x), ATTEND_OK);
    assert_memory_equal(planned, plain, sizeof plain);
}

static void test_smaller(void **state) {
    (void)state;
    static const sizes all[] = {
        {B, H, G, L, S, D, E}, {1, H, G, L, S, D, E}, {B, 2, 1, 3, S, D, E}, {B, H, G, 1, 11, D, E},
        {1, 2, 2, 1, 1, D, E}, {B, H, G, L, 0, D, E}, {0, H, G, L, S, D, E}};
    attend_plan *plan = plan_of(largest);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        float nothing;
        const attend_attention a = call_of(all[i], &nothing);
        check_same(plan, &a);
    }
    attend_plan_release(plan);
}

/* Values, strides and pointers may change from run to run, and options may be left away. */
static void test_other_values(void **state) {
    (void)state;
    float nothing;
    attend_attention a = call_of(largest, &nothing);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.window_left = 100;
    a.softcap = 30;
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    check_same(plan, &a);
    a.window_left = 2;
    a.softcap = 0.5;
    a.has_scale = 1;
    a.scale = -0.25;
    a.position = ATTEND_AT_OFFSETS;
    a.query_offset = 4;
    check_same(plan, &a);
    a.q.strides[1] = D; /* [B, L, H, D] */
    a.q.strides[2] = H * D;
    a.k.strides[0] = 0;
    check_same(plan, &a);
    a.key_lengths = none;
    a.softcap = 0;
    check_same(plan, &a);
    a.causal = 0;
    a.window_left = -1;
    check_same(plan, &a);
    attend_plan_release(plan);
}

static void refuse(attend_plan *plan, attend_attention a, attend_status wanted, const char *words) {
    float out[MOST], before[MOST];
    memset(out, 0x5c, sizeof out);
    memcpy(before, out, sizeof out);
    a.out.data = out;
    const attend_status got = attend_plan_run(plan, &a);
    if (got != wanted || strstr(attend_error_text(), words) == NULL)
        fail_msg("%s \"%s\", not %s \"%s\"", attend_status_name(got), attend_error_text(),
                 attend_status_name(wanted), words);
    assert_memory_equal(out, before, sizeof out);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        sizes n;
        const char *words;
    } larger[] = {{{B + 1, H, G, L, S, D, E}, "B: the plan was made for at most 2, the call has 3"},
                  {{B, H + 2, G, L, S, D, E}, "H: "},
                  {{B, H, H, L, S, D, E}, "G: "},
                  {{B, H, G, L + 1, S, D, E}, "L: "},
                  {{B, H, G, L, S + 1, D, E}, "S: "},
                  {{B, H, G, L, S, D - 1, E}, "D: the plan was made for 16, the call has 15"},
                  {{B, H, G, L, S, D, E - 1}, "E: "}};
    attend_plan *plan = plan_of(largest);
    float nothing;
    for (size_t i = 0; i < sizeof larger / sizeof *larger; i++)
        refuse(plan, call_of(larger[i].n, &nothing), ATTEND_SHAPE, larger[i].words);

    attend_attention a = call_of(largest, &nothing);
    a.softcap = 1;
    refuse(plan, a, ATTEND_INVALID, "softcap: the plan was made without");
    a = call_of(largest, &nothing);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    refuse(plan, a, ATTEND_INVALID, "key_lengths: the plan");
    a = call_of(largest, &nothing);
    a.mask = attend_tensor_2d(values, ATTEND_BOOL, L, S);
    refuse(plan, a, ATTEND_INVALID, "mask: the plan");
    a = call_of(largest, &nothing);
    a.precision = ATTEND_PRECISION_FAST;
    refuse(plan, a, ATTEND_INVALID, "precision FAST: the plan");
    a = call_of(largest, &nothing);
    a.q.type = a.k.type = a.v.type = ATTEND_F16;
    refuse(plan, a, ATTEND_TYPE, "q: the plan was made for f32, the call has f16");
    attend_plan_release(plan);
}

/* The largest sizes are known before there is memory for them. */
static void test_without_memory(void **state) {
    (void)state;
    attend_attention a = call_of(largest, NULL);
    a.q.data = a.k.data = a.v.data = NULL;
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    float nothing;
    a = call_of((sizes){1, H, G, 4, S, D, E}, &nothing);
    check_same(plan, &a);
    attend_plan_release(plan);
}

static void test_workspace(void **state) {
    (void)state;
    attend_plan *plan = plan_of(largest);
    const size_t bytes = attend_plan_workspace_bytes(plan);
    static float expected[MOST], out[MOST];
    unsigned char *memory = aligned_alloc(64, (bytes + 64) / 64 * 64 + 64);
    attend_attention a = call_of(largest, expected);
    assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK);
    a.out.data = out;
    a.workspace = attend_tensor_1d(memory, ATTEND_U8, (int64_t)bytes);
    if (attend_plan_run(plan, &a) != ATTEND_OK) fail_msg("%s", attend_error_text());
    assert_memory_equal(out, expected, sizeof out);
    if (bytes > 0 && !copies()) {
        a.workspace.sizes[0]--;
        const attend_status status = attend_plan_run(plan, &a);
        assert_true(status == ATTEND_SHAPE && strstr(attend_error_text(), "workspace: ") != NULL);
    }
    free(memory);
    attend_plan_release(plan);
}

static void test_decision(void **state) {
    (void)state;
    attend_plan *plan = plan_of(largest);
    attend_decision d = {.size = sizeof d};
    assert_int_equal(attend_plan_decision(plan, &d), ATTEND_OK);
    assert_true(strlen(d.kernel) > 0 && strlen(d.backend) > 0 && strlen(d.device) > 0);
    assert_non_null(strstr(d.shape, "B2 H4 G2 L9 S12 D16"));
    assert_non_null(strstr(d.shape, "causal"));
    float out[MOST];
    const attend_attention a = call_of((sizes){1, H, G, L, S, D, E}, out);
    assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK);
    assert_int_equal(attend_context_decision(context, &d), ATTEND_OK);
    assert_non_null(strstr(d.shape, "B1 H4 G2 L9 S12 D16"));
    attend_plan_release(plan);
}

/* ---- allocating, threads, life --------------------------------------------------------------- */

static void test_allocates_nothing(void **state) {
    (void)state;
    if (copies()) return;
    float out[MOST];
    attend_plan *plan = plan_of(largest);
    const attend_attention a = call_of(largest, out),
                           smaller = call_of((sizes){1, 2, 1, 3, 5, D, E}, out);
    assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK); /* the first run may start threads */
    size_t before = atomic_load(&counted_allocations);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK);
        assert_int_equal(attend_plan_run(plan, &smaller), ATTEND_OK);
    }
    assert_int_equal(atomic_load(&counted_allocations), before);
    attend_plan_release(plan);

    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    before = atomic_load(&counted_allocations);
    for (int64_t keys = S; keys > S / 2 + 2; keys--) { /* one kind: up to 16 keys */
        const attend_attention x = call_of((sizes){B, H, G, L, keys, D, E}, out);
        assert_int_equal(attend_run(context, &x), ATTEND_OK);
    }
    assert_int_equal(atomic_load(&counted_allocations), before);
}

enum { THREADS = 6, ROUNDS = 60 };
static attend_plan *shared;
static float wanted[THREADS][MOST];
static atomic_int wrong;

static sizes of_thread(int64_t t) {
    return (sizes){1 + t % B, H, G, 1 + t, S - t, D, E};
}

static void *run_often(void *argument) {
    const int64_t t = *(const int *)argument;
    static _Thread_local float out[MOST];
    for (int round = 0; round < ROUNDS; round++) {
        memset(out, 0, sizeof out);
        const attend_attention a = call_of(of_thread(t), out);
        const attend_status status =
            round % 2 == 0 ? attend_plan_run(shared, &a) : attend_run(context, &a);
        if (status != ATTEND_OK || memcmp(out, wanted[t], sizeof out) != 0)
            atomic_fetch_add(&wrong, 1);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    int numbers[THREADS];
    shared = plan_of(largest);
    for (int t = 0; t < THREADS; t++) {
        const attend_attention a = call_of(of_thread(t), wanted[t]);
        assert_int_equal(attend_run(context, &a), ATTEND_OK);
    }
    for (int t = 0; t < THREADS; t++) {
        numbers[t] = t;
        assert_int_equal(pthread_create(&threads[t], NULL, run_often, &numbers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    attend_plan_release(shared);
}

/* More kinds of calls than the cache keeps, twice: what was dropped is made again. */
static void test_many_kinds(void **state) {
    (void)state;
    static float first[150][8], out[MOST];
    for (int round = 0; round < 2; round++) {
        for (int64_t d = 1; d <= 150; d++) {
            memset(out, 0, sizeof out);
            const attend_attention a = call_of((sizes){1, 1, 1, 2, 5, d, 3}, out);
            assert_int_equal(attend_run(context, &a), ATTEND_OK);
            if (round == 0) memcpy(first[d - 1], out, sizeof first[0]);
            assert_memory_equal(first[d - 1], out, sizeof first[0]);
        }
    }
}

static void test_outlives_context(void **state) {
    (void)state;
    attend_context *own = NULL, *kept = context;
    assert_int_equal(attend_open(NULL, &own), ATTEND_OK);
    context = own;
    attend_plan *plan = plan_of(largest);
    context = kept;
    attend_close(own);
    float out[MOST];
    const attend_attention a = call_of(largest, out);
    assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK);
    attend_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smaller),           cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_workspace),         cmocka_unit_test(test_decision),
        cmocka_unit_test(test_allocates_nothing), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_many_kinds),        cmocka_unit_test(test_outlives_context),
    };
    return cmocka_run_group_tests(tests, open, close);
}
