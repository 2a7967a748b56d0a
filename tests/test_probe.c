/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_probe on the built-in backends; tests/probe/run.sh has the bad drivers. */
#include "small_call.h"

#include <math.h>
#include <signal.h>

static attend_options only(const char *backend) {
    attend_options options = attend_options_default();
    options.backend = backend;
    options.ignore_environment = 1; /* no folder of modules, no cache but the user's, unused here */
    return options;
}

static void arguments(void **state) {
    (void)state;
    attend_device_list *list = NULL;
    const attend_options options = only("cpu");
    assert_int_equal(attend_probe(&options, 0, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_probe(&options, -1, &list), ATTEND_INVALID);
    assert_says("seconds");
    assert_int_equal(attend_probe(&options, NAN, &list), ATTEND_INVALID);
    assert_int_equal(attend_probe(&options, INFINITY, &list), ATTEND_INVALID);
    assert_null(list);
}

static void tests_the_cpu(void **state) {
    (void)state;
    attend_device_list *list;
    attend_options options = only("cpu,nonesuch");
    signal(SIGCHLD, SIG_IGN); /* an application that wants to hear nothing of children */
    assert_int_equal(attend_probe(&options, 60, &list), ATTEND_OK);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(attend_device_list_count(list), 2);
    attend_device_info info = {.size = sizeof info};
    assert_int_equal(attend_device_list_get(list, 0, &info), ATTEND_OK);
    if (info.reason) print_error("%s\n", info.reason);
    assert_null(info.reason);
    assert_string_equal(info.id, "cpu:0");
    assert_string_equal(info.backend, "cpu");
    assert_string_equal(info.file, "");
    assert_int_equal(info.kind, ATTEND_DEVICE_CPU);
    assert_int_equal(info.status, ATTEND_OK);
    assert_true(info.types & 1u << ATTEND_F32);
    assert_true(info.seconds > 0 && info.seconds < 60);
    assert_int_equal(attend_device_list_get(list, 1, &info), ATTEND_OK);
    assert_string_equal(info.id, "nonesuch");
    assert_int_equal(info.status, ATTEND_NOT_FOUND);
    assert_string_equal(info.reason, "no backend of that name");
    assert_int_equal(attend_device_list_get(list, 2, &info), ATTEND_OUT_OF_RANGE);
    attend_device_list_release(list);
}

/* The oracle is listed where it is asked for. */
static void tests_the_reference(void **state) {
    (void)state;
    attend_device_list *list;
    attend_options options = only("reference");
    assert_int_equal(attend_probe(&options, 60, &list), ATTEND_OK);
    attend_device_info info = {.size = sizeof info};
    assert_int_equal(attend_device_list_get(list, 0, &info), ATTEND_OK);
    assert_string_equal(info.id, "reference:0");
    assert_null(info.reason);
    attend_device_list_release(list);
}

/* A deadline that nothing can meet is a line as well. */
static void deadline(void **state) {
    (void)state;
    attend_device_list *list;
    attend_options options = only("cpu");
    assert_int_equal(attend_probe(&options, 1e-9, &list), ATTEND_OK);
    attend_device_info info = {.size = sizeof info};
    assert_int_equal(attend_device_list_get(list, 0, &info), ATTEND_OK);
    assert_int_equal(info.status, ATTEND_TIMEOUT);
    assert_non_null(strstr(info.reason, "was killed"));
    attend_device_list_release(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),
        cmocka_unit_test(tests_the_cpu),
        cmocka_unit_test(tests_the_reference),
        cmocka_unit_test(deadline),
    };
    return cmocka_run_group_tests(tests, clear_environment, NULL);
}
