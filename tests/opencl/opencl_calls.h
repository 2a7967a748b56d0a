/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of OpenCL 1.2 that the host layer may call, with their parameters, so that a layer
 * that counts calls and a test that makes them fail write each of them by one macro. What is
 * looked for because it must not be called (clFinish) is listed, too. */
#ifndef OPENCL_CALLS_H
#define OPENCL_CALLS_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_icd.h>

/* clang-format off */

/* Return an object, and the error by their last parameter. X(type, name, parameters, arguments,
 * kind of object) */
#define CREATING_CALLS(X) BUFFER_CALL(X) OTHER_CREATING_CALLS(X)
#define BUFFER_CALL(X)                                                                             \
    X(cl_mem, clCreateBuffer,                                                                      \
      (cl_context c, cl_mem_flags f, size_t bytes, void *host, cl_int *error),                     \
      (c, f, bytes, host, error), MEMORY)
#define OTHER_CREATING_CALLS(X)                                                                    \
    X(cl_context, clCreateContext,                                                                 \
      (const cl_context_properties *p, cl_uint n, const cl_device_id *d,                           \
       void(CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *error),  \
      (p, n, d, f, u, error), CONTEXT)                                                             \
    X(cl_context, clCreateContextFromType,                                                         \
      (const cl_context_properties *p, cl_device_type t,                                           \
       void(CL_CALLBACK *f)(const char *, const void *, size_t, void *), void *u, cl_int *error),  \
      (p, t, f, u, error), CONTEXT)                                                                \
    X(cl_command_queue, clCreateCommandQueue,                                                      \
      (cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int *error),                \
      (c, d, p, error), QUEUE)                                                                     \
    X(cl_mem, clCreateSubBuffer,                                                                   \
      (cl_mem m, cl_mem_flags f, cl_buffer_create_type t, const void *region, cl_int *error),      \
      (m, f, t, region, error), MEMORY)                                                            \
    X(cl_program, clCreateProgramWithSource,                                                       \
      (cl_context c, cl_uint n, const char **text, const size_t *lengths, cl_int *error),          \
      (c, n, text, lengths, error), PROGRAM)                                                       \
    X(cl_program, clCreateProgramWithBinary,                                                       \
      (cl_context c, cl_uint n, const cl_device_id *d, const size_t *lengths,                      \
       const unsigned char **data, cl_int *states, cl_int *error),                                 \
      (c, n, d, lengths, data, states, error), PROGRAM)                                            \
    X(cl_kernel, clCreateKernel, (cl_program p, const char *name, cl_int *error),                  \
      (p, name, error), KERNEL)                                                                    \
    X(cl_event, clCreateUserEvent, (cl_context c, cl_int *error), (c, error), EVENT)

/* Take or give back a reference. X(name, type, kind, change) */
#define REFERENCE_CALLS(X)                                                                         \
    X(clRetainContext, cl_context, CONTEXT, 1)                                                     \
    X(clReleaseContext, cl_context, CONTEXT, -1)                                                   \
    X(clRetainCommandQueue, cl_command_queue, QUEUE, 1)                                            \
    X(clReleaseCommandQueue, cl_command_queue, QUEUE, -1)                                          \
    X(clRetainMemObject, cl_mem, MEMORY, 1)                                                        \
    X(clReleaseMemObject, cl_mem, MEMORY, -1)                                                      \
    X(clRetainProgram, cl_program, PROGRAM, 1)                                                     \
    X(clReleaseProgram, cl_program, PROGRAM, -1)                                                   \
    X(clRetainKernel, cl_kernel, KERNEL, 1)                                                        \
    X(clReleaseKernel, cl_kernel, KERNEL, -1)                                                      \
    X(clRetainEvent, cl_event, EVENT, 1)                                                           \
    X(clReleaseEvent, cl_event, EVENT, -1)

/* Return an error, and an event where `event` is not NULL. X(name, parameters, arguments) */
#define ENQUEUEING_CALLS(X)                                                                        \
    X(clEnqueueReadBuffer,                                                                         \
      (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t bytes, void *to, cl_uint n,  \
       const cl_event *waits, cl_event *event),                                                    \
      (q, m, block, at, bytes, to, n, waits, event))                                               \
    X(clEnqueueWriteBuffer,                                                                        \
      (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t bytes, const void *from,     \
       cl_uint n, const cl_event *waits, cl_event *event),                                         \
      (q, m, block, at, bytes, from, n, waits, event))                                             \
    X(clEnqueueCopyBuffer,                                                                         \
      (cl_command_queue q, cl_mem from, cl_mem to, size_t i, size_t j, size_t bytes, cl_uint n,    \
       const cl_event *waits, cl_event *event),                                                    \
      (q, from, to, i, j, bytes, n, waits, event))                                                 \
    X(clEnqueueUnmapMemObject,                                                                     \
      (cl_command_queue q, cl_mem m, void *mapped, cl_uint n, const cl_event *waits,               \
       cl_event *event),                                                                           \
      (q, m, mapped, n, waits, event))                                                             \
    X(clEnqueueFillBuffer,                                                                         \
      (cl_command_queue q, cl_mem m, const void *pattern, size_t size, size_t at, size_t bytes,    \
       cl_uint n, const cl_event *waits, cl_event *event),                                         \
      (q, m, pattern, size, at, bytes, n, waits, event))                                           \
    X(clEnqueueNDRangeKernel,                                                                      \
      (cl_command_queue q, cl_kernel k, cl_uint rank, const size_t *offset, const size_t *global,  \
       const size_t *local, cl_uint n, const cl_event *waits, cl_event *event),                    \
      (q, k, rank, offset, global, local, n, waits, event))                                        \
    X(clEnqueueMarkerWithWaitList,                                                                 \
      (cl_command_queue q, cl_uint n, const cl_event *waits, cl_event *event),                     \
      (q, n, waits, event))                                                                        \
    X(clEnqueueBarrierWithWaitList,                                                                \
      (cl_command_queue q, cl_uint n, const cl_event *waits, cl_event *event),                     \
      (q, n, waits, event))

/* Return an address, an event where `event` is not NULL, and the error by their last parameter. */
#define MAPPING_CALLS(X)                                                                           \
    X(clEnqueueMapBuffer,                                                                          \
      (cl_command_queue q, cl_mem m, cl_bool block, cl_map_flags flags, size_t at, size_t bytes,   \
       cl_uint n, const cl_event *waits, cl_event *event, cl_int *error),                          \
      (q, m, block, flags, at, bytes, n, waits, event, error))

/* Return an error alone. X(name, parameters, arguments) */
#define PLAIN_CALLS(X)                                                                             \
    X(clGetPlatformIDs, (cl_uint n, cl_platform_id *p, cl_uint *count), (n, p, count))             \
    X(clGetPlatformInfo,                                                                           \
      (cl_platform_id p, cl_platform_info what, size_t n, void *value, size_t *bytes),             \
      (p, what, n, value, bytes))                                                                  \
    X(clGetDeviceIDs,                                                                              \
      (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *count),            \
      (p, t, n, d, count))                                                                         \
    X(clGetDeviceInfo,                                                                             \
      (cl_device_id d, cl_device_info what, size_t n, void *value, size_t *bytes),                 \
      (d, what, n, value, bytes))                                                                  \
    X(clGetContextInfo,                                                                            \
      (cl_context c, cl_context_info what, size_t n, void *value, size_t *bytes),                  \
      (c, what, n, value, bytes))                                                                  \
    X(clGetCommandQueueInfo,                                                                       \
      (cl_command_queue q, cl_command_queue_info what, size_t n, void *value, size_t *bytes),      \
      (q, what, n, value, bytes))                                                                  \
    X(clGetMemObjectInfo, (cl_mem m, cl_mem_info what, size_t n, void *value, size_t *bytes),      \
      (m, what, n, value, bytes))                                                                  \
    X(clBuildProgram,                                                                              \
      (cl_program p, cl_uint n, const cl_device_id *d, const char *options,                        \
       void(CL_CALLBACK *f)(cl_program, void *), void *u),                                         \
      (p, n, d, options, f, u))                                                                    \
    X(clGetProgramInfo, (cl_program p, cl_program_info what, size_t n, void *value, size_t *bytes),\
      (p, what, n, value, bytes))                                                                  \
    X(clGetProgramBuildInfo,                                                                       \
      (cl_program p, cl_device_id d, cl_program_build_info what, size_t n, void *value,            \
       size_t *bytes),                                                                             \
      (p, d, what, n, value, bytes))                                                               \
    X(clSetKernelArg, (cl_kernel k, cl_uint i, size_t bytes, const void *value),                   \
      (k, i, bytes, value))                                                                        \
    X(clGetKernelWorkGroupInfo,                                                                    \
      (cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t n, void *value,         \
       size_t *bytes),                                                                             \
      (k, d, what, n, value, bytes))                                                               \
    X(clWaitForEvents, (cl_uint n, const cl_event *events), (n, events))                           \
    X(clGetEventInfo, (cl_event e, cl_event_info what, size_t n, void *value, size_t *bytes),      \
      (e, what, n, value, bytes))                                                                  \
    X(clSetUserEventStatus, (cl_event e, cl_int status), (e, status))                              \
    X(clSetEventCallback,                                                                          \
      (cl_event e, cl_int state, void(CL_CALLBACK *f)(cl_event, cl_int, void *), void *u),         \
      (e, state, f, u))                                                                            \
    X(clFlush, (cl_command_queue q), (q))                                                          \
    X(clFinish, (cl_command_queue q), (q))

/* clang-format on */

#endif
