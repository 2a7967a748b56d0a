/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h. */
#include "verdict.h"

#include "base/cache_folder.h"
#include "base/folder.h"
#include "base/memory.h"
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FINGERPRINT = 1 << 16, MOST_BYTES = 1 << 20, LONGEST_NAME = 64 };

#define MARK "device"
#define VOID_KEY "void"

char *attend__verdict_folder(const attend__settings *settings, bool to_store, char *reason,
                             size_t bytes) {
    const char *cache = settings->values[ATTEND__SETTING_CACHE];
    const char *configured = settings->values[ATTEND__SETTING_CACHE_DIR];
    if (cache && !strcmp(cache, "off")) {
        snprintf(reason, bytes, "ATTEND_CACHE is off");
        return NULL;
    }
    return to_store ? attend__cache_folder(configured, reason, bytes)
                    : attend__cache_folder_look(configured, reason, bytes);
}

static bool file_name(const char *module, char *name, size_t bytes) {
    if (strlen(module) > LONGEST_NAME) return false;
    snprintf(name, bytes, "verdict-%s", module);
    return true;
}

bool attend__verdict_exists(const char *folder, const char *module) {
    char name[LONGEST_NAME + 16];
    char *path = file_name(module, name, sizeof name) ? attend__path_join(folder, name) : NULL;
    const bool exists = path && attend__file_look(path).exists;
    free(path);
    return exists;
}

static char *make_key(const char *module, const char *version, const char *fingerprint) {
    static const char format[] = "verdict of attend %u about %s %s\n%s";
    const int length = snprintf(NULL, 0, format, attend_version(), module, version, fingerprint);
    char *key = length < 0 ? NULL : malloc((size_t)length + 1);
    if (key)
        snprintf(key, (size_t)length + 1, format, attend_version(), module, version, fingerprint);
    return key;
}

bool attend__verdict_store(const char *folder, const char *module, const char *version,
                           const char *fingerprint, const attend_device_list *list, size_t first) {
    char name[LONGEST_NAME + 16];
    if (!file_name(module, name, sizeof name)) return false;
    char *key =
        fingerprint ? make_key(module, version, fingerprint) : attend__string_copy(VOID_KEY);
    attend__text text = {0};
    for (size_t i = first; i < list->count; i++)
        attend__record_put_device(&text, MARK, &list->items[i]);
    const bool stored = key && !text.failed && text.used <= MOST_BYTES / 2 &&
                        attend__cache_store(folder, name, key, text.data, text.used);
    free(text.data);
    free(key);
    return stored;
}

char *attend__fingerprint(const attend_plugin *plugin) {
    char *text = plugin->fingerprint ? calloc(1, MOST_FINGERPRINT) : NULL;
    if (text && (plugin->fingerprint(text, MOST_FINGERPRINT) != ATTEND_OK ||
                 !memchr(text, 0, MOST_FINGERPRINT))) {
        free(text);
        text = NULL;
    }
    return text;
}

static attend_device_list *read_devices(char *text) {
    attend_device_list *list = attend__device_list_new();
    bool good = list != NULL;
    for (char *line; good && (line = attend__record_next(&text)) != NULL;) {
        char *fields[ATTEND__DEVICE_FIELDS];
        attend_device_info info;
        const size_t count = attend__record_split(line, fields, ATTEND__DEVICE_FIELDS);
        good = count > 0 && !strcmp(fields[0], MARK) &&
               attend__record_take_device(fields, count, &info) &&
               attend__device_list_append_copy(list, &info);
    }
    if (good) return list;
    attend_device_list_release(list);
    return NULL;
}

attend_device_list *attend__verdict_load_void(const char *folder, const char *module) {
    char name[LONGEST_NAME + 16];
    void *data = NULL;
    size_t bytes;
    if (!file_name(module, name, sizeof name) ||
        attend__cache_load(folder, name, VOID_KEY, MOST_BYTES, &data, &bytes) !=
            ATTEND__CACHE_FOUND)
        return NULL;
    attend_device_list *list = read_devices(data);
    free(data);
    return list;
}

attend_device_list *attend__verdict_load(const char *folder, const attend__module *module,
                                         char *reason, size_t bytes) {
    static const char *const news_texts[] = {
        [ATTEND__CACHE_FOUND] = "its verdict cannot be read",
        [ATTEND__CACHE_ABSENT] = "no verdict about its driver",
        [ATTEND__CACHE_OTHER_KEY] = "no verdict about its driver as it is now",
        [ATTEND__CACHE_DAMAGED] = "its verdict is damaged",
        [ATTEND__CACHE_REFUSED] = "its verdict is not this user's, or cannot be read",
    };
    char name[LONGEST_NAME + 16];
    const attend_plugin *plugin = &module->plugin;
    char *fingerprint = attend__fingerprint(plugin);
    char *key = fingerprint ? make_key(module->name, plugin->version, fingerprint) : NULL;
    free(fingerprint);
    if (!key || !file_name(module->name, name, sizeof name)) {
        snprintf(reason, bytes, "it does not say which drivers it depends on");
        free(key);
        return NULL;
    }
    void *data;
    size_t data_bytes;
    const attend__cache_news news =
        attend__cache_load(folder, name, key, MOST_BYTES, &data, &data_bytes);
    free(key);
    attend_device_list *list = news == ATTEND__CACHE_FOUND ? read_devices(data) : NULL;
    free(data);
    if (!list) snprintf(reason, bytes, "%s; run attend doctor", news_texts[news]);
    return list;
}
