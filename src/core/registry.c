/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.h. The list only grows, records are never freed: pointers into it stay good without a
 * lock. A module is loaded outside the lock, because its constructors and its entry are foreign
 * code. */
#include "registry.h"

#include "base/dynlib.h"
#include "base/folder.h"
#include "base/memory.h"
#include "base/thread.h"
#include "builtin.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static attend__mutex lock = ATTEND__MUTEX_INIT; /* guards the lists and `ready` */
static attend__module *hidden;                  /* never loaded: an earlier one has their name */
static attend__once once = ATTEND__ONCE_INIT;
static attend__module *first;

static attend__module builtins[] = {
#define ATTEND_X(backend)                                                                          \
    {.name = (char[]){#backend}, .path = (char[]){""}, .reason = (char[]){""}},
    ATTEND__BUILTIN_LIST(ATTEND_X)
#undef ATTEND_X
};

static attend_plugin_entry_fn *const builtin_entries[] = {
#define ATTEND_X(backend) attend__##backend##_entry,
    ATTEND__BUILTIN_LIST(ATTEND_X)
#undef ATTEND_X
};

enum { BUILTINS = sizeof builtins / sizeof *builtins };

static void start(void) {
    for (int i = 0; i < BUILTINS; i++) {
        builtins[i].status = attend__plugin_accept(builtin_entries[i], NULL, &builtins[i].plugin);
        builtins[i].ready = true;
    }
}

static attend__module *find_builtin(const char *name) {
    attend__once_run(&once, start);
    for (int i = 0; i < BUILTINS; i++)
        if (!strcmp(builtins[i].name, name)) return &builtins[i];
    return NULL;
}

/* ---- modules -------------------------------------------------------------------------------- */

/* A new record at the head of the list, not ready; NULL if there is no memory. Under the lock. */
static attend__module *add(attend__module **list, const char *name, const char *path) {
    attend__module *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    m->name = attend__string_copy(name);
    m->path = attend__string_copy(path);
    if (!m->name || !m->path) {
        free(m->name);
        free(m->path);
        free(m);
        return NULL;
    }
    m->process = attend__process_id();
    m->next = *list;
    *list = m;
    return m;
}

static attend__module *find_path(attend__module *list, const char *path) {
    while (list && strcmp(list->path, path) != 0)
        list = list->next;
    return list;
}

/* Waits while another thread loads it. That thread does not exist in a forked child: there the
 * module is lost. */
static void await_ready(attend__module *m) {
    while (!m->ready) {
        if (m->process != attend__process_id()) {
            m->status = ATTEND_FORKED;
            m->reason = (char[]){"the parent process was loading it when it forked"};
            m->ready = true;
            return;
        }
        attend__mutex_unlock(&lock);
        attend__thread_sleep(1000000);
        attend__mutex_lock(&lock);
    }
}

/* The module of this file, loaded by this call or an earlier one. */
static attend__module *module_of(const attend__settings *settings, const char *name,
                                 const char *path) {
    attend__once_run(&once, start);
    attend__mutex_lock(&lock);
    attend__module *m = find_path(first, path);
    const bool mine = !m;
    if (m)
        await_ready(m);
    else
        m = add(&first, name, path);
    attend__mutex_unlock(&lock);
    if (!m || !mine) return m;
    attend__module_load(m, settings);
    attend__mutex_lock(&lock);
    m->ready = true;
    attend__mutex_unlock(&lock);
    return m;
}

/* The record of a file that is not loaded because an earlier one has its name. */
static attend__module *hidden_of(const char *name, const char *path, const char *by) {
    attend__mutex_lock(&lock);
    attend__module *m = find_path(hidden, path);
    if (!m && (m = add(&hidden, name, path)) != NULL) {
        char reason[512];
        snprintf(reason, sizeof reason, "not loaded: %s has this name already",
                 *by ? by : "a built-in backend");
        m->status = ATTEND_AMBIGUOUS;
        m->reason = attend__string_copy(reason);
        m->ready = true;
    }
    attend__mutex_unlock(&lock);
    return m;
}

/* ---- folders -------------------------------------------------------------------------------- */

static char *own_folder(void) {
    char *library = attend__dynlib_folder((attend__function *)attend__registry_find);
    char *attend = library ? attend__path_join(library, "attend") : NULL;
    char abi[16];
    snprintf(abi, sizeof abi, "%u", ATTEND_PLUGIN_ABI);
    char *folder = attend ? attend__path_join(attend, abi) : NULL;
    free(library);
    free(attend);
    return folder;
}

/* A relative folder would let the working directory choose the code that runs. */
static char *absolute_part(const char *text, size_t length) {
    char *part = attend__string_part(text, length);
    char *real =
        part && (part[0] == '/' || (length > 2 && part[1] == ':')) ? attend__path_real(part) : NULL;
    free(part);
    return real;
}

char **attend__module_folders(const attend__settings *settings) {
    const char *path = settings->values[ATTEND__SETTING_PLUGIN_PATH];
    size_t most = 3, count = 0;
    for (const char *c = path; c && *c; c++)
        most += *c == ATTEND__PATH_SEPARATOR;
    char **folders = calloc(most, sizeof *folders);
    if (!folders) return NULL;
    folders[count] = own_folder();
    if (folders[count]) count++;
    while (path && *path) {
        const char separator[] = {ATTEND__PATH_SEPARATOR, 0};
        const size_t length = strcspn(path, separator);
        char *folder = length ? absolute_part(path, length) : NULL;
        if (folder)
            folders[count++] = folder;
        else if (length)
            attend__log(settings, ATTEND_LOG_WARNING, "config",
                        "plugin path: \"%.*s\" is not the absolute path of a folder", (int)length,
                        path);
        path += length + (path[length] != 0);
    }
    return folders;
}

static void free_folders(char **folders) {
    for (size_t i = 0; folders && folders[i]; i++)
        free(folders[i]);
    free(folders);
}

/* ---- asking for one, or for all ------------------------------------------------------------- */

attend__module *attend__registry_find(const attend__settings *settings, const char *name) {
    attend__module *m = find_builtin(name);
    if (m) return m;
    if (strlen(name) > 64 || strpbrk(name, "/\\.")) return NULL;
    char file[96];
    snprintf(file, sizeof file, "attend-%s%s", name, ATTEND__DYNLIB_SUFFIX);
    char **folders = attend__module_folders(settings);
    for (size_t i = 0; folders && folders[i] && !m; i++) {
        char *path = attend__path_join(folders[i], file);
        if (path && attend__file_look(path).exists) m = module_of(settings, name, path);
        free(path);
    }
    free_folders(folders);
    return m;
}

/* "attend-NAME.so" -> NAME as a new string; NULL for other files. */
static char *module_name(const char *file) {
    const size_t length = strlen(file), prefix = strlen("attend-"),
                 suffix = strlen(ATTEND__DYNLIB_SUFFIX);
    if (length <= prefix + suffix || strncmp(file, "attend-", prefix) != 0 ||
        strcmp(file + length - suffix, ATTEND__DYNLIB_SUFFIX) != 0)
        return NULL;
    return attend__string_part(file + prefix, length - prefix - suffix);
}

typedef struct list {
    attend__module **items;
    size_t count, room;
} list;

static bool append(list *l, attend__module *m) {
    if (l->count == l->room) {
        const size_t room = l->room ? 2 * l->room : 8;
        attend__module **items = realloc(l->items, room * sizeof(attend__module *));
        if (!items) return false;
        l->items = items;
        l->room = room;
    }
    l->items[l->count++] = m;
    return true;
}

static void append_folder(list *l, const attend__settings *settings, const char *folder) {
    char **files;
    size_t count;
    if (!attend__folder_list(folder, &files, &count)) return;
    for (size_t i = 0; i < count; i++) {
        char *name = module_name(files[i]);
        char *path = name ? attend__path_join(folder, files[i]) : NULL;
        const attend__module *earlier = NULL;
        for (size_t j = 0; name && j < l->count && !earlier; j++)
            if (!strcmp(l->items[j]->name, name)) earlier = l->items[j];
        attend__module *m = !path     ? NULL
                            : earlier ? hidden_of(name, path, earlier->path)
                                      : module_of(settings, name, path);
        if (m) append(l, m);
        free(name);
        free(path);
    }
    attend__folder_release(files, count);
}

attend__module **attend__registry_all(const attend__settings *settings, size_t *count) {
    attend__once_run(&once, start);
    list l = {0};
    *count = 0;
    for (int i = 0; i < BUILTINS; i++)
        if (!append(&l, &builtins[i])) return NULL;
    char **folders = attend__module_folders(settings);
    for (size_t i = 0; folders && folders[i]; i++)
        append_folder(&l, settings, folders[i]);
    free_folders(folders);
    *count = l.count;
    return l.items;
}

void attend__registry_shutdown(void) {
    attend__mutex_lock(&lock);
    attend__module *m = first;
    attend__mutex_unlock(&lock);
    for (; m; m = m->next)
        if (m->status == ATTEND_OK && m->plugin.shutdown && atomic_load(&m->open_devices) == 0)
            m->plugin.shutdown();
}
