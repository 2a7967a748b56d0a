/* SPDX-License-Identifier: Apache-2.0
 *
 * The listing of what can run here and why the rest cannot. */
#include "device_list.h"

#include "error.h"
#include "registry.h"

#include <stdlib.h>
#include <string.h>

attend_device_list *attend__device_list_new(void) {
    return calloc(1, sizeof(attend_device_list));
}

static bool make_room(attend_device_list *list) {
    if (list->count < list->room) return true;
    const size_t room = list->room ? 2 * list->room : 8;
    attend_device_info *items = realloc(list->items, room * sizeof *items);
    if (items) list->items = items;
    char **texts = realloc(list->texts, room * sizeof *texts);
    if (texts) list->texts = texts;
    if (!items || !texts) return false;
    list->room = room;
    return true;
}

bool attend__device_list_append(attend_device_list *list, const attend_device_info *info) {
    if (!make_room(list)) return false;
    list->texts[list->count] = NULL;
    list->items[list->count++] = *info;
    return true;
}

bool attend__device_list_append_copy(attend_device_list *list, const attend_device_info *info) {
    attend_device_info copy = *info;
    const char **const strings[] = {&copy.id,      &copy.backend,  &copy.name,   &copy.vendor,
                                    &copy.version, &copy.platform, &copy.reason, &copy.file};
    enum { STRINGS = sizeof strings / sizeof *strings };
    size_t bytes = 0;
    for (int i = 0; i < STRINGS; i++)
        bytes += *strings[i] ? strlen(*strings[i]) + 1 : 0;
    char *text = malloc(bytes + 1);
    if (!text) return false;
    char *at = text;
    for (int i = 0; i < STRINGS; i++) {
        if (!*strings[i]) continue;
        const size_t length = strlen(*strings[i]) + 1;
        memcpy(at, *strings[i], length);
        *strings[i] = at;
        at += length;
    }
    if (!attend__device_list_append(list, &copy)) {
        free(text);
        return false;
    }
    list->texts[list->count - 1] = text;
    return true;
}

attend_device_info attend__device_info_empty(const char *id, const char *backend,
                                             const char *file) {
    return (attend_device_info){.size = sizeof(attend_device_info),
                                .id = id,
                                .backend = backend,
                                .name = "",
                                .vendor = "",
                                .version = "",
                                .platform = "",
                                .file = file};
}

attend_status attend__device_info_ask(attend_status (*ask)(uint32_t index,
                                                           attend_device_info *info),
                                      uint32_t index, attend_device_info *info) {
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    const attend_status status = ask(index, info);
    info->size = sizeof *info;
    const char **const texts[] = {&info->id,      &info->backend,  &info->name, &info->vendor,
                                  &info->version, &info->platform, &info->file};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!*texts[i]) *texts[i] = "";
    if (!info->reason)
        info->status = ATTEND_OK;
    else if (info->status == ATTEND_OK)
        info->status = ATTEND_NO_DEVICE;
    return status;
}

static bool append_devices(attend_device_list *list, const attend__module *module) {
    attend_device_info info = attend__device_info_empty(module->name, module->name, module->path);
    if (module->status != ATTEND_OK) {
        info.backend = module->path;
        info.reason = module->reason;
        info.status = module->status;
        return attend__device_list_append(list, &info);
    }
    uint32_t index = 0;
    for (; index < ATTEND__MOST_DEVICES; index++) {
        if (attend__device_info_ask(module->plugin.device_info, index, &info) != ATTEND_OK) break;
        info.backend = module->name;
        info.file = module->path;
        if (!attend__device_list_append(list, &info)) return false;
    }
    if (index > 0) return true;
    info = attend__device_info_empty(module->name, module->name, module->path);
    info.reason = "no device";
    info.status = ATTEND_NO_DEVICE;
    return attend__device_list_append(list, &info);
}

attend_status attend_device_list_create(const attend_options *options, attend_device_list **list) {
    if (!list) return attend__fail(ATTEND_NULL_POINTER, "list: is NULL");
    *list = NULL;
    attend__settings *settings;
    const attend_status status = attend__settings_create(options, &settings);
    if (status != ATTEND_OK) return status;
    size_t count;
    attend__module **modules = attend__registry_all(settings, &count);
    attend_device_list *made = attend__device_list_new();
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
    for (size_t i = 0; i < list->count; i++)
        free(list->texts[i]);
    free(list->texts);
    free(list->items);
    free(list);
}
