/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_trial.h: how a self-test is run, and what is known of it. */
#include "ocl_trial.h"

#include "ocl_cache.h"

#include <stdio.h>
#include <string.h>

static bool failed(ocl_trial *r, cl_int error, const char *call) {
    if (r->error == CL_SUCCESS && error != CL_SUCCESS) {
        r->error = error;
        r->call = call;
    }
    return r->error != CL_SUCCESS;
}

enum { OPTIONS_BYTES = 160 };

static void build(ocl_trial *r, const ocl_device *d, const ocl_source *source,
                  const char *options) {
    char all[OPTIONS_BYTES];
    const char *text = source->text;
    cl_int error = CL_SUCCESS;
    if (!attend__ocl_build_options(&d->facts, options, all, sizeof all)) {
        (void)failed(r, CL_INVALID_BUILD_OPTIONS, "clBuildProgram");
        return;
    }
    r->program = r->cl->clCreateProgramWithSource(r->context, 1, &text, NULL, &error);
    if (failed(r, error, "clCreateProgramWithSource") ||
        failed(r, r->cl->clBuildProgram(r->program, 1, &d->id, all, NULL, NULL), "clBuildProgram"))
        return;
    r->kernel = r->cl->clCreateKernel(r->program, "check", &error);
    (void)failed(r, error, "clCreateKernel");
}

void attend__ocl_trial_open(ocl_trial *r, const ocl_device *device, const ocl_source *source,
                            const char *options) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)device->platform, 0};
    cl_int error = CL_SUCCESS;
    memset(r, 0, sizeof *r);
    r->cl = device->cl;
    r->context = r->cl->clCreateContext(properties, 1, &device->id, NULL, NULL, &error);
    if (failed(r, error, "clCreateContext")) return;
    build(r, device, source, options);
    if (r->error != CL_SUCCESS) return;
    r->queue = r->cl->clCreateCommandQueue(r->context, device->id, 0, &error);
    (void)failed(r, error, "clCreateCommandQueue");
}

static void set(ocl_trial *r, size_t bytes, const void *value) {
    (void)failed(r, r->cl->clSetKernelArg(r->kernel, r->arguments++, bytes, value),
                 "clSetKernelArg");
}

void attend__ocl_trial_array(ocl_trial *r, void *host, size_t bytes) {
    cl_int error = CL_SUCCESS;
    if (r->error != CL_SUCCESS) return;
    cl_mem *const memory = &r->memory[r->arrays];
    r->host[r->arrays] = host;
    r->bytes[r->arrays++] = bytes;
    *memory = r->cl->clCreateBuffer(r->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (!failed(r, error, "clCreateBuffer")) set(r, sizeof *memory, memory);
}

void attend__ocl_trial_local(ocl_trial *r, size_t bytes) {
    if (r->error == CL_SUCCESS) set(r, bytes, NULL);
}

bool attend__ocl_trial_run(ocl_trial *r, size_t items) {
    const ocl_api *const cl = r->cl;
    const cl_uint last = r->arrays - 1;
    for (cl_uint i = 0; i < r->arrays && r->error == CL_SUCCESS; i++)
        (void)failed(r,
                     cl->clEnqueueWriteBuffer(r->queue, r->memory[i], CL_TRUE, 0, r->bytes[i],
                                              r->host[i], 0, NULL, NULL),
                     "clEnqueueWriteBuffer");
    return r->error == CL_SUCCESS &&
           !failed(r,
                   cl->clEnqueueNDRangeKernel(r->queue, r->kernel, 1, NULL, &items, &items, 0, NULL,
                                              NULL),
                   "clEnqueueNDRangeKernel") &&
           !failed(r,
                   cl->clEnqueueReadBuffer(r->queue, r->memory[last], CL_TRUE, 0, r->bytes[last],
                                           r->host[last], 0, NULL, NULL),
                   "clEnqueueReadBuffer");
}

void attend__ocl_trial_close(ocl_trial *r, char text[OCL_TRIAL_TEXT], bool *again) {
    if (r->error != CL_SUCCESS) {
        (void)snprintf(text, OCL_TRIAL_TEXT, "its self-test fails, %s: %s", r->call,
                       attend__ocl_error_name(r->error));
        *again = r->error != CL_BUILD_PROGRAM_FAILURE;
    }
    for (cl_uint i = 0; i < r->arrays; i++)
        if (r->memory[i]) (void)r->cl->clReleaseMemObject(r->memory[i]);
    if (r->kernel) (void)r->cl->clReleaseKernel(r->kernel);
    if (r->program) (void)r->cl->clReleaseProgram(r->program);
    if (r->queue) (void)r->cl->clReleaseCommandQueue(r->queue);
    if (r->context) (void)r->cl->clReleaseContext(r->context);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void judge(attend_device *device, ocl_verdict *v, const ocl_question *q) {
    static const char agrees[] = "agrees";
    ocl_device *const shared = device->shared;
    char text[OCL_TRIAL_TEXT] = "", line[OCL_TRIAL_TEXT + 80], all[OPTIONS_BYTES] = "";
    const char *from = "the build cache";
    bool again = false;
    const bool fits = attend__ocl_build_options(&shared->facts, q->options, all, sizeof all);
    if (!fits ||
        !attend__ocl_cache_load_verdict(shared, device->host, q->source, all, text, sizeof text)) {
        from = "its self-test";
        if (q->test(shared, q->what, text, &again)) memcpy(text, agrees, sizeof agrees);
        if (!again) attend__ocl_cache_store_verdict(shared, device->host, q->source, all, text);
    }
    v->known = true;
    v->good = !strcmp(text, agrees);
    if (!v->good) (void)snprintf(v->reason, sizeof v->reason, "%s is not used: %s", q->name, text);
    (void)snprintf(line, sizeof line, "%s: %s, says %s", q->name, text, from);
    device->host->log(device->host->self, ATTEND_LOG_INFO, "select", line);
}

bool attend__ocl_verdict(attend_device *device, ocl_verdict *verdict, const ocl_question *question,
                         char *note, size_t bytes) {
    attend__mutex_lock(&device->shared->build_lock);
    if (!verdict->known) judge(device, verdict, question);
    if (!verdict->good) (void)snprintf(note, bytes, "%s", verdict->reason);
    const bool good = verdict->good;
    attend__mutex_unlock(&device->shared->build_lock);
    return good;
}
