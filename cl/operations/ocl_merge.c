/* SPDX-License-Identifier: Apache-2.0
 *
 * Joining parts of the keys. */
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_merge;

static void record(ocl_run *run, const void *description) {
    const attend_merging *const d = description;
    attend_tensor packed;
    const ocl_memory sinks = attend__ocl_small(run, &d->sinks, &packed);
    attend__ocl_small_flush(run);
    const ocl_memory parts = attend__ocl_input(run, &d->parts);
    const ocl_memory part_lse = attend__ocl_input(run, &d->part_lse);
    const ocl_memory out = attend__ocl_output(run, &d->out), lse = attend__ocl_output(run, &d->lse);
    merge_arguments a = {.parts_at = parts.offset,
                         .part_lse_at = part_lse.offset,
                         .out_at = out.offset,
                         .lse_at = lse.offset,
                         .sink_at = sinks.offset,
                         .sink_stride = packed.strides[0],
                         .parts = (i32)d->parts.sizes[0],
                         .heads = (i32)d->out.sizes[1],
                         .rows = (i32)d->out.sizes[2],
                         .columns = (i32)d->out.sizes[3],
                         .type = (i32)d->parts.type,
                         .out_type = (i32)d->out.type};
    attend__ocl_strides(a.parts_strides, &d->parts, 5);
    attend__ocl_strides(a.part_lse_strides, &d->part_lse, 4);
    attend__ocl_strides(a.out_strides, &d->out, 4);
    attend__ocl_strides(a.lse_strides, &d->lse, 3);
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, parts.memory);
    attend__ocl_memory(&launch, part_lse.memory);
    attend__ocl_memory(&launch, sinks.memory);
    attend__ocl_memory(&launch, out.memory);
    attend__ocl_memory(&launch, lse.memory);
    attend__ocl_value(&launch, &a, sizeof a);
    const size_t local[3] = {2, 8, 1};
    const size_t groups[3] = {((size_t)a.columns + 31) / 32 + (a.columns == 0),
                              ((size_t)a.rows + 7) / 8, (size_t)d->out.sizes[0] * (size_t)a.heads};
    attend__ocl_enqueue(&launch, groups, local);
}

attend_status attend__ocl_plan_merge(attend_device *device, const attend_merging *largest,
                                     attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = attend__ocl_rows_fit(device, "parts", &largest->parts);
    if (status != ATTEND_OK) return status;
    attend_device_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_MERGE, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->record = record;
    p->small_bytes = (size_t)largest->out.sizes[1] * sizeof(float) + 16;
    (void)attend__ocl_plan_kernel(device, p, &attend__ocl_source_merge, "", "merge", OCL_ANY_GROUP,
                                  &status);
    (void)snprintf(info->kernel, sizeof info->kernel, "merge_f32__opencl");
    return attend__ocl_plan_made(device, p, status, plan);
}
