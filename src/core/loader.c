/* SPDX-License-Identifier: Apache-2.0
 *
 * From a file to a plugin table, each fault with a reason of its own. Also what a table must hold
 * to be used. */
#include "registry.h"

#include "base/dynlib.h"
#include "base/memory.h"
#include "error.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

/* ---- the host table that serves the process: while a thread loads a module it speaks for the
 * settings it loads for */

static _Thread_local const attend__settings *loading_for;

static void host_log(void *self, attend_log_level level, const char *topic, const char *text) {
    (void)self;
    attend__log(loading_for, level, topic, "%s", text);
}
static void host_set_error(void *self, const char *text) {
    (void)self;
    attend__set_error(text);
}
static void *host_allocate(void *self, size_t bytes, size_t alignment) {
    (void)self;
    return attend__aligned_allocate(bytes, alignment);
}
static void host_release(void *self, void *memory) {
    (void)self;
    attend__aligned_free(memory);
}
static int32_t host_thread_count(void *self) {
    (void)self;
    return 1;
}
static void host_parallel(void *self, int32_t count, void (*task)(void *argument, int32_t index),
                          void *argument) {
    (void)self;
    for (int32_t i = 0; i < count; i++)
        task(argument, i);
}
/* Settings belong to a context: a device gets them, the process has none. */
static const char *host_config(void *self, const char *name) {
    (void)self, (void)name;
    return NULL;
}

static const attend_host process_host = {
    .size = sizeof(attend_host),
    .abi = ATTEND_PLUGIN_ABI,
    .log = host_log,
    .set_error = host_set_error,
    .allocate = host_allocate,
    .release = host_release,
    .thread_count = host_thread_count,
    .parallel = host_parallel,
    .config = host_config,
};

/* ---- tables --------------------------------------------------------------------------------- */

static bool good_name(const char *name) {
    return name && *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
               strlen(name);
}

static attend_status check_plugin(const attend_plugin *given, attend_plugin *plugin) {
    const size_t least = offsetof(attend_plugin, device_adopt);
    if (given->size < offsetof(attend_plugin, required))
        return attend__fail(ATTEND_INCOMPATIBLE, "its table was not filled");
    if (given->abi != ATTEND_PLUGIN_ABI)
        return attend__fail(ATTEND_INCOMPATIBLE, "made for plugin ABI %u, this library has %u",
                            given->abi, ATTEND_PLUGIN_ABI);
    if (given->size < least)
        return attend__fail(ATTEND_INCOMPATIBLE, "its table is too short: %u bytes of at least %zu",
                            given->size, least);
    /* members beyond the plugin's own size are not its to set */
    memset(plugin, 0, sizeof *plugin);
    memcpy(plugin, given, given->size < sizeof *plugin ? given->size : sizeof *plugin);
    plugin->size = sizeof *plugin;
    if (plugin->required)
        return attend__fail(ATTEND_INCOMPATIBLE,
                            "requires features this library does not have (bits %#llx)",
                            (unsigned long long)plugin->required);
    if (!good_name(plugin->name))
        return attend__fail(ATTEND_INCOMPATIBLE, "its table has no usable name");
    if (!plugin->device_info)
        return attend__fail(ATTEND_INCOMPATIBLE, "its table lacks device_info");
    if (!plugin->device_open)
        return attend__fail(ATTEND_INCOMPATIBLE, "its table lacks device_open");
    if (!plugin->version) plugin->version = "";
    return ATTEND_OK;
}

attend_status attend__plugin_accept(attend_plugin_entry_fn *entry, const attend__settings *settings,
                                    attend_plugin *plugin) {
    attend_plugin given = {.size = sizeof given};
    attend__set_error("");
    loading_for = settings;
    const attend_status status = entry(&process_host, &given);
    loading_for = NULL;
    if (status != ATTEND_OK) {
        const char *sentence = attend_error_text();
        return attend__fail(status, "its entry refuses: %s",
                            *sentence ? sentence : attend_status_text(status));
    }
    return check_plugin(&given, plugin);
}

#define LACKS(member)                                                                              \
    if (!table->member) missing = #member;

attend_status attend__device_table_accept(const attend_device_table *given,
                                          attend_device_table *table) {
    memset(table, 0, sizeof *table);
    memcpy(table, given, given->size < sizeof *table ? given->size : sizeof *table);
    table->size = sizeof *table;
    const char *missing = NULL;
    LACKS(close)
    LACKS(plan_create)
    LACKS(plan_release)
    if (table->weights_create) LACKS(weights_release)
    if (table->flags & ATTEND_DEVICE_HOST_MEMORY) {
        LACKS(run)
    } else {
        LACKS(buffer_create)
        LACKS(buffer_release)
        LACKS(buffer_write)
        LACKS(buffer_read)
        LACKS(enqueue)
        LACKS(event_wait)
        LACKS(event_query)
        LACKS(event_release)
        LACKS(user_event_create)
        LACKS(user_event_complete)
        LACKS(finish)
    }
    if (missing) return attend__fail(ATTEND_INCOMPATIBLE, "its device table lacks %s", missing);
    return ATTEND_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

static attend_status load(attend__module *module, const attend__settings *settings) {
    attend_status status = attend__module_file_check(module->path);
    if (status != ATTEND_OK) return status;
    char error[512] = "";
    void *library = attend__dynlib_open(module->path, error, sizeof error);
    if (!library) return attend__fail(ATTEND_INCOMPATIBLE, "cannot be loaded: %s", error);
    attend_plugin_entry_fn *entry =
        (attend_plugin_entry_fn *)attend__dynlib_symbol(library, ATTEND_PLUGIN_ENTRY_NAME);
    if (!entry)
        return attend__fail(ATTEND_INCOMPATIBLE, "no backend: it does not export %s",
                            ATTEND_PLUGIN_ENTRY_NAME);
    status = attend__plugin_accept(entry, settings, &module->plugin);
    if (status == ATTEND_OK && strcmp(module->plugin.name, module->name) != 0)
        status = attend__fail(ATTEND_INCOMPATIBLE,
                              "calls itself \"%s\", which its file name does not say",
                              module->plugin.name);
    return status;
}

void attend__module_load(attend__module *module, const attend__settings *settings) {
    module->status = load(module, settings);
    module->reason = attend__string_copy(module->status == ATTEND_OK ? "" : attend_error_text());
    attend__log(settings, ATTEND_LOG_INFO, "load", "%s: %s", module->path,
                module->status == ATTEND_OK ? "loaded" : attend_error_text());
}
