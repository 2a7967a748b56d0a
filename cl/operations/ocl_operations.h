/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of a device, each as its plan: `record` enqueues the kernels that cl/kernels holds
 * for it. Shared by the backends `opencl` and `clblast`. */
#ifndef ATTEND_CL_OPERATIONS_H
#define ATTEND_CL_OPERATIONS_H

#include "ocl.h"

/* As plan_create of plugin.h. Sizes of 2^30 and more are refused with UNSUPPORTED. */
attend_status attend__ocl_plan_attention(attend_device *device, const attend_attention *largest,
                                         attend_plan_info *info, attend_device_plan **plan);
/* SCORES, SOFTMAX and MIX. */
attend_status attend__ocl_plan_step(attend_device *device, attend_operation operation,
                                    const attend_attention *largest, attend_plan_info *info,
                                    attend_device_plan **plan);
attend_status attend__ocl_plan_project(attend_device *device, const attend_projection *largest,
                                       attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_copy(attend_device *device, const attend_copy *largest,
                                    attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_norm(attend_device *device, const attend_norm *largest,
                                    attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_activate(attend_device *device, const attend_elementwise *largest,
                                        attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_rope(attend_device *device, const attend_rope *largest,
                                    attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_embed(attend_device *device, const attend_embedding *largest,
                                     attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_append(attend_device *device, const attend_append *largest,
                                      attend_plan_info *info, attend_device_plan **plan);
attend_status attend__ocl_plan_merge(attend_device *device, const attend_merging *largest,
                                     attend_plan_info *info, attend_device_plan **plan);

/* Every operation by its number. */
attend_status attend__ocl_plan(attend_device *device, attend_operation operation,
                               const void *largest, attend_plan_info *info,
                               attend_device_plan **plan);

/* As in plugin.h: keys of a page in the order of attention's panels, 16 neighbours. */
void attend__ocl_cache_layout(attend_device *device, const attend_cache_desc *description,
                              attend_cache_layout *layout);

/* As in plugin.h: w lies in a buffer of the device and has been read on return. */
attend_status attend__ocl_weights_create(attend_device *device, const attend_tensor *w,
                                         attend_device_weights **weights);
void attend__ocl_weights_release(attend_device *device, attend_device_weights *weights);

/* Kernel files, embedded by cl/CMakeLists.txt. */
extern const ocl_source attend__ocl_source_attention_pack;
extern const ocl_source attend__ocl_source_attention_classes;
extern const ocl_source attend__ocl_source_attention_decode;
extern const ocl_source attend__ocl_source_attention_few;
extern const ocl_source attend__ocl_source_attention_lanes;
extern const ocl_source attend__ocl_source_attention_rows;
extern const ocl_source attend__ocl_source_attention_tile;
extern const ocl_source attend__ocl_source_attention_merge;
extern const ocl_source attend__ocl_source_attention_steps;

#endif
