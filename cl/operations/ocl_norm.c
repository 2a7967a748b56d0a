/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer norm and RMS norm: a row to a work-item, or to a work-group where local memory is real. */
#include "ocl_operations.h"
#include "ocl_rows.h"
#include "ocl_subgroup.h"

#include <float.h>
#include <stdio.h>

extern const ocl_source attend__ocl_source_norm, attend__ocl_source_norm_tile;

enum { GROUP = 64, MOST_GROUPS = 1 << 20 };

typedef struct norm_plan {
    attend_device_plan plan;
    size_t local_bytes; /* of norm_tile */
} norm_plan;

static cl_mem set_vector(ocl_run *run, const attend_tensor *t, i64 *offset, i64 *step, i32 *type) {
    if (!attend__ocl_given(t)) return NULL;
    const ocl_memory memory = attend__ocl_input(run, t);
    *offset = memory.offset;
    *step = t->strides[0];
    *type = (i32)t->type;
    return memory.memory;
}

/* An eps that float cannot hold must not become 0: a row without deviation gives its bias. */
static float eps_of(double eps) {
    return eps > 0 && eps < (double)FLT_MIN ? FLT_MIN : (float)eps;
}

/* All work-items lie in dimension 0: those of another would do a row once more, and in place once
 * is right and twice is wrong. */
static ocl_grid grid_of(const attend_device *device, i32 rows) {
    ocl_grid grid = {{(size_t)rows, 1, 1}, {1, 1, 1}, 1};
    if (device->kernels != OCL_CLASS_ROWS) grid.local[0] = GROUP;
    if (device->kernels == OCL_CLASS_PLAIN) grid.groups[0] = ((size_t)rows + GROUP - 1) / GROUP;
    if (grid.groups[0] > MOST_GROUPS) grid.groups[0] = MOST_GROUPS;
    return grid;
}

static void record(ocl_run *run, const void *description) {
    const attend_norm *const n = description;
    norm_arguments a = {.rows = (i32)attend__ocl_row_count(&n->x),
                        .columns = (i32)attend__ocl_columns(&n->x),
                        .centred = n->kind == ATTEND_LAYER_NORM,
                        .eps = eps_of(n->eps)};
    const ocl_grid grid = grid_of(run->device, a.rows);
    attend__ocl_row_sizes(&n->x, a.sizes);
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &n->x, &a.x));
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &n->residual, &a.residual));
    attend__ocl_memory(
        &launch, set_vector(run, &n->weight, &a.weight_offset, &a.weight_step, &a.weight_type));
    attend__ocl_memory(&launch,
                       set_vector(run, &n->bias, &a.bias_offset, &a.bias_step, &a.bias_type));
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &n->out, &a.out));
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &n->sum, &a.sum));
    attend__ocl_value(&launch, &a, sizeof a);
    if (run->device->kernels == OCL_CLASS_TILE)
        attend__ocl_local(&launch, ((const norm_plan *)run->plan)->local_bytes);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

static void make_tile(attend_device *device, norm_plan *p, const char *kind, attend_plan_info *info,
                      attend_status *status) {
    ocl_subgroups use = attend__ocl_subgroups(device, info->note, sizeof info->note);
    const ocl_wanted wanted = {.source = &attend__ocl_source_norm_tile,
                               .options = "",
                               .name = "norm",
                               .items = GROUP,
                               .local_bytes = GROUP * sizeof(cl_float2)};
    (void)attend__ocl_plan_neighbours(device, &p->plan, &wanted, &use, status);
    p->local_bytes = wanted.local_bytes + GROUP * use.item_bytes;
    snprintf(info->kernel, sizeof info->kernel, "%s_group%s", kind,
             attend__ocl_subgroups_text(&use));
}

attend_status attend__ocl_plan_norm(attend_device *device, const attend_norm *largest,
                                    attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = attend__ocl_rows_fit(device, "x", &largest->x);
    if (status != ATTEND_OK) return status;
    norm_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_NORM, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->plan.record = record;
    const char *const kind = largest->kind == ATTEND_LAYER_NORM ? "layer_norm" : "rms_norm";
    if (device->kernels == OCL_CLASS_TILE) {
        make_tile(device, p, kind, info, &status);
    } else {
        snprintf(info->kernel, sizeof info->kernel, "%s_item", kind);
        (void)attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_norm, "", "norm",
                                      OCL_ANY_GROUP, &status);
    }
    return attend__ocl_plan_made(device, &p->plan, status, plan);
}
