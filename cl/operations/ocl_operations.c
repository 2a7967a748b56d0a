/* SPDX-License-Identifier: Apache-2.0
 *
 * From an operation's number to its plan. */
#include "ocl_operations.h"

static attend_status make(attend_device *device, attend_operation operation, const void *largest,
                          attend_plan_info *info, attend_device_plan **plan) {
    switch ((int)operation) {
    case ATTEND_OP_ATTENTION:
        return attend__ocl_plan_attention(device, largest, info, plan);
    case ATTEND_OP_SCORES:
    case ATTEND_OP_SOFTMAX:
    case ATTEND_OP_MIX:
        return attend__ocl_plan_step(device, operation, largest, info, plan);
    case ATTEND_OP_PROJECT:
        return attend__ocl_plan_project(device, largest, info, plan);
    case ATTEND_OP_COPY:
        return attend__ocl_plan_copy(device, largest, info, plan);
    case ATTEND_OP_NORM:
        return attend__ocl_plan_norm(device, largest, info, plan);
    case ATTEND_OP_ACTIVATE:
        return attend__ocl_plan_activate(device, largest, info, plan);
    case ATTEND_OP_ROPE:
        return attend__ocl_plan_rope(device, largest, info, plan);
    case ATTEND_OP_EMBED:
        return attend__ocl_plan_embed(device, largest, info, plan);
    case ATTEND_OP_APPEND:
        return attend__ocl_plan_append(device, largest, info, plan);
    case ATTEND_OP_MERGE:
        return attend__ocl_plan_merge(device, largest, info, plan);
    default:
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "opencl: an operation this version does not know");
    }
}

attend_status attend__ocl_plan(attend_device *device, attend_operation operation,
                               const void *largest, attend_plan_info *info,
                               attend_device_plan **plan) {
    attend_device_plan *made = NULL;
    attend_status status = make(device, operation, largest, info, &made);
    if (status == ATTEND_OK) status = attend__ocl_rehearse(device, made, largest);
    if (status == ATTEND_OK)
        *plan = made;
    else
        attend__ocl_plan_release(device, made);
    return status;
}
