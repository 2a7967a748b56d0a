/* SPDX-License-Identifier: Apache-2.0
 *
 * An application's own OpenCL objects: what is refused and how that reads, memory with offsets,
 * and reference counts that are the same before and after, whatever failed in between. */
#include "own_opencl.h"

#include <string.h>

static own_opencl own;

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

/* ---- results --------------------------------------------------------------------------------- */

/* One memory object for all four tensors, each an import with a byte offset, and a view with an
 * element offset besides. */
static void test_offsets(void **state) {
    (void)state;
    float values[OWN_SUM], out[OWN_SUM];
    own_fill(values, 3);
    cl_mem memory = own_memory(&own, CL_MEM_READ_WRITE, values, sizeof values);
    const own_counts before = own_count(&own, memory, NULL);
    attend_context *const context = own_attend(&own);
    attend_buffer *buffers[4];
    int64_t offsets[4];
    for (int i = 0; i < 4; i++) {
        offsets[i] = i % 2 ? 3 : 0;
        assert_int_equal(attend_buffer_from_cl(
                             context, memory, (size_t)(own_start(i) - offsets[i]) * sizeof(float),
                             (size_t)(own_size(i) + offsets[i]) * sizeof(float), &buffers[i]),
                         ATTEND_OK);
    }
    const attend_attention a = own_in_buffers(buffers, offsets);
    const attend_status status = attend_run(context, &a);
    if (status != ATTEND_OK) fail_msg("%s", attend_error_text());
    float part[OWN_QUERIES];
    assert_int_equal(attend_buffer_read(buffers[3], (size_t)offsets[3] * 4, part, sizeof part),
                     ATTEND_OK);
    for (int i = 0; i < 4; i++)
        attend_buffer_release(buffers[i]);
    attend_close(context);
    own_check_counts(&own, &before, memory, NULL);
    own_read(&own, memory, 0, out, sizeof out);
    own_expect(values);
    own_check_close(out, values, OWN_SUM); /* what is around the output is untouched */
    assert_memory_equal(part, out + own_start(3), sizeof part);
    assert_int_equal(clReleaseMemObject(memory), CL_SUCCESS);
}

/* Sub-buffers of one memory object, inputs readable only. */
static void test_sub_buffers(void **state) {
    (void)state;
    float values[OWN_SUM], out[OWN_QUERIES];
    cl_uint align = 0;
    assert_int_equal(
        clGetDeviceInfo(own.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align, &align, NULL),
        CL_SUCCESS);
    const size_t step = (OWN_KEYS * sizeof(float) / (align / 8) + 1) * (align / 8);
    own_fill(values, 4);
    cl_mem whole = own_memory(&own, CL_MEM_READ_WRITE, NULL, 4 * step);
    const own_counts before = own_count(&own, whole, NULL);
    attend_context *const context = own_attend(&own);
    cl_mem parts[4];
    attend_buffer *buffers[4];
    for (int i = 0; i < 4; i++) {
        const size_t bytes = (size_t)own_size(i) * sizeof(float);
        const cl_buffer_region region = {(size_t)i * step, bytes};
        cl_int error;
        if (i < 3)
            assert_int_equal(clEnqueueWriteBuffer(own.queue, whole, CL_TRUE, region.origin, bytes,
                                                  values + own_start(i), 0, NULL, NULL),
                             CL_SUCCESS);
        parts[i] = clCreateSubBuffer(whole, i < 3 ? CL_MEM_READ_ONLY : CL_MEM_READ_WRITE,
                                     CL_BUFFER_CREATE_TYPE_REGION, &region, &error);
        assert_int_equal(error, CL_SUCCESS);
        assert_int_equal(attend_buffer_from_cl(context, parts[i], 0, bytes, &buffers[i]),
                         ATTEND_OK);
        assert_int_equal(clReleaseMemObject(parts[i]), CL_SUCCESS); /* the buffer holds on to it */
    }
    const attend_attention a = own_in_buffers(buffers, (int64_t[4]){0});
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    for (int i = 0; i < 4; i++)
        attend_buffer_release(buffers[i]);
    attend_close(context);
    own_check_counts(&own, &before, whole, NULL);
    own_read(&own, whole, 3 * step, out, sizeof out);
    own_expect(values);
    own_check_close(out, values + own_start(3), OWN_QUERIES);
    assert_int_equal(clReleaseMemObject(whole), CL_SUCCESS);
}

/* Without a queue the library makes one of its own; the application's is left alone. */
static void test_without_queue(void **state) {
    (void)state;
    const own_counts before = own_count(&own, NULL, NULL);
    own_opencl part = own;
    part.queue = NULL;
    attend_context *const first = own_attend(&part), *const second = own_attend(&own);
    float values[OWN_SUM], expected[OWN_SUM];
    own_fill(values, 5);
    memcpy(expected, values, sizeof values);
    own_expect(expected);
    const attend_attention a = own_on_host(values);
    assert_int_equal(attend_run(first, &a), ATTEND_OK);
    own_check_close(values, expected, OWN_SUM);
    assert_int_equal(attend_run(second, &a), ATTEND_OK);
    own_check_close(values, expected, OWN_SUM);
    attend_close(first);
    attend_close(second);
    own_check_counts(&own, &before, NULL, NULL);
}

/* A structure of an older version has no queue. */
static void test_short_structure(void **state) {
    (void)state;
    const own_counts before = own_count(&own, NULL, NULL);
    attend_opencl_objects objects = own_objects(&own);
    attend_context *context = NULL;
    objects.size = offsetof(attend_opencl_objects, queue);
    objects.queue = (cl_command_queue)&objects; /* must not be looked at */
    assert_int_equal(attend_open_native(own_backend, &objects, NULL, &context), ATTEND_OK);
    attend_close(context);
    own_check_counts(&own, &before, NULL, NULL);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused_objects(const attend_opencl_objects *objects, attend_status status,
                            const char *text) {
    const own_counts before = own_count(&own, NULL, NULL);
    attend_context *context = (attend_context *)&own;
    own_refused(attend_open_native(own_backend, objects, NULL, &context), status, text);
    assert_null(context);
    own_check_counts(&own, &before, NULL, NULL);
}

static void test_refused_objects(void **state) {
    (void)state;
    attend_opencl_objects o = own_objects(&own);
    o.size = 0;
    refused_objects(&o, ATTEND_INVALID, "size");
    o = own_objects(&own);
    o.platform = NULL;
    refused_objects(&o, ATTEND_NULL_POINTER, "platform is NULL");
    o = own_objects(&own);
    o.device = NULL;
    refused_objects(&o, ATTEND_NULL_POINTER, "device is NULL");
    o = own_objects(&own);
    o.context = NULL;
    refused_objects(&o, ATTEND_NULL_POINTER, "context is NULL");
    o = own_objects(&own);
    o.device = (cl_device_id)&o;
    refused_objects(&o, ATTEND_INVALID, "the device is not one of the context's");

    own_opencl other = own;
    own_open(&other, 0);
    o = own_objects(&own);
    o.queue = other.queue;
    refused_objects(&o, ATTEND_INVALID, "the queue belongs to another context or device");
    own_close(&other);

    attend_context *context = NULL;
    o = own_objects(&own);
    own_refused(attend_open_native("vulkan", &o, NULL, &context), ATTEND_UNSUPPORTED, "vulkan");
    own_refused(attend_open_native(own_backend, NULL, NULL, &context), ATTEND_NULL_POINTER, "");
}

static void *no_symbol(void *user, const char *name) {
    return strcmp(name, user) == 0 ? NULL : (void *)(uintptr_t)&own;
}

static void test_missing_function(void **state) {
    (void)state;
    if (strcmp(own_backend, "opencl") != 0) skip();
    attend_opencl_objects o = own_objects(&own);
    o.symbol = no_symbol;
    static char names[][32] = {"clGetPlatformIDs", "clBuildProgram",
                               "clEnqueueBarrierWithWaitList"};
    for (int i = 0; i < 3; i++) {
        o.symbol_user = names[i];
        refused_objects(&o, ATTEND_INCOMPATIBLE, names[i]);
    }
}

static void test_refused_memory(void **state) {
    (void)state;
    enum { BYTES = 256 };
    attend_context *const context = own_attend(&own);
    attend_buffer *buffer = NULL;
    cl_mem memory = own_memory(&own, CL_MEM_READ_WRITE, NULL, BYTES);
    cl_mem writable = own_memory(&own, CL_MEM_WRITE_ONLY, NULL, BYTES);
    own_opencl other = own;
    own_open(&other, 0);
    cl_mem foreign = own_memory(&other, CL_MEM_READ_WRITE, NULL, BYTES);
    const own_counts before = own_count(&own, memory, NULL);
    const struct {
        cl_mem memory;
        size_t offset, bytes;
        attend_status status;
        const char *text;
    } cases[] = {
        {memory, 0, BYTES + 1, ATTEND_OUT_OF_RANGE, "beyond the 256"},
        {memory, BYTES + 1, 0, ATTEND_OUT_OF_RANGE, "beyond the 256"},
        {memory, 4, SIZE_MAX - 4, ATTEND_OUT_OF_RANGE, "byte_offset"},
        {memory, 4, SIZE_MAX - 3, ATTEND_OVERFLOW, "byte_offset"},
        {writable, 0, BYTES, ATTEND_INVALID, "CL_MEM_WRITE_ONLY"},
        {foreign, 0, BYTES, ATTEND_INVALID, "another cl_context"},
        {NULL, 0, BYTES, ATTEND_NULL_POINTER, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        own_refused(attend_buffer_from_cl(context, cases[i].memory, cases[i].offset, cases[i].bytes,
                                          &buffer),
                    cases[i].status, cases[i].text);
        assert_null(buffer);
    }
    own_refused(attend_buffer_import(context, "dmabuf", memory, 0, 1, &buffer), ATTEND_UNSUPPORTED,
                "dmabuf");
    assert_int_equal(attend_buffer_from_cl(context, memory, BYTES, 0, &buffer), ATTEND_OK);
    attend_buffer_release(buffer);
    own_check_counts(&own, &before, memory, NULL);
    attend_close(context);
    assert_int_equal(clReleaseMemObject(foreign), CL_SUCCESS);
    own_close(&other);
    assert_int_equal(clReleaseMemObject(memory), CL_SUCCESS);
    assert_int_equal(clReleaseMemObject(writable), CL_SUCCESS);
}

/* An output in memory that kernels may only read; an offset that cuts elements. */
static void test_refused_outputs(void **state) {
    (void)state;
    cl_mem memory = own_memory(&own, CL_MEM_READ_ONLY, NULL, 64);
    cl_mem good = own_memory(&own, CL_MEM_READ_WRITE, NULL, 64);
    const own_counts before = own_count(&own, memory, NULL);
    attend_context *const context = own_attend(&own);
    attend_buffer *read_only = NULL, *cut = NULL, *out = NULL;
    assert_int_equal(attend_buffer_from_cl(context, memory, 0, 64, &read_only), ATTEND_OK);
    assert_int_equal(attend_buffer_from_cl(context, good, 2, 32, &cut), ATTEND_OK);
    assert_int_equal(attend_buffer_from_cl(context, good, 32, 32, &out), ATTEND_OK);
    attend_copy c = attend_copy_default();
    attend_event *done = NULL;
    const int64_t size = 4;
    c.x = attend_tensor_in(out, 0, ATTEND_F32, 1, &size, NULL);
    c.out = attend_tensor_in(read_only, 0, ATTEND_F32, 1, &size, NULL);
    own_refused(attend_copy_run(context, &c), ATTEND_INVALID, "CL_MEM_READ_ONLY");
    own_refused(attend_copy_enqueue(context, &c, 0, NULL, &done), ATTEND_INVALID,
                "CL_MEM_READ_ONLY");
    assert_null(done);
    c.out = attend_tensor_in(cut, 0, ATTEND_F32, 1, &size, NULL);
    own_refused(attend_copy_run(context, &c), ATTEND_INVALID, "byte offset");
    c.out = attend_tensor_in(cut, 1, ATTEND_F16, 1, &size, NULL);
    assert_int_equal(attend_copy_run(context, &c), ATTEND_OK);
    c.x = attend_tensor_in(read_only, 0, ATTEND_F32, 1, &size, NULL);
    c.out = attend_tensor_in(out, 0, ATTEND_F32, 1, &size, NULL);
    assert_int_equal(attend_copy_run(context, &c), ATTEND_OK);
    attend_buffer_release(read_only);
    attend_buffer_release(cut);
    attend_buffer_release(out);
    attend_close(context);
    own_check_counts(&own, &before, memory, NULL);
    assert_int_equal(clReleaseMemObject(memory), CL_SUCCESS);
    assert_int_equal(clReleaseMemObject(good), CL_SUCCESS);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void test_refused_events(void **state) {
    (void)state;
    attend_context *const context = own_attend(&own);
    own_opencl other = own;
    own_open(&other, 0);
    cl_int error;
    cl_event foreign = clCreateUserEvent(other.context, &error);
    assert_int_equal(error, CL_SUCCESS);
    attend_event *event = NULL;
    void *native = NULL;
    own_refused(attend_event_from_cl(context, foreign, &event), ATTEND_INVALID,
                "another cl_context");
    assert_null(event);
    own_refused(attend_event_from_cl(context, NULL, &event), ATTEND_NULL_POINTER, "");
    own_refused(attend_event_import(context, "cudaEvent_t", foreign, &event), ATTEND_UNSUPPORTED,
                "cudaEvent_t");
    assert_int_equal(attend_user_event_create(context, &event), ATTEND_OK);
    own_refused(attend_event_native(event, "VkFence", &native), ATTEND_UNSUPPORTED, "VkFence");
    assert_int_equal(attend_user_event_complete(event, ATTEND_OK), ATTEND_OK);
    attend_event_release(event);
    assert_int_equal(clSetUserEventStatus(foreign, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(clReleaseEvent(foreign), CL_SUCCESS);
    own_close(&other);
    attend_close(context);
}

/* Objects that outlive the context they were made from. */
static void test_release_order(void **state) {
    (void)state;
    cl_mem memory = own_memory(&own, CL_MEM_READ_WRITE, NULL, 64);
    cl_int error;
    cl_event user = clCreateUserEvent(own.context, &error);
    assert_int_equal(error, CL_SUCCESS);
    const own_counts before = own_count(&own, memory, user);
    attend_context *const context = own_attend(&own);
    attend_buffer *buffer = NULL;
    attend_event *event = NULL;
    assert_int_equal(attend_buffer_from_cl(context, memory, 0, 64, &buffer), ATTEND_OK);
    assert_int_equal(attend_event_from_cl(context, user, &event), ATTEND_OK);
    attend_close(context);
    int32_t complete = 1;
    assert_int_equal(attend_event_query(event, &complete), ATTEND_OK);
    assert_int_equal(complete, 0);
    assert_int_equal(clSetUserEventStatus(user, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(attend_event_wait(event, -1), ATTEND_OK);
    attend_event_release(event);
    attend_buffer_release(buffer);
    own_check_counts(&own, &before, memory, user);
    assert_int_equal(clReleaseEvent(user), CL_SUCCESS);
    assert_int_equal(clReleaseMemObject(memory), CL_SUCCESS);
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (!own_log_start()) return 1;
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets),         cmocka_unit_test(test_sub_buffers),
        cmocka_unit_test(test_without_queue),   cmocka_unit_test(test_short_structure),
        cmocka_unit_test(test_refused_objects), cmocka_unit_test(test_missing_function),
        cmocka_unit_test(test_refused_memory),  cmocka_unit_test(test_refused_outputs),
        cmocka_unit_test(test_refused_events),  cmocka_unit_test(test_release_order),
    };
    const int failures = cmocka_run_group_tests(tests, open_own, close_own);
    own_log_end();
    return failures;
}
