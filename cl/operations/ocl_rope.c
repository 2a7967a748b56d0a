/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions. */
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_rope;

enum { CPU_LANES = 16 };

/* A table [P, n] or [B, L, n]: strides of the batch and of its row. */
static cl_mem set_table(ocl_run *run, const attend_tensor *t, i64 *offset, i64 strides[2],
                        i64 *step) {
    const ocl_memory memory = attend__ocl_input(run, t);
    *offset = memory.offset;
    strides[0] = t->rank == 3 ? t->strides[0] : 0;
    strides[1] = t->strides[t->rank - 2];
    *step = t->strides[t->rank - 1];
    return memory.memory;
}

static cl_mem set_ids(ocl_run *run, const attend_tensor *ids, rope_arguments *a) {
    if (!attend__ocl_given(ids)) return NULL;
    attend_tensor packed;
    const ocl_memory memory = attend__ocl_small(run, ids, &packed);
    a->ids_type = (i32)ids->type;
    a->ids_offset = memory.offset;
    a->ids_strides[0] = packed.strides[0];
    a->ids_strides[1] = packed.strides[1];
    return memory.memory;
}

/* Columns of a work-item are pairs here, the rest of the row is copied by the same ones. */
static ocl_grid grid_of(const attend_device *device, const rope_arguments *a) {
    const i32 rest = a->columns - 2 * a->pairs, most = a->pairs > rest ? a->pairs : rest;
    if (device->kernels == OCL_CLASS_ROWS) {
        ocl_grid grid = attend__ocl_row_grid(device, most, a->rows);
        const size_t groups = (size_t)(most + CPU_LANES - 1) / CPU_LANES;
        if (grid.groups[0] > groups) grid.groups[0] = groups;
        return grid;
    }
    return attend__ocl_row_grid(device, most, a->rows);
}

static void record(ocl_run *run, const void *description) {
    const attend_rope *const r = description;
    rope_arguments a = {.position = r->position_offset,
                        .positions = (i32)r->cos.sizes[0],
                        .rows = (i32)attend__ocl_row_count(&r->x),
                        .columns = (i32)attend__ocl_columns(&r->x),
                        .table_type = (i32)r->cos.type,
                        .interleaved = r->interleaved != 0,
                        .own_rows = r->cos.rank == 3};
    a.pairs = (i32)((r->rotary_dim > 0 ? r->rotary_dim : a.columns) / 2);
    const ocl_grid grid = grid_of(run->device, &a);
    attend__ocl_row_sizes(&r->x, a.sizes);
    attend_tensor packed;
    const ocl_memory offsets = attend__ocl_small(run, &r->position_offsets, &packed);
    const cl_mem ids = set_ids(run, &r->position_ids, &a);
    attend__ocl_small_flush(run);
    a.offsets_type = (i32)r->position_offsets.type;
    a.offsets_at = offsets.offset;
    a.offsets_stride = packed.strides[0];
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &r->x, &a.x));
    attend__ocl_memory(&launch, set_table(run, &r->cos, &a.cos_offset, a.cos_strides, &a.cos_step));
    attend__ocl_memory(&launch, set_table(run, &r->sin, &a.sin_offset, a.sin_strides, &a.sin_step));
    attend__ocl_memory(&launch, ids);
    attend__ocl_memory(&launch, offsets.memory);
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &r->out, &a.out));
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

attend_status attend__ocl_plan_rope(attend_device *device, const attend_rope *largest,
                                    attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = attend__ocl_rows_fit(device, "x", &largest->x);
    if (status == ATTEND_OK) status = attend__ocl_rows_fit(device, "cos", &largest->cos);
    if (status != ATTEND_OK) return status;
    snprintf(info->kernel, sizeof info->kernel, "rope_%s",
             largest->interleaved ? "interleaved" : "halves");
    attend_device_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_ROPE, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->record = record;
    if (attend__ocl_given(&largest->position_offsets))
        p->small_bytes = (size_t)largest->x.sizes[0] * sizeof(i64);
    if (attend__ocl_given(&largest->position_ids)) /* never with offsets */
        p->small_bytes = (size_t)largest->x.sizes[0] * (size_t)largest->x.sizes[2] * sizeof(i64);
    (void)attend__ocl_plan_kernel(device, p, &attend__ocl_source_rope, attend__ocl_lanes(device),
                                  "rope", OCL_ANY_GROUP, &status);
    return attend__ocl_plan_made(device, p, status, plan);
}
