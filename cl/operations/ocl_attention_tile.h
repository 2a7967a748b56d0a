/* SPDX-License-Identifier: Apache-2.0
 *
 * The GPUs' kernels of fused attention: which tile fits a device, how it is built, and what is
 * found out about masks before it runs. */
#ifndef ATTEND_CL_OPERATIONS_OCL_ATTENTION_TILE_H
#define ATTEND_CL_OPERATIONS_OCL_ATTENTION_TILE_H

#include "ocl_attention.h"

/* Chooses the plan's tile; returns how many columns of values a work-group sums at most. */
int attend__ocl_tile_choose(const attend_device *device, const attend_attention *largest,
                            ocl_attention_plan *p);

/* Each adds a kernel and says in the plan how it is run: attention_tile, by a matrix unit where
 * there is one for its types, and attention_classes where the plan has masks; attention_decode.
 * `info` gets a note on a unit, or on sub-groups, that are not used. */
void attend__ocl_tile_make(attend_device *device, const attend_attention *largest,
                           ocl_attention_plan *p, attend_plan_info *info, attend_status *status);
void attend__ocl_decode_make(attend_device *device, const attend_attention *largest,
                             ocl_attention_plan *p, attend_plan_info *info, attend_status *status);

/* The type that weights have when they meet values, as plans' names have it: FAST rounds them. */
const char *attend__ocl_tile_weights(const attend_device *device, const ocl_attention_plan *p,
                                     const attend_attention *largest);

/* Bytes of scratch for the classes of blocks; 0 where the plan finds none out. */
size_t attend__ocl_classes_bytes(const ocl_attention_plan *p, const ocl_attention_sizes *n);
/* Enqueues attention_classes where a mask is worth it. */
void attend__ocl_tile_classes(ocl_attention_run *r, const ocl_attention_sizes *n);

/* What excludes keys, and what parameters the tuning file knows for the plan of a kernel. */
void attend__ocl_attention_tuned(const attend_device *device, const ocl_source *source,
                                 const attend_attention *largest, int *values);

#endif
