/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether attention is fused, by the kernels of `opencl`, or composed of CLBlast's products over
 * scores in memory.
 *
 * Composed, each score is written once and read three times, 16 bytes for the 2 (D + E) operations
 * of its products: at D = E = 64 that is 16 operations a byte, about what a GPU's memory feeds, so
 * that the products of a fast GEMM wait for scores. Fused, a score never leaves its work-group, but
 * a group sums only so many columns of the values and the scores are computed again for the next
 * ones. So fused wins up to a few such blocks of columns, whatever L and S are, and few commands
 * win where they are small. On CPUs it was 3.3 to 7.6 (PoCL) and 11 to 34 (Intel) times as fast.
 *
 * The choice looks at head sizes alone: one that followed L and S would give a sample other bits in
 * a batch with longer ones than alone. */
#include "clblast_operations.h"
#include "ocl_operations.h"

#include <string.h>

enum { MOST_FUSED_HEAD = 256 }; /* of D and E, on GPUs */

attend_status attend__clblast_check_choice(attend_device *device) {
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "CLBLAST_ATTENTION");
    if (!asked || strcmp(asked, "fused") == 0 || strcmp(asked, "composed") == 0) return ATTEND_OK;
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "ATTEND_CLBLAST_ATTENTION: \"%.40s\" is neither fused nor composed",
                              asked);
}

static bool fused(const attend_device *device, const attend_attention *a) {
    const char *const asked = device->host->config(device->host->self, "CLBLAST_ATTENTION");
    if (asked) return strcmp(asked, "fused") == 0;
    if (device->kernels == OCL_CLASS_ROWS) return true;
    return a->q.sizes[3] <= MOST_FUSED_HEAD && a->v.sizes[3] <= MOST_FUSED_HEAD;
}

attend_status attend__clblast_choose_attention(attend_device *device,
                                               const attend_attention *largest,
                                               attend_plan_info *info, attend_device_plan **plan) {
    if (fused(device, largest))
        return attend__ocl_plan(device, ATTEND_OP_ATTENTION, largest, info, plan);
    return attend__clblast_plan_attention(device, ATTEND_OP_ATTENTION, largest, info, plan);
}
