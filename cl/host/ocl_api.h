/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenCL functions this library calls, as a table filled at run time, so that a program starts
 * and computes on its CPU where no OpenCL loader is installed. An application that linked another
 * loader hands in where its functions are found (attend/opencl.h). */
#ifndef ATTEND_CL_HOST_OCL_API_H
#define ATTEND_CL_HOST_OCL_API_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_icd.h>

#include "attend/core.h"

/* All of OpenCL 1.2, which is the baseline. */
#define OCL_FUNCTION_LIST(X)                                                                       \
    X(clGetPlatformIDs)                                                                            \
    X(clGetPlatformInfo)                                                                           \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clCreateContext)                                                                             \
    X(clRetainContext)                                                                             \
    X(clReleaseContext)                                                                            \
    X(clGetContextInfo)                                                                            \
    X(clCreateCommandQueue)                                                                        \
    X(clRetainCommandQueue)                                                                        \
    X(clReleaseCommandQueue)                                                                       \
    X(clGetCommandQueueInfo)                                                                       \
    X(clCreateBuffer)                                                                              \
    X(clRetainMemObject)                                                                           \
    X(clReleaseMemObject)                                                                          \
    X(clGetMemObjectInfo)                                                                          \
    X(clCreateProgramWithSource)                                                                   \
    X(clCreateProgramWithBinary)                                                                   \
    X(clReleaseProgram)                                                                            \
    X(clBuildProgram)                                                                              \
    X(clGetProgramInfo)                                                                            \
    X(clGetProgramBuildInfo)                                                                       \
    X(clCreateKernel)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clSetKernelArg)                                                                              \
    X(clGetKernelWorkGroupInfo)                                                                    \
    X(clWaitForEvents)                                                                             \
    X(clGetEventInfo)                                                                              \
    X(clCreateUserEvent)                                                                           \
    X(clSetUserEventStatus)                                                                        \
    X(clSetEventCallback)                                                                          \
    X(clRetainEvent)                                                                               \
    X(clReleaseEvent)                                                                              \
    X(clFlush)                                                                                     \
    X(clEnqueueReadBuffer)                                                                         \
    X(clEnqueueWriteBuffer)                                                                        \
    X(clEnqueueCopyBuffer)                                                                         \
    X(clEnqueueMapBuffer)                                                                          \
    X(clEnqueueUnmapMemObject)                                                                     \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clEnqueueMarkerWithWaitList)                                                                 \
    X(clEnqueueBarrierWithWaitList)

typedef struct ocl_api {
#define ATTEND_X(name) cl_api_##name name;
    OCL_FUNCTION_LIST(ATTEND_X)
#undef ATTEND_X
    /* clGetKernelSubGroupInfo of OpenCL 2.1, where the loader has it; a driver need not. */
    cl_int(CL_API_CALL *kernel_sub_group_info)(cl_kernel, cl_device_id, cl_uint, size_t,
                                               const void *, size_t, void *, size_t *);
} ocl_api;

/* The loader of the system, opened at the first call and kept. NULL and, in *reason, a sentence of
 * static lifetime that says what to install where there is none. Any thread. */
const ocl_api *attend__ocl_api(const char **reason);

/* A table of its own from functions an application names; false if one of them is missing, which
 * *missing then names. */
typedef void *ocl_symbol_fn(void *user, const char *name);
bool attend__ocl_api_fill(ocl_api *api, ocl_symbol_fn *symbol, void *user, const char **missing);

/* The name of an OpenCL error, "CL_OUT_OF_RESOURCES", and the status that stands for it. */
const char *attend__ocl_error_name(cl_int error);
attend_status attend__ocl_status(cl_int error);

#endif
