/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the backend `reference`: the definitions of attend/attention.h and attend/stage.h
 * in plain double precision. It is the oracle that the other backends are held against, and reads
 * slowly and runs slowly on purpose. */
#include "base/checked.h"
#include "base/thread.h"
#include "reference.h"

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

attend_plugin_entry_fn attend__reference_entry;

enum { MOST_THREADS = 256 };

struct attend_device {
    const attend_host *host;
};

/* Scratch for as many items at once as there are threads, allocated here so that running allocates
 * nothing. Calls that run one plan at once share it: a task waits for a free part, whose holder
 * never waits for anything. */
struct attend_device_plan {
    const reference_operation *operation;
    int32_t parts;
    int64_t part_doubles;
    double *scratch;
    bool taken[MOST_THREADS];
    attend__mutex lock;
    attend__condition freed;
};

static const reference_operation *const operations[ATTEND_OP_COUNT] = {
#define ATTEND_X(operation, name) [operation] = &attend__reference_##name,
    REFERENCE_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
};

static attend_status fail(const attend_host *host, attend_status status, const char *text) {
    host->set_error(host->self, text);
    return status;
}

/* ---- plans ---------------------------------------------------------------------------------- */

static void plan_release(attend_device *device, attend_device_plan *plan) {
    attend__condition_destroy(&plan->freed);
    attend__mutex_destroy(&plan->lock);
    device->host->release(device->host->self, plan->scratch);
    device->host->release(device->host->self, plan);
}

static attend_status plan_create(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan) {
    const attend_host *const host = device->host;
    if ((int)operation < 0 || operation >= ATTEND_OP_COUNT)
        return fail(host, ATTEND_UNSUPPORTED, "reference: an operation this version does not know");
    attend_device_plan *const p =
        host->allocate(host->self, sizeof *p, alignof(attend_device_plan));
    if (!p) return fail(host, ATTEND_OUT_OF_MEMORY, "reference: no memory for a plan");
    memset(p, 0, sizeof *p);
    p->operation = operations[operation];
    const int32_t threads = host->thread_count(host->self);
    p->parts = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    p->part_doubles = p->operation->scratch(largest) + 1;
    size_t bytes;
    if (!attend__mul_size((size_t)p->part_doubles, sizeof(double), &bytes) ||
        !attend__mul_size(bytes, (size_t)p->parts, &bytes))
        bytes = SIZE_MAX;
    if (bytes != SIZE_MAX) p->scratch = host->allocate(host->self, bytes, alignof(double));
    const bool locked = p->scratch && attend__mutex_create(&p->lock);
    if (!locked || !attend__condition_create(&p->freed)) {
        if (locked) attend__mutex_destroy(&p->lock);
        host->release(host->self, p->scratch);
        host->release(host->self, p);
        return fail(host, ATTEND_OUT_OF_MEMORY, "reference: no memory for a plan");
    }
    /* the caller's workspace is not used, so none is asked for */
    info->workspace_bytes = 0;
    memcpy(info->kernel, p->operation->name, strlen(p->operation->name) + 1);
    info->note[0] = 0;
    *plan = p;
    return ATTEND_OK;
}

static int32_t part_take(attend_device_plan *plan) {
    attend__mutex_lock(&plan->lock);
    for (int32_t i = 0;; i = (i + 1) % plan->parts) {
        if (!plan->taken[i]) {
            plan->taken[i] = true;
            attend__mutex_unlock(&plan->lock);
            return i;
        }
        if (i == plan->parts - 1) attend__condition_wait(&plan->freed, &plan->lock);
    }
}

static void part_give(attend_device_plan *plan, int32_t part) {
    attend__mutex_lock(&plan->lock);
    plan->taken[part] = false;
    attend__condition_wake_all(&plan->freed);
    attend__mutex_unlock(&plan->lock);
}

typedef struct work {
    attend_device_plan *plan;
    const void *description;
    int64_t items;
    int32_t tasks;
} work;

static void run_task(void *argument, int32_t index) {
    const work *const w = argument;
    const int32_t part = part_take(w->plan);
    double *const scratch = w->plan->scratch + part * w->plan->part_doubles;
    /* every tasks-th item: causal rows grow, so neighbours go to different threads */
    for (int64_t i = index; i < w->items; i += w->tasks)
        w->plan->operation->compute(w->description, i, scratch);
    part_give(w->plan, part);
}

static attend_status run(attend_device *device, attend_device_plan *plan, const void *description) {
    work w = {plan, description, plan->operation->items(description), plan->parts};
    if (w.items < w.tasks) w.tasks = (int32_t)w.items;
    if (w.tasks > 0) device->host->parallel(device->host->self, w.tasks, run_task, &w);
    return ATTEND_OK;
}

/* ---- devices -------------------------------------------------------------------------------- */

static void device_close(attend_device *device) {
    const attend_host *const host = device->host;
    host->release(host->self, device);
}

static attend_status device_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device) {
    if (index != 0) return fail(host, ATTEND_NOT_FOUND, "reference: there is one device, number 0");
    attend_device *const d = host->allocate(host->self, sizeof *d, alignof(attend_device));
    if (!d) return fail(host, ATTEND_OUT_OF_MEMORY, "reference: no memory for the device");
    d->host = host;
    table->flags = ATTEND_DEVICE_HOST_MEMORY;
    table->operations = ((uint64_t)1 << ATTEND_OP_COUNT) - 1;
    table->options = ATTEND_OPTIONS_KNOWN;
#define ATTEND_X(name, value, bytes, text) table->types |= 1u << value;
    ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
    table->highest_position = ATTEND_AT_OFFSETS;
    table->highest_stage = ATTEND_SCORES_MASKED;
    table->highest_precision = ATTEND_PRECISION_FAST;
    table->highest_activation = ATTEND_TANH;
    table->highest_norm = ATTEND_RMS_NORM;
    table->close = device_close;
    table->plan_create = plan_create;
    table->plan_release = plan_release;
    table->run = run;
    *device = d;
    return ATTEND_OK;
}

static attend_status device_info(uint32_t index, attend_device_info *info) {
    if (index != 0) return ATTEND_NOT_FOUND;
    info->id = "reference:0";
    info->backend = "reference";
    info->name = "double precision definitions";
    info->vendor = "attend";
    info->version = "1.0.0";
    info->platform = "";
    info->reason = NULL;
    info->kind = ATTEND_DEVICE_CPU;
    info->types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16;
    info->memory_bytes = attend__memory_bytes();
    return ATTEND_OK;
}

attend_status attend__reference_entry(const attend_host *host, attend_plugin *plugin) {
    (void)host;
    plugin->abi = ATTEND_PLUGIN_ABI;
    plugin->required = 0;
    plugin->name = "reference";
    plugin->version = "1.0.0";
    plugin->device_info = device_info;
    plugin->device_open = device_open;
    return ATTEND_OK;
}
