/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend `opencl`: every operation by the kernels of cl/kernels. */
#include "ocl_operations.h"

#include <string.h>

static const ocl_backend backend = {
    .name = "opencl",
    .plan_create = attend__ocl_plan,
    .weights_create = attend__ocl_weights_create,
    .weights_release = attend__ocl_weights_release,
    .cache_layout = attend__ocl_cache_layout,
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
    return attend__ocl_adopt(&backend, kind, native, host, table, device);
}

#ifdef ATTEND_OPENCL_BUILTIN /* a part of libattend */
#define ENTRY attend__opencl_entry
attend_plugin_entry_fn ENTRY;
#else
#define ENTRY ATTEND_PLUGIN_ENTRY
ATTEND_PLUGIN_EXPORT attend_plugin_entry_fn ENTRY;
#endif
attend_status ENTRY(const attend_host *host, attend_plugin *plugin) {
    if (host->abi != ATTEND_PLUGIN_ABI) return ATTEND_INCOMPATIBLE;
    const attend_plugin mine = {
        .size = sizeof mine,
        .abi = ATTEND_PLUGIN_ABI,
        .name = backend.name,
        .version = "1.0.0",
        .device_info = device_info,
        .device_open = device_open,
        .device_adopt = device_adopt,
        .shutdown = attend__ocl_shutdown,
        .fingerprint = attend__ocl_fingerprint,
    };
    memcpy(plugin, &mine, mine.size < plugin->size ? mine.size : plugin->size);
    return ATTEND_OK;
}
