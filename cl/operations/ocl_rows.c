/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors [.., N] as numbered rows, grids, and plans of one kernel. */
#include "ocl_rows.h"

#include "ocl_run.h"

enum {
    GROUP = 64,         /* work-items of a GPU's work-group */
    CPU_CHUNK = 4096,   /* columns that are worth a work-item of a CPU */
    CPU_ELEMENTS = 4096 /* elements worth one: small rows are done together */
};

int64_t attend__ocl_row_count(const attend_tensor *t) {
    int64_t rows = 1;
    for (int32_t i = 0; i + 1 < t->rank; i++)
        rows *= t->sizes[i];
    return rows;
}

attend_status attend__ocl_rows_fit(const attend_device *device, const char *name,
                                   const attend_tensor *t) {
    int64_t rows = 1;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->sizes[i] > attend__ocl_most)
            return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                      "%s: a size of %lld is beyond this backend's 2^30", name,
                                      (long long)t->sizes[i]);
        if (i + 1 < t->rank && t->sizes[i] > 0 && rows > attend__ocl_most / t->sizes[i])
            return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                      "%s: has more rows than this backend's 2^30", name);
        if (i + 1 < t->rank) rows *= t->sizes[i];
    }
    return ATTEND_OK;
}

void attend__ocl_row_sizes(const attend_tensor *t, i32 sizes[3]) {
    for (int32_t i = 0; i < 3; i++) {
        const int32_t from = t->rank - 4 + i;
        sizes[i] = from >= 0 ? (i32)t->sizes[from] : 1;
    }
}

/* Row i begins at i * strides[2]: the leading dimensions join into one. */
static bool is_even(const row_tensor *rows, const i32 sizes[3]) {
    int64_t stride = rows->strides[2] * sizes[2];
    for (int i = 1; i >= 0; i--) {
        if (sizes[i] != 1 && rows->strides[i] != stride) return false;
        stride *= sizes[i];
    }
    return true;
}

static cl_mem rows_of(const attend_tensor *t, ocl_memory memory, row_tensor *rows) {
    *rows = (row_tensor){0};
    if (!attend__ocl_given(t)) return NULL;
    i32 sizes[3];
    attend__ocl_row_sizes(t, sizes);
    rows->offset = memory.offset;
    rows->step = t->strides[t->rank - 1];
    rows->type = (i32)t->type;
    for (int32_t i = 0; i < 3; i++) {
        const int32_t from = t->rank - 4 + i;
        rows->strides[i] = from >= 0 ? t->strides[from] : 0;
    }
    rows->even = is_even(rows, sizes);
    return memory.memory;
}

cl_mem attend__ocl_rows_in(ocl_run *run, const attend_tensor *t, row_tensor *rows) {
    return rows_of(t, attend__ocl_input(run, t), rows);
}

cl_mem attend__ocl_rows_out(ocl_run *run, const attend_tensor *t, row_tensor *rows) {
    return rows_of(t, attend__ocl_output(run, t), rows);
}

const char *attend__ocl_lanes(const attend_device *device) {
    return device->kernels == OCL_CLASS_ROWS ? "-DLANES=16" : "-DLANES=1";
}

static size_t parts(int64_t size, int64_t part) {
    return (size_t)((size + part - 1) / part);
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

ocl_grid attend__ocl_item_grid(const attend_device *device, int64_t items0, int64_t items1) {
    size_t across = device->kernels == OCL_CLASS_ROWS ? 1 : GROUP;
    const size_t group = across;
    while (across > 1 && (int64_t)across / 2 >= items0)
        across /= 2;
    const size_t down = group / across;
    return (ocl_grid){
        {parts(items0, (int64_t)across), parts(items1, (int64_t)down), 1}, {across, down, 1}, 1};
}

ocl_grid attend__ocl_row_grid(const attend_device *device, int64_t columns, int64_t rows) {
    const bool alone = device->kernels == OCL_CLASS_ROWS;
    const int64_t chunk = alone ? CPU_CHUNK : 1;
    ocl_grid grid = attend__ocl_item_grid(device, (int64_t)parts(columns, chunk), rows);
    grid.chunk = (i32)chunk;
    if (alone) {
        const int64_t few = columns > 0 ? columns : 1;
        const int64_t together = few < CPU_ELEMENTS ? CPU_ELEMENTS / few : 1;
        grid.groups[1] = parts(rows, together);
    }
    grid.groups[1] = least(grid.groups[1], OCL_MOST_GROUPS);
    return grid;
}

attend_status attend__ocl_plan_made(attend_device *device, attend_device_plan *plan,
                                    attend_status status, attend_device_plan **made) {
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, plan);
    if (status != ATTEND_OK) {
        attend__ocl_plan_release(device, plan);
        return status;
    }
    *made = plan;
    return ATTEND_OK;
}

attend_status attend__ocl_plan_simple(attend_device *device, attend_operation operation,
                                      ocl_record_fn *record, const ocl_source *source,
                                      const char *name, attend_device_plan **plan) {
    attend_device_plan *const p = attend__ocl_plan_new(device, operation, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->record = record;
    attend_status status = ATTEND_OK;
    (void)attend__ocl_plan_kernel(device, p, source, attend__ocl_lanes(device), name, OCL_ANY_GROUP,
                                  &status);
    return attend__ocl_plan_made(device, p, status, plan);
}
