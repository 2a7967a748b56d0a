/* SPDX-License-Identifier: Apache-2.0
 *
 * "auto" is safe first: a vendor's driver can take its host process down, and even listing its
 * devices runs it. So no line of a driver runs here before a verdict that attend_probe stored calls
 * one of its GPUs good, and no module is loaded about which there is no verdict. What is passed
 * over is a line of the decision record, not a warning: nobody asked for it. */
#include "select.h"

#include "device_list.h"
#include "error.h"
#include "log.h"
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate {
    attend__module *module;
    uint32_t device;
    attend_device_info info;
    size_t position; /* found as the position-th: the order of module folders */
} candidate;

typedef struct candidates {
    const attend__settings *settings;
    attend__choice *choice; /* whose `refused` gets the reasons */
    candidate *items;
    size_t count;
    char *folder;      /* NULL: there is no verdict, for .. */
    char unknown[400]; /* .. this reason */
} candidates;

static void refuse(candidates *c, const char *module, const char *reason) {
    char line[640];
    snprintf(line, sizeof line, "%s: %s", module, reason);
    attend__select_refuse(c->choice, line);
}

static bool is_gpu(const attend_device_info *info) {
    return info->kind == ATTEND_DEVICE_DISCRETE_GPU || info->kind == ATTEND_DEVICE_INTEGRATED_GPU;
}

/* The very device that was tested: the id alone may have gone to another one. */
static bool is_good(const void *argument, const attend_device_info *info) {
    const attend_device_list *verdict = argument;
    for (size_t i = 0; i < verdict->count; i++) {
        const attend_device_info *tested = &verdict->items[i];
        if (!tested->reason && is_gpu(tested) && tested->kind == info->kind &&
            !strcmp(tested->id, info->id) && !strcmp(tested->name, info->name))
            return true;
    }
    return false;
}

/* True if the verdict calls a GPU good. Of bad GPUs, and of a module that could not be listed, the
 * reason is told. */
static bool promises_gpu(candidates *c, const char *module, const attend_device_list *verdict) {
    bool promised = false;
    for (size_t i = 0; i < verdict->count; i++) {
        const attend_device_info *tested = &verdict->items[i];
        promised = promised || (is_gpu(tested) && !tested->reason);
        const bool lacks_nothing = tested->status == ATTEND_NO_DEVICE && verdict->count > 1;
        if (!tested->reason || lacks_nothing ||
            (!is_gpu(tested) && tested->kind != ATTEND_DEVICE_UNKNOWN))
            continue;
        char text[400];
        snprintf(text, sizeof text, "attend doctor found: %s", tested->reason);
        refuse(c, *tested->id ? tested->id : module, text);
    }
    return promised;
}

static void consider(candidates *c, attend__module *module) {
    char reason[160];
    if (module->status != ATTEND_OK) {
        refuse(c, module->name, module->reason);
        return;
    }
    attend_device_list *verdict = attend__verdict_load(c->folder, module, reason, sizeof reason);
    if (!verdict) {
        refuse(c, module->name, reason);
        return;
    }
    attend__choice found = {.module = module};
    if (promises_gpu(c, module->name, verdict)) {
        if (attend__select_device(c->settings, is_good, verdict, &found) == ATTEND_OK)
            c->items[c->count++] = (candidate){module, found.device, found.info, c->count};
        else
            attend__select_refuse(c->choice, attend_error_text());
    }
    attend_device_list_release(verdict);
}

static void consider_builtin(candidates *c, attend__module *module) {
    if (c->folder)
        consider(c, module);
    else
        refuse(c, module->name, c->unknown);
}

static void consider_file(candidates *c, const attend__module_file *file) {
    if (file->hidden_by) return;
    if (!c->folder) {
        refuse(c, file->name, c->unknown);
        return;
    }
    if (!attend__verdict_exists(c->folder, file->name)) {
        refuse(c, file->name, "no verdict about its driver; run attend doctor");
        return;
    }
    attend_device_list *devices = attend__verdict_load_void(c->folder, file->name);
    if (devices) {
        if (promises_gpu(c, file->name, devices))
            refuse(c, file->name, "it does not say which drivers it depends on");
        attend_device_list_release(devices);
        return;
    }
    attend__module *module = attend__registry_find(c->settings, file->name);
    if (module) consider(c, module);
}

static size_t place(const char *module) {
    static const char *const order[] = {ATTEND__AUTO_ORDER};
    size_t i = 0;
    while (i < sizeof order / sizeof *order && strcmp(order[i], module) != 0)
        i++;
    return i;
}

static int compare(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->info.kind != y->info.kind) return x->info.kind == ATTEND_DEVICE_DISCRETE_GPU ? -1 : 1;
    const size_t px = place(x->module->name), py = place(y->module->name);
    if (px != py) return px < py ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static attend_status open_first(candidates *c, attend__open_fn *open, void *argument) {
    attend__choice *choice = c->choice;
    if (c->count > 1) qsort(c->items, c->count, sizeof *c->items, compare);
    for (size_t i = 0; i < c->count; i++) {
        choice->module = c->items[i].module;
        choice->device = c->items[i].device;
        choice->info = c->items[i].info;
        attend__select_reason(c->settings, ", and its verdict is good", choice);
        if (open(argument, choice) == ATTEND_OK) return ATTEND_OK;
        attend__select_refuse(choice, attend_error_text());
        attend__log(c->settings, ATTEND_LOG_WARNING, "select",
                    "not on %s, though its verdict is good: %s", choice->info.id,
                    attend_error_text());
    }
    return ATTEND_NO_DEVICE;
}

static void consider_all(candidates *c, attend__module *builtins, size_t builtin_count,
                         const attend__module_file *files, size_t file_count) {
    char reason[300] = "";
    c->folder = attend__verdict_folder(c->settings, false, reason, sizeof reason);
    snprintf(c->unknown, sizeof c->unknown, "no verdict about its driver; run attend doctor (%s)",
             reason);
    for (size_t i = 0; i < builtin_count; i++)
        if (builtins[i].plugin.fingerprint) consider_builtin(c, &builtins[i]);
    for (size_t i = 0; i < file_count; i++)
        consider_file(c, &files[i]);
    free(c->folder);
}

attend_status attend__select_gpu(const attend__settings *settings, attend__open_fn *open,
                                 void *argument, attend__choice *choice) {
    const char *wanted = settings->values[ATTEND__SETTING_DEVICE];
    if (wanted && !strcmp(wanted, "cpu")) return ATTEND_NO_DEVICE;
    candidates c = {.settings = settings, .choice = choice};
    attend__module *builtins;
    const size_t builtin_count = attend__registry_builtins(&builtins);
    size_t file_count;
    attend__module_file *files = attend__module_files(settings, &file_count);
    c.items = calloc(builtin_count + file_count, sizeof *c.items);
    if (c.items) consider_all(&c, builtins, builtin_count, files, file_count);
    const attend_status status = open_first(&c, open, argument);
    attend__module_files_release(files, file_count);
    free(c.items);
    return status;
}
