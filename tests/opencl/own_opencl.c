/* SPDX-License-Identifier: Apache-2.0
 *
 * own_opencl.h, the objects and the problem. */
#include "own_opencl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *own_backend = "opencl";

void own_choose_backend(int argc, char **argv) {
    if (argc > 1) own_backend = argv[1];
}

/* ---- the application's objects --------------------------------------------------------------- */

bool own_find(own_opencl *own) {
    cl_platform_id platforms[16];
    cl_uint count = 0;
    memset(own, 0, sizeof *own);
    if (clGetPlatformIDs(16, platforms, &count) != CL_SUCCESS) return false;
    for (cl_uint i = 0; i < count && i < 16; i++) {
        own->platform = platforms[i];
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &own->device, NULL) == CL_SUCCESS)
            return true;
    }
    return false;
}

bool own_is_pocl(const own_opencl *own) {
    char name[100] = "";
    (void)clGetPlatformInfo(own->platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
    return strstr(name, "Portable Computing Language") != NULL;
}

void own_open(own_opencl *own, cl_command_queue_properties properties) {
    const cl_context_properties platform[] = {CL_CONTEXT_PLATFORM,
                                              (cl_context_properties)own->platform, 0};
    cl_int error;
    own->context = clCreateContext(platform, 1, &own->device, NULL, NULL, &error);
    assert_int_equal(error, CL_SUCCESS);
    own->queue = clCreateCommandQueue(own->context, own->device, properties, &error);
    assert_int_equal(error, CL_SUCCESS);
}

void own_close(own_opencl *own) {
    assert_int_equal(clFinish(own->queue), CL_SUCCESS);
    assert_int_equal(clReleaseCommandQueue(own->queue), CL_SUCCESS);
    assert_int_equal(clReleaseContext(own->context), CL_SUCCESS);
    own->queue = NULL;
    own->context = NULL;
}

attend_opencl_objects own_objects(const own_opencl *own) {
    return (attend_opencl_objects){.size = sizeof(attend_opencl_objects),
                                   .platform = own->platform,
                                   .device = own->device,
                                   .context = own->context,
                                   .queue = own->queue};
}

attend_context *own_attend(const own_opencl *own) {
    const attend_opencl_objects objects = own_objects(own);
    attend_context *context = NULL;
    const attend_status status = attend_open_native(own_backend, &objects, NULL, &context);
    if (status != ATTEND_OK) fail_msg("%s: %s", own_backend, attend_error_text());
    return context;
}

attend_context *own_copying(const char *way) {
    attend_context *context = NULL;
    attend_options options = attend_options_default();
    options.backend = own_backend;
    assert_int_equal(setenv("ATTEND_TRANSFERS", way, 1), 0);
    assert_int_equal(attend_open(&options, &context), ATTEND_OK);
    assert_int_equal(unsetenv("ATTEND_TRANSFERS"), 0);
    return context;
}

cl_mem own_memory(const own_opencl *own, cl_mem_flags flags, const void *data, size_t bytes) {
    cl_int error;
    void *const pattern = data ? NULL : malloc(bytes);
    if (pattern) memset(pattern, 0x5a, bytes);
    cl_mem memory = clCreateBuffer(own->context, flags | CL_MEM_COPY_HOST_PTR, bytes,
                                   data ? (void *)(uintptr_t)data : pattern, &error);
    free(pattern);
    assert_int_equal(error, CL_SUCCESS);
    return memory;
}

void own_read(const own_opencl *own, cl_mem memory, size_t offset, void *data, size_t bytes) {
    assert_int_equal(
        clEnqueueReadBuffer(own->queue, memory, CL_TRUE, offset, bytes, data, 0, NULL, NULL),
        CL_SUCCESS);
}

/* ---- one small problem ----------------------------------------------------------------------- */

int64_t own_size(int i) {
    return i == 0 || i == 3 ? OWN_QUERIES : OWN_KEYS;
}

int64_t own_start(int i) {
    int64_t at = OWN_LEAD;
    for (int t = 0; t < i; t++)
        at += own_size(t) + OWN_LEAD;
    return at;
}

void own_fill(float *values, unsigned seed) {
    for (unsigned i = 0; i < OWN_SUM; i++)
        values[i] = (float)((i * (7 + 2 * seed) + seed) % 33) / 16 - 1;
}

static attend_attention describe(void) {
    attend_attention a = attend_attention_default();
    a.causal = 1;
    a.position = ATTEND_BOTTOM_RIGHT;
    return a;
}

attend_attention own_on_host(float *values) {
    attend_attention a = describe();
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++)
        *tensors[i] = attend_tensor_4d(values + own_start(i), ATTEND_F32, OWN_B, OWN_H,
                                       own_size(i) == OWN_KEYS ? OWN_S : OWN_L, OWN_D);
    return a;
}

attend_attention own_in_buffers(attend_buffer *const buffers[4], const int64_t offsets[4]) {
    attend_attention a = describe();
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++) {
        const int64_t sizes[] = {OWN_B, OWN_H, own_size(i) == OWN_KEYS ? OWN_S : OWN_L, OWN_D};
        *tensors[i] = attend_tensor_in(buffers[i], offsets[i], ATTEND_F32, 4, sizes, NULL);
    }
    return a;
}

void own_expect(float *values) {
    attend_options options = attend_options_default();
    attend_context *cpu = NULL;
    options.backend = "cpu";
    assert_int_equal(attend_open(&options, &cpu), ATTEND_OK);
    const attend_attention a = own_on_host(values);
    assert_int_equal(attend_run(cpu, &a), ATTEND_OK);
    attend_close(cpu);
}

void own_check_close(const float *values, const float *expected, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(values[i] - expected[i]) <= 1e-5F))
            fail_msg("value %d is %.9g instead of %.9g", (int)i, (double)values[i],
                     (double)expected[i]);
}

void own_refused(attend_status status, attend_status expected, const char *text) {
    if (status != expected || strstr(attend_error_text(), text) == NULL)
        fail_msg("%s, \"%s\" instead of %s, \"..%s..\"", attend_status_name(status),
                 attend_error_text(), attend_status_name(expected), text);
}
