/* SPDX-License-Identifier: Apache-2.0
 *
 * out = x for any strides. Dimensions are put in the order of the output's strides and joined where
 * both tensors allow it, so that a copy of heads becomes runs of whole rows. */
#include "ocl_operations.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_copy;

enum { DIMENSIONS = ATTEND_MAX_RANK };

typedef struct copy_dimension {
    int64_t size, x_stride, out_stride;
} copy_dimension;

static bool joins(const copy_dimension *outer, const copy_dimension *inner) {
    return outer->size * inner->size <= attend__ocl_most &&
           outer->x_stride == inner->size * inner->x_stride &&
           outer->out_stride == inner->size * inner->out_stride;
}

/* The dimensions that have more than one element, the inner one last; their number, at least 1. */
static int32_t sort_dimensions(const attend_tensor *x, const attend_tensor *out,
                               copy_dimension list[DIMENSIONS]) {
    int32_t count = 0, kept = 0;
    list[0] = (copy_dimension){1, 1, 1};
    for (int32_t d = 0; d < x->rank; d++) {
        const copy_dimension next = {x->sizes[d], x->strides[d], out->strides[d]};
        if (next.size == 1) continue;
        int32_t at = count++;
        for (; at > 0 && list[at - 1].out_stride < next.out_stride; at--)
            list[at] = list[at - 1];
        list[at] = next;
    }
    for (int32_t d = 1; d < count; d++) {
        if (joins(&list[kept], &list[d])) {
            list[d].size *= list[kept].size;
            list[kept] = list[d];
        } else {
            list[++kept] = list[d];
        }
    }
    return kept + 1;
}

static void fill(copy_arguments *a, const attend_tensor *x, const attend_tensor *out) {
    copy_dimension list[DIMENSIONS];
    const int32_t count = sort_dimensions(x, out, list), before = DIMENSIONS - count;
    a->rows = 1;
    for (int32_t d = 0; d < DIMENSIONS; d++) {
        const copy_dimension one = {1, 0, 0}, from = d < before ? one : list[d - before];
        a->sizes[d] = (i32)from.size;
        a->x_strides[d] = from.x_stride;
        a->out_strides[d] = from.out_stride;
        if (d + 1 < DIMENSIONS) a->rows *= from.size;
    }
    a->bytes = x->type == out->type ? (i32)attend__ocl_element_bytes(x->type) : 0;
    a->x_type = (i32)x->type;
    a->out_type = (i32)out->type;
}

static void record(ocl_run *run, const void *description) {
    const attend_copy *const c = description;
    const ocl_memory x = attend__ocl_input(run, &c->x), out = attend__ocl_output(run, &c->out);
    copy_arguments a = {.x_offset = x.offset, .out_offset = out.offset};
    for (int32_t d = 0; d < c->x.rank; d++) {
        if (c->x.sizes[d] > attend__ocl_most)
            attend__ocl_run_fail(run, ATTEND_UNSUPPORTED, "x: a size is beyond 2^30");
    }
    if (run->status != ATTEND_OK) return;
    fill(&a, &c->x, &c->out);
    const ocl_grid grid = attend__ocl_row_grid(run->device, a.sizes[DIMENSIONS - 1], a.rows);
    a.chunk = grid.chunk;
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, x.memory);
    attend__ocl_memory(&launch, out.memory);
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

attend_status attend__ocl_plan_copy(attend_device *device, const attend_copy *largest,
                                    attend_plan_info *info, attend_device_plan **plan) {
    snprintf(info->kernel, sizeof info->kernel, "%s",
             largest->x.type == largest->out.type ? "copy" : "convert");
    return attend__ocl_plan_simple(device, ATTEND_OP_COPY, record, &attend__ocl_source_copy, "copy",
                                   plan);
}
