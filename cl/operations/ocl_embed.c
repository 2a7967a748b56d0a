/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a table picked by id. */
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_embed;

/* ids have out's leading dimensions. */
static cl_mem set_ids(ocl_run *run, const attend_tensor *ids, embed_arguments *a) {
    if (!attend__ocl_given(ids)) return NULL;
    const ocl_memory memory = attend__ocl_input(run, ids);
    a->ids_type = (i32)ids->type;
    a->ids_offset = memory.offset;
    for (int32_t i = 0; i < 3; i++) {
        const int32_t from = ids->rank - 3 + i;
        a->ids_strides[i] = from >= 0 ? ids->strides[from] : 0;
    }
    return memory.memory;
}

static void record(ocl_run *run, const void *description) {
    const attend_embedding *const e = description;
    const ocl_memory table = attend__ocl_input(run, &e->table);
    embed_arguments a = {.table_offset = table.offset,
                         .table_stride = e->table.strides[0],
                         .table_step = e->table.strides[1],
                         .table_type = (i32)e->table.type,
                         .first = e->id_offset,
                         .entries = (i32)e->table.sizes[0],
                         .rows = (i32)attend__ocl_row_count(&e->out),
                         .columns = (i32)attend__ocl_columns(&e->out),
                         .scale = (float)e->scale};
    const ocl_grid grid = attend__ocl_row_grid(run->device, a.columns, a.rows);
    a.chunk = grid.chunk;
    attend__ocl_row_sizes(&e->out, a.sizes);
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, table.memory);
    attend__ocl_memory(&launch, set_ids(run, &e->ids, &a));
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &e->x, &a.x));
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &e->out, &a.out));
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

attend_status attend__ocl_plan_embed(attend_device *device, const attend_embedding *largest,
                                     attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = attend__ocl_rows_fit(device, "out", &largest->out);
    if (status == ATTEND_OK) status = attend__ocl_rows_fit(device, "table", &largest->table);
    if (status != ATTEND_OK) return status;
    snprintf(info->kernel, sizeof info->kernel, "embed");
    return attend__ocl_plan_simple(device, ATTEND_OP_EMBED, record, &attend__ocl_source_embed,
                                   "embed", plan);
}
