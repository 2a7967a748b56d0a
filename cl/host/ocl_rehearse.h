/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run is recorded for other than to run, and what attend__ocl_enqueue does then. */
#ifndef ATTEND_CL_HOST_OCL_REHEARSE_H
#define ATTEND_CL_HOST_OCL_REHEARSE_H

#include "ocl.h"

/* In place of attend__ocl_enqueue in runs that are no work. */
void attend__ocl_rehearse_launch(ocl_launch *launch, const size_t groups[3], const size_t local[3]);

/* One command of a launch; `offset` may be NULL. */
void attend__ocl_command(ocl_launch *launch, const size_t offset[3], const size_t global[3],
                         const size_t local[3]);

#endif
