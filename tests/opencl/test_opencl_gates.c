/* SPDX-License-Identifier: Apache-2.0
 *
 * Events between an application's OpenCL and the library, both ways: work behind a gate of either
 * side is enqueued at once, writes nothing before the gate opens, and fails alone if the gate
 * does. On a queue in order and on one out of order. */
#include "own_opencl.h"

#include <pthread.h>
#include <string.h>

static own_opencl own;
static cl_command_queue other_queue; /* looks at memory while the first queue waits */
static bool out_of_order;

typedef struct fixture {
    attend_context *context;
    cl_mem memory[4];
    attend_buffer *buffers[4];
    attend_attention a;
    float values[OWN_SUM]; /* inputs, and the output as the cpu computes it */
} fixture;

static void open_fixture(fixture *f) {
    own_open(&own, out_of_order ? CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE : 0);
    cl_int error;
    other_queue = clCreateCommandQueue(own.context, own.device, 0, &error);
    assert_int_equal(error, CL_SUCCESS);
    own_fill(f->values, 6);
    own_expect(f->values);
    f->context = own_attend(&own);
    for (int i = 0; i < 4; i++) {
        const size_t bytes = (size_t)own_size(i) * sizeof(float);
        f->memory[i] =
            own_memory(&own, CL_MEM_READ_WRITE, i < 3 ? f->values + own_start(i) : NULL, bytes);
        assert_int_equal(attend_buffer_from_cl(f->context, f->memory[i], 0, bytes, &f->buffers[i]),
                         ATTEND_OK);
    }
    f->a = own_in_buffers(f->buffers, (int64_t[4]){0});
}

static void close_fixture(fixture *f) {
    for (int i = 0; i < 4; i++) {
        attend_buffer_release(f->buffers[i]);
        assert_int_equal(clReleaseMemObject(f->memory[i]), CL_SUCCESS);
    }
    attend_close(f->context);
    assert_int_equal(clReleaseCommandQueue(other_queue), CL_SUCCESS);
    own_close(&own);
}

static void read_output(const fixture *f, float *out) {
    assert_int_equal(clEnqueueReadBuffer(other_queue, f->memory[3], CL_TRUE, 0,
                                         OWN_QUERIES * sizeof(float), out, 0, NULL, NULL),
                     CL_SUCCESS);
}

static void check_untouched(const fixture *f) {
    float out[OWN_QUERIES];
    unsigned char pattern[sizeof out];
    memset(pattern, 0x5a, sizeof pattern);
    read_output(f, out);
    assert_memory_equal(out, pattern, sizeof out);
}

static void check_result(const fixture *f) {
    float out[OWN_QUERIES];
    read_output(f, out);
    own_check_close(out, f->values + own_start(3), OWN_QUERIES);
}

static attend_event *enqueue(const fixture *f, attend_event *wait) {
    attend_event *done = NULL;
    const attend_status status = attend_enqueue(f->context, &f->a, wait ? 1 : 0, &wait, &done);
    if (status != ATTEND_OK) fail_msg("%s", attend_error_text());
    return done;
}

static void check_pending(attend_event *event) {
    int32_t complete = 1;
    assert_int_equal(attend_event_query(event, &complete), ATTEND_OK);
    assert_int_equal(complete, 0);
    assert_int_equal(attend_event_wait(event, 2000000), ATTEND_TIMEOUT);
}

static attend_event *user_event(const fixture *f) {
    attend_event *event = NULL;
    assert_int_equal(attend_user_event_create(f->context, &event), ATTEND_OK);
    return event;
}

static cl_event cl_user_event(void) {
    cl_int error;
    cl_event event = clCreateUserEvent(own.context, &error);
    assert_int_equal(error, CL_SUCCESS);
    return event;
}

static cl_int state_of(cl_event event) {
    cl_int state = CL_QUEUED;
    assert_int_equal(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL),
        CL_SUCCESS);
    return state;
}

/* ---- gates of the library -------------------------------------------------------------------- */

static void test_user_event(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    attend_event *gate = user_event(&f), *done = enqueue(&f, gate);
    cl_event native = NULL;
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    assert_non_null(native);
    check_pending(done);
    assert_true(state_of(native) > CL_COMPLETE);
    check_untouched(&f);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(clWaitForEvents(1, &native), CL_SUCCESS);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    check_result(&f);
    attend_event_release(gate);
    attend_event_release(done);
    close_fixture(&f);
}

/* The application's commands wait for our work, before and after it has reached the queue. */
static void test_event_to_cl(void **state) {
    (void)state;
    fixture f;
    float first[OWN_QUERIES], second[OWN_QUERIES];
    open_fixture(&f);
    attend_event *gate = user_event(&f), *done = enqueue(&f, gate);
    cl_event native = NULL, again = NULL, read[2];
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    assert_int_equal(clEnqueueReadBuffer(other_queue, f.memory[3], CL_FALSE, 0, sizeof first, first,
                                         1, &native, &read[0]),
                     CL_SUCCESS);
    assert_int_equal(clFlush(other_queue), CL_SUCCESS);
    assert_true(state_of(read[0]) > CL_COMPLETE);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(clWaitForEvents(1, &read[0]), CL_SUCCESS);
    own_check_close(first, f.values + own_start(3), OWN_QUERIES);
    assert_int_equal(attend_event_to_cl(done, &again), ATTEND_OK);
    assert_ptr_equal(again, native);
    attend_event_release(gate);
    attend_event_release(done);

    done = enqueue(&f, NULL);
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    assert_int_equal(clRetainEvent(native), CL_SUCCESS);
    attend_event_release(done);
    assert_int_equal(clEnqueueReadBuffer(other_queue, f.memory[3], CL_FALSE, 0, sizeof second,
                                         second, 1, &native, &read[1]),
                     CL_SUCCESS);
    assert_int_equal(clWaitForEvents(1, &read[1]), CL_SUCCESS);
    assert_memory_equal(first, second, sizeof first);
    assert_int_equal(clReleaseEvent(native), CL_SUCCESS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(clReleaseEvent(read[i]), CL_SUCCESS);
    close_fixture(&f);
}

static void test_failed_user_event(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    attend_event *gate = user_event(&f), *done = enqueue(&f, gate), *next = enqueue(&f, done);
    cl_event native = NULL;
    assert_int_equal(attend_event_to_cl(done, &native), ATTEND_OK);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_IO), ATTEND_OK);
    own_refused(attend_event_wait(done, -1), ATTEND_IO, "did not run");
    assert_int_equal(attend_event_wait(next, -1), ATTEND_IO);
    assert_true(state_of(native) < CL_COMPLETE);
    check_untouched(&f);
    assert_int_equal(attend_finish(f.context), ATTEND_IO);
    assert_int_equal(attend_finish(f.context), ATTEND_OK);
    attend_event_release(done);
    attend_event_release(next);
    attend_event_release(gate);
    done = enqueue(&f, NULL);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    check_result(&f);
    close_fixture(&f);
}

/* ---- gates of the application's -------------------------------------------------------------- */

static void test_cl_event(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event native = cl_user_event();
    attend_event *gate = NULL;
    assert_int_equal(attend_event_from_cl(f.context, native, &gate), ATTEND_OK);
    attend_event *done = enqueue(&f, gate);
    check_pending(done);
    check_untouched(&f);
    assert_int_equal(clSetUserEventStatus(native, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    assert_int_equal(attend_event_wait(gate, 0), ATTEND_OK);
    check_result(&f);
    attend_event_release(done);
    done = enqueue(&f, gate); /* one that is over is no obstacle */
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    attend_event_release(gate);
    assert_int_equal(clReleaseEvent(native), CL_SUCCESS);
    close_fixture(&f);
}

/* An event that had failed before: the driver never sees the work. */
static void test_failed_cl_event(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event native = cl_user_event();
    attend_event *gate = NULL;
    assert_int_equal(clSetUserEventStatus(native, -7), CL_SUCCESS);
    assert_int_equal(attend_event_from_cl(f.context, native, &gate), ATTEND_OK);
    attend_event *done = enqueue(&f, gate);
    own_refused(attend_event_wait(done, -1), ATTEND_INVALID, "did not run");
    own_refused(attend_event_wait(gate, -1), ATTEND_INVALID, "the application's event failed (-7)");
    check_untouched(&f);
    assert_int_equal(attend_finish(f.context), ATTEND_INVALID);
    attend_event_release(done);
    attend_event_release(gate);
    done = enqueue(&f, NULL);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    check_result(&f);
    attend_event_release(done);
    assert_int_equal(clReleaseEvent(native), CL_SUCCESS);
    close_fixture(&f);
}

/* ---- both ------------------------------------------------------------------------------------ */

typedef struct helper {
    const fixture *f;
    attend_status status;
} helper;

static void *run_beside(void *argument) {
    helper *const h = argument;
    attend_event *done = NULL;
    h->status = attend_enqueue(h->f->context, &h->f->a, 0, NULL, &done);
    if (h->status == ATTEND_OK) h->status = attend_event_wait(done, -1);
    attend_event_release(done);
    return NULL;
}

/* Work of another thread does not wait behind a gate that is still closed. */
static void test_other_threads(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    attend_event *gate = user_event(&f), *done = enqueue(&f, gate);
    helper h = {&f, ATTEND_INTERNAL};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_beside, &h), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(h.status, ATTEND_OK);
    check_pending(done);
    check_result(&f);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(gate);
    attend_event_release(done);
    close_fixture(&f);
}

/* Ours behind a gate -> a command of the application's on another queue -> ours again, the second
 * of them by another thread, whose work nothing but that command holds up. */
static void *run_after(void *argument) {
    void **const both = argument;
    fixture *const f = both[0];
    attend_event *const wait = both[1];
    both[2] = enqueue(f, wait);
    return NULL;
}

static void test_there_and_back(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    attend_event *gate = user_event(&f), *first = enqueue(&f, gate), *between = NULL;
    cl_event native = NULL, command = NULL;
    const float one = 1;
    assert_int_equal(attend_event_to_cl(first, &native), ATTEND_OK);
    /* q becomes ones between the two */
    assert_int_equal(clEnqueueFillBuffer(other_queue, f.memory[0], &one, sizeof one, 0,
                                         OWN_QUERIES * sizeof one, 1, &native, &command),
                     CL_SUCCESS);
    assert_int_equal(clFlush(other_queue), CL_SUCCESS);
    assert_int_equal(attend_event_from_cl(f.context, command, &between), ATTEND_OK);
    void *both[3] = {&f, between, NULL};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_after, both), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    attend_event *const last = both[2];
    check_pending(last);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(last, 20000000000), ATTEND_OK);
    for (int i = 0; i < OWN_QUERIES; i++)
        f.values[own_start(0) + i] = 1;
    own_expect(f.values);
    check_result(&f);
    attend_event_release(gate);
    attend_event_release(first);
    attend_event_release(between);
    attend_event_release(last);
    assert_int_equal(clReleaseEvent(command), CL_SUCCESS);
    close_fixture(&f);
}

/* Work kept behind a closed gate only for the sake of order goes on when what it waits for ended.
 */
static void test_unrelated_gate(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f);
    cl_event native = cl_user_event();
    attend_event *gate = user_event(&f), *first = enqueue(&f, gate), *own_gate = NULL;
    assert_int_equal(attend_event_from_cl(f.context, native, &own_gate), ATTEND_OK);
    void *both[3] = {&f, own_gate, NULL};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_after, both), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    attend_event *const last = both[2];
    check_pending(last);
    assert_int_equal(clSetUserEventStatus(native, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(attend_event_wait(last, 20000000000), ATTEND_OK);
    check_result(&f);
    check_pending(first);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(first, -1), ATTEND_OK);
    attend_event *const events[] = {gate, first, own_gate, last};
    for (int i = 0; i < 4; i++)
        attend_event_release(events[i]);
    assert_int_equal(clReleaseEvent(native), CL_SUCCESS);
    close_fixture(&f);
}

static int in_order(void **state) {
    (void)state;
    out_of_order = false;
    return 0;
}

static int not_in_order(void **state) {
    (void)state;
    out_of_order = true;
    return 0;
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_event),        cmocka_unit_test(test_event_to_cl),
        cmocka_unit_test(test_failed_user_event), cmocka_unit_test(test_cl_event),
        cmocka_unit_test(test_failed_cl_event),   cmocka_unit_test(test_other_threads),
        cmocka_unit_test(test_there_and_back),    cmocka_unit_test(test_unrelated_gate),
    };
    const int failures = cmocka_run_group_tests_name("in order", tests, in_order, NULL);
    return failures + cmocka_run_group_tests_name("out of order", tests, not_in_order, NULL);
}
