/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in the order the projection's kernels read them: panels [ceil(N / PANEL)][K][PANEL] in
 * the matrix's own type, zero padded. */
#ifndef ATTEND_CL_OCL_WEIGHTS_H
#define ATTEND_CL_OCL_WEIGHTS_H

#include "ocl.h"
#include "stage_arguments.h"

struct attend_device_weights {
    cl_mem panels;
    attend_type type;
};

/* Bytes of the panels of a matrix [columns, depth]; false if that is more than size_t holds. */
bool attend__ocl_panels_bytes(int64_t columns, int64_t depth, attend_type type, size_t *bytes);
/* Adds the kernel that packs; its number, as attend__ocl_plan_kernel. */
int attend__ocl_pack_kernel(attend_device *device, attend_device_plan *plan, attend_type type,
                            attend_status *status);
/* Packs w into `panels` from element `offset` on. */
void attend__ocl_pack_record(ocl_run *run, int kernel, const attend_tensor *w, cl_mem panels,
                             int64_t offset);

#endif
