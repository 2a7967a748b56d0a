/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/opencl.h - sharing an application's OpenCL objects: typed wrappers over the calls of
 * core.h that take native objects by kind. Needs the headers of OpenCL; links nothing more than
 * libattend, since the library finds the OpenCL loader at run time.
 *
 * What is promised for an application's own objects:
 *   - No second context is made, and no queue where one is handed in. Buffers of the application
 *     are used as they are, without a copy.
 *   - References are taken with clRetain* and given back: after attend_close, and after the release
 *     of what was made from the context, every reference count is what it was before.
 *   - clFinish is never called on an adopted queue and its properties are not touched; clFlush is
 *     called, so that work starts. What is enqueued goes behind what the queue already holds. On a
 *     queue that is out of order, our commands wait for each other in the order of the calls, and
 *     for nothing of the application's but the events it names (attend_event_from_cl).
 *   - Memory of our own on the application's context: scratch of plans, prepared weights, copies of
 *     small host arrays.
 * The backend `clblast` on an adopted context changes no parameter of CLBlast. On a context that
 * the library opens by itself it sets some for PoCL's CPU devices, once per device and for the
 * whole process; ATTEND_CLBLAST_TUNING=off leaves them. Closing an adopted context and
 * attend_shutdown clear CLBlast's cache of programs, the application's too. All that is shared with
 * the process: backends/clblast/README.md. */
#ifndef ATTEND_OPENCL_H
#define ATTEND_OPENCL_H

#include "core.h"

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Kinds of attend_open_native, attend_buffer_import, attend_event_native and attend_event_import.
 * "opencl" opens the backend `opencl`, "clblast" the backend `clblast`, on the same objects. */
#define ATTEND_KIND_OPENCL "opencl"
#define ATTEND_KIND_CLBLAST "clblast"
#define ATTEND_KIND_CL_MEM "cl_mem"
#define ATTEND_KIND_CL_EVENT "cl_event"

/* What an application hands in; the structure needs to live until attend_open_opencl returns. */
typedef struct attend_opencl_objects {
    size_t size; /* sizeof(attend_opencl_objects) */
    cl_platform_id platform;
    cl_device_id device; /* one of the context's */
    cl_context context;
    cl_command_queue queue; /* of this context and device; NULL: a queue of our own is made */
    /* NULL: the functions of the system's loader. An application that linked another one gives a
     * function that finds every function of OpenCL 1.2 by its name; later ones, which are asked
     * for, too, may be NULL. Called until the open returns. Not for `clblast`, which is linked with
     * the system's. */
    void *(*symbol)(void *user, const char *name);
    void *symbol_user;
} attend_opencl_objects;

/* A context of the backend `opencl` on these objects. `options` as attend_open, of which backend
 * and device are not used. Errors: NULL_POINTER, INVALID (device or queue not of the context),
 * INCOMPATIBLE (a function missing), NO_DEVICE, NOT_FOUND (the module is not installed),
 * OUT_OF_MEMORY. */
static inline attend_status attend_open_opencl(const attend_opencl_objects *objects,
                                               const attend_options *options,
                                               attend_context **context) {
    return attend_open_native(ATTEND_KIND_OPENCL, objects, options, context);
}
/* The same with the backend `clblast`. */
static inline attend_status attend_open_clblast(const attend_opencl_objects *objects,
                                                const attend_options *options,
                                                attend_context **context) {
    return attend_open_native(ATTEND_KIND_CLBLAST, objects, options, context);
}

/* `bytes` of `memory` from `byte_offset` on, without a copy; memory of the context's cl_context.
 * Tensors in it need an offset that is a multiple of their element size, the byte offset counted
 * in. A reference is held until the buffer is released. OUT_OF_RANGE if the range does not lie
 * within the memory, INVALID for memory of another context. */
static inline attend_status attend_buffer_from_cl(attend_context *context, cl_mem memory,
                                                  size_t byte_offset, size_t bytes,
                                                  attend_buffer **buffer) {
    return attend_buffer_import(context, ATTEND_KIND_CL_MEM, memory, byte_offset, bytes, buffer);
}

/* The cl_event of an event, owned by it: clRetainEvent to keep it longer. Work that still waits
 * for a user event of this library has one too; it fails with a negative status if that work does
 * not run. Such an event is not for commands on the adopted queue itself if that is in order: the
 * work would come behind them, and both would wait for ever. */
static inline attend_status attend_event_to_cl(attend_event *event, cl_event *native) {
    void *object = NULL;
    const attend_status status = attend_event_native(event, ATTEND_KIND_CL_EVENT, &object);
    *native = (cl_event)object;
    return status;
}
/* An event of the application's, to be waited for by our work. A reference is held until the event
 * is released. One that fails before work is enqueued behind it fails that work; one that fails
 * later leaves the queue undefined (OpenCL 1.2, section 5.9: PoCL ends the process, others run the
 * work), so an application that has to give up uses an event of attend_user_event_create. */
static inline attend_status attend_event_from_cl(attend_context *context, cl_event native,
                                                 attend_event **event) {
    return attend_event_import(context, ATTEND_KIND_CL_EVENT, native, event);
}

#ifdef __cplusplus
}
#endif
#endif
