/* SPDX-License-Identifier: Apache-2.0
 *
 * Every call of OpenCL fails once: each time a status with a sentence or the right result, never a
 * crash, nothing left behind, and the next context works. Then faults of a device: kernels that do
 * not build, work that ends with an error, a device that is lost. Each call fails with each error;
 * built_once.h makes that a matter of seconds. */
#include "faulty_opencl.h"
#include "own_opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static own_opencl own;

static const cl_int errors[] = {
    CL_OUT_OF_RESOURCES,      CL_OUT_OF_HOST_MEMORY,    CL_MEM_OBJECT_ALLOCATION_FAILURE,
    CL_BUILD_PROGRAM_FAILURE, CL_INVALID_COMMAND_QUEUE,
};
enum { ERRORS = sizeof errors / sizeof *errors };

/* ---- a little of everything ------------------------------------------------------------------ */

enum { ROWS = OWN_QUERIES / OWN_D, WEIGHTS = OWN_B * OWN_H * OWN_L * OWN_S };

typedef struct work {
    attend_context *context;
    attend_plan *plan;
    attend_buffer *buffers[5]; /* q, k, v, out, weights */
    attend_event *gate, *done;
    attend_weights *weights;
    cl_mem memory; /* q's, the application's */
    attend_status status;
    char sentence[600];
    long closing; /* calls before what is only given back */
    float values[OWN_SUM], out[OWN_QUERIES], projected[OWN_QUERIES], mass[WEIGHTS];
} work;

static bool good(work *w, attend_status status) {
    if (w->status != ATTEND_OK) return false;
    if (status == ATTEND_OK) return true;
    w->status = status;
    (void)snprintf(w->sentence, sizeof w->sentence, "%s", attend_error_text());
    return false;
}

static void open_context(work *w) {
    attend_opencl_objects objects = own_objects(&own);
    objects.symbol = faulty_symbol;
    good(w, attend_open_opencl(&objects, NULL, &w->context));
}

static void make_buffers(work *w) {
    if (w->status == ATTEND_OK)
        good(w, attend_buffer_from_cl(w->context, w->memory, 0, OWN_QUERIES * sizeof(float),
                                      &w->buffers[0]));
    for (int i = 1; i < 5 && w->status == ATTEND_OK; i++) {
        const size_t bytes = (size_t)(i < 4 ? own_size(i) : WEIGHTS) * sizeof(float);
        if (good(w, attend_buffer_create(w->context, bytes, &w->buffers[i])) && i < 3)
            good(w, attend_buffer_write(w->buffers[i], 0, w->values + own_start(i), bytes));
    }
}

/* With side outputs and a length in host memory, behind a gate, and its event handed out. */
static void attention(work *w) {
    static const int32_t lengths[OWN_B] = {OWN_S, OWN_S - 2};
    const int64_t sizes[] = {OWN_B, OWN_H, OWN_L, OWN_S};
    cl_event native = NULL;
    if (w->status != ATTEND_OK) return;
    attend_attention a = own_in_buffers(w->buffers, (int64_t[4]){0});
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, OWN_B);
    a.weights = attend_tensor_in(w->buffers[4], 0, ATTEND_F32, 4, sizes, NULL);
    if (good(w, attend_plan_create(w->context, &a, &w->plan)) &&
        good(w, attend_user_event_create(w->context, &w->gate)) &&
        good(w, attend_plan_enqueue(w->plan, &a, 1, &w->gate, &w->done)))
        good(w, attend_event_to_cl(w->done, &native));
    if (w->gate) (void)attend_user_event_complete(w->gate, ATTEND_OK);
    if (w->done) good(w, attend_event_wait(w->done, -1));
    if (w->status == ATTEND_OK) good(w, attend_plan_run(w->plan, &a));
    if (w->status == ATTEND_OK &&
        good(w, attend_buffer_read(w->buffers[3], 0, w->out, sizeof w->out)))
        good(w, attend_buffer_read(w->buffers[4], 0, w->mass, sizeof w->mass));
}

static void projection(work *w) {
    float matrix[OWN_D * OWN_D];
    for (int i = 0; i < OWN_D * OWN_D; i++)
        matrix[i] = i / OWN_D == i % OWN_D ? 2.0F : 0.0F;
    const attend_tensor host = attend_tensor_2d(matrix, ATTEND_F32, OWN_D, OWN_D);
    const int64_t sizes[] = {ROWS, OWN_D};
    attend_projection p = attend_projection_default();
    if (w->status != ATTEND_OK) return;
    if (!good(w, attend_weights_create(w->context, &host, &w->weights))) return;
    p.weights = w->weights;
    p.x = attend_tensor_in(w->buffers[0], 0, ATTEND_F32, 2, sizes, NULL);
    p.out = attend_tensor_2d(w->projected, ATTEND_F32, ROWS, OWN_D);
    good(w, attend_project(w->context, &p));
}

static void give_back(work *w) {
    w->closing = faulty_calls();
    attend_event_release(w->gate);
    attend_event_release(w->done);
    attend_plan_release(w->plan);
    attend_weights_release(w->weights);
    for (int i = 0; i < 5; i++)
        attend_buffer_release(w->buffers[i]);
    attend_close(w->context);
}

/* One pass with the fault. */
static void pass(work *w, faulty_plan fault) {
    memset(w, 0, sizeof *w);
    own_fill(w->values, 7);
    w->memory =
        own_memory(&own, CL_MEM_READ_WRITE, w->values + own_start(0), OWN_QUERIES * sizeof(float));
    faulty_start(fault);
    open_context(w);
    make_buffers(w);
    attention(w);
    projection(w);
    if (w->status == ATTEND_OK) good(w, attend_finish(w->context));
    give_back(w);
    char left[200];
    if (faulty_left(left, sizeof left) != 0)
        fail_msg("call %ld, %s: left behind:%s", fault.at, faulty_failed(), left);
    faulty_stop();
    assert_int_equal(clReleaseMemObject(w->memory), CL_SUCCESS);
}

static void check_results(const work *w) {
    static float expected[OWN_SUM];
    float mass[WEIGHTS];
    static const int32_t lengths[OWN_B] = {OWN_S, OWN_S - 2};
    memcpy(expected, w->values, sizeof expected);
    attend_options options = attend_options_default();
    attend_context *cpu = NULL;
    options.backend = "cpu";
    assert_int_equal(attend_open(&options, &cpu), ATTEND_OK);
    attend_attention a = own_on_host(expected);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, OWN_B);
    a.weights = attend_tensor_4d(mass, ATTEND_F32, OWN_B, OWN_H, OWN_L, OWN_S);
    assert_int_equal(attend_run(cpu, &a), ATTEND_OK);
    attend_close(cpu);
    own_check_close(w->out, expected + own_start(3), OWN_QUERIES);
    own_check_close(w->mass, mass, WEIGHTS);
    for (int i = 0; i < OWN_QUERIES; i++)
        assert_true(w->projected[i] == 2 * w->values[own_start(0) + i]);
}

/* ---- the N-th call ----------------------------------------------------------------------------
 */

static bool cached; /* programs come from the build cache on disk: if not, they are built */

/* Calls whose failure leaves nothing to go on with. Queries may have an answer of last resort, a
 * release has no one to tell, an event that cannot be kept can be waited for, and operands have
 * buffers of their own where one for all cannot be had: results are compared then. */
static bool must_fail(const char *name) {
    if (strcmp(name, "clCreateBuffer") == 0) return false;
    static const char *const beginnings[] = {"clCreate", "clBuild", "clSetKernelArg", "clEnqueue",
                                             "clFlush",  "clWait",  "clRetainC",      "clRetainM"};
    static const char *const of_programs[] = {"clCreateProgram", "clBuild", "clCreateKernel"};
    for (size_t i = 0; cached && i < sizeof of_programs / sizeof *of_programs; i++)
        if (strncmp(name, of_programs[i], strlen(of_programs[i])) == 0) return false;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0) return true;
    return false;
}

static void check_pass(const work *w, faulty_plan fault) {
    const char *const name = faulty_failed();
    if (w->status == ATTEND_OK) {
        if (must_fail(name) && fault.at <= w->closing)
            fail_msg("call %ld: %s failed with %d, and nothing was said", fault.at, name,
                     (int)fault.error);
        check_results(w);
    } else if (w->sentence[0] == 0 || fault.at > w->closing) {
        fail_msg("call %ld, %s: %s \"%s\"", fault.at, name, attend_status_name(w->status),
                 w->sentence);
    }
}

static void fail_each_call(bool from_there) {
    static work w;
    pass(&w, (faulty_plan){0});
    if (w.status != ATTEND_OK) fail_msg("without a fault: %s", w.sentence);
    check_results(&w);
    const long count = faulty_calls();
    assert_true(count > 100);
    pass(&w, (faulty_plan){.name = "clCreateProgramWithBinary", .error = CL_INVALID_BINARY});
    cached = *faulty_failed() != 0;
    for (long at = 1; at <= count; at++)
        for (int e = 0; e < ERRORS; e++) {
            const faulty_plan fault = {.at = at, .from_there = from_there, .error = errors[e]};
            pass(&w, fault);
            check_pass(&w, fault);
        }
    pass(&w, (faulty_plan){0});
    if (w.status != ATTEND_OK) fail_msg("afterwards: %s", w.sentence);
    check_results(&w);
}

static void test_each_call(void **state) {
    (void)state;
    fail_each_call(false);
}

static void test_each_call_and_all_after(void **state) {
    (void)state;
    fail_each_call(true);
}

/* ---- faults with a name -----------------------------------------------------------------------
 */

static void expect_fault(const char *call, cl_int error, attend_status status, const char *text) {
    static work w;
    pass(&w, (faulty_plan){.name = call, .error = error});
    if (w.status != status || strstr(w.sentence, text) == NULL)
        fail_msg("%s: %s \"%s\"", call, attend_status_name(w.status), w.sentence);
}

static void test_status_of_errors(void **state) {
    (void)state;
    assert_int_equal(setenv("ATTEND_CACHE", "off", 1), 0);
    expect_fault("clBuildProgram", CL_BUILD_PROGRAM_FAILURE, ATTEND_BUILD_FAILED,
                 "CL_BUILD_PROGRAM_FAILURE); the log ends:");
    expect_fault("clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE, ATTEND_OUT_OF_MEMORY,
                 "CL_MEM_OBJECT_ALLOCATION_FAILURE");
    expect_fault("clCreateKernel", CL_OUT_OF_HOST_MEMORY, ATTEND_BUILD_FAILED,
                 "CL_OUT_OF_HOST_MEMORY");
    expect_fault("clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES, ATTEND_OUT_OF_MEMORY,
                 "CL_OUT_OF_RESOURCES");
    expect_fault("clEnqueueNDRangeKernel", CL_INVALID_COMMAND_QUEUE, ATTEND_DEVICE_LOST,
                 "CL_INVALID_COMMAND_QUEUE");
    expect_fault("clEnqueueNDRangeKernel", -9999, ATTEND_DEVICE_LOST,
                 "NVIDIA_ILLEGAL_ACCESS (-9999)");
    expect_fault("clEnqueueNDRangeKernel", CL_INVALID_WORK_ITEM_SIZE, ATTEND_INTERNAL,
                 "CL_INVALID_WORK_ITEM_SIZE (-55)");
    expect_fault("clEnqueueNDRangeKernel", CL_INVALID_WORK_DIMENSION, ATTEND_INTERNAL,
                 "CL_INVALID_WORK_DIMENSION (-53)");
    expect_fault("clEnqueueWriteBuffer", CL_MAP_FAILURE, ATTEND_OUT_OF_MEMORY,
                 "CL_MAP_FAILURE (-12)");
    expect_fault("clCreateBuffer", CL_INVALID_HOST_PTR, ATTEND_INTERNAL, "CL_INVALID_HOST_PTR");
    assert_int_equal(unsetenv("ATTEND_CACHE"), 0);
}

/* Work that ends with an error: its event says so, later calls say that the device is lost, other
 * contexts on the same device and the cpu go on. */
static void test_lost_device(void **state) {
    (void)state;
    static const cl_int states[] = {CL_OUT_OF_RESOURCES, CL_INVALID_COMMAND_QUEUE,
                                    CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, -9999};
    static float values[OWN_SUM];
    for (int i = 0; i < 4; i++) {
        attend_opencl_objects objects = own_objects(&own);
        attend_context *lost = NULL;
        attend_buffer *buffer = NULL;
        char number[20];
        (void)snprintf(number, sizeof number, "(%d)", (int)states[i]);
        objects.symbol = faulty_symbol;
        faulty_start((faulty_plan){.state = states[i]});
        assert_int_equal(attend_open_opencl(&objects, NULL, &lost), ATTEND_OK);
        assert_int_equal(attend_buffer_create(lost, 64, &buffer), ATTEND_OK);
        own_fill(values, 8);
        const attend_attention a = own_on_host(values);
        own_refused(attend_run(lost, &a), ATTEND_DEVICE_LOST, number);
        faulty_stop(); /* the driver is well again, the context is not */
        own_refused(attend_run(lost, &a), ATTEND_DEVICE_LOST, "open a new context");
        own_refused(attend_buffer_read(buffer, 0, values, 4), ATTEND_DEVICE_LOST,
                    "open a new context");
        own_expect(values); /* the cpu in the same process */
        attend_context *const fresh = own_attend(&own);
        float out[OWN_SUM];
        own_fill(out, 8);
        const attend_attention again = own_on_host(out);
        assert_int_equal(attend_run(fresh, &again), ATTEND_OK);
        own_check_close(out, values, OWN_SUM);
        attend_close(fresh);
        attend_buffer_release(buffer);
        attend_close(lost);
        char left[200];
        if (faulty_left(left, sizeof left) != 0) fail_msg("left behind:%s", left);
    }
}

/* Whatever is wrong with the build cache costs time and nothing else. */
static void test_cache(void **state) {
    (void)state;
    static const char *const names[] = {NULL, "clGetProgramInfo", "clCreateProgramWithBinary",
                                        "clBuildProgram", "clCreateKernel"};
    static work w;
    assert_int_equal(setenv("ATTEND_CACHE", "on", 1), 0);
    for (int round = 0; round < 5; round++) {
        pass(&w, (faulty_plan){.name = names[round], .error = CL_OUT_OF_HOST_MEMORY});
        if (w.status != ATTEND_OK) fail_msg("%s: %s", names[round], w.sentence);
        if (round > 0) assert_string_equal(faulty_failed(), names[round]);
        check_results(&w);
    }
    assert_int_equal(unsetenv("ATTEND_CACHE"), 0);
}

static char copied_line[300];

static void keep_line(void *user, attend_log_level level, const char *topic, const char *text) {
    (void)user;
    (void)level;
    if (strcmp(topic, "dispatch") == 0 && strstr(text, "of host memory are copied"))
        (void)snprintf(copied_line, sizeof copied_line, "%s", text);
}

static attend_context *open_sharing(void) {
    attend_opencl_objects objects = own_objects(&own);
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.log = keep_line;
    objects.symbol = faulty_symbol;
    static const char *const names[] = {"ATTEND_TRANSFERS", "ATTEND_VERBOSE", "ATTEND_LOG_FILE"};
    static const char *const values[] = {"share", "dispatch", "/dev/null"};
    const char *const given = getenv(names[0]);
    char before[20] = "";
    if (given) (void)snprintf(before, sizeof before, "%s", given);
    for (int i = 0; i < 3; i++)
        assert_int_equal(setenv(names[i], values[i], 1), 0);
    assert_int_equal(attend_open_opencl(&objects, &options, &context), ATTEND_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(unsetenv(names[i]), 0);
    if (*before) assert_int_equal(setenv(names[0], before, 1), 0);
    return context;
}

/* A driver may refuse a buffer over host memory by rules of its own: that memory is copied then,
 * and the log says so. */
static void test_refused_host_memory(void **state) {
    (void)state;
    static const cl_int refusals[] = {CL_INVALID_HOST_PTR, CL_INVALID_VALUE,
                                      CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES};
    static float values[OWN_SUM], expected[OWN_SUM];
    faulty_start((faulty_plan){0});
    attend_context *const context = open_sharing();
    attend_decision d = {.size = sizeof d};
    own_fill(expected, 4);
    own_expect(expected);
    own_fill(values, 4);
    const attend_attention a = own_on_host(values);
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    assert_string_equal(copied_line, "");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char number[20];
        (void)snprintf(number, sizeof number, "(%d)", (int)refusals[i]);
        own_fill(values, 4);
        faulty_start((faulty_plan){.name = "clCreateBuffer", .error = refusals[i]});
        const attend_status status = attend_run(context, &a);
        if (status != ATTEND_OK) fail_msg("%d: %s", (int)refusals[i], attend_error_text());
        assert_string_equal(faulty_failed(), "clCreateBuffer");
        assert_int_equal(attend_context_decision(context, &d), ATTEND_OK);
        assert_true(d.in_place_bytes == 0 && d.copied_bytes > 0);
        own_check_close(values, expected, OWN_SUM);
        if (strstr(copied_line, number) == NULL) fail_msg("%s: %s", number, copied_line);
    }
    faulty_start((faulty_plan){.name = "clCreateBuffer", .error = CL_OUT_OF_HOST_MEMORY});
    own_refused(attend_run(context, &a), ATTEND_OUT_OF_MEMORY, "CL_OUT_OF_HOST_MEMORY");
    faulty_stop();
    attend_close(context);
}

static int open_own(void **state) {
    (void)state;
    own_open(&own, 0);
    return 0;
}

static int close_own(void **state) {
    (void)state;
    own_close(&own);
    return 0;
}

int main(void) {
    if (setenv("ATTEND_CACHE_DIR", ATTEND_TEST_SCRATCH "/cache", 1) != 0) return 1;
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_of_errors),
        cmocka_unit_test(test_lost_device),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_refused_host_memory),
        cmocka_unit_test(test_each_call),
        cmocka_unit_test(test_each_call_and_all_after),
    };
    return cmocka_run_group_tests(tests, open_own, close_own);
}
