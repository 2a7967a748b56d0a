/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.h. The list only grows, records are never freed: pointers into it stay good without a
 * lock. A module is loaded outside the lock, because its constructors and its entry are foreign
 * code. */
#include "registry.h"

#include "base/dynlib.h"
#include "base/memory.h"
#include "base/thread.h"
#include "builtin.h"

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
static attend__module *hidden_of(const attend__module_file *file) {
    attend__mutex_lock(&lock);
    attend__module *m = find_path(hidden, file->path);
    if (!m && (m = add(&hidden, file->name, file->path)) != NULL) {
        char reason[512];
        attend__module_hidden_text(file, reason, sizeof reason);
        m->status = ATTEND_AMBIGUOUS;
        m->reason = attend__string_copy(reason);
        m->ready = true;
    }
    attend__mutex_unlock(&lock);
    return m;
}

/* ---- asking for one, or for all ------------------------------------------------------------- */

attend__module *attend__registry_find(const attend__settings *settings, const char *name) {
    attend__module *m = find_builtin(name);
    if (m) return m;
    if (strlen(name) > 64 || strpbrk(name, "/\\.")) return NULL;
    char file[96];
    snprintf(file, sizeof file, "attend-%s%s", name, ATTEND__DYNLIB_SUFFIX);
    char *path = attend__module_folders_find(settings, file);
    if (path) m = module_of(settings, name, path);
    free(path);
    return m;
}

attend__module **attend__registry_all(const attend__settings *settings, size_t *count) {
    attend__once_run(&once, start);
    *count = 0;
    size_t file_count;
    attend__module_file *files = attend__module_files(settings, &file_count);
    attend__module **items = calloc(BUILTINS + file_count, sizeof(attend__module *));
    for (int i = 0; items && i < BUILTINS; i++)
        items[(*count)++] = &builtins[i];
    for (size_t i = 0; items && i < file_count; i++) {
        const attend__module_file *f = &files[i];
        attend__module *m = f->hidden_by ? hidden_of(f) : module_of(settings, f->name, f->path);
        if (m) items[(*count)++] = m;
    }
    attend__module_files_release(files, file_count);
    return items;
}

size_t attend__registry_builtins(attend__module **modules) {
    attend__once_run(&once, start);
    *modules = builtins;
    return BUILTINS;
}

void attend__registry_shutdown(void) {
    attend__mutex_lock(&lock);
    attend__module *m = first;
    attend__mutex_unlock(&lock);
    for (; m; m = m->next)
        if (m->status == ATTEND_OK && m->plugin.shutdown && atomic_load(&m->open_devices) == 0)
            m->plugin.shutdown();
}
