/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations that `clblast` has for itself, as plan_create of plugin.h, and its weights. */
#ifndef ATTEND_CLBLAST_OPERATIONS_H
#define ATTEND_CLBLAST_OPERATIONS_H

#include "ocl.h"

/* ATTENTION: fused or composed, as ATTEND_CLBLAST_ATTENTION says or else as suits the device. */
attend_status attend__clblast_choose_attention(attend_device *device,
                                               const attend_attention *largest,
                                               attend_plan_info *info, attend_device_plan **plan);
/* INVALID for an ATTEND_CLBLAST_ATTENTION that is neither fused nor composed. */
attend_status attend__clblast_check_choice(attend_device *device);
/* ATTENTION composed, SCORES and MIX. */
attend_status attend__clblast_plan_attention(attend_device *device, attend_operation operation,
                                             const attend_attention *largest,
                                             attend_plan_info *info, attend_device_plan **plan);
attend_status attend__clblast_plan_project(attend_device *device, const attend_projection *largest,
                                           attend_plan_info *info, attend_device_plan **plan);
attend_status attend__clblast_weights_create(attend_device *device, const attend_tensor *w,
                                             attend_device_weights **weights);
void attend__clblast_weights_release(attend_device *device, attend_device_weights *weights);

/* Sets CLBlast's parameters for the device, once in the process and never for an application's
 * context. INVALID for an ATTEND_CLBLAST_TUNING that is neither on nor off. */
attend_status attend__clblast_tune(attend_device *device);

#endif
