/* SPDX-License-Identifier: Apache-2.0
 *
 * One enqueue: arguments, small arrays, scratch, and the chain of commands. The first failure
 * sticks and makes the rest do nothing, so that operations read as a list of what they enqueue. */
#include "ocl_run.h"

#include "ocl_rehearse.h"

#include <stdint.h>
#include <string.h>

void attend__ocl_run_fail(ocl_run *run, attend_status status, const char *sentence) {
    if (run->status != ATTEND_OK) return;
    run->status = attend__ocl_refuse(run->device->host, status, "opencl: %s", sentence);
    run->device->failed_call = sentence;
    run->device->failed_error = CL_SUCCESS;
}

static bool failed(ocl_run *run, cl_int error, const char *call) {
    if (error == CL_SUCCESS) return false;
    if (run->status == ATTEND_OK) {
        run->status = attend__ocl_fail(run->device->host, error, call);
        run->device->failed_call = call;
        run->device->failed_error = error;
        if (run->status == ATTEND_DEVICE_LOST) attend__ocl_lose(run->device);
    }
    return true;
}

/* ---- the chain of commands ------------------------------------------------------------------- */

/* What the next command waits for. In order: the caller's events before the first command. Out of
 * order: before every later one the command before it, too. */
static cl_uint next_waits(const ocl_run *run, const cl_event **waits) {
    if (run->last == NULL) {
        *waits = run->wait_count ? run->waits : NULL;
        return run->wait_count;
    }
    *waits = run->device->chained ? &run->last : NULL;
    return run->device->chained ? 1 : 0;
}

static void take_event(ocl_run *run, cl_event event) {
    if (run->last) (void)run->device->cl->clReleaseEvent(run->last);
    run->last = event;
}

cl_event attend__ocl_keep(const attend_device *device, cl_event event) {
    if (device->cl->clRetainEvent(event) == CL_SUCCESS) return event;
    (void)device->cl->clWaitForEvents(1, &event);
    return NULL;
}

void attend__ocl_set_tail(attend_device *device, cl_event event) {
    if (device->tail) (void)device->cl->clReleaseEvent(device->tail);
    device->tail = attend__ocl_keep(device, event);
}

/* ---- memory --------------------------------------------------------------------------------- */

size_t attend__ocl_element_bytes(attend_type type) {
    switch (type) {
#define ATTEND_X(name, value, bytes, text)                                                         \
    case ATTEND_##name:                                                                            \
        return bytes;
        ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return 1;
    }
}

static ocl_memory locate(ocl_run *run, const attend_tensor *tensor, bool output) {
    const ocl_memory nowhere = {NULL, 0};
    const attend_device_buffer *const buffer = attend_tensor_device_buffer(tensor);
    if (run->status != ATTEND_OK || tensor->type == ATTEND_NO_TYPE || buffer == NULL)
        return nowhere;
    const size_t element = attend__ocl_element_bytes(tensor->type);
    if (buffer->byte_offset % element != 0) {
        attend__ocl_run_fail(run, ATTEND_INVALID,
                             "the byte offset of an imported buffer is no multiple of the size of "
                             "the elements in it");
        return nowhere;
    }
    if (output && buffer->read_only) {
        attend__ocl_run_fail(run, ATTEND_INVALID,
                             "an output lies in memory that was created with CL_MEM_READ_ONLY");
        return nowhere;
    }
    return (ocl_memory){buffer->memory, tensor->offset + (int64_t)(buffer->byte_offset / element)};
}

ocl_memory attend__ocl_input(ocl_run *run, const attend_tensor *tensor) {
    return locate(run, tensor, false);
}

ocl_memory attend__ocl_output(ocl_run *run, const attend_tensor *tensor) {
    return locate(run, tensor, true);
}

int64_t attend__ocl_scratch(ocl_run *run, size_t bytes) {
    const int64_t at = run->scratch_offset + (int64_t)run->scratch_used;
    run->scratch_used += attend__ocl_scratch_round(bytes);
    if (run->scratch_used > run->plan->scratch_bytes)
        attend__ocl_run_fail(run, ATTEND_INTERNAL, "a run needs more scratch than its plan has");
    return at;
}

/* ---- small arrays ---------------------------------------------------------------------------- */

ocl_staging *attend__ocl_staging_new(attend_device *device, const attend_device_plan *plan,
                                     attend_status *status) {
    const attend_host *const host = device->host;
    ocl_staging *const s =
        host->allocate(host->self, sizeof *s + plan->small_bytes, _Alignof(ocl_staging));
    cl_int error = CL_OUT_OF_HOST_MEMORY;
    cl_mem memory = s ? device->cl->clCreateBuffer(device->shared->context, CL_MEM_READ_ONLY,
                                                   plan->small_bytes, NULL, &error)
                      : NULL;
    if (error != CL_SUCCESS) {
        host->release(host->self, s);
        *status = attend__ocl_fail(host, error, "clCreateBuffer for lengths");
        return NULL;
    }
    s->next = NULL;
    s->memory = memory;
    s->busy = NULL;
    return s;
}

/* A copy that still runs is waited for: it reads our memory. */
void attend__ocl_staging_release(attend_device *device, ocl_staging *staging) {
    if (staging->busy) {
        (void)device->cl->clWaitForEvents(1, &staging->busy);
        (void)device->cl->clReleaseEvent(staging->busy);
    }
    (void)device->cl->clReleaseMemObject(staging->memory);
    device->host->release(device->host->self, staging);
}

static bool is_busy(const attend_device *device, cl_event event) {
    cl_int state = CL_COMPLETE;
    return event &&
           device->cl->clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state,
                                      &state, NULL) == CL_SUCCESS &&
           state > CL_COMPLETE;
}

static void take_staging(ocl_run *run) {
    ocl_staging **link = &run->plan->stagings;
    while (*link && is_busy(run->device, (*link)->busy))
        link = &(*link)->next;
    if (*link == NULL) *link = attend__ocl_staging_new(run->device, run->plan, &run->status);
    run->staging = *link;
}

ocl_memory attend__ocl_small(ocl_run *run, const attend_tensor *tensor, attend_tensor *packed) {
    *packed = *tensor;
    if (run->status != ATTEND_OK || tensor->type == ATTEND_NO_TYPE || tensor->data == NULL)
        return locate(run, tensor, false);
    if (run->staging == NULL) take_staging(run);
    const size_t element = attend__ocl_element_bytes(tensor->type);
    size_t count = 1;
    for (int32_t i = 0; i < tensor->rank; i++)
        count *= (size_t)tensor->sizes[i];
    run->small_used = (run->small_used + 15) / 16 * 16;
    if (run->status != ATTEND_OK) return (ocl_memory){NULL, 0};
    if (run->small_used + count * element > run->plan->small_bytes) {
        attend__ocl_run_fail(run, ATTEND_INTERNAL, "small arrays outgrow their plan");
        return (ocl_memory){NULL, 0};
    }
    const int64_t columns = tensor->rank > 1 ? tensor->sizes[1] : 1;
    for (size_t i = 0; i < count; i++) {
        const int64_t row = (int64_t)i / columns, column = (int64_t)i % columns;
        const int64_t at = tensor->offset + row * tensor->strides[0] +
                           (tensor->rank > 1 ? column * tensor->strides[1] : 0);
        memcpy(run->staging->bytes + run->small_used + i * element,
               (const char *)tensor->data + (size_t)at * element, element);
    }
    const ocl_memory place = {run->staging->memory, (int64_t)(run->small_used / element)};
    packed->strides[0] = columns;
    packed->strides[1] = 1;
    run->small_used += count * element;
    return place;
}

void attend__ocl_small_flush(ocl_run *run) {
    if (run->status != ATTEND_OK || run->small_used == 0) return;
    const ocl_api *const cl = run->device->cl;
    const cl_event *waits;
    const cl_uint count = next_waits(run, &waits);
    cl_event event = NULL;
    if (failed(run,
               cl->clEnqueueWriteBuffer(run->device->queue, run->staging->memory, CL_FALSE, 0,
                                        run->small_used, run->staging->bytes, count, waits, &event),
               "clEnqueueWriteBuffer"))
        return;
    if (run->staging->busy) (void)cl->clReleaseEvent(run->staging->busy);
    run->staging->busy = attend__ocl_keep(run->device, event);
    take_event(run, event);
}

/* ---- kernels --------------------------------------------------------------------------------- */

ocl_launch attend__ocl_begin(ocl_run *run, int kernel) {
    const bool known = kernel >= 0 && kernel < run->plan->kernel_count;
    if (!known) attend__ocl_run_fail(run, ATTEND_INTERNAL, "a kernel its plan does not have");
    return (ocl_launch){run, known ? run->plan->kernels[kernel] : NULL, kernel, 0};
}

static void set(ocl_launch *launch, size_t bytes, const void *value) {
    if (launch->run->status != ATTEND_OK || launch->run->purpose == OCL_SIZES) return;
    (void)failed(
        launch->run,
        launch->run->device->cl->clSetKernelArg(launch->kernel, launch->next++, bytes, value),
        "clSetKernelArg");
}

void attend__ocl_memory(ocl_launch *launch, cl_mem memory) {
    set(launch, sizeof memory, &memory);
}

void attend__ocl_value(ocl_launch *launch, const void *value, size_t bytes) {
    set(launch, bytes, value);
}

void attend__ocl_local(ocl_launch *launch, size_t bytes) {
    set(launch, bytes, NULL);
}

/* The groups of a launch made smaller, where their kernel may come in any, until the device allows
 * them: some that are CPUs have work-items in dimension 0 alone. Dimension 1 first: neighbours in
 * dimension 0 lie side by side. Each divides what it was, so that the grid stays the same. */
static void allow(const ocl_launch *launch, const size_t local[3], size_t allowed[3]) {
    const size_t most = launch->run->plan->most_items[launch->number];
    const size_t *const along = launch->run->device->shared->facts.most_along;
    memcpy(allowed, local, 3 * sizeof *local);
    for (int i = 2; i >= 0 && most > 0; i--)
        while (allowed[i] > 1 &&
               (allowed[i] > along[i] || allowed[0] * allowed[1] * allowed[2] > most))
            allowed[i] = allowed[i] % 2 == 0 ? allowed[i] / 2 : 1;
}

void attend__ocl_command(ocl_launch *launch, const size_t offset[3], const size_t global[3],
                         const size_t local[3]) {
    ocl_run *const run = launch->run;
    if (run->status != ATTEND_OK) return;
    size_t allowed[3];
    allow(launch, local, allowed);
    const cl_event *waits;
    const cl_uint count = next_waits(run, &waits);
    cl_event event = NULL;
    if (!failed(run,
                run->device->cl->clEnqueueNDRangeKernel(run->queue, launch->kernel, 3, offset,
                                                        global, allowed, count, waits, &event),
                "clEnqueueNDRangeKernel"))
        take_event(run, event);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* On CPUs all in one command: a second one, whose offset is not 0, might be compiled anew. */
void attend__ocl_enqueue(ocl_launch *launch, const size_t groups[3], const size_t local[3]) {
    const ocl_run *const run = launch->run;
    if (run->purpose != OCL_WORK) {
        attend__ocl_rehearse_launch(launch, groups, local);
        return;
    }
    if (!groups[0]) return;
    const size_t most = run->device->kernels == OCL_CLASS_ROWS ? SIZE_MAX : OCL_MOST_GROUPS;
    for (size_t z = 0; z < groups[2]; z += least(most, groups[2] - z))
        for (size_t y = 0; y < groups[1]; y += least(most, groups[1] - y)) {
            const size_t offset[3] = {0, y * local[1], z * local[2]};
            const size_t global[3] = {groups[0] * local[0], least(most, groups[1] - y) * local[1],
                                      least(most, groups[2] - z) * local[2]};
            attend__ocl_command(launch, y || z ? offset : NULL, global, local);
        }
}

/* ---- work that others enqueue ---------------------------------------------------------------- */

void attend__ocl_foreign_begin(ocl_run *run) {
    if (run->status != ATTEND_OK) return;
    const cl_event *waits;
    const cl_uint count = next_waits(run, &waits);
    if (count == 0) return;
    cl_event event = NULL;
    if (!failed(
            run,
            run->device->cl->clEnqueueBarrierWithWaitList(run->device->queue, count, waits, &event),
            "clEnqueueBarrierWithWaitList"))
        take_event(run, event);
}

/* Behind `waits`; with none behind all that the queue holds, on either kind of queue. */
static void mark(ocl_run *run, cl_uint count, const cl_event *waits) {
    cl_event event = NULL;
    if (!failed(
            run,
            run->device->cl->clEnqueueMarkerWithWaitList(run->device->queue, count, waits, &event),
            "clEnqueueMarkerWithWaitList"))
        take_event(run, event);
}

void attend__ocl_foreign_end(ocl_run *run, cl_event event) {
    if (event)
        take_event(run, event);
    else if (run->status == ATTEND_OK)
        mark(run, 0, NULL);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The caller's scratch, if the description brought some. */
static void choose_scratch(ocl_run *run, const void *description) {
    run->scratch = run->device->scratch;
    if (run->plan->operation > ATTEND_OP_MIX) return;
    const attend_tensor *const workspace = &((const attend_attention *)description)->workspace;
    const ocl_memory own = locate(run, workspace, true);
    if (own.memory == NULL) return;
    if (own.offset % 64 != 0)
        attend__ocl_run_fail(run, ATTEND_INVALID,
                             "workspace: is not aligned to 64 bytes, the byte offset of the "
                             "imported buffer counted in");
    run->scratch = own.memory;
    run->scratch_offset = own.offset;
}

attend_status attend__ocl_submit(attend_device *device, attend_device_plan *plan,
                                 const void *description, cl_uint wait_count, const cl_event *waits,
                                 cl_event *last) {
    ocl_run run = {.device = device,
                   .plan = plan,
                   .queue = device->queue,
                   .wait_count = wait_count,
                   .waits = waits};
    choose_scratch(&run, description);
    plan->record(&run, description);
    if (run.last == NULL && run.status == ATTEND_OK) /* nothing to do, in its place in the order */
        mark(&run, wait_count, wait_count ? waits : NULL);
    if (run.last) {
        attend__ocl_set_tail(device, run.last);
        (void)failed(&run, device->cl->clFlush(device->queue), "clFlush");
    }
    *last = run.last;
    return run.status;
}
