/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs: found in memory, else in the build cache on disk, else built. One at a time for each
 * device, so that two threads that want the same program build it once. */
#include "ocl_cache.h"
#include "ocl_device.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ocl_program {
    ocl_program *next;
    const ocl_source *source;
    char *options;
    cl_program built;
};

enum { LOG_BYTES = 700, OPTIONS_BYTES = 1000 };

/* The end of the log is where compilers put what matters most: the count and the last error. */
static attend_status build_failed(const ocl_device *d, const attend_host *host,
                                  const ocl_source *source, cl_program program, cl_int error) {
    const ocl_api *const cl = d->cl;
    size_t bytes = 0;
    char *log = NULL;
    if (cl->clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) ==
        CL_SUCCESS)
        log = malloc(bytes + 1);
    if (log && cl->clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) !=
                   CL_SUCCESS)
        bytes = 0;
    if (log) log[bytes] = 0;
    const size_t length = log ? strlen(log) : 0;
    const char *const end = log ? log + (length > LOG_BYTES ? length - LOG_BYTES : 0) : "";
    const attend_status status = attend__ocl_refuse(
        host, ATTEND_BUILD_FAILED, "opencl: %s does not build on %s (%s); the log ends: %s",
        source->name, d->facts.name, attend__ocl_error_name(error), end);
    free(log);
    return status;
}

/* The families of warnings differ from compiler to compiler: texts only matter where a build
 * fails. */
static attend_status build(const ocl_device *d, const attend_host *host, const ocl_source *source,
                           const char *options, cl_program *result) {
    const ocl_api *const cl = d->cl;
    cl_int error = CL_SUCCESS;
    const char *text = source->text;
    cl_program program = cl->clCreateProgramWithSource(d->context, 1, &text, NULL, &error);
    if (error != CL_SUCCESS) return attend__ocl_fail(host, error, "clCreateProgramWithSource");
    error = cl->clBuildProgram(program, 1, &d->id, options, NULL, NULL);
    if (error != CL_SUCCESS) {
        const attend_status status = build_failed(d, host, source, program, error);
        (void)cl->clReleaseProgram(program);
        return status;
    }
    *result = program;
    return ATTEND_OK;
}

static attend_status keep(ocl_device *d, const attend_host *host, const ocl_source *source,
                          const char *options, cl_program built) {
    ocl_program *const p = calloc(1, sizeof *p);
    char *const copy = attend__string_copy(options);
    if (p == NULL || copy == NULL) {
        free(p);
        free(copy);
        (void)d->cl->clReleaseProgram(built);
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a program");
    }
    *p = (ocl_program){d->programs, source, copy, built};
    d->programs = p;
    return ATTEND_OK;
}

static cl_program find(const ocl_device *d, const ocl_source *source, const char *options) {
    for (const ocl_program *p = d->programs; p != NULL; p = p->next)
        if (p->source == source && !strcmp(p->options, options)) return p->built;
    return NULL;
}

bool attend__ocl_build_options(const ocl_facts *facts, const char *options, char *all,
                               size_t bytes) {
    const int length = snprintf(
        all, bytes, "%s%s%s %s", strstr(options, OCL_SUBGROUPS) ? facts->standard : "-cl-std=CL1.2",
        facts->fast_fma ? " -DUSE_FMA" : "", facts->prefetch ? " -DUSE_PREFETCH" : "", options);
    return length >= 0 && (size_t)length < bytes;
}

attend_status attend__ocl_program(ocl_device *device, const attend_host *host,
                                  const ocl_source *source, const char *options,
                                  cl_program *program) {
    char all[OPTIONS_BYTES];
    if (!attend__ocl_build_options(&device->facts, options, all, sizeof all))
        return attend__ocl_refuse(host, ATTEND_INTERNAL, "opencl: options of %s are too long",
                                  source->name);
    attend__mutex_lock(&device->build_lock);
    attend_status status = ATTEND_OK;
    *program = find(device, source, all);
    if (*program == NULL) {
        *program = attend__ocl_cache_load(device, host, source, all);
        if (*program == NULL) {
            status = build(device, host, source, all, program);
            if (status == ATTEND_OK) attend__ocl_cache_store(device, host, source, all, *program);
        }
        if (status == ATTEND_OK) status = keep(device, host, source, all, *program);
    }
    attend__mutex_unlock(&device->build_lock);
    return status;
}

void attend__ocl_programs_release(ocl_device *device) {
    while (device->programs != NULL) {
        ocl_program *const p = device->programs;
        device->programs = p->next;
        (void)device->cl->clReleaseProgram(p->built);
        free(p->options);
        free(p);
    }
}
