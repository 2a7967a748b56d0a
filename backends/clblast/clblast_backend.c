/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend `clblast`: products by CLBlast, everything else by the kernels it shares with
 * `opencl`. */
#include "attend/opencl.h"
#include "clblast_gemm.h"
#include "clblast_operations.h"
#include "ocl_operations.h"

#include <string.h>

static attend_status plan_create(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan) {
    switch ((int)operation) {
    case ATTEND_OP_ATTENTION:
        return attend__clblast_choose_attention(device, largest, info, plan);
    case ATTEND_OP_SCORES:
    case ATTEND_OP_MIX:
        return attend__clblast_plan_attention(device, operation, largest, info, plan);
    case ATTEND_OP_PROJECT:
        return attend__clblast_plan_project(device, largest, info, plan);
    default:
        return attend__ocl_plan(device, operation, largest, info, plan);
    }
}

static attend_status open_device(attend_device *device) {
    const attend_status status = attend__clblast_check_choice(device);
    return status == ATTEND_OK ? attend__clblast_tune(device) : status;
}

/* CLBlast's programs hold references to the context, which has to be what it was, or to go. */
static void close_device(attend_device *device) {
    if (device->shared->adopted || atomic_load(&device->shared->lost)) attend__clblast_clear();
}

static const ocl_backend backend = {
    .name = "clblast",
    .plan_create = plan_create,
    .weights_create = attend__clblast_weights_create,
    .weights_release = attend__clblast_weights_release,
    .open = open_device,
    .close = close_device,
};

static attend_status device_info(uint32_t index, attend_device_info *info) {
    return attend__ocl_info(backend.name, index, info);
}

static attend_status device_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device) {
    return attend__ocl_open(&backend, index, host, table, device);
}

static attend_status device_adopt(const char *kind, const void *native, const attend_host *host,
                                  attend_device_table *table, attend_device **device) {
    const attend_opencl_objects *const objects = native;
    if (strcmp(kind, backend.name) == 0 &&
        objects->size >= offsetof(attend_opencl_objects, symbol) + sizeof objects->symbol &&
        objects->symbol != NULL)
        return attend__ocl_refuse(host, ATTEND_INVALID,
                                  "attend_opencl_objects: symbol is not for clblast, since CLBlast "
                                  "is linked with the system's OpenCL loader");
    return attend__ocl_adopt(&backend, kind, native, host, table, device);
}

/* CLBlast's caches first: its programs hold the contexts that are released then. */
static void shut_down(void) {
    attend__clblast_clear();
    attend__ocl_shutdown();
}

ATTEND_PLUGIN_EXPORT attend_plugin_entry_fn ATTEND_PLUGIN_ENTRY;
attend_status ATTEND_PLUGIN_ENTRY(const attend_host *host, attend_plugin *plugin) {
    if (host->abi != ATTEND_PLUGIN_ABI) return ATTEND_INCOMPATIBLE;
    const attend_plugin mine = {
        .size = sizeof mine,
        .abi = ATTEND_PLUGIN_ABI,
        .name = backend.name,
        .version = "1.0.0",
        .device_info = device_info,
        .device_open = device_open,
        .device_adopt = device_adopt,
        .shutdown = shut_down,
        .fingerprint = attend__ocl_fingerprint,
    };
    memcpy(plugin, &mine, mine.size < plugin->size ? mine.size : plugin->size);
    return ATTEND_OK;
}
