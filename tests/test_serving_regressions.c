/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of serving that once hung, were refused or read what was no list: each case says what went
 * wrong. Found by fuzz_serving.c or by hand. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { B = 2, D = 4, CAPACITY = 8, MANY = 256 };

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

static void refused(attend_status got, attend_status wanted, const char *words) {
    if (got != wanted || strncmp(attend_error_text(), words, strlen(words)) != 0)
        fail_msg("%s \"%s\", not %s \"%s\"", attend_status_name(got), attend_error_text(),
                 attend_status_name(wanted), words);
}

static void succeeds(attend_status status) {
    if (status != ATTEND_OK) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

static attend_cache_desc small(void) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = B;
    d.kv_heads = 1;
    d.head_size = D;
    d.capacity = CAPACITY;
    d.page_size = 2;
    d.type = ATTEND_F32;
    return d;
}

static attend_cache *make(const attend_cache_desc *d) {
    attend_cache *cache = NULL;
    succeeds(attend_cache_create(context, d, &cache));
    return cache;
}

/* `n` tokens for each sample. */
static attend_status append(attend_cache *cache, int64_t n, const attend_tensor *counts) {
    const attend_tensor x = attend_tensor_4d(k, ATTEND_F32, B, 1, n, D);
    return attend_cache_append(cache, &x, &x, counts);
}

/* A cache that rotates keys refused every enqueued append; released before it ran, its tables were
 * not held. */
static void test_enqueued_rotation(void **state) {
    (void)state;
    static const float cosine[CAPACITY * D / 2], sine[CAPACITY * D / 2] = {1, 1, 1, 1};
    float pages[2][B * CAPACITY * D];
    memset(pages, 0, sizeof pages);
    attend_buffer *memory = NULL, *tokens = NULL;
    attend_event *gate = NULL, *done = NULL;
    succeeds(attend_buffer_import(context, "host", pages, 0, sizeof pages, &memory));
    succeeds(attend_buffer_import(context, "host", k, 0, sizeof k, &tokens));
    attend_cache_desc d = small();
    const int64_t shape[4] = {B * CAPACITY / 2, 1, 2, D}, one[4] = {B, 1, 1, D};
    d.k = attend_tensor_in(memory, 0, ATTEND_F32, 4, shape, NULL);
    d.v = attend_tensor_in(memory, B * CAPACITY * D, ATTEND_F32, 4, shape, NULL);
    d.rope_cos = attend_tensor_2d(cosine, ATTEND_F32, CAPACITY, D / 2);
    d.rope_sin = attend_tensor_2d(sine, ATTEND_F32, CAPACITY, D / 2);
    attend_cache *cache = make(&d);
    const attend_tensor x = attend_tensor_in(tokens, 0, ATTEND_F32, 4, one, NULL);
    succeeds(attend_user_event_create(context, &gate));
    succeeds(attend_cache_append_enqueue(cache, &x, &x, NULL, 1, &gate, &done));
    attend_cache_release(cache);
    succeeds(attend_user_event_complete(gate, ATTEND_OK));
    succeeds(attend_event_wait(done, -1));
    for (int i = 0; i < D; i++) { /* a quarter turn: (a, b) becomes (-b, a) */
        assert_true(pages[0][i] == (i < D / 2 ? -k[i + D / 2] : k[i - D / 2]));
        assert_true(pages[1][i] == k[i]);
    }
    attend_event_release(done);
    attend_event_release(gate);
    attend_buffer_release(tokens);
    attend_buffer_release(memory);
}

/* Sizes of a page were multiplied before anybody looked whether the product fits. */
static void test_page_beyond_memory(void **state) {
    (void)state;
    attend_cache *cache = NULL;
    attend_cache_desc d = small();
    d.kv_heads = d.page_size = d.capacity = d.head_size = INT64_C(1) << 40;
    refused(attend_cache_create(context, &d, &cache), ATTEND_OVERFLOW, "page_size: ");
    assert_null(cache);
}

/* Lists were read, and tokens counted in, before they were known to be lists. */
static void test_bad_lists(void **state) {
    (void)state;
    static const int64_t values[B + 1] = {1, 1, 1};
    attend_cache_desc d = small();
    attend_cache *cache = make(&d);
    succeeds(append(cache, 2, NULL));
    attend_tensor list = attend_tensor_1d(values, ATTEND_I64, B);
    list.offset = -1;
    refused(append(cache, 2, &list), ATTEND_OUT_OF_RANGE, "counts: offset");
    refused(attend_cache_truncate(cache, &list), ATTEND_OUT_OF_RANGE, "lengths: offset");
    refused(attend_cache_reorder(cache, &list), ATTEND_OUT_OF_RANGE, "parents: offset");
    attend_attention a = attend_attention_default();
    a.cache = cache;
    a.q = attend_tensor_4d(q, ATTEND_F32, B, 1, 1, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, B, 1, 1, D);
    a.key_lengths = list;
    refused(attend_run(context, &a), ATTEND_OUT_OF_RANGE, "key_lengths: offset");
    list.offset = 0;
    list.data = (char *)list.data + 1;
    refused(attend_cache_truncate(cache, &list), ATTEND_INVALID, "lengths: memory is not aligned");
    list.type = ATTEND_NO_TYPE; /* was taken for none */
    refused(append(cache, 2, &list), ATTEND_TYPE, "counts: has memory but no element type");
    refused(append(cache, INT64_MIN, NULL), ATTEND_SHAPE, "k: ");
    assert_int_equal(attend_cache_length(cache, 0), 2);
    attend_cache_release(cache);
}

/* Every element was read where one repeats: for hours. */
static void test_repeated_lists(void **state) {
    (void)state;
    static const int64_t nothing, many = INT64_C(1) << 59;
    static const int32_t page;
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, 2, D);
    a.k = a.v = attend_tensor_4d(k, ATTEND_F32, 1, 1, 2, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, 2, D);
    a.cu_query_lengths = a.cu_key_lengths = attend_tensor_1d(&nothing, ATTEND_I64, many);
    a.cu_query_lengths.strides[0] = a.cu_key_lengths.strides[0] = 0;
    refused(attend_run(context, &a), ATTEND_OVERFLOW, "cu_query_lengths: ");
    memset(&a.cu_query_lengths, 0, sizeof a.cu_query_lengths);
    memset(&a.cu_key_lengths, 0, sizeof a.cu_key_lengths);
    a.key_lengths = attend_tensor_1d(&nothing, ATTEND_I64, many);
    a.key_lengths.strides[0] = 0;
    a.page_table = attend_tensor_2d(&page, ATTEND_I32, many, 1);
    a.page_table.strides[0] = 0;
    a.q.sizes[0] = a.out.sizes[0] = many;
    a.q.sizes[2] = a.out.sizes[2] = 0;
    succeeds(attend_run(context, &a));
    attend_append p = attend_append_default();
    p.k = p.v = attend_tensor_4d(k, ATTEND_F32, many, 1, 0, D);
    p.starts = a.key_lengths;
    p.page_table = a.page_table;
    p.k_pages = attend_tensor_4d(q, ATTEND_F32, 1, 1, 2, D);
    p.v_pages = attend_tensor_4d(out, ATTEND_F32, 1, 1, 2, D);
    refused(attend_append_run(context, &p), ATTEND_OVERFLOW, "starts: ");
}

/* Rows up to the longest length were looked at, packed or not: for hours. */
static void test_longest_beyond_rows(void **state) {
    (void)state;
    static const int32_t cu[B + 1] = {0, 1, 2};
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, 2, D);
    a.k = a.v = attend_tensor_4d(k, ATTEND_F32, 1, 1, 2, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, 2, D);
    a.cu_query_lengths = a.cu_key_lengths = attend_tensor_1d(cu, ATTEND_I32, B + 1);
    a.max_query_length = INT64_C(1) << 59;
    succeeds(attend_run(context, &a));
    assert_memory_equal(out, k, 2 * D * sizeof *out); /* one key each */
}

/* A plan needs no memory, so that nobody looked at that of lengths before they were read. */
static void test_plan_of_bad_lengths(void **state) {
    (void)state;
    static const int32_t cu[B + 2] = {0, 1, 2};
    attend_plan *plan = NULL;
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(NULL, ATTEND_F32, 1, 1, 2, D);
    a.k = a.v = a.out = a.q;
    a.cu_query_lengths = a.cu_key_lengths = attend_tensor_1d(cu, ATTEND_I32, B + 1);
    succeeds(attend_plan_create(context, &a, &plan));
    attend_plan_release(plan);
    a.cu_key_lengths.data = (char *)a.cu_key_lengths.data + 1;
    refused(attend_plan_create(context, &a, &plan), ATTEND_INVALID, "cu_key_lengths: memory is");
    a.cu_key_lengths = a.cu_query_lengths;
    a.cu_key_lengths.strides[0] = INT64_MAX;
    refused(attend_plan_create(context, &a, &plan), ATTEND_OVERFLOW, "cu_key_lengths: ");
}

/* The softmax alone took cumulative lengths beyond the rows of lse; the mix alone took packed
 * queries over keys that are not. */
static void test_steps_of_packed_batches(void **state) {
    (void)state;
    static const int32_t cu[B + 1] = {0, 2, 4}, keys[B + 1] = {0, 1, 2};
    attend_attention a = attend_attention_default();
    a.scores = attend_tensor_4d(q, ATTEND_F32, B, 1, 2, 2);
    a.weights = attend_tensor_4d(out, ATTEND_F32, B, 1, 2, 2);
    a.lse = attend_tensor_3d(v, ATTEND_F32, 1, 1, 3);
    a.cu_query_lengths = attend_tensor_1d(cu, ATTEND_I32, B + 1);
    a.cu_key_lengths = attend_tensor_1d(keys, ATTEND_I32, B + 1);
    a.scores_stage = ATTEND_SCORES_MASKED;
    refused(attend_softmax(context, &a), ATTEND_OUT_OF_RANGE, "cu_query_lengths: ends at 4, lse ");
    a.lse.sizes[2] = 4;
    succeeds(attend_softmax(context, &a));
    memset(&a.cu_key_lengths, 0, sizeof a.cu_key_lengths);
    a.v = attend_tensor_4d(v, ATTEND_F32, B, 1, 2, D);
    a.out = attend_tensor_4d(k, ATTEND_F32, 1, 1, 4, D);
    refused(attend_mix(context, &a), ATTEND_INVALID, "cu_query_lengths: must be given with cu_key");
}

/* After truncating and reordering, AFTER_CACHE meant behind all tokens, not where the last append
 * began: with causal the last token saw more than when it was appended. */
static void test_position_of_last_append(void **state) {
    (void)state;
    static const int64_t all[B] = {4, 3}, swapped[B] = {1, 0};
    float before[B * D], after[B * D];
    attend_cache_desc d = small();
    attend_cache *cache = make(&d);
    attend_attention a = attend_attention_default();
    a.cache = cache;
    a.q = attend_tensor_4d(q, ATTEND_F32, B, 1, 1, D);
    a.out = attend_tensor_4d(before, ATTEND_F32, B, 1, 1, D);
    a.position = ATTEND_AFTER_CACHE;
    a.causal = 1;
    succeeds(append(cache, 1, NULL));
    succeeds(append(cache, 3, NULL));
    succeeds(attend_run(context, &a));
    attend_tensor list = attend_tensor_1d(all, ATTEND_I64, B);
    succeeds(attend_cache_truncate(cache, &list));
    a.out.data = after;
    succeeds(attend_run(context, &a));
    assert_memory_equal(before, after, sizeof before);
    memcpy(q, q + D, D * sizeof *q); /* the same query for both */
    succeeds(attend_run(context, &a));
    memcpy(before, after, sizeof before);
    list.data = (void *)(uintptr_t)swapped;
    succeeds(attend_cache_reorder(cache, &list));
    succeeds(attend_run(context, &a));
    assert_memory_equal(before, after + D, D * sizeof *before);
    assert_memory_equal(before + D, after, D * sizeof *before);
    attend_cache_release(cache);
}

/* Scales without what they scale were left out in silence. */
static void test_scales_alone(void **state) {
    (void)state;
    attend_cache_desc d = small();
    d.type = ATTEND_I8;
    attend_cache *cache = make(&d);
    succeeds(append(cache, 2, NULL));
    attend_cache_view view = attend_cache_view_default();
    view.v = attend_tensor_3d(out, ATTEND_F32, 1, 2, D);
    view.k_scales = attend_tensor_2d(v, ATTEND_F32, 1, 2);
    refused(attend_cache_read(cache, &view), ATTEND_INVALID, "k_scales: ");
    attend_cache_release(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_enqueued_rotation),
                                       cmocka_unit_test(test_page_beyond_memory),
                                       cmocka_unit_test(test_bad_lists),
                                       cmocka_unit_test(test_repeated_lists),
                                       cmocka_unit_test(test_longest_beyond_rows),
                                       cmocka_unit_test(test_plan_of_bad_lengths),
                                       cmocka_unit_test(test_steps_of_packed_batches),
                                       cmocka_unit_test(test_position_of_last_append),
                                       cmocka_unit_test(test_scales_alone)};
    return cmocka_run_group_tests_name("cpu", tests, open_cpu, close) +
           cmocka_run_group_tests_name("reference", tests, open_reference, close);
}
