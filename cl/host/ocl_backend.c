/* SPDX-License-Identifier: Apache-2.0
 *
 * From an ocl_device and a queue to an open device of the plugin's contract: the part of the tables
 * that `opencl` and `clblast` share. */
#include "ocl_buffer.h"
#include "ocl_event.h"
#include "ocl_matrix.h"
#include "ocl_run.h"
#include "ocl_subgroup.h"
#include "ocl_transfer.h"
#include "ocl_tuning.h"

#include "attend/opencl.h"

#include <string.h>

/* ---- closing --------------------------------------------------------------------------------- */

static void drop_locks(attend_device *d) {
    attend__recycler_destroy(&d->records);
    attend__condition_destroy(&d->changed);
    attend__mutex_destroy(&d->pieces_lock);
    attend__mutex_destroy(&d->lock);
}

static void close_device(attend_device *device) {
    (void)attend__ocl_finish(device);
    if (device->backend->close) device->backend->close(device);
    if (device->tail) (void)device->cl->clReleaseEvent(device->tail);
    if (device->scratch) (void)device->cl->clReleaseMemObject(device->scratch);
    attend__ocl_transfers_close(device);
    if (device->queue) (void)device->cl->clReleaseCommandQueue(device->queue);
    attend__ocl_tuning_close(device);
    drop_locks(device);
    attend__ocl_device_release(device->shared);
    device->host->release(device->host->self, device);
}

/* ---- opening --------------------------------------------------------------------------------- */

const char *attend__ocl_class_text(ocl_class kernels) {
    static const char *const names[OCL_CLASS_COUNT] = {
#define ATTEND_X(name, text) text,
        OCL_CLASS_LIST(ATTEND_X)
#undef ATTEND_X
    };
    return names[kernels];
}

/* ATTEND_KERNELS, else what suits the device. */
static attend_status choose_kernels(attend_device *device) {
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "KERNELS");
    device->kernels = device->shared->facts.kernels;
    if (asked == NULL) return ATTEND_OK;
    for (int i = 0; i < OCL_CLASS_COUNT; i++) {
        if (strcmp(asked, attend__ocl_class_text((ocl_class)i)) != 0) continue;
        device->kernels = (ocl_class)i;
        return ATTEND_OK;
    }
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "ATTEND_KERNELS: \"%.40s\" is none of %s's: rows, tile, plain", asked,
                              device->backend->name);
}

static attend_status make_queue(attend_device *device) {
    cl_int error = CL_SUCCESS;
    device->queue =
        device->cl->clCreateCommandQueue(device->shared->context, device->shared->id, 0, &error);
    return error == CL_SUCCESS ? ATTEND_OK
                               : attend__ocl_fail(device->host, error, "clCreateCommandQueue");
}

static attend_status adopt_queue(attend_device *device, cl_command_queue queue) {
    const ocl_api *const cl = device->cl;
    cl_context context = NULL;
    cl_device_id id = NULL;
    cl_command_queue_properties properties = 0;
    cl_int error =
        cl->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof id, &id, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties,
                                          &properties, NULL);
    if (error == CL_SUCCESS && (context != device->shared->context || id != device->shared->id))
        return attend__ocl_refuse(device->host, ATTEND_INVALID,
                                  "attend_opencl_objects: the queue belongs to another context or "
                                  "device");
    if (error == CL_SUCCESS) error = cl->clRetainCommandQueue(queue);
    if (error != CL_SUCCESS)
        return attend__ocl_refuse(device->host, ATTEND_INVALID, "attend_opencl_objects: queue: %s",
                                  attend__ocl_error_name(error));
    device->queue = queue;
    device->chained = (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0;
    return ATTEND_OK;
}

static attend_device *new_device(const ocl_backend *backend, const attend_host *host,
                                 ocl_device *shared) {
    attend_device *const d = host->allocate(host->self, sizeof *d, _Alignof(attend_device));
    if (d == NULL) return NULL;
    memset(d, 0, sizeof *d);
    d->host = host;
    d->shared = shared;
    d->cl = shared->cl;
    d->backend = backend;
    d->last_gate = &d->gates;
    d->records.allocate = host->allocate;
    d->records.release = host->release;
    d->records.self = host->self;
    const bool lock = attend__mutex_create(&d->lock);
    const bool pieces = lock && attend__mutex_create(&d->pieces_lock);
    const bool changed = pieces && attend__condition_create(&d->changed);
    if (changed && attend__recycler_create(&d->records)) return d;
    if (changed) attend__condition_destroy(&d->changed);
    if (pieces) attend__mutex_destroy(&d->pieces_lock);
    if (lock) attend__mutex_destroy(&d->lock);
    host->release(host->self, d);
    return NULL;
}

static void fill_table(const ocl_backend *backend, attend_device_table *table) {
    const attend_device_table mine = {
        .size = sizeof mine,
        .operations = (1u << ATTEND_OP_COUNT) - 1,
        .options = ATTEND_OPTIONS_KNOWN,
        .types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16 | 1u << ATTEND_I8,
        .highest_position = ATTEND_AT_OFFSETS,
        .highest_stage = ATTEND_SCORES_MASKED,
        .highest_precision = ATTEND_PRECISION_FAST,
        .highest_activation = ATTEND_TANH,
        .highest_norm = ATTEND_RMS_NORM,
        .close = close_device,
        .plan_create = backend->plan_create,
        .plan_release = attend__ocl_plan_release,
        .weights_create = backend->weights_create,
        .weights_release = backend->weights_release,
        .buffer_create = attend__ocl_buffer_create,
        .buffer_import = attend__ocl_buffer_import,
        .buffer_release = attend__ocl_buffer_release,
        .buffer_write = attend__ocl_buffer_write,
        .buffer_read = attend__ocl_buffer_read,
        .enqueue = attend__ocl_enqueue_plan,
        .event_wait = attend__ocl_event_wait,
        .event_query = attend__ocl_event_query,
        .event_release = attend__ocl_event_release,
        .user_event_create = attend__ocl_user_event_create,
        .user_event_complete = attend__ocl_user_event_complete,
        .finish = attend__ocl_finish,
        .event_native = attend__ocl_event_native,
        .event_import = attend__ocl_event_import,
        .cache_layout = backend->cache_layout,
        .buffer_wrap = attend__ocl_buffer_wrap,
        .buffer_unwrap = attend__ocl_buffer_unwrap,
    };
    memcpy(table, &mine, mine.size < table->size ? mine.size : table->size);
}

/* Takes over the reference to `shared`. */
static attend_status open_on(const ocl_backend *backend, ocl_device *shared, cl_command_queue queue,
                             const attend_host *host, attend_device_table *table,
                             attend_device **device) {
    attend_device *const d = new_device(backend, host, shared);
    if (d == NULL) {
        attend__ocl_device_release(shared);
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a device");
    }
    attend_status status = choose_kernels(d);
    if (status == ATTEND_OK) status = attend__ocl_matrix_open(d);
    if (status == ATTEND_OK) status = attend__ocl_subgroups_open(d);
    if (status == ATTEND_OK) status = attend__ocl_tuning_open(d);
    if (status == ATTEND_OK) status = queue ? adopt_queue(d, queue) : make_queue(d);
    if (status == ATTEND_OK) status = attend__ocl_transfers_open(d);
    if (status == ATTEND_OK && backend->open) status = backend->open(d);
    if (status != ATTEND_OK) {
        if (status == ATTEND_DEVICE_LOST) attend__ocl_lose(d);
        attend__ocl_transfers_close(d);
        if (d->queue) (void)d->cl->clReleaseCommandQueue(d->queue);
        attend__ocl_tuning_close(d);
        drop_locks(d);
        attend__ocl_device_release(shared);
        host->release(host->self, d);
        return status;
    }
    fill_table(backend, table);
    *device = d;
    return ATTEND_OK;
}

attend_status attend__ocl_open(const ocl_backend *backend, uint32_t index, const attend_host *host,
                               attend_device_table *table, attend_device **device) {
    ocl_device *shared = NULL;
    const attend_status status = attend__ocl_device_open(index, host, &shared);
    if (status != ATTEND_OK) return status;
    return open_on(backend, shared, NULL, host, table, device);
}

attend_status attend__ocl_adopt(const ocl_backend *backend, const char *kind, const void *native,
                                const attend_host *host, attend_device_table *table,
                                attend_device **device) {
    if (strcmp(kind, backend->name) != 0) return ATTEND_UNSUPPORTED;
    ocl_device *shared = NULL;
    const attend_status status = attend__ocl_device_adopt(native, host, &shared);
    if (status != ATTEND_OK) return status;
    const attend_opencl_objects *const objects = native;
    const bool has_queue =
        objects->size >= offsetof(attend_opencl_objects, queue) + sizeof objects->queue;
    return open_on(backend, shared, has_queue ? objects->queue : NULL, host, table, device);
}
