/* SPDX-License-Identifier: Apache-2.0
 *
 * A device that is lost in the library's own context, which all that open the device share: a new
 * context works as the sentence promises, while those on the lost one are still open, and the lost
 * one is released with the last of them. The layer tamper.c loses devices. */
#include "own_opencl.h"

#include <stdlib.h>

static attend_status open_one(attend_context **context) {
    attend_options options = attend_options_default();
    options.backend = own_backend;
    return attend_open(&options, context);
}

static attend_context *opened(void) {
    attend_context *context = NULL;
    if (open_one(&context) != ATTEND_OK) fail_msg("%s", attend_error_text());
    return context;
}

static attend_status run_on(attend_context *context, float *values) {
    own_fill(values, 9);
    const attend_attention a = own_on_host(values);
    return attend_run(context, &a);
}

static void check_works(attend_context *context) {
    static float expected[OWN_SUM], values[OWN_SUM];
    own_fill(expected, 9);
    own_expect(expected);
    if (run_on(context, values) != ATTEND_OK) fail_msg("%s", attend_error_text());
    own_check_close(values, expected, OWN_SUM);
}

static void lose(attend_context *context) {
    float values[OWN_SUM];
    assert_int_equal(setenv("ATTEND_TEST_LOSE", "1", 1), 0);
    own_refused(run_on(context, values), ATTEND_DEVICE_LOST, "");
    assert_int_equal(unsetenv("ATTEND_TEST_LOSE"), 0);
    own_refused(run_on(context, values), ATTEND_DEVICE_LOST, "open a new context");
}

static int contexts(long from) {
    return own_calls(from, "clCreateContext", 0);
}

/* Twice: the second loses what replaced the first. */
static void a_new_context_works(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        attend_context *const context = opened(), *const other = opened();
        check_works(context);
        lose(context);
        attend_context *const fresh = opened();
        check_works(fresh);
        own_refused(run_on(context, (float[OWN_SUM]){0}), ATTEND_DEVICE_LOST, "open a new context");
        const long before_close = own_log_position();
        attend_close(other);
        assert_int_equal(own_calls(before_close, "clReleaseContext", 0), 0);
        attend_close(context);
        assert_int_equal(own_calls(before_close, "clReleaseContext", 0), 1);
        check_works(fresh);
        attend_close(fresh);
        const long before = own_log_position();
        attend_context *const again = opened();
        check_works(again);
        attend_close(again);
        assert_int_equal(contexts(before), 0); /* the good one stayed */
    }
}

/* By nobody's work: the next to open the device sees it, and fails, but not the one after it. */
static void a_loss_is_noticed_by_opening(void **state) {
    (void)state;
    attend_context *const context = opened();
    attend_context *failed = NULL;
    check_works(context);
    assert_int_equal(setenv("ATTEND_TEST_LOSE", "1", 1), 0);
    own_refused(open_one(&failed), ATTEND_DEVICE_LOST, "CL_INVALID_CONTEXT");
    assert_int_equal(unsetenv("ATTEND_TEST_LOSE"), 0);
    attend_context *const fresh = opened();
    check_works(fresh);
    attend_close(fresh);
    attend_close(context);
}

int main(int argc, char **argv) {
    attend_context *context = NULL;
    own_choose_backend(argc, argv);
    if (!own_log_start()) return 1;
    if (open_one(&context) != ATTEND_OK) return 77;
    attend_close(context);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_context_works),
        cmocka_unit_test(a_loss_is_noticed_by_opening),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    own_log_end();
    return failed;
}
