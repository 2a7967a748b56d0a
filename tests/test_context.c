/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts: who is chosen and what is said about it, settings, allocators and thread pools of the
 * application, fork, shutdown. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { H = 4, L = 40, D = 24, COUNT = H * L * D };
static float q[COUNT], k[COUNT], v[COUNT], out[COUNT];

static attend_attention attention(void) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, H, L, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, H, L, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, H, L, D);
    return a;
}

static int clear_environment(void **state) {
    (void)state;
    static const char *const names[] = {"ATTEND_BACKEND",    "ATTEND_DEVICE",  "ATTEND_NUM_THREADS",
                                        "ATTEND_ISA",        "ATTEND_VERBOSE", "ATTEND_LOG_FILE",
                                        "ATTEND_PLUGIN_PATH"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    for (int i = 0; i < COUNT; i++) {
        q[i] = (float)(i % 13) / 6 - 1;
        k[i] = (float)(i % 7) / 3 - 1;
        v[i] = (float)(i % 11);
    }
    return 0;
}

#define assert_says(part) assert_non_null(strstr(attend_error_text(), part))

static attend_status open_named(const char *backend, const char *device, attend_context **context) {
    attend_options o = attend_options_default();
    o.backend = backend;
    o.device = device;
    return attend_open(&o, context);
}

/* ---- choice -----------------------------------------------------------------------------------
 */

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
    assert_string_equal(d.refused, "");
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
    assert_int_equal(attend_open_native("opencl", &o, NULL, &c), ATTEND_UNSUPPORTED);
    assert_says("opencl");
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

/* ---- what is said -------------------------------------------------------------------------------
 */

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

/* ---- the application's allocator and threads ----------------------------------------------------
 */

typedef struct counted {
    int live, calls, fail_at;
} counted;

static void *counted_allocate(void *user, size_t bytes, size_t alignment) {
    counted *n = user;
    if (++n->calls == n->fail_at) return NULL;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment,
                       bytes ? bytes : 1))
        return NULL;
    n->live++;
    return memory;
}

static void counted_release(void *user, void *memory) {
    counted *n = user;
    if (memory) n->live--;
    free(memory);
}

/* Everything a context can make, once; the first failure ends it. */
static attend_status use_everything(const attend_options *o) {
    attend_context *c = NULL;
    attend_buffer *buffer = NULL;
    attend_event *event = NULL, *done = NULL;
    attend_plan *plan = NULL;
    attend_weights *weights = NULL;
    attend_attention a = attention();
    attend_tensor w = attend_tensor_2d(k, ATTEND_F32, 16, 24);
    attend_status status = attend_open(o, &c);
    if (!status) status = attend_run(c, &a);
    if (!status) status = attend_plan_create(c, &a, &plan);
    if (!status) status = attend_plan_run(plan, &a);
    if (!status) status = attend_buffer_create(c, 4096, &buffer);
    if (!status) status = attend_user_event_create(c, &event);
    if (!status) status = attend_weights_create(c, &w, &weights);
    attend_copy copy = attend_copy_default();
    copy.x = attend_tensor_in(buffer, 0, ATTEND_F32, 1, (const int64_t[]){256}, NULL);
    copy.out = attend_tensor_in(buffer, 512, ATTEND_F32, 1, (const int64_t[]){256}, NULL);
    if (!status) status = attend_copy_enqueue(c, &copy, 1, &event, &done);
    if (event) (void)attend_user_event_complete(event, ATTEND_OK);
    if (!status) status = attend_event_wait(done, -1);
    attend_event_release(done);
    attend_event_release(event);
    attend_weights_release(weights);
    attend_buffer_release(buffer);
    attend_plan_release(plan);
    attend_close(c);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const char *const backends[] = {"cpu", "reference"};
    for (int b = 0; b < 2; b++) {
        counted n = {0};
        const attend_allocator allocator = {counted_allocate, counted_release, &n};
        attend_options o = attend_options_default();
        o.backend = backends[b];
        o.threads = 1;
        o.allocator = &allocator;
        assert_int_equal(use_everything(&o), ATTEND_OK);
        assert_int_equal(n.live, 0);
        const int calls = n.calls;
        assert_true(calls > 5);
        for (int i = 1; i <= calls; i++) {
            n = (counted){.fail_at = i};
            const attend_status status = use_everything(&o);
            if (status != ATTEND_OUT_OF_MEMORY)
                print_message("%s, allocation %d of %d\n", backends[b], i, calls);
            assert_int_equal(status, ATTEND_OUT_OF_MEMORY);
            assert_true(*attend_error_text() != 0);
            assert_int_equal(n.live, 0);
        }
    }
}

static void serial(void *user, int32_t count, void (*task)(void *argument, int32_t index),
                   void *argument) {
    ++*(int *)user;
    for (int32_t i = count - 1; i >= 0; i--)
        task(argument, i);
}

static void the_applications_threads_are_used(void **state) {
    (void)state;
    enum { LONG = 512 };
    static float big[4 * LONG * 64], first[LONG * 64];
    for (int i = 0; i < 4 * LONG * 64; i++)
        big[i] = (float)(i % 17) / 8 - 1;
    int calls = 0;
    attend_options o = attend_options_default();
    o.threads = 3;
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(big, ATTEND_F32, 1, 1, LONG, 64);
    a.k = attend_tensor_4d(big + LONG * 64, ATTEND_F32, 1, 1, LONG, 64);
    a.v = attend_tensor_4d(big + 2 * LONG * 64, ATTEND_F32, 1, 1, LONG, 64);
    for (int own = 0; own < 2; own++) {
        a.out = attend_tensor_4d(own ? big + 3 * LONG * 64 : first, ATTEND_F32, 1, 1, LONG, 64);
        o.parallel = own ? serial : NULL;
        o.parallel_user = &calls;
        attend_context *c;
        assert_int_equal(attend_open(&o, &c), ATTEND_OK);
        assert_int_equal(attend_run(c, &a), ATTEND_OK);
        attend_close(c);
    }
    assert_true(calls > 0);
    assert_memory_equal(first, big + 3 * LONG * 64, sizeof first);
}

/* ---- buffers
 * -------------------------------------------------------------------------------------- */

static void buffers_check_their_range(void **state) {
    (void)state;
    attend_context *c;
    attend_buffer *b, *wrapped;
    char data[64] = "kept", memory[64] = {0};
    assert_int_equal(attend_open(NULL, &c), ATTEND_OK);
    assert_int_equal(attend_buffer_create(c, 32, &b), ATTEND_OK);
    assert_int_equal(attend_buffer_size_bytes(b), 32);
    assert_int_equal(attend_buffer_write(b, 0, data, 33), ATTEND_OUT_OF_RANGE);
    assert_int_equal(attend_buffer_write(b, SIZE_MAX, data, 8), ATTEND_OUT_OF_RANGE);
    assert_int_equal(attend_buffer_read(b, 33, data, 0), ATTEND_OUT_OF_RANGE);
    assert_int_equal(attend_buffer_read(b, 0, NULL, 1), ATTEND_NULL_POINTER);
    assert_int_equal(attend_buffer_read(NULL, 0, data, 1), ATTEND_NULL_POINTER);
    assert_string_equal(data, "kept");
    assert_int_equal(attend_buffer_import(c, "host", memory, 16, 32, &wrapped), ATTEND_OK);
    assert_int_equal(attend_buffer_write(wrapped, 4, "abc", 3), ATTEND_OK);
    assert_memory_equal(memory + 20, "abc", 3);
    attend_buffer_release(wrapped);
    assert_int_equal(attend_buffer_import(c, "cl_mem", memory, 0, 8, &wrapped), ATTEND_UNSUPPORTED);
    assert_null(wrapped);
    assert_says("cl_mem");
    assert_int_equal(attend_buffer_create(c, SIZE_MAX, &wrapped), ATTEND_OUT_OF_MEMORY);
    assert_int_equal(attend_buffer_create(NULL, 8, &wrapped), ATTEND_NULL_POINTER);
    attend_close(c); /* the buffer keeps what it needs */
    assert_int_equal(attend_buffer_write(b, 0, data, 8), ATTEND_OK);
    attend_buffer_release(b);
    attend_buffer_release(NULL);
    attend_close(NULL);
}

/* ---- fork and shutdown
 * ------------------------------------------------------------------------------ */

static int in_child(attend_context *parents, attend_buffer *buffer, attend_plan *plan) {
    attend_attention a = attention();
    if (attend_run(parents, &a) != ATTEND_FORKED || attend_plan_run(plan, &a) != ATTEND_FORKED)
        return 1;
    if (attend_buffer_write(buffer, 0, q, 4) != ATTEND_FORKED) return 2;
    attend_buffer_release(buffer);
    attend_plan_release(plan);
    attend_close(parents);
    attend_context *own;
    if (attend_open(NULL, &own) || attend_run(own, &a)) return 3;
    attend_close(own);
    return 0;
}

static void a_forked_child_gets_a_status(void **state) {
    (void)state;
    attend_context *c;
    attend_buffer *buffer;
    attend_plan *plan;
    attend_attention a = attention();
    assert_int_equal(attend_open(NULL, &c), ATTEND_OK);
    assert_int_equal(attend_run(c, &a), ATTEND_OK); /* the pool's threads run */
    assert_int_equal(attend_buffer_create(c, 64, &buffer), ATTEND_OK);
    assert_int_equal(attend_plan_create(c, &a, &plan), ATTEND_OK);
    const pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a hang ends the child with a signal */
        _exit(in_child(c, buffer, plan));
    }
    int status;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(attend_run(c, &a), ATTEND_OK);
    attend_plan_release(plan);
    attend_buffer_release(buffer);
    attend_close(c);
}

static void after_shutdown(void **state) {
    (void)state;
    attend_context *c;
    assert_int_equal(attend_open(NULL, &c), ATTEND_OK);
    assert_int_equal(attend_shutdown(), ATTEND_BUSY);
    const pid_t child = fork();
    if (child == 0)
        _exit(attend_shutdown() == ATTEND_OK ? 0 : 1); /* the parent's contexts are not its own */
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    attend_close(c);
    assert_int_equal(attend_shutdown(), ATTEND_OK);
    assert_int_equal(attend_open(NULL, &c), ATTEND_SHUT_DOWN);
    assert_int_equal(attend_shutdown(), ATTEND_OK);
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
        cmocka_unit_test_setup(every_allocation_may_fail, clear_environment),
        cmocka_unit_test_setup(the_applications_threads_are_used, clear_environment),
        cmocka_unit_test_setup(buffers_check_their_range, clear_environment),
        cmocka_unit_test_setup(a_forked_child_gets_a_status, clear_environment),
        cmocka_unit_test_setup(after_shutdown,
                               clear_environment), /* last: nothing opens after it */
    };
    return cmocka_run_group_tests_name("context", tests, NULL, NULL);
}
