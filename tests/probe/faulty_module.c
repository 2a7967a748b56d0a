/* SPDX-License-Identifier: Apache-2.0
 *
 * The module of tests/plugin behind a driver that is as bad as its environment says. It calls its
 * device a GPU, so that "auto" is interested. PROBE_FAULT: "wrong" (numbers), "none" (no device),
 * or "crash" or "hang" with "-load", "-list", "-run" or "-exit" behind it, "silent-list" (ends the
 * process), "noise-list" (prints without end). PROBE_KIND: "integrated", "cpu". PROBE_FINGERPRINT:
 * the text; unset for a module without one. PROBE_NOISE: it prints. The device writes each of its
 * openings to PROBE_LOG. */
#include <attend/plugin.h>

#undef ATTEND_PLUGIN_ENTRY
#define ATTEND_PLUGIN_ENTRY handles_entry
#include "handles.c"

#include <stdio.h>
#include <unistd.h>

#ifndef NAME
#define NAME "faulty"
#endif

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

/* Fails as the environment says if this is the place. */
static void fault_at(const char *place) {
    const char *fault = variable("PROBE_FAULT");
    const char *dash = strchr(fault, '-');
    if (!dash || strcmp(dash + 1, place) != 0) return;
    if (!strncmp(fault, "crash", 5)) {
        fprintf(stderr, "driver: assertion failed\n");
        abort();
    }
    if (!strncmp(fault, "silent", 6)) _exit(0);
    while (!strncmp(fault, "noise", 5))
        puts("driver: hello");
    for (;;)
        pause();
}

static void at_exit(void) {
    fault_at("exit");
}

static attend_plugin handles;
static attend_status (*true_enqueue)(attend_device *, attend_device_plan *, const void *, size_t,
                                     attend_device_event *const *, attend_device_event **);
static attend_status (*true_read)(attend_device *, attend_device_buffer *, size_t, void *, size_t);

static attend_status faulty_enqueue(attend_device *device, attend_device_plan *plan,
                                    const void *description, size_t wait_count,
                                    attend_device_event *const *waits,
                                    attend_device_event **event) {
    fault_at("run");
    return true_enqueue(device, plan, description, wait_count, waits, event);
}

/* The last element of what comes back is a little off. */
static attend_status faulty_read(attend_device *device, attend_device_buffer *buffer, size_t offset,
                                 void *data, size_t bytes) {
    const attend_status status = true_read(device, buffer, offset, data, bytes);
    if (!strcmp(variable("PROBE_FAULT"), "wrong") && bytes >= 4) {
        float last;
        memcpy(&last, (char *)data + bytes - 4, 4);
        last += 0.001f;
        memcpy((char *)data + bytes - 4, &last, 4);
    }
    return status;
}

static attend_status faulty_info(uint32_t index, attend_device_info *info) {
    if (*variable("PROBE_NOISE")) printf("driver: an open line");
    if (index > 0) fault_at("list");
    if (index > 0 || !strcmp(variable("PROBE_FAULT"), "none")) return ATTEND_NOT_FOUND;
    handles.device_info(index, info);
    info->id = NAME ":0";
    info->backend = NAME;
    info->name = "a\tGPU\nwith a strange name";
    const char *kind = variable("PROBE_KIND");
    info->kind = !strcmp(kind, "cpu")          ? ATTEND_DEVICE_CPU
                 : !strcmp(kind, "integrated") ? ATTEND_DEVICE_INTEGRATED_GPU
                                               : ATTEND_DEVICE_DISCRETE_GPU;
    return ATTEND_OK;
}

static attend_status faulty_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device) {
    FILE *log = fopen(variable("PROBE_LOG"), "a");
    if (log) {
        fprintf(log, NAME " opened by %s\n", *variable("PROBE_WHO") ? variable("PROBE_WHO") : "?");
        fclose(log);
    }
    if (!strcmp(variable("PROBE_FAULT"), "closed")) {
        host->set_error(host->self, NAME ":0: the device is lent to another");
        return ATTEND_DEVICE_LOST;
    }
    atexit(at_exit);
    const attend_status status = handles.device_open(index, host, table, device);
    true_enqueue = table->enqueue;
    true_read = table->buffer_read;
    table->enqueue = faulty_enqueue;
    table->buffer_read = faulty_read;
    return status;
}

static attend_status fingerprint(char *text, size_t bytes) {
    const int length = snprintf(text, bytes, "%s", variable("PROBE_FINGERPRINT"));
    return length >= 0 && (size_t)length < bytes ? ATTEND_OK : ATTEND_OVERFLOW;
}

ATTEND_PLUGIN_EXPORT attend_plugin_entry_fn attend_plugin_entry_v1;
attend_status attend_plugin_entry_v1(const attend_host *host, attend_plugin *plugin) {
    fault_at("load");
    handles.size = sizeof handles;
    const attend_status status = handles_entry(host, &handles);
    attend_plugin mine = handles;
    mine.name = NAME;
    mine.device_info = faulty_info;
    mine.device_open = faulty_open;
    mine.fingerprint = getenv("PROBE_FINGERPRINT") ? fingerprint : NULL;
    memcpy(plugin, &mine, mine.size < plugin->size ? mine.size : plugin->size);
    return status;
}
