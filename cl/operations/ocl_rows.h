/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors [.., N] as the kernels of the operations around attention want them, the grids these
 * kernels run on, and plans of one kernel. */
#ifndef ATTEND_CL_OCL_ROWS_H
#define ATTEND_CL_OCL_ROWS_H

#include "ocl.h"
#include "stage_arguments.h"

/* Rows and columns are 32-bit numbers in the kernels, with room to count past the end. */
static const int64_t attend__ocl_most = (int64_t)1 << 30;

static inline int64_t attend__ocl_columns(const attend_tensor *t) {
    return t->sizes[t->rank - 1];
}
/* The product of the leading sizes. */
int64_t attend__ocl_row_count(const attend_tensor *t);

/* UNSUPPORTED if a size of `t` or the number of its rows is beyond attend__ocl_most. */
attend_status attend__ocl_rows_fit(const attend_device *device, const char *name,
                                   const attend_tensor *t);

/* The leading sizes, right-aligned, 1 where the rank has none. */
void attend__ocl_row_sizes(const attend_tensor *t, i32 sizes[3]);
/* The memory of a tensor, NULL when it is not given, and where its rows lie. */
cl_mem attend__ocl_rows_in(ocl_run *run, const attend_tensor *t, row_tensor *rows);
cl_mem attend__ocl_rows_out(ocl_run *run, const attend_tensor *t, row_tensor *rows);

/* "-DLANES=16" where a work-item stands alone, else "-DLANES=1". */
const char *attend__ocl_lanes(const attend_device *device);

/* How a kernel over `columns` and `rows` is spread: dimension 0 counts chunks of columns, dimension
 * 1 rows, of which a work-item does every j-th. */
typedef struct ocl_grid {
    size_t groups[3], local[3];
    i32 chunk; /* columns of a work-item */
} ocl_grid;
ocl_grid attend__ocl_row_grid(const attend_device *device, int64_t columns, int64_t rows);
/* One work-item to each of items[0] * items[1]; the last ones have nothing to do. */
ocl_grid attend__ocl_item_grid(const attend_device *device, int64_t items0, int64_t items1);

typedef void ocl_record_fn(ocl_run *run, const void *description);
/* A plan of one kernel of `source`, compiled for attend__ocl_lanes. */
attend_status attend__ocl_plan_simple(attend_device *device, attend_operation operation,
                                      ocl_record_fn *record, const ocl_source *source,
                                      const char *name, attend_device_plan **plan);
/* Finishes a plan into *made; releases it if `status` or finishing is a failure. */
attend_status attend__ocl_plan_made(attend_device *device, attend_device_plan *plan,
                                    attend_status status, attend_device_plan **made);

#endif
