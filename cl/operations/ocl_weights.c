/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing weights: once, into a buffer of their own, or before a product into its scratch memory.
 * 16-bit matrices stay 16 bits wide, which halves the bytes of products with few rows. */
#include "ocl_weights.h"

#include "base/checked.h"
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_project_pack;

enum { CPU_DEPTH = 64 }; /* columns of K that a work-item packs; 1 on GPUs */

bool attend__ocl_panels_bytes(int64_t columns, int64_t depth, attend_type type, size_t *bytes) {
    const size_t panels = (size_t)columns / PANEL + (columns % PANEL != 0);
    const size_t element = attend__ocl_element_bytes(type);
    return attend__mul_size(panels, PANEL * element, bytes) &&
           attend__mul_size(*bytes, (size_t)depth, bytes);
}

int attend__ocl_pack_kernel(attend_device *device, attend_device_plan *plan, attend_type type,
                            attend_status *status) {
    char options[64];
    snprintf(options, sizeof options, "-DWEIGHT_BYTES=%d -DPACK_DEPTH=%d",
             (int)attend__ocl_element_bytes(type),
             device->kernels == OCL_CLASS_ROWS ? CPU_DEPTH : 1);
    return attend__ocl_plan_kernel(device, plan, &attend__ocl_source_project_pack, options, "pack",
                                   OCL_ANY_GROUP, status);
}

void attend__ocl_pack_record(ocl_run *run, int kernel, const attend_tensor *w, cl_mem panels,
                             int64_t offset) {
    const ocl_memory from = attend__ocl_input(run, w);
    const pack_arguments a = {.w_offset = from.offset,
                              .w_strides = {w->strides[0], w->strides[1]},
                              .panels_offset = offset,
                              .columns = (i32)w->sizes[0],
                              .depth = (i32)w->sizes[1]};
    const bool alone = run->device->kernels == OCL_CLASS_ROWS;
    const int64_t across = alone ? (w->sizes[1] + CPU_DEPTH - 1) / CPU_DEPTH : w->sizes[1] * PANEL;
    const int64_t panel_count = (w->sizes[0] + PANEL - 1) / PANEL;
    if (across == 0) return;
    const ocl_grid grid = attend__ocl_item_grid(run->device, across, panel_count);
    ocl_launch launch = attend__ocl_begin(run, kernel);
    attend__ocl_memory(&launch, from.memory);
    attend__ocl_memory(&launch, panels);
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

/* ---- prepared weights ------------------------------------------------------------------------ */

typedef struct pack_plan {
    attend_device_plan plan;
    cl_mem panels;
} pack_plan;

static void record(ocl_run *run, const void *description) {
    const attend_projection *const d = description;
    const pack_plan *const p = (const pack_plan *)(const void *)run->plan;
    attend__ocl_pack_record(run, 0, &d->w, p->panels, 0);
}

static attend_status pack(attend_device *device, const attend_tensor *w, cl_mem panels) {
    pack_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_PROJECT, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->plan.record = record;
    p->panels = panels;
    const attend_projection d = {.size = sizeof d, .w = *w};
    attend_status status = ATTEND_OK;
    (void)attend__ocl_pack_kernel(device, &p->plan, w->type, &status);
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, &p->plan);
    if (status == ATTEND_OK) status = attend__ocl_plan_once(device, &p->plan, &d);
    attend__ocl_plan_release(device, &p->plan);
    return status;
}

static attend_status create_panels(attend_device *device, const attend_tensor *w, cl_mem *panels) {
    size_t bytes;
    if (!attend__ocl_panels_bytes(w->sizes[0], w->sizes[1], w->type, &bytes))
        return attend__ocl_refuse(device->host, ATTEND_OVERFLOW,
                                  "w: its size does not fit in memory");
    cl_int error = CL_SUCCESS;
    *panels = device->cl->clCreateBuffer(device->shared->context, CL_MEM_READ_WRITE,
                                         bytes > 0 ? bytes : 1, NULL, &error);
    if (error == CL_SUCCESS) return ATTEND_OK;
    return attend__ocl_fail(device->host, error, "clCreateBuffer for weights");
}

attend_status attend__ocl_weights_create(attend_device *device, const attend_tensor *w,
                                         attend_device_weights **weights) {
    const attend_host *const host = device->host;
    attend_status status = attend__ocl_rows_fit(device, "w", w);
    if (status != ATTEND_OK) return status;
    attend_device_weights *const made = host->allocate(host->self, sizeof *made, sizeof(void *));
    if (made == NULL)
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for weights");
    *made = (attend_device_weights){NULL, w->type};
    status = create_panels(device, w, &made->panels);
    if (status == ATTEND_OK) status = pack(device, w, made->panels);
    if (status != ATTEND_OK) {
        attend__ocl_weights_release(device, made);
        return status;
    }
    *weights = made;
    return ATTEND_OK;
}

void attend__ocl_weights_release(attend_device *device, attend_device_weights *weights) {
    if (weights == NULL) return;
    if (weights->panels != NULL) (void)device->cl->clReleaseMemObject(weights->panels);
    device->host->release(device->host->self, weights);
}
