/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that once crashed, hung or gave NaN: each case says what went wrong. Most were found by
 * fuzz_attention.c or by hand. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { L = 3, S = 3, D = 4, MANY = 1000 };

static attend_context *context;
static float q[MANY], k[MANY], v[MANY], out[MANY];

static int open_backend(const char *backend) {
    attend_options options = attend_options_default();
    options.backend = backend;
    for (int i = 0; i < MANY; i++)
        q[i] = k[i] = v[i] = (float)(i % 7) / 4;
    return attend_open(&options, &context) == ATTEND_OK ? 0 : -1;
}

static int open_cpu(void **state) {
    (void)state;
    return open_backend("cpu");
}

static int open_reference(void **state) {
    (void)state;
    return open_backend("reference");
}

static int close(void **state) {
    (void)state;
    attend_close(context);
    return 0;
}

static attend_attention small(void) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, 1, S, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, 1, S, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, L, D);
    return a;
}

static void refused(attend_status got, attend_status wanted, const char *words) {
    if (got != wanted || strncmp(attend_error_text(), words, strlen(words)) != 0)
        fail_msg("%s \"%s\", not %s \"%s\"", attend_status_name(got), attend_error_text(),
                 attend_status_name(wanted), words);
}

/* Ids in a buffer are clamped to the table's rows: without rows that was a division by zero. */
static void test_no_rows_to_clamp_to(void **state) {
    (void)state;
    attend_buffer *buffer = NULL;
    const int64_t sizes[2] = {1, L};
    assert_int_equal(attend_buffer_create(context, 64, &buffer), ATTEND_OK);
    attend_embedding e = attend_embedding_default();
    e.table = attend_tensor_2d(k, ATTEND_F32, 0, D);
    e.ids = attend_tensor_in(buffer, 0, ATTEND_I32, 2, sizes, NULL);
    e.out = attend_tensor_3d(out, ATTEND_F32, 1, L, D);
    refused(attend_embed(context, &e), ATTEND_OUT_OF_RANGE, "ids: table has no rows");
    attend_rope r = attend_rope_default();
    r.x = attend_tensor_4d(q, ATTEND_F32, 1, 1, L, D);
    r.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, L, D);
    r.cos = r.sin = attend_tensor_2d(k, ATTEND_F32, 0, D / 2);
    r.position_ids = e.ids;
    refused(attend_rope_run(context, &r), ATTEND_OUT_OF_RANGE, "position_ids: cos has no rows");
    attend_buffer_release(buffer);
}

/* Twice S overflowed where scratch was measured: a plan for the longest S ran on next to none. */
static void test_longest_keys(void **state) {
    (void)state;
    attend_plan *plan = NULL;
    attend_attention a = small();
    a.q.sizes[3] = a.k.sizes[3] = a.v.sizes[3] = a.out.sizes[3] = 1;
    a.k.sizes[2] = a.v.sizes[2] = INT64_MAX;
    a.k.strides[2] = a.v.strides[2] = 0;
    refused(attend_plan_create(context, &a, &plan), ATTEND_OVERFLOW, "k: key length ");
    assert_null(plan);
    refused(attend_run(context, &a), ATTEND_OVERFLOW, "k: key length ");
}

/* The alignment of scratch in a buffer was not looked at. */
static void test_workspace_in_buffer(void **state) {
    (void)state;
    attend_buffer *buffer = NULL;
    attend_plan *plan = NULL;
    attend_attention a = small();
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    const int64_t bytes = (int64_t)attend_plan_workspace_bytes(plan) + 1;
    assert_int_equal(attend_buffer_create(context, (size_t)bytes + 64, &buffer), ATTEND_OK);
    for (int64_t offset = 0; offset <= 64; offset += 1 + offset / 2) {
        a.workspace = attend_tensor_in(buffer, offset, ATTEND_U8, 1, &bytes, NULL);
        const attend_status status = attend_plan_run(plan, &a);
        if (offset % 64 == 0)
            assert_int_equal(status, ATTEND_OK);
        else
            refused(status, ATTEND_INVALID, "workspace: ");
    }
    attend_plan_release(plan);
    attend_buffer_release(buffer);
}

/* The default scale came from a negative head size: NaN. */
static void test_softmax_beside_bad_q(void **state) {
    (void)state;
    attend_attention a = small();
    a.scores = attend_tensor_4d(k, ATTEND_F32, 1, 1, L, S);
    a.weights = attend_tensor_4d(out, ATTEND_F32, 1, 1, L, S);
    a.scores_stage = ATTEND_SCORES_RAW;
    a.q.sizes[3] = -D;
    refused(attend_softmax(context, &a), ATTEND_INVALID, "has_scale: ");
    a.has_scale = 1; /* then q is not used, whatever it holds */
    a.scale = 1;
    assert_int_equal(attend_softmax(context, &a), ATTEND_OK);
    assert_true(fabs((double)out[0] + (double)out[1] + (double)out[2] - 1) < 1e-6);
}

/* Every element was read where one repeats: for hours. */
static void test_repeated_lengths(void **state) {
    (void)state;
    static const int32_t length = S, too_long = S + 1;
    static const int64_t offset = 1;
    const int64_t samples = INT64_C(1) << 55;
    attend_attention a = small();
    a.q.sizes[0] = a.k.sizes[0] = a.v.sizes[0] = a.out.sizes[0] = samples;
    a.k.strides[0] = a.v.strides[0] = 0;
    a.q.sizes[2] = a.out.sizes[2] = 0;
    a.key_lengths = attend_tensor_1d(&length, ATTEND_I32, samples);
    a.query_offsets = attend_tensor_1d(&offset, ATTEND_I64, samples);
    a.key_lengths.strides[0] = a.query_offsets.strides[0] = 0;
    a.position = ATTEND_AT_OFFSETS;
    a.window_left = 1;
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    a.key_lengths.data = (void *)(uintptr_t)&too_long;
    refused(attend_run(context, &a), ATTEND_OUT_OF_RANGE, "key_lengths: value 4 of element 0 ");
}

/* The offset of a tensor without elements was added to its address, its extents to each other. */
static void test_offset_without_elements(void **state) {
    (void)state;
    attend_attention a = small();
    a.k.sizes[2] = a.v.sizes[2] = 0;
    a.k.offset = INT64_MAX;
    a.v.offset = INT64_MAX / 2;
    a.k.strides[3] = INT64_MAX / 2;
    memset(out, 0x33, sizeof out);
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    for (int i = 0; i < L * D; i++)
        assert_true(out[i] == 0.0f);
}

/* So was it when enqueued work took a copy of lengths for no samples. */
static void test_enqueued_without_samples(void **state) {
    (void)state;
    static const int32_t length = S;
    attend_event *done = NULL;
    attend_attention a = small();
    a.q.sizes[0] = a.k.sizes[0] = a.v.sizes[0] = a.out.sizes[0] = 0;
    a.key_lengths = attend_tensor_1d(&length, ATTEND_I32, 0);
    a.key_lengths.offset = INT64_MAX;
    assert_int_equal(attend_enqueue(context, &a, 0, NULL, &done), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
}

/* The stride of a dimension of 1 was turned into bytes. */
static void test_stride_of_one(void **state) {
    (void)state;
    attend_elementwise e = attend_elementwise_default();
    e.activation = ATTEND_RELU;
    e.x = attend_tensor_3d(q, ATTEND_F32, 1, L, 1);
    e.out = attend_tensor_3d(out, ATTEND_F32, 1, L, 1);
    e.x.strides[0] = e.x.strides[2] = INT64_MAX / 2;
    e.out.strides[0] = e.out.strides[2] = INT64_MAX / 2;
    assert_int_equal(attend_activate(context, &e), ATTEND_OK);
    assert_memory_equal(out, q, L * sizeof *q);
}

/* Work failed with a status that has no name. */
static void test_user_event_status(void **state) {
    (void)state;
    attend_event *event = NULL;
    assert_int_equal(attend_user_event_create(context, &event), ATTEND_OK);
    refused(attend_user_event_complete(event, (attend_status)-999), ATTEND_INVALID, "status: ");
    assert_int_equal(attend_user_event_complete(event, ATTEND_INTERNAL), ATTEND_OK);
    assert_int_equal(attend_event_wait(event, -1), ATTEND_INTERNAL);
    attend_event_release(event);
}

/* Rows without columns were counted one by one. */
static void test_tables_without_columns(void **state) {
    (void)state;
    const int64_t many = INT64_C(1) << 60;
    float nothing = 0;
    assert_int_equal(attend_sinusoidal_positions(many, 0, &nothing), ATTEND_OK);
    assert_int_equal(attend_rope_tables(many, 0, 10000, &nothing, &nothing), ATTEND_OK);
    attend_t5_bias d = attend_t5_bias_default();
    d.table = d.bias = &nothing;
    d.heads = 1;
    d.query_length = many;
    assert_int_equal(attend_t5_position_bias(&d), ATTEND_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_rows_to_clamp_to),
                                       cmocka_unit_test(test_longest_keys),
                                       cmocka_unit_test(test_workspace_in_buffer),
                                       cmocka_unit_test(test_softmax_beside_bad_q),
                                       cmocka_unit_test(test_repeated_lengths),
                                       cmocka_unit_test(test_offset_without_elements),
                                       cmocka_unit_test(test_enqueued_without_samples),
                                       cmocka_unit_test(test_stride_of_one),
                                       cmocka_unit_test(test_user_event_status),
                                       cmocka_unit_test(test_tables_without_columns)};
    return cmocka_run_group_tests_name("cpu", tests, open_cpu, close) +
           cmocka_run_group_tests_name("reference", tests, open_reference, close);
}
