/* SPDX-License-Identifier: Apache-2.0
 *
 * What a context lives with: allocators and threads of the application, buffers, fork, shutdown. */
#include "small_call.h"

/* ---- the application's allocator and threads ------------------------------------------------- */

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
        cmocka_unit_test_setup(every_allocation_may_fail, clear_environment),
        cmocka_unit_test_setup(the_applications_threads_are_used, clear_environment),
        cmocka_unit_test_setup(buffers_check_their_range, clear_environment),
        cmocka_unit_test_setup(a_forked_child_gets_a_status, clear_environment),
        cmocka_unit_test_setup(after_shutdown,
                               clear_environment), /* last: nothing opens after it */
    };
    return cmocka_run_group_tests_name("life", tests, NULL, NULL);
}
