/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: kernel objects of one operation, and what the device must have before they run. */
#include "ocl_run.h"

#include <string.h>

static void *allocate(const attend_device *device, size_t bytes) {
    void *const memory = device->host->allocate(device->host->self, bytes, 16);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

static size_t description_bytes(attend_operation operation) {
    switch ((int)operation) {
#define ATTEND_X(name, value, type, text)                                                          \
    case value:                                                                                    \
        return sizeof(type);
        ATTEND_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return 0;
    }
}

void *attend__ocl_plan_new(attend_device *device, attend_operation operation, size_t bytes) {
    attend_device_plan *const plan = allocate(device, bytes);
    if (plan == NULL) {
        (void)attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                 "opencl: no memory for a plan");
        return NULL;
    }
    plan->operation = operation;
    plan->description_bytes = description_bytes(operation);
    return plan;
}

/* A driver may allow a kernel fewer work-items than the device has. One that does not say is taken
 * to allow what the device has. */
static size_t most_items(const attend_device *device, cl_kernel kernel) {
    const size_t all = device->shared->facts.most_work_items;
    size_t most = 0;
    if (device->cl->clGetKernelWorkGroupInfo(kernel, device->shared->id, CL_KERNEL_WORK_GROUP_SIZE,
                                             sizeof most, &most, NULL) != CL_SUCCESS ||
        most > all)
        most = all;
    return most > 0 ? most : 1;
}

int attend__ocl_plan_kernel(attend_device *device, attend_device_plan *plan,
                            const ocl_source *source, const char *options, const char *name,
                            size_t items, attend_status *status) {
    if (*status != ATTEND_OK) return -1;
    if (plan->kernel_count == OCL_MOST_KERNELS) {
        *status = attend__ocl_refuse(device->host, ATTEND_INTERNAL, "opencl: too many kernels");
        return -1;
    }
    cl_program program = NULL;
    *status = attend__ocl_program(device->shared, device->host, source, options, &program);
    if (*status != ATTEND_OK) return -1;
    cl_int error = CL_SUCCESS;
    cl_kernel kernel = device->cl->clCreateKernel(program, name, &error);
    if (error != CL_SUCCESS) {
        *status = attend__ocl_refuse(device->host, ATTEND_BUILD_FAILED,
                                     "opencl: the kernel %s cannot be had on %s: %s", name,
                                     device->shared->facts.name, attend__ocl_error_name(error));
        return -1;
    }
    const size_t most = most_items(device, kernel);
    if (items > most) {
        (void)device->cl->clReleaseKernel(kernel);
        *status = attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                     "opencl: the kernel %s of %s has %zu work-items a group; the "
                                     "driver allows it %zu",
                                     name, source->name, items, most);
        return -1;
    }
    plan->kernels[plan->kernel_count] = kernel;
    plan->most_items[plan->kernel_count] = items == OCL_ANY_GROUP ? most : 0;
    return plan->kernel_count++;
}

void attend__ocl_plan_drop(attend_device *device, attend_device_plan *plan) {
    (void)device->cl->clReleaseKernel(plan->kernels[--plan->kernel_count]);
}

/* Memory that commands still use stays until they are done, whoever releases it: OpenCL 1.2,
 * clReleaseMemObject. */
static attend_status grow_scratch(attend_device *device, size_t bytes) {
    if (bytes <= device->scratch_bytes) return ATTEND_OK;
    cl_int error = CL_SUCCESS;
    cl_mem memory =
        device->cl->clCreateBuffer(device->shared->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (error != CL_SUCCESS)
        return attend__ocl_refuse(device->host, attend__ocl_status(error),
                                  "opencl: %zu bytes of scratch memory: %s", bytes,
                                  attend__ocl_error_name(error));
    if (device->scratch) (void)device->cl->clReleaseMemObject(device->scratch);
    device->scratch = memory;
    device->scratch_bytes = bytes;
    return ATTEND_OK;
}

/* A layer runs a plan twice in one call: it rotates queries and keys. */
enum { STAGINGS = 2 };

attend_status attend__ocl_plan_finish(attend_device *device, attend_device_plan *plan) {
    attend__mutex_lock(&device->lock);
    attend_status status = grow_scratch(device, plan->scratch_bytes);
    for (int i = 0; i < STAGINGS && status == ATTEND_OK && plan->small_bytes > 0; i++) {
        ocl_staging *const s = attend__ocl_staging_new(device, plan, &status);
        if (s == NULL) break;
        s->next = plan->stagings;
        plan->stagings = s;
    }
    attend__mutex_unlock(&device->lock);
    return status;
}

void attend__ocl_plan_release(attend_device *device, attend_device_plan *plan) {
    if (plan == NULL) return;
    if (plan->release) plan->release(device, plan);
    for (int i = 0; i < plan->kernel_count; i++)
        (void)device->cl->clReleaseKernel(plan->kernels[i]);
    while (plan->stagings != NULL) {
        ocl_staging *const s = plan->stagings;
        plan->stagings = s->next;
        attend__ocl_staging_release(device, s);
    }
    device->host->release(device->host->self, plan);
}
