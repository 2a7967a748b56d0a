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

int main(void) {
    /* The application's own. */
    attend_opencl_objects mine = {sizeof mine, NULL, NULL, NULL, NULL, NULL, NULL};
    cl_uint platforms = 0;
    if (clGetPlatformIDs(1, &mine.platform, &platforms) || !platforms ||
        clGetDeviceIDs(mine.platform, CL_DEVICE_TYPE_ALL, 1, &mine.device, NULL)) {
        puts("no OpenCL device here");
        return 77;
    }
    mine.context = clCreateContext(NULL, 1, &mine.device, NULL, NULL, NULL);
    mine.queue = clCreateCommandQueue(mine.context, mine.device, 0, NULL);
    cl_program program =
        clCreateProgramWithSource(mine.context, 1, (const char **)&kernels, NULL, NULL);
    need(!clBuildProgram(program, 1, &mine.device, "", NULL, NULL), "clBuildProgram");
    cl_kernel ramp = clCreateKernel(program, "ramp", NULL);
    cl_kernel twice = clCreateKernel(program, "twice", NULL);
    cl_mem memory[4]; /* q, k, v, out */
    for (int i = 0; i < 4; i++)
        memory[i] =
            clCreateBuffer(mine.context, CL_MEM_READ_WRITE, COUNT * sizeof(float), NULL, NULL);

    /* Attention on it. */
    attend_context *ctx = NULL;
    attend_buffer *buffers[4];
    attend_tensor tensors[4];
    const int64_t sizes[4] = {B, H, L, D};
    need(!attend_open_opencl(&mine, NULL, &ctx), "attend_open_opencl");
    for (int i = 0; i < 4; i++) {
        need(!attend_buffer_from_cl(ctx, memory[i], 0, COUNT * sizeof(float), &buffers[i]),
             "attend_buffer_from_cl");
        tensors[i] = attend_tensor_in(buffers[i], 0, ATTEND_F32, 4, sizes, NULL);
    }
    attend_attention a = attend_attention_default();
    a.q = tensors[0];
    a.k = tensors[1];
    a.v = tensors[2];
    a.out = tensors[3];
    a.causal = 1;
    a.position = ATTEND_TOP_LEFT;

    /* Ours goes behind what the queue holds, theirs behind ours. */
    static const float steps[3] = {0.1f, 0.2f, 1.0f};
    for (int i = 0; i < 3; i++)
        launch(mine.queue, ramp, memory[i], &steps[i]);
    attend_event *done = NULL;
    need(!attend_enqueue(ctx, &a, 0, NULL, &done), "attend_enqueue");
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
    for (int i = 0; i < 4; i++)
        attend_buffer_release(buffers[i]);
    attend_close(ctx);
    for (int i = 0; i < 4; i++)
        clReleaseMemObject(memory[i]);
    clReleaseKernel(ramp);
    clReleaseKernel(twice);
    clReleaseProgram(program);
    clReleaseCommandQueue(mine.queue);
    cl_uint references = 0;
    clGetContextInfo(mine.context, CL_CONTEXT_REFERENCE_COUNT, sizeof references, &references,
                     NULL);
    printf("references to the context: %u\n", (unsigned)references);
    clReleaseContext(mine.context);
    return references == 1 && out[0] == 0.0f && out[1] == 2.0f && out[2] == 4.0f ? 0 : 1;
}
