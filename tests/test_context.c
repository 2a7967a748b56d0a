/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is chosen and why, what the settings may be, and what is said about it. */
#include "small_call.h"

static attend_status open_named(const char *backend, const char *device, attend_context **context) {
    attend_options o = attend_options_default();
    o.backend = backend;
    o.device = device;
    return attend_open(&o, context);
}

/* ---- choice ---------------------------------------------------------------------------------- */

static void default_is_cpu(void **state) {
    (void)state;
    attend_context *c;
    assert_int_equal(attend_open(NULL, &c), ATTEND_OK);
    attend_attention a = attention();
    assert_int_equal(attend_run(c, &a), ATTEND_OK);
    attend_decision d = {.size = sizeof d};
    assert_int_equal(attend_context_decision(c, &d), ATTEND_OK);
    assert_string_equal(d.backend, "cpu");
    assert_string_equal(d.reason, "default");
    assert_true(!*d.refused || strstr(d.refused, "run attend doctor")); /* a module lies there */
    assert_string_equal(d.shape, "B1 H4 G4 L40 S40 D24 E24 f32");
    assert_memory_equal(d.kernel, "attention_f32_", 14);
    assert_non_null(strstr(attend_describe(c), d.kernel));
    attend_close(c);
}

static void each_context_has_its_record(void **state) {
    (void)state;
    attend_context *a, *b;
    attend_attention call = attention();
    assert_int_equal(open_named("cpu", NULL, &a), ATTEND_OK);
    assert_int_equal(open_named("reference", NULL, &b), ATTEND_OK);
    assert_int_equal(attend_run(a, &call), ATTEND_OK);
    assert_int_equal(attend_run(b, &call), ATTEND_OK);
    assert_non_null(strstr(attend_describe(a), "attention_f32_"));
    assert_non_null(strstr(attend_describe(b), "attention_f64_"));
    attend_decision d = {0};
    assert_int_equal(attend_context_decision(a, &d), ATTEND_INVALID);
    attend_close(a);
    attend_close(b);
}

static void names_are_strict_and_lists_fall_back(void **state) {
    (void)state;
    attend_context *c = (attend_context *)1;
    assert_int_equal(open_named("nonesuch", NULL, &c), ATTEND_NOT_FOUND);
    assert_null(c);
    assert_says("nonesuch");
    assert_says("cpu");
    assert_says("reference");
    assert_int_equal(open_named("nonesuch,reference", NULL, &c), ATTEND_OK);
    attend_decision d = {.size = sizeof d};
    assert_int_equal(attend_context_decision(c, &d), ATTEND_OK);
    assert_string_equal(d.backend, "reference");
    assert_non_null(strstr(d.refused, "nonesuch"));
    attend_close(c);
    assert_int_equal(open_named("nonesuch,neither", NULL, &c), ATTEND_NOT_FOUND);
    assert_says("neither");
    assert_int_equal(open_named("nonesuch , cpu", NULL, &c), ATTEND_OK);
    attend_close(c);
    assert_int_equal(open_named(",", NULL, &c), ATTEND_NOT_FOUND);
    assert_int_equal(open_named("../cpu", NULL, &c), ATTEND_NOT_FOUND);
}

static void environment_is_read_at_open_and_api_wins(void **state) {
    (void)state;
    attend_context *c;
    setenv("ATTEND_BACKEND", "reference", 1);
    assert_int_equal(attend_open(NULL, &c), ATTEND_OK);
    assert_memory_equal(attend_describe(c), "reference:", 10);
    assert_non_null(strstr(attend_describe(c), "ATTEND_BACKEND asked"));
    attend_close(c);
    assert_int_equal(open_named("cpu", NULL, &c), ATTEND_OK);
    assert_memory_equal(attend_describe(c), "cpu:", 4);
    attend_close(c);
    attend_options o = attend_options_default();
    o.ignore_environment = 1;
    assert_int_equal(attend_open(&o, &c), ATTEND_OK);
    assert_memory_equal(attend_describe(c), "cpu:", 4);
    attend_close(c);
}

static void devices_by_id_part_and_type(void **state) {
    (void)state;
    attend_context *c;
    assert_int_equal(open_named("reference", "reference:0", &c), ATTEND_OK);
    attend_close(c);
    assert_int_equal(open_named("reference", "DOUBLE prec", &c), ATTEND_OK);
    attend_close(c);
    assert_int_equal(open_named("reference", "cpu", &c), ATTEND_OK);
    attend_close(c);
    assert_int_equal(open_named("reference", "gpu", &c), ATTEND_NOT_FOUND);
    assert_says("reference:0");
    assert_int_equal(open_named("cpu", "pocl", &c), ATTEND_NOT_FOUND);
    assert_says("pocl");
    setenv("ATTEND_DEVICE", "cpu:7", 1);
    assert_int_equal(attend_open(NULL, &c), ATTEND_NOT_FOUND);
}

static void bad_settings_are_named(void **state) {
    (void)state;
    attend_context *c;
    static const char *const bad[][3] = {
        {"ATTEND_NUM_THREADS", "abc", "ATTEND_NUM_THREADS"},
        {"ATTEND_NUM_THREADS", "-2", "ATTEND_NUM_THREADS"},
        {"ATTEND_NUM_THREADS", "99999999999999999999", "ATTEND_NUM_THREADS"},
        {"ATTEND_VERBOSE", "dispatch,everythin", "everythin"},
        {"ATTEND_ISA", "mmx", "mmx"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv(bad[i][0], bad[i][1], 1);
        assert_int_equal(attend_open(NULL, &c), ATTEND_INVALID);
        assert_null(c);
        assert_says(bad[i][2]);
        unsetenv(bad[i][0]);
    }
    setenv("ATTEND_VERBOSE", "all", 1);
    setenv("ATTEND_LOG_FILE", "/nonexistent/folder/log", 1);
    assert_int_equal(attend_open(NULL, &c), ATTEND_IO);
    assert_says("ATTEND_LOG_FILE");
    clear_environment(NULL);
    attend_options o = attend_options_default();
    o.threads = -1;
    assert_int_equal(attend_open(&o, &c), ATTEND_INVALID);
    assert_says("threads");
    o = attend_options_default();
    o.size = 0;
    assert_int_equal(attend_open(&o, &c), ATTEND_INVALID);
    assert_int_equal(attend_open(NULL, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_open_native("abacus", &o, NULL, &c), ATTEND_UNSUPPORTED);
    assert_says("abacus");
    assert_int_equal(attend_open_native(NULL, &o, NULL, &c), ATTEND_NULL_POINTER);
}

/* A caller compiled against a later header, with a member that is off, and with one that is not. */
static void later_options(void **state) {
    (void)state;
    struct {
        attend_options known;
        int64_t later;
    } o = {attend_options_default(), 0};
    o.known.size = sizeof o;
    attend_context *c;
    assert_int_equal(attend_open(&o.known, &c), ATTEND_OK);
    attend_close(c);
    o.later = 1;
    assert_int_equal(attend_open(&o.known, &c), ATTEND_INVALID);
}

/* ---- what is said ---------------------------------------------------------------------------- */

typedef struct lines {
    int count;
    char text[4096];
} lines;

static void collect(void *user, attend_log_level level, const char *topic, const char *text) {
    lines *l = user;
    (void)level;
    l->count++;
    const size_t used = strlen(l->text);
    snprintf(l->text + used, sizeof l->text - used, "%s: %s\n", topic, text);
}

static void log_goes_to_the_callback(void **state) {
    (void)state;
    lines l = {0};
    attend_options o = attend_options_default();
    o.backend = "nonesuch,cpu";
    o.log = collect;
    o.log_user = &l;
    attend_context *c;
    assert_int_equal(attend_open(&o, &c), ATTEND_OK);
    assert_non_null(strstr(l.text, "select: running on cpu"));
    assert_non_null(strstr(l.text, "nonesuch"));
    attend_attention a = attention();
    assert_int_equal(attend_run(c, &a), ATTEND_OK);
    assert_null(strstr(l.text, "dispatch"));
    attend_close(c);
    o.verbose = "dispatch";
    assert_int_equal(attend_open(&o, &c), ATTEND_OK);
    assert_int_equal(attend_run(c, &a), ATTEND_OK);
    assert_non_null(strstr(l.text, "dispatch: cpu: attention_f32_"));
    attend_close(c);
}

static void unknown_variable_is_warned_of_once(void **state) {
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        lines l = {0};
        setenv("ATTEND_BAKEND", "x", 1);
        attend_options o = attend_options_default();
        o.log = collect;
        o.log_user = &l;
        attend_context *c;
        if (attend_open(&o, &c)) _exit(1);
        attend_close(c);
        const int first = strstr(l.text, "ATTEND_BAKEND") != NULL;
        l = (lines){0};
        if (attend_open(&o, &c)) _exit(1);
        attend_close(c);
        _exit(first && !strstr(l.text, "ATTEND_BAKEND") ? 0 : 2);
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(unknown_variable_is_warned_of_once,
                               clear_environment), /* before any open */
        cmocka_unit_test_setup(default_is_cpu, clear_environment),
        cmocka_unit_test_setup(each_context_has_its_record, clear_environment),
        cmocka_unit_test_setup(names_are_strict_and_lists_fall_back, clear_environment),
        cmocka_unit_test_setup(environment_is_read_at_open_and_api_wins, clear_environment),
        cmocka_unit_test_setup(devices_by_id_part_and_type, clear_environment),
        cmocka_unit_test_setup(bad_settings_are_named, clear_environment),
        cmocka_unit_test_setup(later_options, clear_environment),
        cmocka_unit_test_setup(log_goes_to_the_callback, clear_environment),
    };
    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
