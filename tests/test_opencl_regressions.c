/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that once went wrong on the OpenCL backends: each case says how. The backend is the
 * program's argument, else `opencl`; without a device the program ends with 77. */
#include <attend/attend.h>
#include <attend/opencl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { H = 2, L = 5, S = 40, D = 16, QUERIES = H * L * D, KEYS = H * S * D, SCORES = H * L * S };

static attend_context *device, *reference;
static float q[QUERIES], k[KEYS], v[KEYS];

typedef struct results {
    float out[QUERIES], weights[SCORES], scores[SCORES], lse[H * L];
} results;

static int fill(void **state) {
    (void)state;
    for (int i = 0; i < QUERIES; i++)
        q[i] = (float)(i % 13) / 6 - 1;
    for (int i = 0; i < KEYS; i++) {
        k[i] = (float)(i % 7) / 3 - 1;
        v[i] = (float)(i % 11) / 5 - 1;
    }
    return 0;
}

static attend_attention attention(results *r) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, H, S, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, H, S, D);
    a.out = attend_tensor_4d(r->out, ATTEND_F32, 1, H, L, D);
    a.weights = attend_tensor_4d(r->weights, ATTEND_F32, 1, H, L, S);
    a.scores = attend_tensor_4d(r->scores, ATTEND_F32, 1, H, L, S);
    a.lse = attend_tensor_3d(r->lse, ATTEND_F32, 1, H, L);
    return a;
}

static void check_close(const float *got, const float *wanted, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        const bool same = isfinite(wanted[i]) ? fabsf(got[i] - wanted[i]) <= 1e-4f
                          : isnan(wanted[i])  ? isnan(got[i])
                                              : got[i] == wanted[i];
        if (!same) fail_msg("%s %d: %g, not %g", name, i, (double)got[i], (double)wanted[i]);
    }
}

typedef attend_status call_fn(attend_context *context, const attend_attention *a);

/* The description on both backends; `change` sets options, and scores that a step reads. */
static void compare(call_fn *call, void (*change)(attend_attention *a)) {
    static results got, wanted;
    results *const both[] = {&got, &wanted};
    for (int i = 0; i < 2; i++) {
        memset(both[i], 0, sizeof got);
        attend_attention a = attention(both[i]);
        change(&a);
        assert_int_equal(call(i ? reference : device, &a), ATTEND_OK);
    }
    check_close(got.out, wanted.out, QUERIES, "out");
    check_close(got.weights, wanted.weights, SCORES, "weights");
    check_close(got.scores, wanted.scores, SCORES, "scores");
    check_close(got.lse, wanted.lse, H * L, "lse");
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void exclude_at_masked(attend_attention *a) {
    static unsigned char mask[L * S];
    for (int i = 0; i < L * S; i++)
        mask[i] = i % 3 != 0;
    a->mask = attend_tensor_2d(mask, ATTEND_BOOL, L, S);
    a->causal = 1;
    a->position = ATTEND_BOTTOM_RIGHT;
    float *const scores = a->scores.data;
    for (int i = 0; i < SCORES; i++)
        scores[i] = (float)(i % 5) / 4;
}

/* Scores that were given as MASKED were believed to say themselves which keys are excluded; the
 * options of the description were ignored. */
static void test_options_exclude_given_scores(void **state) {
    (void)state;
    compare(attend_softmax, exclude_at_masked);
}

static void no_option(attend_attention *a) {
    (void)a;
}

/* An infinite query makes scores of inf and of -inf. The sum is NaN, so every weight of the row is;
 * those of the -inf were 0. */
static void test_nan_in_all_weights(void **state) {
    (void)state;
    q[0] = INFINITY;
    compare(attend_run, no_option);
}

static void tiny_cap(attend_attention *a) {
    a->softcap = 1e-60;
}

static void large_cap(attend_attention *a) {
    a->softcap = 1e300;
}

/* As float32 one is 0, which means no cap; the other is an infinity, which gave NaN. */
static void test_softcap_beyond_float(void **state) {
    (void)state;
    compare(attend_run, tiny_cap);
    compare(attend_run, large_cap);
}

enum { MANY = 35000, MANY_ROWS = MANY * H * D };

/* One row and two keys for each of 70000 heads, more than some drivers take as work-groups of one
 * dimension. */
static void test_many_heads(void **state) {
    (void)state;
    static float queries[MANY_ROWS], keys[2 * MANY_ROWS], got[MANY_ROWS], wanted[MANY_ROWS];
    for (int i = 0; i < 2 * MANY_ROWS; i++) {
        queries[i / 2] = (float)(i % 17) / 8 - 1;
        keys[i] = (float)(i % 23) / 11 - 1;
    }
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(queries, ATTEND_F32, MANY, H, 1, D);
    a.k = a.v = attend_tensor_4d(keys, ATTEND_F32, MANY, H, 2, D);
    a.out = attend_tensor_4d(got, ATTEND_F32, MANY, H, 1, D);
    assert_int_equal(attend_run(device, &a), ATTEND_OK);
    a.out.data = wanted;
    assert_int_equal(attend_run(reference, &a), ATTEND_OK);
    check_close(got, wanted, MANY_ROWS, "out");
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The cl_context of the device under test: of the event `user`. */
static cl_context context_of(attend_event *user) {
    cl_event native = NULL;
    cl_context context = NULL;
    assert_int_equal(attend_event_to_cl(user, &native), ATTEND_OK);
    (void)clGetEventInfo(native, CL_EVENT_CONTEXT, sizeof context, &context, NULL);
    return context;
}

typedef struct two_events {
    attend_event *first, *second;
    attend_status status;
} two_events;

/* The application hears of the first event and completes the second. */
static void CL_CALLBACK hear(cl_event native, cl_int state, void *argument) {
    (void)native;
    (void)state;
    two_events *const e = argument;
    int32_t complete = 0;
    e->status = attend_event_query(e->first, &complete);
    if (e->status == ATTEND_OK) e->status = attend_user_event_complete(e->second, ATTEND_OK);
}

/* Drivers call back on the thread that ends an event. It held the lock, and hung where the callback
 * called the library. */
static void test_callback_calls_back(void **state) {
    (void)state;
    two_events e = {.status = ATTEND_INTERNAL};
    cl_event native = NULL;
    assert_int_equal(attend_user_event_create(device, &e.first), ATTEND_OK);
    assert_int_equal(attend_user_event_create(device, &e.second), ATTEND_OK);
    assert_int_equal(attend_event_to_cl(e.first, &native), ATTEND_OK);
    assert_int_equal(clSetEventCallback(native, CL_COMPLETE, hear, &e), CL_SUCCESS);
    (void)alarm(60);
    assert_int_equal(attend_user_event_complete(e.first, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(e.second, (int64_t)30e9), ATTEND_OK);
    (void)alarm(0);
    assert_int_equal(e.status, ATTEND_OK);
    attend_event_release(e.first);
    attend_event_release(e.second);
}

/* A failed event of the application's that no work waited for was taken for failed work. */
static void test_failed_event_is_no_work(void **state) {
    (void)state;
    attend_event *user = NULL, *imported = NULL;
    cl_int error = CL_SUCCESS;
    assert_int_equal(attend_user_event_create(device, &user), ATTEND_OK);
    cl_event failing = clCreateUserEvent(context_of(user), &error);
    assert_int_equal(error, CL_SUCCESS);
    assert_int_equal(attend_event_from_cl(device, failing, &imported), ATTEND_OK);
    (void)clSetUserEventStatus(failing, -5);
    int32_t complete = 0;
    assert_int_equal(attend_event_query(imported, &complete), ATTEND_INVALID);
    assert_int_equal(attend_finish(device), ATTEND_OK);
    assert_int_equal(attend_user_event_complete(user, ATTEND_OK), ATTEND_OK);
    attend_event_release(imported);
    attend_event_release(user);
    (void)clReleaseEvent(failing);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The byte offset of an import was not counted in: scratch began up to 7 bytes before the
 * workspace. */
static void test_workspace_in_an_odd_import(void **state) {
    (void)state;
    results r;
    attend_attention a = attention(&r);
    attend_event *user = NULL;
    attend_buffer *buffer = NULL;
    cl_int error = CL_SUCCESS;
    assert_int_equal(attend_user_event_create(device, &user), ATTEND_OK);
    const int64_t bytes = 1 << 20;
    cl_mem memory =
        clCreateBuffer(context_of(user), CL_MEM_READ_WRITE, (size_t)bytes + 64, NULL, &error);
    assert_int_equal(error, CL_SUCCESS);
    assert_int_equal(attend_buffer_from_cl(device, memory, 4, (size_t)bytes, &buffer), ATTEND_OK);
    a.workspace = attend_tensor_in(buffer, 0, ATTEND_U8, 1, &bytes, NULL);
    assert_int_equal(attend_run(device, &a), ATTEND_INVALID);
    assert_non_null(strstr(attend_error_text(), "workspace: is not aligned to 64 bytes"));
    attend_buffer_release(buffer);
    (void)clReleaseMemObject(memory);
    assert_int_equal(attend_user_event_complete(user, ATTEND_OK), ATTEND_OK);
    attend_event_release(user);
}

/* ---- all ------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    attend_options options = attend_options_default();
    options.backend = argc > 1 ? argv[1] : "opencl";
    if (attend_open(&options, &device) != ATTEND_OK) {
        (void)fprintf(stderr, "skipped: %s\n", attend_error_text());
        return 77;
    }
    options.backend = "reference";
    if (attend_open(&options, &reference) != ATTEND_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_options_exclude_given_scores, fill),
        cmocka_unit_test_setup(test_nan_in_all_weights, fill),
        cmocka_unit_test_setup(test_softcap_beyond_float, fill),
        cmocka_unit_test(test_many_heads),
        cmocka_unit_test(test_callback_calls_back),
        cmocka_unit_test(test_failed_event_is_no_work),
        cmocka_unit_test(test_workspace_in_an_odd_import),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    attend_close(device);
    attend_close(reference);
    return failures;
}
