/* SPDX-License-Identifier: Apache-2.0
 *
 * An application that has its own OpenCL: its context, queue and buffers are used as they are, with
 * its own kernels before and after the attention on the same queue. Nothing is copied, no second
 * context is made, and nobody waits until the result is read. */
#include <attend/attend.h>
#include <attend/opencl.h>

#include <stdio.h>
#include <stdlib.h>

enum { B = 1, H = 2, L = 4, S = 4, D = 16, COUNT = B * H * L * D };

static const char *const kernels =
    "__kernel void ramp(__global float *x, float step) {"
    "    x[get_global_id(0)] = step * (float)(get_global_id(0) % 7);"
    "}"
    "__kernel void twice(__global float *x) { x[get_global_id(0)] *= 2.0f; }";

static void need(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s failed: %s\n", what, attend_error_text());
    exit(1);
}

static void launch(cl_command_queue queue, cl_kernel kernel, cl_mem memory, const float *step) {
    const size_t count = COUNT;
    clSetKernelArg(kernel, 0, sizeof memory, &memory);
    if (step) clSetKernelArg(kernel, 1, sizeof *step, step);
    need(!clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &count, NULL, 0, NULL, NULL), "a kernel");
}

/* The application's own context and queue. */
static attend_opencl_objects open_opencl(void) {
    attend_opencl_objects mine = {sizeof mine, NULL, NULL, NULL, NULL, NULL, NULL};
    cl_uint platforms = 0;
    if (clGetPlatformIDs(1, &mine.platform, &platforms) || !platforms ||
        clGetDeviceIDs(mine.platform, CL_DEVICE_TYPE_ALL, 1, &mine.device, NULL)) {
        puts("no OpenCL device here");
        exit(77);
    }
    mine.context = clCreateContext(NULL, 1, &mine.device, NULL, NULL, NULL);
    mine.queue = clCreateCommandQueue(mine.context, mine.device, 0, NULL);
    need(mine.context && mine.queue, "OpenCL");
    return mine;
}

static cl_kernel make_kernel(const attend_opencl_objects *mine, const char *name) {
    const char *text = kernels;
    cl_program program = clCreateProgramWithSource(mine->context, 1, &text, NULL, NULL);
    need(!clBuildProgram(program, 1, &mine->device, "", NULL, NULL), "clBuildProgram");
    cl_kernel kernel = clCreateKernel(program, name, NULL);
    clReleaseProgram(program);
    return kernel;
}

/* Attention over q, k, v into out, behind what the queue holds already. */
static attend_event *enqueue_attention(attend_context *ctx, cl_mem memory[4]) {
    const int64_t sizes[4] = {B, H, L, D};
    attend_buffer *buffers[4];
    attend_attention a = attend_attention_default();
    attend_tensor *const tensors[4] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++) {
        need(!attend_buffer_from_cl(ctx, memory[i], 0, COUNT * sizeof(float), &buffers[i]),
             "attend_buffer_from_cl");
        *tensors[i] = attend_tensor_in(buffers[i], 0, ATTEND_F32, 4, sizes, NULL);
    }
    a.causal = 1;
    a.position = ATTEND_TOP_LEFT;
    attend_event *done = NULL;
    need(!attend_enqueue(ctx, &a, 0, NULL, &done), "attend_enqueue");
    for (int i = 0; i < 4; i++)
        attend_buffer_release(buffers[i]); /* the work holds them */
    return done;
}

int main(void) {
    static const float steps[3] = {0.1f, 0.2f, 1.0f};
    const attend_opencl_objects mine = open_opencl();
    cl_kernel ramp = make_kernel(&mine, "ramp"), twice = make_kernel(&mine, "twice");
    cl_mem memory[4]; /* q, k, v, out */
    for (int i = 0; i < 4; i++)
        memory[i] =
            clCreateBuffer(mine.context, CL_MEM_READ_WRITE, COUNT * sizeof(float), NULL, NULL);
    attend_context *ctx = NULL;
    need(!attend_open_opencl(&mine, NULL, &ctx), "attend_open_opencl");

    for (int i = 0; i < 3; i++)
        launch(mine.queue, ramp, memory[i], &steps[i]);
    attend_event *done = enqueue_attention(ctx, memory);
    cl_event event = NULL;
    need(!attend_event_to_cl(done, &event), "attend_event_to_cl");
    launch(mine.queue, twice, memory[3], NULL);
    float out[COUNT];
    need(!clEnqueueReadBuffer(mine.queue, memory[3], CL_TRUE, 0, sizeof out, out, 1, &event, NULL),
         "clEnqueueReadBuffer");
    printf("%s\n", attend_describe(ctx));
    printf("query 0, twice: %.0f %.0f %.0f\n", (double)out[0], (double)out[1], (double)out[2]);

    /* Every reference that was taken is given back here; the objects stay the application's. */
    attend_event_release(done);
    attend_close(ctx);
    for (int i = 0; i < 4; i++)
        clReleaseMemObject(memory[i]);
    clReleaseKernel(ramp);
    clReleaseKernel(twice);
    clReleaseCommandQueue(mine.queue);
    cl_uint references = 0;
    clGetContextInfo(mine.context, CL_CONTEXT_REFERENCE_COUNT, sizeof references, &references,
                     NULL);
    printf("references to the context: %u\n", (unsigned)references);
    clReleaseContext(mine.context);
    return references == 1 && out[0] == 0.0f && out[1] == 2.0f && out[2] == 4.0f ? 0 : 1;
}
