/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library asks of OpenCL, counted by a layer of the loader (layer.c): nothing at all for
 * the backend cpu; no context, no queue, no clFinish and no copy of the application's memory on
 * objects that it handed in. */
#include "own_opencl.h"

#include <string.h>

static own_opencl own;
static long noted; /* where the part of the log under test begins */

/* Runs first: the layer, once there, stays. */
static void test_cpu_calls_nothing(void **state) {
    (void)state;
    float values[OWN_SUM];
    own_fill(values, 1);
    own_expect(values);
    assert_false(own_log_exists());
    if (!own_find(&own)) skip();
    assert_true(own_log_exists()); /* the layer does see calls */
}

static void check_forbidden(const char *where) {
    static const char *const names[] = {"clCreateContext", "clCreateContextFromType",
                                        "clCreateCommandQueue", "clFinish"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (own_calls(noted, names[i], 0) != 0) fail_msg("%s: calls %s", where, names[i]);
    /* nor memory of the size of an input or an output */
    for (int i = 0; i < 4; i++)
        assert_int_equal(own_calls(noted, "clCreateBuffer", (size_t)own_size(i) * sizeof(float)),
                         0);
}

static void stages(attend_context *context, attend_buffer *const buffers[4]) {
    const int64_t sizes[] = {OWN_QUERIES / OWN_D, OWN_D};
    const attend_tensor q = attend_tensor_in(buffers[0], 0, ATTEND_F32, 2, sizes, NULL);
    const attend_tensor out = attend_tensor_in(buffers[3], 0, ATTEND_F32, 2, sizes, NULL);
    float w[OWN_D * OWN_D];
    for (int i = 0; i < OWN_D * OWN_D; i++)
        w[i] = (float)(i % 5);
    const attend_tensor host = attend_tensor_2d(w, ATTEND_F32, OWN_D, OWN_D);
    attend_projection p = attend_projection_default();
    assert_int_equal(attend_weights_create(context, &host, &p.weights), ATTEND_OK);
    p.x = q;
    p.out = out;
    attend_copy c = attend_copy_default();
    c.x = q;
    c.out = out;
    attend_norm n = attend_norm_default();
    n.x = n.out = out;
    attend_event *done = NULL;
    assert_int_equal(attend_project_enqueue(context, &p, 0, NULL, NULL), ATTEND_OK);
    assert_int_equal(attend_norm_enqueue(context, &n, 0, NULL, NULL), ATTEND_OK);
    assert_int_equal(attend_copy_enqueue(context, &c, 0, NULL, &done), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    attend_weights_release(p.weights);
}

static void test_shared_objects(void **state) {
    (void)state;
    if (own.device == NULL) skip();
    float values[OWN_SUM], expected[OWN_SUM], out[OWN_QUERIES];
    cl_mem memory[4];
    attend_buffer *buffers[4];
    own_fill(values, 2);
    memcpy(expected, values, sizeof values);
    own_expect(expected);
    own_open(&own, 0);
    for (int i = 0; i < 4; i++)
        memory[i] = own_memory(&own, CL_MEM_READ_WRITE, i < 3 ? values + own_start(i) : NULL,
                               (size_t)own_size(i) * sizeof(float));
    noted = own_log_position();
    attend_context *const context = own_attend(&own);
    for (int i = 0; i < 4; i++)
        assert_int_equal(attend_buffer_from_cl(context, memory[i], 0,
                                               (size_t)own_size(i) * sizeof(float), &buffers[i]),
                         ATTEND_OK);
    const attend_attention a = own_in_buffers(buffers, (int64_t[4]){0});
    stages(context, buffers);
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    check_forbidden("the first call");
    assert_true(own_calls(noted, "clEnqueueNDRangeKernel", 0) > 0);
    const long first = noted;
    noted = own_log_position();
    for (int i = 0; i < 3; i++) {
        attend_event *done = NULL;
        assert_int_equal(attend_enqueue(context, &a, 0, NULL, &done), ATTEND_OK);
        assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
        attend_event_release(done);
    }
    assert_int_equal(attend_finish(context), ATTEND_OK);
    /* A call that was made before builds nothing; CLBlast makes memory and kernel objects in each.
     */
    assert_int_equal(own_calls(noted, "clCreateProgramWithSource", 0), 0);
    if (strcmp(own_backend, "opencl") == 0) {
        assert_int_equal(own_calls(noted, "clCreateBuffer", 0), 0);
        assert_int_equal(own_calls(noted, "clCreateKernel", 0), 0);
    }
    noted = first;
    for (int i = 0; i < 4; i++)
        attend_buffer_release(buffers[i]);
    attend_close(context);
    check_forbidden("closing");
    own_read(&own, memory[3], 0, out, sizeof out);
    own_check_close(out, expected + own_start(3), OWN_QUERIES);
    for (int i = 0; i < 4; i++)
        assert_int_equal(clReleaseMemObject(memory[i]), CL_SUCCESS);
    own_close(&own);
}

/* The other way round: opened by name, one context serves all contexts of the library. */
static void test_one_context(void **state) {
    (void)state;
    if (own.device == NULL) skip();
    attend_options options = attend_options_default();
    attend_context *contexts[3];
    options.backend = own_backend;
    noted = own_log_position();
    for (int i = 0; i < 3; i++)
        assert_int_equal(attend_open(&options, &contexts[i]), ATTEND_OK);
    for (int i = 0; i < 3; i++)
        attend_close(contexts[i]);
    assert_int_equal(attend_open(&options, &contexts[0]), ATTEND_OK);
    attend_close(contexts[0]);
    assert_int_equal(own_calls(noted, "clCreateContext", 0), 1);
    assert_int_equal(own_calls(noted, "clCreateCommandQueue", 0), 4);
    assert_int_equal(own_calls(noted, "clReleaseCommandQueue", 0), 4);
    assert_int_equal(own_calls(noted, "clFinish", 0), 0);
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (!own_log_start()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_calls_nothing),
        cmocka_unit_test(test_shared_objects),
        cmocka_unit_test(test_one_context),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    own_log_end();
    return failures == 0 && own.device == NULL ? 77 : failures;
}
