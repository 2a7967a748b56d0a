/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks platforms and devices. A platform that fails or has no device becomes an entry with its
 * reason, so that a listing can say why nothing of it is there. */
#include "ocl_list.h"

#include "ocl_facts.h"
#include "ocl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLATFORMS = 64, MOST_DEVICES = 64, MOST_ENTRIES = 256 };

static struct {
    attend__once once;
    ocl_entry *entries;
    size_t count;
} list = {.once = ATTEND__ONCE_INIT};

static ocl_entry *add(void) {
    return list.count < MOST_ENTRIES ? &list.entries[list.count++] : NULL;
}

/* The reason begins with the platform's name, which is kept: a listing may show nothing else. */
static void add_reason(const char *platform, const char *reason) {
    ocl_entry *const e = add();
    const size_t bytes = strlen(platform) + strlen(reason) + 3;
    char *const text = *platform ? malloc(bytes) : NULL;
    if (e == NULL) return;
    if (text) (void)snprintf(text, bytes, "%s: %s", platform, reason);
    *e = (ocl_entry){.reason = text ? text : reason,
                     .facts = {.name = "",
                               .vendor = "",
                               .version = "",
                               .driver = "",
                               .platform = platform,
                               .platform_version = "",
                               .suffix = ""}};
}

typedef struct named_platform {
    cl_platform_id id;
    char *name;
} named_platform;

static int by_name(const void *one, const void *other) {
    const named_platform *const a = one, *const b = other;
    return strcmp(a->name, b->name);
}

static void add_devices(const ocl_api *cl, const named_platform *p) {
    cl_device_id devices[MOST_DEVICES];
    cl_uint count = 0;
    const cl_int error =
        cl->clGetDeviceIDs(p->id, CL_DEVICE_TYPE_ALL, MOST_DEVICES, devices, &count);
    if (error != CL_SUCCESS && error != CL_DEVICE_NOT_FOUND) {
        add_reason(p->name, "the platform does not list its devices: its driver is broken, or the "
                            "user may not open the device's file");
        return;
    }
    if (error == CL_DEVICE_NOT_FOUND || count == 0) {
        add_reason(p->name, "the platform has no device: its driver finds none, or is switched off "
                            "(Mesa's rusticl: RUSTICL_ENABLE names its drivers)");
        return;
    }
    free(p->name); /* each device has its own copy */
    for (cl_uint i = 0; i < count && i < MOST_DEVICES; i++) {
        ocl_facts facts;
        if (!attend__ocl_facts_ask(cl, p->id, devices[i], &facts)) continue;
        ocl_entry *const e = add();
        if (e == NULL) return;
        *e = (ocl_entry){p->id, devices[i], facts, 0, attend__ocl_unusable(cl, devices[i])};
    }
}

static void number_devices(void) {
    uint32_t number = 0;
    for (size_t i = 0; i < list.count; i++)
        if (list.entries[i].device != NULL) list.entries[i].number = number++;
}

static void fill(void) {
    const char *reason;
    list.entries = calloc(MOST_ENTRIES, sizeof *list.entries);
    if (list.entries == NULL) return;
    const ocl_api *const cl = attend__ocl_api(&reason);
    if (cl == NULL) {
        add_reason("", reason);
        return;
    }
    cl_platform_id ids[MOST_PLATFORMS];
    named_platform platforms[MOST_PLATFORMS];
    cl_uint count = 0;
    if (cl->clGetPlatformIDs(MOST_PLATFORMS, ids, &count) != CL_SUCCESS || count == 0) {
        add_reason("", "the OpenCL loader finds no platform: install a driver (the vendor's, or "
                       "apt-get install pocl-opencl-icd for the CPU)");
        return;
    }
    if (count > MOST_PLATFORMS) count = MOST_PLATFORMS;
    cl_uint kept = 0;
    for (cl_uint i = 0; i < count; i++) {
        char *const name = attend__ocl_platform_text(cl, ids[i], CL_PLATFORM_NAME);
        if (name) platforms[kept++] = (named_platform){ids[i], name};
    }
    /* loaders list vendors as a folder happens to list its files */
    qsort(platforms, kept, sizeof *platforms, by_name);
    for (cl_uint i = 0; i < kept; i++)
        add_devices(cl, &platforms[i]);
    number_devices();
}

const ocl_entry *attend__ocl_list(size_t *count) {
    attend__once_run(&list.once, fill);
    *count = list.count;
    return list.entries;
}

/* ---- plugin.h: device_info ------------------------------------------------------------------- */

enum { ID_BYTES = 24, MOST_BACKENDS = 4 };

/* "opencl:0": texts that live as long as the process, one set for each backend that asks. */
static const char *id_text(const char *backend, const ocl_entry *e, size_t index) {
    static struct {
        const char *backend;
        char (*ids)[ID_BYTES];
    } sets[MOST_BACKENDS];
    static attend__mutex lock = ATTEND__MUTEX_INIT;
    const char *id = backend;
    attend__mutex_lock(&lock);
    size_t s = 0;
    while (s + 1 < MOST_BACKENDS && sets[s].backend && strcmp(sets[s].backend, backend) != 0)
        s++;
    if (!sets[s].ids) sets[s].ids = calloc(MOST_ENTRIES, ID_BYTES);
    sets[s].backend = backend;
    if (sets[s].ids && e->device) {
        (void)snprintf(sets[s].ids[index], ID_BYTES, "%.12s:%u", backend, (unsigned)e->number);
        id = sets[s].ids[index];
    }
    attend__mutex_unlock(&lock);
    return id;
}

attend_status attend__ocl_info(const char *backend, uint32_t index, attend_device_info *info) {
    size_t count;
    const ocl_entry *const entries = attend__ocl_list(&count);
    if (entries == NULL || index >= count) return ATTEND_NOT_FOUND;
    const ocl_entry *const e = &entries[index];
    info->id = id_text(backend, e, index);
    info->backend = backend;
    info->name = e->facts.name;
    info->vendor = e->facts.vendor;
    info->version = e->facts.version;
    info->platform = e->facts.platform;
    info->reason = e->reason;
    info->kind = e->facts.kind;
    info->types = 1u << ATTEND_F32 | 1u << ATTEND_F16 | 1u << ATTEND_BF16;
    info->memory_bytes = e->facts.memory_bytes;
    return ATTEND_OK;
}
