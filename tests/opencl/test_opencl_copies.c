/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of the device that is kept for operands that are copied: as much as the last calls needed.
 */
#include "watch.h"

#include <stdlib.h>

enum { HEADS = 4, ROWS = 4000, SIZE = 16, FEW = 5 };

static float *values;

/* ---- runs ------------------------------------------------------------------------------------ */

static attend_attention attention_of(int64_t rows) {
    attend_attention a = attend_attention_default();
    a.q = a.k = a.v = attend_tensor_4d(values, ATTEND_F32, 1, HEADS, rows, SIZE);
    a.out = attend_tensor_4d(values + HEADS * ROWS * SIZE, ATTEND_F32, 1, HEADS, rows, SIZE);
    return a;
}

static void run(attend_plan *plan, int64_t rows) {
    const attend_attention a = attention_of(rows);
    if (attend_plan_run(plan, &a) != ATTEND_OK) fail_msg("%s", attend_error_text());
}

/* So many, one in `step` of them large. */
static void run_all(attend_plan *plan, int count, int step) {
    for (int i = 1; i <= count; i++)
        run(plan, i % step == 0 ? ROWS : FEW);
}

static int buffers_made(long from) {
    return own_calls(from, "clCreateBuffer", 0);
}

/* The memory of a large call goes back when enough smaller ones have followed it, and is kept where
 * the large one comes again before. */
static void test_large_calls_leave_no_memory(void **state) {
    (void)state;
    const size_t large = (size_t)4 * HEADS * ROWS * SIZE * sizeof *values;
    attend_context *const context = own_copying("copy");
    const attend_attention largest = attention_of(ROWS);
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(context, &largest, &plan), ATTEND_OK);
    run(plan, FEW);
    const size_t few = own_bytes_held();
    run(plan, ROWS);
    assert_in_range(own_bytes_held(), few + large - large / 16, few + large);
    long before = own_log_position();
    run_all(plan, 120, 30);
    assert_int_equal(buffers_made(before), 0);
    run_all(plan, 70, 71);
    assert_int_equal(own_bytes_held(), few);
    before = own_log_position();
    run_all(plan, 70, 71);
    assert_int_equal(buffers_made(before), 0);
    attend_plan_release(plan);
    attend_close(context);
}

/* They are copied once: no memory is kept for more of them. */
static void test_weights_leave_no_memory(void **state) {
    (void)state;
    attend_context *const context = own_copying("copy");
    const attend_tensor small = attend_tensor_2d(values, ATTEND_F32, 64, 64);
    const attend_tensor large = attend_tensor_2d(values, ATTEND_F32, 512, 512);
    const size_t bytes = (size_t)512 * 512 * sizeof *values;
    attend_weights *first = NULL, *second = NULL;
    assert_int_equal(attend_weights_create(context, &small, &first), ATTEND_OK);
    const size_t few = own_bytes_held();
    assert_int_equal(attend_weights_create(context, &large, &second), ATTEND_OK);
    assert_in_range(own_bytes_held(), few + bytes, few + bytes + bytes / 4);
    attend_weights_release(first);
    attend_weights_release(second);
    attend_close(context);
}

/* Vectors of a layer, in the type they have, are written as they are: nothing is compiled, and no
 * memory is kept. */
static void test_vectors_compile_nothing(void **state) {
    (void)state;
    attend_context *const context = own_copying("copy");
    attend_multihead_desc d = attend_multihead_default();
    attend_multihead *without = NULL, *with = NULL;
    d.heads = 2;
    d.w_q = d.w_k = d.w_v = d.w_o = attend_tensor_2d(values, ATTEND_F32, 32, 32);
    d.max_batch = d.max_query_length = 1;
    assert_int_equal(attend_multihead_create(context, &d, &without), ATTEND_OK);
    const watch_mark before = watch_now(context);
    d.sinks = attend_tensor_1d(values, ATTEND_F32, 2);
    d.sinks.strides[0] = 3;
    assert_int_equal(attend_multihead_create(context, &d, &with), ATTEND_OK);
    assert_int_equal(watch_compiled(), before.libraries);
    attend_multihead_release(without);
    attend_multihead_release(with);
    attend_close(context);
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    values = calloc(2 * HEADS * ROWS * SIZE, sizeof *values);
    own_opencl own;
    if (values == NULL || !watch_start()) return 1;
    int failures = 77;
    if (own_find(&own)) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_large_calls_leave_no_memory),
            cmocka_unit_test(test_weights_leave_no_memory),
            cmocka_unit_test(test_vectors_compile_nothing),
        };
        failures = cmocka_run_group_tests(tests, NULL, NULL);
    }
    watch_end();
    free(values);
    return failures;
}
