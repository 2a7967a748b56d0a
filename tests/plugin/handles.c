/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the backend "handles" and its memory. HANDLES_FAULT=n in the environment makes the
 * n-th work fail as a lost device would, for tests of late errors. */
#include "handles_device.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory --------------------------------------------------------------------------------- */

attend_status failed(attend_device *device, attend_status status, const char *text) {
    device->host->set_error(device->host->self, text);
    return status;
}

/* A handle is an odd number: dereferencing it would fault or be misaligned at once. */
size_t slot_of(const attend_device_buffer *buffer) {
    return (size_t)(uintptr_t)buffer / 2;
}

static attend_status buffer_create(attend_device *device, size_t bytes,
                                   attend_device_buffer **buffer) {
    char *memory = malloc(bytes ? bytes : 1);
    pthread_mutex_lock(&device->lock);
    size_t slot = 1;
    while (slot < MAX_BUFFERS && device->buffers[slot].memory)
        slot++;
    if (memory && slot < MAX_BUFFERS) {
        device->buffers[slot].memory = memory;
        device->buffers[slot].bytes = bytes;
    }
    pthread_mutex_unlock(&device->lock);
    if (!memory || slot == MAX_BUFFERS) {
        free(memory);
        return failed(device, ATTEND_OUT_OF_MEMORY, "handles: no room for another buffer");
    }
    *buffer = (attend_device_buffer *)(uintptr_t)(2 * slot + 1);
    return ATTEND_OK;
}

static void buffer_release(attend_device *device, attend_device_buffer *buffer) {
    pthread_mutex_lock(&device->lock);
    free(device->buffers[slot_of(buffer)].memory);
    device->buffers[slot_of(buffer)].memory = NULL;
    pthread_mutex_unlock(&device->lock);
}

static attend_status device_finish(attend_device *device) {
    pthread_mutex_lock(&device->lock);
    while (device->first || device->running)
        pthread_cond_wait(&device->changed, &device->lock);
    const attend_status status = device->failed;
    device->failed = ATTEND_OK;
    pthread_mutex_unlock(&device->lock);
    return status ? failed(device, status, "handles: work failed") : ATTEND_OK;
}

static attend_status buffer_write(attend_device *device, attend_device_buffer *buffer,
                                  size_t offset_bytes, const void *data, size_t bytes) {
    pthread_mutex_lock(&device->lock);
    while (device->first || device->running)
        pthread_cond_wait(&device->changed, &device->lock);
    if (bytes) memcpy(device->buffers[slot_of(buffer)].memory + offset_bytes, data, bytes);
    pthread_mutex_unlock(&device->lock);
    return ATTEND_OK;
}

static attend_status buffer_read(attend_device *device, attend_device_buffer *buffer,
                                 size_t offset_bytes, void *data, size_t bytes) {
    pthread_mutex_lock(&device->lock);
    while (device->first || device->running)
        pthread_cond_wait(&device->changed, &device->lock);
    if (bytes) memcpy(data, device->buffers[slot_of(buffer)].memory + offset_bytes, bytes);
    pthread_mutex_unlock(&device->lock);
    return ATTEND_OK;
}

/* ---- tables --------------------------------------------------------------------------------- */

static attend_status plan_create(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan) {
    (void)largest;
    *plan = malloc(sizeof **plan);
    if (!*plan) return failed(device, ATTEND_OUT_OF_MEMORY, "handles: no memory for a plan");
    (*plan)->operation = operation;
    memcpy(info->kernel, "element_f64", sizeof "element_f64");
    return ATTEND_OK;
}

static void plan_release(attend_device *device, attend_device_plan *plan) {
    (void)device;
    free(plan);
}

static void device_close(attend_device *device) {
    pthread_mutex_lock(&device->lock);
    device->stopping = 1;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    pthread_join(device->thread, NULL);
    for (size_t i = 0; i < MAX_BUFFERS; i++)
        free(device->buffers[i].memory);
    pthread_cond_destroy(&device->changed);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

static attend_status device_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **opened) {
    (void)index;
    attend_device *device = calloc(1, sizeof *device);
    if (!device) return ATTEND_OUT_OF_MEMORY;
    device->host = host;
    const char *fault = getenv("HANDLES_FAULT");
    device->fault_in = fault ? atoi(fault) : 0;
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->changed, NULL);
    if (pthread_create(&device->thread, NULL, queue_thread, device)) {
        free(device);
        host->set_error(host->self, "handles: the queue thread did not start");
        return ATTEND_OUT_OF_MEMORY;
    }
    const attend_device_table mine = {
        .size = sizeof mine,
        .operations = (1u << ATTEND_OP_COUNT) - 1 - (1u << ATTEND_OP_ATTENTION),
        .options = ~(ATTEND_OPTION_PACKED | ATTEND_OPTION_PAGES | ATTEND_OPTION_SCALES |
                     ATTEND_OPTION_KEY_RANGE) &
                   ATTEND_OPTIONS_KNOWN,
        .types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16,
        .highest_position = ATTEND_AT_OFFSETS,
        .highest_stage = ATTEND_SCORES_MASKED,
        .highest_precision = ATTEND_PRECISION_FAST,
        .highest_activation = ATTEND_TANH,
        .highest_norm = ATTEND_RMS_NORM,
        .close = device_close,
        .plan_create = plan_create,
        .plan_release = plan_release,
        .buffer_create = buffer_create,
        .buffer_release = buffer_release,
        .buffer_write = buffer_write,
        .buffer_read = buffer_read,
        .enqueue = enqueue,
        .event_wait = event_wait,
        .event_query = event_query,
        .event_release = event_release,
        .user_event_create = user_event_create,
        .user_event_complete = user_event_complete,
        .finish = device_finish,
    };
    memcpy(table, &mine, mine.size < table->size ? mine.size : table->size);
    *opened = device;
    return ATTEND_OK;
}

static attend_status device_info(uint32_t index, attend_device_info *info) {
    if (index > 0) return ATTEND_NOT_FOUND;
    info->id = "handles:0";
    info->backend = "handles";
    info->name = "memory behind handles";
    info->vendor = "a third party";
    info->version = "1";
    info->platform = "";
    info->kind = ATTEND_DEVICE_ACCELERATOR;
    info->types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16;
    return ATTEND_OK;
}

ATTEND_PLUGIN_EXPORT attend_plugin_entry_fn ATTEND_PLUGIN_ENTRY;
attend_status ATTEND_PLUGIN_ENTRY(const attend_host *host, attend_plugin *plugin) {
    if (host->abi != ATTEND_PLUGIN_ABI) return ATTEND_INCOMPATIBLE;
    const attend_plugin mine = {.size = sizeof mine,
                                .abi = ATTEND_PLUGIN_ABI,
                                .name = "handles",
                                .version = "1",
                                .device_info = device_info,
                                .device_open = device_open};
    memcpy(plugin, &mine, mine.size < plugin->size ? mine.size : plugin->size);
    return ATTEND_OK;
}
