/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the CPU backend: one device, the processors this process may use, with tensors in
 * host memory. Operations are in files of their own; this one opens the device, makes plans and
 * dispatches. */
#include "cpu_backend.h"

#include "base/checked.h"
#include "base/cpu_features.h"
#include "base/thread.h"

#include <stdio.h>
#include <string.h>

static const attend__cpu_operation operations[ATTEND_OP_COUNT] = {
#define ATTEND_X(name, stem)                                                                       \
    [ATTEND_OP_##name] = {attend__cpu_##stem##_plan, attend__cpu_##stem##_run},
#include "cpu_operations.inc"
#undef ATTEND_X
};

static const uint64_t operation_bits = 0
#define ATTEND_X(name, stem) | (uint64_t)1 << ATTEND_OP_##name
#include "cpu_operations.inc"
#undef ATTEND_X
    ;

attend_status attend__cpu_fail(const attend_host *host, attend_status status, const char *text) {
    host->set_error(host->self, text);
    return status;
}

static void device_close(attend_device *device) {
    const attend_host host = device->host;
    attend__cpu_workspace_destroy(&device->workspace, &host);
    attend__cpu_workspace_destroy(&device->shared, &host);
    host.release(host.self, device);
}

static bool whole_lines(size_t *bytes) {
    const size_t line = ATTEND__CPU_ALIGNMENT;
    if (!attend__add_size(*bytes, line - 1, bytes)) return false;
    *bytes = *bytes / line * line;
    return true;
}

static attend_status plan_create(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan) {
    const attend_host *const host = &device->host;
    if ((unsigned)operation >= ATTEND_OP_COUNT || operations[operation].plan == NULL)
        return attend__cpu_fail(host, ATTEND_UNSUPPORTED, "cpu: no such operation");
    attend__cpu_needs needs = {0};
    attend_status status = operations[operation].plan(device, largest, &needs);
    if (status != ATTEND_OK) return status;
    /* Whole cache lines, so that scratch of several workers can lie side by side in the caller's
     * workspace. */
    size_t all = 0;
    if (!whole_lines(&needs.scratch_bytes) || !whole_lines(&needs.shared_bytes) ||
        !attend__mul_size(needs.scratch_bytes, (size_t)device->threads, &all) ||
        !attend__add_size(all, needs.shared_bytes, &all))
        return attend__cpu_fail(host, ATTEND_OVERFLOW,
                                "workspace: its size does not fit in memory");
    status = attend__cpu_workspace_reserve(&device->workspace, host, needs.scratch_bytes);
    if (status == ATTEND_OK)
        status = attend__cpu_workspace_reserve(&device->shared, host, needs.shared_bytes);
    if (status != ATTEND_OK)
        return attend__cpu_fail(host, status, "cpu: no memory for the workspace");
    attend_device_plan *const made = host->allocate(host->self, sizeof *made, sizeof(void *));
    if (made == NULL)
        return attend__cpu_fail(host, ATTEND_OUT_OF_MEMORY, "cpu: no memory for a plan");
    made->operation = operation;
    made->scratch_bytes = needs.scratch_bytes;
    made->shared_bytes = needs.shared_bytes;
    info->workspace_bytes = all;
    snprintf(info->kernel, sizeof info->kernel, "%s__%s", needs.kernel, device->kernels->isa);
    *plan = made;
    return ATTEND_OK;
}

static void plan_release(attend_device *device, attend_device_plan *plan) {
    device->host.release(device->host.self, plan);
}

static attend_status run(attend_device *device, attend_device_plan *plan, const void *description) {
    return operations[plan->operation].run(device, plan, description);
}

static void fill_table(attend_device_table *table) {
    table->flags = ATTEND_DEVICE_HOST_MEMORY;
    table->operations = operation_bits;
    table->options = ATTEND_OPTIONS_KNOWN;
    table->types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16 | 1u << ATTEND_I8;
    table->highest_position = ATTEND_AT_OFFSETS;
    table->highest_stage = ATTEND_SCORES_MASKED;
    table->highest_precision = ATTEND_PRECISION_FAST;
    table->highest_activation = ATTEND_TANH;
    table->highest_norm = ATTEND_RMS_NORM;
    table->close = device_close;
    table->plan_create = plan_create;
    table->plan_release = plan_release;
    table->run = run;
    table->weights_create = attend__cpu_weights_create;
    table->weights_release = attend__cpu_weights_release;
    table->cache_layout = attend__cpu_cache_layout;
}

static attend_status device_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device) {
    if (index != 0)
        return attend__cpu_fail(host, ATTEND_NOT_FOUND, "cpu: there is one device, cpu:0");
    const char *const isa = host->config(host->self, "ISA");
    const attend__cpu_kernels *const kernels = attend__cpu_select(isa);
    if (kernels == NULL) {
        static const char known[] = ""
#define ATTEND_X(name, needs) " " #name
#include "cpu_kernels.inc"
#undef ATTEND_X
            ;
        char text[160];
        snprintf(text, sizeof text, "ISA: '%.40s' is none of:%s", isa, known);
        return attend__cpu_fail(host, ATTEND_INVALID, text);
    }
    attend_device *const made = host->allocate(host->self, sizeof *made, sizeof(void *));
    if (made == NULL)
        return attend__cpu_fail(host, ATTEND_OUT_OF_MEMORY, "cpu: no memory for a device");
    memset(made, 0, sizeof *made);
    memcpy(&made->host, host, host->size < sizeof made->host ? host->size : sizeof made->host);
    made->kernels = kernels;
    made->threads = host->thread_count(host->self);
    /* Twice the workers: two calls at once can both use every thread. */
    attend_status status =
        attend__cpu_workspace_create(&made->workspace, &made->host, 2 * made->threads);
    if (status == ATTEND_OK) status = attend__cpu_workspace_create(&made->shared, &made->host, 2);
    if (status != ATTEND_OK) {
        attend__cpu_workspace_destroy(&made->workspace, &made->host);
        host->release(host->self, made);
        return attend__cpu_fail(host, status, "cpu: no memory for a workspace");
    }
    fill_table(table);
    *device = made;
    return ATTEND_OK;
}

/* The processor's name, asked once: the strings of a device_info live as long as the process. */
static char processor[49];
static attend__once processor_asked = ATTEND__ONCE_INIT;

static void ask_processor(void) {
    attend__cpu_name(processor);
}

static attend_status device_info(uint32_t index, attend_device_info *info) {
    if (index != 0) return ATTEND_NOT_FOUND;
    attend__once_run(&processor_asked, ask_processor);
    info->id = "cpu:0";
    info->backend = "cpu";
    info->name = processor;
    info->vendor = "";
    info->version = "";
    info->platform = "";
    info->reason = NULL;
    info->kind = ATTEND_DEVICE_CPU;
    info->types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16;
    info->memory_bytes = attend__memory_bytes();
    return ATTEND_OK;
}

attend_status attend__cpu_entry(const attend_host *host, attend_plugin *plugin);
attend_status attend__cpu_entry(const attend_host *host, attend_plugin *plugin) {
    if (host->abi != ATTEND_PLUGIN_ABI)
        return attend__cpu_fail(host, ATTEND_INCOMPATIBLE,
                                "cpu: made for another plugin interface");
    plugin->abi = ATTEND_PLUGIN_ABI;
    plugin->name = "cpu";
    plugin->version = "1.0.0";
    plugin->device_info = device_info;
    plugin->device_open = device_open;
    return ATTEND_OK;
}
