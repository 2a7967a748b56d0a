/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x) * multiplier + residual. */
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_activate;

static void record(ocl_run *run, const void *description) {
    const attend_elementwise *const e = description;
    activate_arguments a = {.rows = (i32)attend__ocl_row_count(&e->out),
                            .columns = (i32)attend__ocl_columns(&e->out),
                            .activation = (i32)e->activation};
    const ocl_grid grid = attend__ocl_row_grid(run->device, a.columns, a.rows);
    a.chunk = grid.chunk;
    attend__ocl_row_sizes(&e->out, a.sizes);
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &e->x, &a.x));
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &e->multiplier, &a.multiplier));
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &e->residual, &a.residual));
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &e->out, &a.out));
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

attend_status attend__ocl_plan_activate(attend_device *device, const attend_elementwise *largest,
                                        attend_plan_info *info, attend_device_plan **plan) {
    static const char *const names[] = {
#define ATTEND_X(name, value, text) [value] = text,
        ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
    };
    attend_status status = attend__ocl_rows_fit(device, "out", &largest->out);
    if (status != ATTEND_OK) return status;
    snprintf(info->kernel, sizeof info->kernel, "activate_%s", names[largest->activation]);
    return attend__ocl_plan_simple(device, ATTEND_OP_ACTIVATE, record, &attend__ocl_source_activate,
                                   "activate", plan);
}
