/* SPDX-License-Identifier: Apache-2.0
 *
 * peak_device.h. The program is not linked with an OpenCL loader: what is called is looked up. */
#include "peak_device.h"

#ifndef BENCH_HAS_OPENCL

#include <stdio.h>

worker_verdict peak_device_prepare(const char *what, const peak_device *device, worker_call *call,
                                   char *reason) {
    (void)device;
    (void)call;
    snprintf(reason, WORKER_TEXT, "%s: this program was built without OpenCL headers", what);
    return WORKER_UNSUPPORTED;
}

#else

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_icd.h>

#include "base/dynlib.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTION_LIST(X)                                                                           \
    X(clGetPlatformIDs)                                                                            \
    X(clGetPlatformInfo)                                                                           \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clCreateContext)                                                                             \
    X(clReleaseContext)                                                                            \
    X(clCreateCommandQueue)                                                                        \
    X(clReleaseCommandQueue)                                                                       \
    X(clCreateProgramWithSource)                                                                   \
    X(clBuildProgram)                                                                              \
    X(clReleaseProgram)                                                                            \
    X(clCreateKernel)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clSetKernelArg)                                                                              \
    X(clCreateBuffer)                                                                              \
    X(clReleaseMemObject)                                                                          \
    X(clEnqueueFillBuffer)                                                                         \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clEnqueueReadBuffer)                                                                         \
    X(clFinish)

typedef struct functions {
#define ATTEND_X(name) cl_api_##name name;
    FUNCTION_LIST(ATTEND_X)
#undef ATTEND_X
} functions;

/* Chains of a work-item that do not wait for each other, and items of a compute unit: enough of
 * both for any device to fill its pipes. */
enum { CHAINS = 16, UNROLLED = 8, ITEMS = 2048, MOST_GROUP = 256, MOST_DEVICES = 64 };
static const double CALL_S = 10e-3; /* long against a launch */
static const size_t MOST_READ = (size_t)1 << 30;

/* Each x becomes x / 2 + 1 / 2 and ends as 1; factor and term come as arguments, so that no
 * compiler knows. A vector of ones is summed, each item its own part, neighbours side by side. */
static const char source[] =
    "#ifdef FP_FAST_FMAF\n"
    "#define STEP(x) x = fma(x, (float4)(factor), (float4)(term));\n"
    "#else\n"
    "#define STEP(x) x = mad(x, (float4)(factor), (float4)(term));\n"
    "#endif\n"
    "#define ALL STEP(a) STEP(b) STEP(c) STEP(d)\n"
    "__kernel void peak_fma(__global float *sums, int steps, float factor, float term) {\n"
    "    float4 a = (float4)((float)get_global_id(0)) + (float4)(2, 3, 4, 5);\n"
    "    float4 b = a + 4.0f, c = a + 8.0f, d = a + 12.0f;\n"
    "    for (int i = 0; i < steps; i++) { ALL ALL ALL ALL ALL ALL ALL ALL }\n"
    "    const float4 s = a + b + c + d;\n"
    "    sums[get_global_id(0)] = s.x + s.y + s.z + s.w;\n"
    "}\n"
    "__kernel void peak_read(__global float *sums, __global const float4 *x, ulong count) {\n"
    "    float4 a = 0, b = 0;\n"
    "    const ulong step = get_global_size(0);\n"
    "    for (ulong i = get_global_id(0); i < count; i += 2 * step) {\n"
    "        a += x[i];\n"
    "        if (i + step < count) b += x[i + step];\n"
    "    }\n"
    "    a += b;\n"
    "    sums[get_global_id(0)] = a.x + a.y + a.z + a.w;\n"
    "}\n";

typedef struct state {
    functions cl;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_mem sums, values;
    size_t items, group;
    float *found; /* [items] */
} state;

static void release(void *object) {
    state *const s = object;
    if (s->sums) (void)s->cl.clReleaseMemObject(s->sums);
    if (s->values) (void)s->cl.clReleaseMemObject(s->values);
    if (s->kernel) (void)s->cl.clReleaseKernel(s->kernel);
    if (s->program) (void)s->cl.clReleaseProgram(s->program);
    if (s->queue) (void)s->cl.clReleaseCommandQueue(s->queue);
    if (s->context) (void)s->cl.clReleaseContext(s->context);
    free(s->found);
    free(s);
}

static bool failed(char *reason, const char *call, cl_int error) {
    snprintf(reason, WORKER_TEXT, "%s: error %d of OpenCL", call, (int)error);
    return false;
}

static bool load(functions *cl, char *reason) {
    static const struct {
        const char *name;
        size_t place;
    } list[] = {
#define ATTEND_X(name) {#name, offsetof(functions, name)},
        FUNCTION_LIST(ATTEND_X)
#undef ATTEND_X
    };
    static const char *const names[] = {"libOpenCL.so.1", "OpenCL.dll",
                                        "/System/Library/Frameworks/OpenCL.framework/OpenCL"};
    void *library = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; ++i)
        library = attend__dynlib_open(names[i], reason, WORKER_TEXT);
    for (size_t i = 0; library && i < sizeof list / sizeof *list; ++i) {
        attend__function *const function = attend__dynlib_symbol(library, list[i].name);
        memcpy((char *)cl + list[i].place, &function, sizeof function);
        if (function) continue;
        snprintf(reason, WORKER_TEXT, "the OpenCL loader lacks %s", list[i].name);
        return false;
    }
    return library != NULL;
}

/* ---- the device ------------------------------------------------------------------------------ */

/* Drivers end names with blanks, which attend takes away. */
static bool same(const char *drivers, const char *name) {
    const size_t length = strlen(name);
    return !strncmp(drivers, name, length) && !drivers[length + strspn(drivers + length, " ")];
}

static bool find_on(const functions *cl, cl_platform_id platform, const char *name,
                    cl_device_id *found) {
    cl_device_id devices[MOST_DEVICES];
    cl_uint count = 0;
    char text[256];
    if (cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, MOST_DEVICES, devices, &count))
        return false;
    for (cl_uint i = 0; i < count && i < MOST_DEVICES; ++i) {
        if (cl->clGetDeviceInfo(devices[i], CL_DEVICE_NAME, sizeof text, text, NULL) ||
            !same(text, name))
            continue;
        *found = devices[i];
        return true;
    }
    return false;
}

static bool find(const functions *cl, const peak_device *wanted, cl_device_id *found) {
    cl_platform_id platforms[MOST_DEVICES];
    cl_uint count = 0;
    char text[256];
    if (cl->clGetPlatformIDs(MOST_DEVICES, platforms, &count)) return false;
    for (cl_uint i = 0; i < count && i < MOST_DEVICES; ++i)
        if (!cl->clGetPlatformInfo(platforms[i], CL_PLATFORM_NAME, sizeof text, text, NULL) &&
            same(text, wanted->platform) && find_on(cl, platforms[i], wanted->name, found))
            return true;
    return false;
}

static bool open_device(state *s, cl_device_id device, const char *kernel, char *reason) {
    const char *text = source;
    cl_uint units = 1;
    size_t most = 1;
    cl_int error = CL_SUCCESS;
    (void)s->cl.clGetDeviceInfo(device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    (void)s->cl.clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof most, &most, NULL);
    s->items = (size_t)units * ITEMS;
    for (s->group = MOST_GROUP; s->group > most;)
        s->group /= 2;
    s->found = calloc(s->items, sizeof *s->found);
    if (!s->found) return failed(reason, "calloc", CL_OUT_OF_HOST_MEMORY);
    s->context = s->cl.clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    if (error) return failed(reason, "clCreateContext", error);
    s->queue = s->cl.clCreateCommandQueue(s->context, device, 0, &error);
    if (error) return failed(reason, "clCreateCommandQueue", error);
    s->program = s->cl.clCreateProgramWithSource(s->context, 1, &text, NULL, &error);
    if (!error) error = s->cl.clBuildProgram(s->program, 1, &device, "", NULL, NULL);
    if (error) return failed(reason, "clBuildProgram", error);
    s->kernel = s->cl.clCreateKernel(s->program, kernel, &error);
    if (error) return failed(reason, "clCreateKernel", error);
    s->sums = s->cl.clCreateBuffer(s->context, CL_MEM_WRITE_ONLY, s->items * sizeof *s->found, NULL,
                                   &error);
    if (!error) error = s->cl.clSetKernelArg(s->kernel, 0, sizeof s->sums, &s->sums);
    return !error || failed(reason, "clCreateBuffer", error);
}

/* ---- a call ---------------------------------------------------------------------------------- */

static bool run(void *object, char *reason) {
    state *const s = object;
    cl_int error = s->cl.clEnqueueNDRangeKernel(s->queue, s->kernel, 1, NULL, &s->items, &s->group,
                                                0, NULL, NULL);
    if (!error) error = s->cl.clFinish(s->queue);
    return !error || failed(reason, "clEnqueueNDRangeKernel", error);
}

/* What all items found together, which is exact. */
static bool agrees(state *s, double expected, char *reason) {
    double sum = 0;
    const cl_int error = s->cl.clEnqueueReadBuffer(
        s->queue, s->sums, CL_TRUE, 0, s->items * sizeof *s->found, s->found, 0, NULL, NULL);
    if (error) return failed(reason, "clEnqueueReadBuffer", error);
    for (size_t i = 0; i < s->items; ++i)
        sum += (double)s->found[i];
    if (sum == expected) return true;
    snprintf(reason, WORKER_TEXT, "the sum is %.17g instead of %.17g", sum, expected);
    return false;
}

static bool timed(state *s, double *seconds, char *reason) {
    const int64_t start = attend__clock_nanoseconds();
    if (!run(s, reason)) return false;
    *seconds = (double)(attend__clock_nanoseconds() - start) * 1e-9;
    return true;
}

static bool make_fma(state *s, worker_call *call, char *reason) {
    const float half = 0.5f;
    cl_int steps = 16;
    double seconds = 0;
    if (s->cl.clSetKernelArg(s->kernel, 2, sizeof half, &half) ||
        s->cl.clSetKernelArg(s->kernel, 3, sizeof half, &half))
        return failed(reason, "clSetKernelArg", CL_INVALID_ARG_VALUE);
    for (; seconds < CALL_S && steps < 1 << 28; steps *= 2) {
        if (s->cl.clSetKernelArg(s->kernel, 1, sizeof steps, &steps))
            return failed(reason, "clSetKernelArg", CL_INVALID_ARG_VALUE);
        call->flops = 2.0 * CHAINS * UNROLLED * (double)steps * (double)s->items;
        if (!timed(s, &seconds, reason) || !timed(s, &seconds, reason)) return false;
    }
    return agrees(s, CHAINS * (double)s->items, reason);
}

static bool make_read(state *s, cl_device_id device, worker_call *call, char *reason) {
    const float one = 1;
    cl_ulong largest = 0;
    cl_int error =
        s->cl.clGetDeviceInfo(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof largest, &largest, NULL);
    const size_t most = !error && largest / 2 < MOST_READ ? (size_t)(largest / 2) : MOST_READ;
    const cl_ulong count = most / sizeof(cl_float4);
    const size_t bytes = (size_t)count * sizeof(cl_float4);
    s->values = s->cl.clCreateBuffer(s->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (!error)
        error = s->cl.clEnqueueFillBuffer(s->queue, s->values, &one, sizeof one, 0, bytes, 0, NULL,
                                          NULL);
    if (!error) error = s->cl.clSetKernelArg(s->kernel, 1, sizeof s->values, &s->values);
    if (!error) error = s->cl.clSetKernelArg(s->kernel, 2, sizeof count, &count);
    if (error) return failed(reason, "memory to read", error);
    call->bytes = (double)bytes;
    return run(s, reason) && agrees(s, 4 * (double)count, reason);
}

worker_verdict peak_device_prepare(const char *what, const peak_device *device, worker_call *call,
                                   char *reason) {
    const bool fma = !strcmp(what, "peak-fma");
    if (!fma && strcmp(what, "peak-read") != 0) {
        snprintf(reason, WORKER_TEXT, "nothing here measures %s on such a device", what);
        return WORKER_UNSUPPORTED;
    }
    cl_device_id found = NULL;
    state *const s = calloc(1, sizeof *s);
    bool good = s && load(&s->cl, reason);
    if (good && !find(&s->cl, device, &found)) {
        snprintf(reason, WORKER_TEXT, "the OpenCL loader lists no %s of %s", device->name,
                 device->platform);
        good = false;
    }
    good = good && open_device(s, found, fma ? "peak_fma" : "peak_read", reason) &&
           (fma ? make_fma(s, call, reason) : make_read(s, found, call, reason));
    if (!good) {
        if (s)
            release(s);
        else
            snprintf(reason, WORKER_TEXT, "out of memory");
        return WORKER_ERROR;
    }
    call->state = s;
    call->run = run;
    call->release = release;
    call->kernel = fma ? "OpenCL fma" : "OpenCL read";
    return WORKER_OK;
}

#endif
