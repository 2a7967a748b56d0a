/* SPDX-License-Identifier: Apache-2.0
 *
 * Work of several commands of which the second is refused while the first, held up by an
 * application's event, has not run: nobody may hear that the work ended before that one has, since
 * it uses memory of the host; and no call that enqueues waits for it, since who completes that
 * event may be the same thread. POSIX only. */
#include "faulty_opencl.h"
#include "own_opencl.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WEIGHTS = OWN_B * OWN_H * OWN_L * OWN_S, ALL = OWN_SUM + WEIGHTS };
static const int64_t weight_sizes[] = {OWN_B, OWN_H, OWN_L, OWN_S};
static const faulty_plan second_kernel = {
    .name = "clEnqueueNDRangeKernel", .passed = 1, .error = CL_OUT_OF_RESOURCES};

static own_opencl own;

typedef struct fixture {
    attend_context *context;
    attend_buffer *buffers[5]; /* q, k, v, out, weights */
    cl_event gate;             /* of the application's, in front of what its queue gets later */
    float values[ALL];
} fixture;

static attend_attention on_host(fixture *f) {
    attend_attention a = own_on_host(f->values);
    a.weights = attend_tensor_nd(f->values + OWN_SUM, ATTEND_F32, 4, weight_sizes);
    return a;
}

static attend_attention in_buffers(fixture *f) {
    attend_attention a = own_in_buffers(f->buffers, (int64_t[4]){0});
    a.weights = attend_tensor_in(f->buffers[4], 0, ATTEND_F32, 4, weight_sizes, NULL);
    return a;
}

/* Both forms run once, so that what they need is there; then the queue is held up. */
static void open_fixture(fixture *f) {
    own_open(&own, 0);
    own_fill(f->values, 5);
    attend_opencl_objects objects = own_objects(&own);
    objects.symbol = faulty_symbol;
    faulty_start((faulty_plan){0});
    assert_int_equal(setenv("ATTEND_TRANSFERS", "share", 1), 0);
    assert_int_equal(attend_open_opencl(&objects, NULL, &f->context), ATTEND_OK);
    assert_int_equal(unsetenv("ATTEND_TRANSFERS"), 0);
    for (int i = 0; i < 5; i++) {
        const size_t bytes = (size_t)(i < 4 ? own_size(i) : WEIGHTS) * sizeof(float);
        assert_int_equal(attend_buffer_create(f->context, bytes, &f->buffers[i]), ATTEND_OK);
        if (i < 3)
            assert_int_equal(attend_buffer_write(f->buffers[i], 0, f->values + own_start(i), bytes),
                             ATTEND_OK);
    }
    const attend_attention host = on_host(f), there = in_buffers(f);
    attend_decision d = {.size = sizeof d};
    assert_int_equal(attend_run(f->context, &host), ATTEND_OK);
    assert_int_equal(attend_context_decision(f->context, &d), ATTEND_OK);
    assert_true(d.in_place_bytes > 0 && d.copied_bytes == 0);
    assert_int_equal(attend_run(f->context, &there), ATTEND_OK);
    cl_int error;
    f->gate = clCreateUserEvent(own.context, &error);
    assert_int_equal(error, CL_SUCCESS);
    assert_int_equal(clEnqueueBarrierWithWaitList(own.queue, 1, &f->gate, NULL), CL_SUCCESS);
    faulty_start(second_kernel);
}

static void open_queue(const fixture *f) {
    assert_int_equal(clSetUserEventStatus(f->gate, CL_COMPLETE), CL_SUCCESS);
}

/* The context goes on: it says once that work failed, and computes. */
static void close_fixture(fixture *f) {
    float expected[OWN_SUM];
    assert_string_equal(faulty_failed(), second_kernel.name);
    faulty_stop();
    assert_int_equal(attend_finish(f->context), ATTEND_OUT_OF_MEMORY);
    assert_int_equal(attend_finish(f->context), ATTEND_OK);
    own_fill(f->values, 9);
    const attend_attention a = on_host(f);
    assert_int_equal(attend_run(f->context, &a), ATTEND_OK);
    memcpy(expected, f->values, sizeof expected);
    own_expect(expected);
    own_check_close(f->values, expected, OWN_SUM);
    for (int i = 0; i < 5; i++)
        attend_buffer_release(f->buffers[i]);
    attend_close(f->context);
    assert_int_equal(clReleaseEvent(f->gate), CL_SUCCESS);
    own_close(&own);
}

static cl_int state_of(cl_event event) {
    cl_int state = CL_QUEUED;
    assert_int_equal(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL),
        CL_SUCCESS);
    return state;
}

static void check_pending(attend_event *event) {
    int32_t complete = 1;
    assert_int_equal(attend_event_query(event, &complete), ATTEND_OK);
    assert_int_equal(complete, 0);
    assert_int_equal(attend_event_wait(event, 20000000), ATTEND_TIMEOUT);
}

static attend_event *enqueue(fixture *f, attend_event *wait) {
    attend_event *done = NULL;
    const attend_attention a = in_buffers(f);
    const attend_status status = attend_enqueue(f->context, &a, wait ? 1 : 0, &wait, &done);
    if (status != ATTEND_OK) fail_msg("%s", attend_error_text());
    return done;
}

/* ---- host memory ----------------------------------------------------------------------------- */

typedef struct call {
    fixture *f;
    atomic_bool returned;
    attend_status status;
    char sentence[300];
} call;

static void *run(void *argument) {
    call *const c = argument;
    const attend_attention a = on_host(c->f);
    c->status = attend_run(c->f->context, &a);
    (void)snprintf(c->sentence, sizeof c->sentence, "%s", attend_error_text());
    atomic_store(&c->returned, true);
    return NULL;
}

/* A run gives host memory back when the command that was enqueued no longer uses it. */
static void test_run(void **state) {
    (void)state;
    const struct timespec pause = {0, 50000000};
    fixture f;
    open_fixture(&f);
    call c = {.f = &f};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, &c), 0);
    for (int i = 0; i < 200 && *faulty_failed() == 0; i++)
        (void)nanosleep(&pause, NULL);
    (void)nanosleep(&pause, NULL);
    const bool returned = atomic_load(&c.returned);
    open_queue(&f);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(returned);
    assert_int_equal(c.status, ATTEND_OUT_OF_MEMORY);
    assert_non_null(strstr(c.sentence, "clEnqueueNDRangeKernel: CL_OUT_OF_RESOURCES (-5)"));
    close_fixture(&f);
}

/* ---- enqueued -------------------------------------------------------------------------------- */

/* Its event and those of work that waits for it are open as long as its first command is. */
static void test_enqueue(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event native = NULL;
    attend_event *const done = enqueue(&f, NULL), *const next = enqueue(&f, done);
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    check_pending(done);
    check_pending(next);
    assert_true(state_of(native) > CL_COMPLETE);
    open_queue(&f);
    own_refused(attend_event_wait(next, -1), ATTEND_OUT_OF_MEMORY, "did not run");
    own_refused(attend_event_wait(done, -1), ATTEND_OUT_OF_MEMORY,
                "clEnqueueNDRangeKernel: CL_OUT_OF_RESOURCES (-5)");
    assert_int_not_equal(clWaitForEvents(1, &native), CL_SUCCESS);
    assert_true(state_of(native) < CL_COMPLETE);
    attend_event_release(done);
    attend_event_release(next);
    close_fixture(&f);
}

/* Whoever holds an event of work that waits for what was cut short needs no further call of ours to
 * hear its end. */
static void test_dropped(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event natives[2] = {NULL, NULL};
    attend_event *const done = enqueue(&f, NULL), *const next = enqueue(&f, done),
                        *const last = enqueue(&f, next);
    assert_int_equal(attend_event_to_cl(next, &natives[0]), ATTEND_OK);
    assert_int_equal(attend_event_to_cl(last, &natives[1]), ATTEND_OK);
    for (int i = 0; i < 2; i++)
        assert_true(state_of(natives[i]) > CL_COMPLETE);
    open_queue(&f);
    for (int i = 0; i < 2; i++) {
        assert_int_not_equal(clWaitForEvents(1, &natives[i]), CL_SUCCESS);
        assert_true(state_of(natives[i]) < CL_COMPLETE);
    }
    own_refused(attend_event_wait(last, -1), ATTEND_OUT_OF_MEMORY, "did not run");
    attend_event_release(done);
    attend_event_release(next);
    attend_event_release(last);
    close_fixture(&f);
}

/* As test_enqueue for work that was kept behind a gate of the library; its event was handed out
 * before. */
static void test_gate(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event native = NULL;
    attend_event *gate = NULL;
    assert_int_equal(attend_user_event_create(f.context, &gate), ATTEND_OK);
    attend_event *const done = enqueue(&f, gate), *const next = enqueue(&f, done);
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_string_equal(faulty_failed(), second_kernel.name);
    check_pending(done);
    check_pending(next);
    assert_true(state_of(native) > CL_COMPLETE);
    open_queue(&f);
    own_refused(attend_event_wait(next, -1), ATTEND_OUT_OF_MEMORY, "did not run");
    own_refused(attend_event_wait(done, -1), ATTEND_OUT_OF_MEMORY, "clEnqueueNDRangeKernel");
    assert_int_not_equal(clWaitForEvents(1, &native), CL_SUCCESS);
    attend_event_release(done);
    attend_event_release(next);
    attend_event_release(gate);
    close_fixture(&f);
}

int main(void) {
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_enqueue),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
