/* SPDX-License-Identifier: Apache-2.0
 *
 * The listing of what can run here and why the rest cannot. */
#include "error.h"
#include "registry.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DEVICES = 256 }; /* a module that never ends its list must not hang us */

struct attend_device_list {
    size_t count, room;
    attend_device_info *items; /* strings belong to the modules, which are never freed */
};

static bool append(attend_device_list *list, const attend_device_info *info) {
    if (list->count == list->room) {
        const size_t room = list->room ? 2 * list->room : 8;
        attend_device_info *items = realloc(list->items, room * sizeof *items);
        if (!items) return false;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = *info;
    return true;
}

static attend_device_info empty_info(const char *id) {
    return (attend_device_info){.size = sizeof(attend_device_info),
                                .id = id,
                                .backend = id,
                                .name = "",
                                .vendor = "",
                                .version = "",
                                .platform = ""};
}

static bool append_devices(attend_device_list *list, const attend__module *module) {
    attend_device_info info = empty_info(module->name);
    if (module->status != ATTEND_OK) {
        info.backend = module->path;
        info.reason = module->reason;
        return append(list, &info);
    }
    uint32_t index = 0;
    for (; index < MOST_DEVICES; index++) {
        info = empty_info("");
        info.backend = module->name;
        if (module->plugin.device_info(index, &info) != ATTEND_OK) break;
        if (!append(list, &info)) return false;
    }
    if (index > 0) return true;
    info = empty_info(module->name);
    info.reason = "no device";
    return append(list, &info);
}

attend_status attend_device_list_create(const attend_options *options, attend_device_list **list) {
    if (!list) return attend__fail(ATTEND_NULL_POINTER, "list: is NULL");
    *list = NULL;
    attend__settings *settings;
    const attend_status status = attend__settings_create(options, &settings);
    if (status != ATTEND_OK) return status;
    size_t count;
    attend__module **modules = attend__registry_all(settings, &count);
    attend_device_list *made = calloc(1, sizeof *made);
    bool enough = modules && made;
    for (size_t i = 0; enough && i < count; i++)
        enough = append_devices(made, modules[i]);
    free(modules);
    attend__settings_release(settings);
    if (!enough) {
        attend_device_list_release(made);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "devices: no memory for the list");
    }
    *list = made;
    return ATTEND_OK;
}

size_t attend_device_list_count(const attend_device_list *list) {
    return list ? list->count : 0;
}

attend_status attend_device_list_get(const attend_device_list *list, size_t index,
                                     attend_device_info *info) {
    if (!list || !info)
        return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", list ? "info" : "list");
    if (index >= list->count)
        return attend__fail(ATTEND_OUT_OF_RANGE, "index: %zu, the list has %zu devices", index,
                            list->count);
    const size_t size = info->size;
    if (size < sizeof size) return attend__fail(ATTEND_INVALID, "info: size is not set");
    memcpy(info, &list->items[index], size < sizeof *info ? size : sizeof *info);
    info->size = size;
    return ATTEND_OK;
}

void attend_device_list_release(attend_device_list *list) {
    if (!list) return;
    free(list->items);
    free(list);
}
