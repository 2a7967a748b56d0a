/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends this process knows: the built-in ones, and modules as they are asked for. A module
 * is opened once and stays; what cannot be used keeps its reason. */
#ifndef ATTEND_CORE_REGISTRY_H
#define ATTEND_CORE_REGISTRY_H

#include "attend/plugin.h"
#include "config.h"
#include "module_files.h"

#include <stdatomic.h>

typedef struct attend__module {
    struct attend__module *next;
    char *name;      /* of the backend, as the file name says it */
    char *path;      /* "" for a built-in backend */
    bool ready;      /* false while a thread is loading it */
    int64_t process; /* whose thread that is */
    attend_status status;
    char *reason; /* "" when usable */
    attend_plugin plugin;
    atomic_int open_devices;
} attend__module;

/* The backend of that name: built in, or from the module folders, loaded now if it was not yet.
 * NULL if there is none; a module that cannot be used comes back with its reason. */
attend__module *attend__registry_find(const attend__settings *settings, const char *name);
/* Every backend that these settings can reach, loaded now: built-in ones first, then folders in
 * order and files by name. A new array for free(), NULL if there is no memory. */
attend__module **attend__registry_all(const attend__settings *settings, size_t *count);
/* Calls the shutdown of each module without open devices. */
void attend__registry_shutdown(void);

/* loader.c: opens the file and asks it for its table; fills all but next and ready. */
void attend__module_load(attend__module *module, const attend__settings *settings);
/* Checks a table that the entry filled; on refusal the reason is the thread's sentence. */
attend_status attend__plugin_accept(attend_plugin_entry_fn *entry, const attend__settings *settings,
                                    attend_plugin *plugin);
attend_status attend__device_table_accept(const attend_device_table *given,
                                          attend_device_table *table);

/* The built-in backends, which are never "no such file": *modules is their array. */
size_t attend__registry_builtins(attend__module **modules);

#endif
