/* SPDX-License-Identifier: Apache-2.0
 *
 * What is copied to the device once. */
#include "watch.h"

#include <stdlib.h>

static float *values;

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
    const watch_mark before = watch_now();
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
    values = calloc(32 * 32, sizeof *values);
    own_opencl own;
    if (values == NULL || !watch_start()) return 1;
    int failures = 77;
    if (own_find(&own)) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_vectors_compile_nothing),
        };
        failures = cmocka_run_group_tests(tests, NULL, NULL);
    }
    watch_end();
    free(values);
    return failures;
}
