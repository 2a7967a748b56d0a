/* SPDX-License-Identifier: Apache-2.0
 *
 * What the devices depend on, without loading a driver: the files that name the vendors' libraries
 * and those libraries, found as the loader finds them (OpenCL ICD extension, cl_khr_icd), and
 * settings that choose among devices. A driver that is updated, added or taken away changes the
 * text. */
#include "ocl.h"

#include "base/cache_folder.h"
#include "base/dynlib.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32) || defined(__APPLE__)

/* Drivers are named in the registry, or are part of the system. */
attend_status attend__ocl_fingerprint(char *text, size_t bytes) {
    if (bytes) text[0] = 0;
    return ATTEND_UNSUPPORTED;
}

#else

enum { MOST_ICD_BYTES = 4096 };

typedef struct fingerprint {
    uint64_t hash;
    int count;    /* of vendor files */
    bool unknown; /* there is a library that can change unseen */
} fingerprint;

/* What loaders and drivers take as a word about which devices there are. */
static const char *const settings[] = {
    "OPENCL_LAYERS",      "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK",     "CL_CONFIG_DEVICES",
    "POCL_DEVICES",       "RUSTICL_ENABLE",       "RUSTICL_DEVICE_TYPE",
};

static void add_text(fingerprint *f, const char *text) {
    f->hash = attend__hash(f->hash, text, strlen(text) + 1);
}

/* A file as what it is now: links followed, its size and time. */
static bool add_file(fingerprint *f, const char *path) {
    char *const real = attend__path_real(path);
    if (real == NULL) return false;
    const attend__file_facts facts = attend__file_look(real);
    char line[64];
    (void)snprintf(line, sizeof line, "%" PRIu64 " %" PRId64, facts.bytes, facts.changed);
    add_text(f, real);
    add_text(f, line);
    free(real);
    return facts.regular;
}

static bool add_file_in(fingerprint *f, const char *folder, const char *name) {
    char *const path = attend__path_join(folder, name);
    const bool found = path && add_file(f, path);
    free(path);
    return found;
}

/* Calls visit for each text between ':' until one call gives true. */
static bool any_of(fingerprint *f, const char *list, const char *argument,
                   bool (*visit)(fingerprint *f, const char *item, const char *argument)) {
    char *const copy = list ? attend__string_copy(list) : NULL;
    bool found = false;
    for (char *item = copy, *next; item && !found; item = next) {
        next = strchr(item, ':');
        if (next) *next++ = 0;
        found = *item && visit(f, item, argument);
    }
    free(copy);
    return found;
}

/* Where the dynamic linker looks for a name without a path (dlopen(3)), as far as it can be known
 * from outside; drivers mostly lie beside the loader of OpenCL. */
static bool add_searched(fingerprint *f, const char *name) {
    if (any_of(f, attend__environment_get("LD_LIBRARY_PATH"), name, add_file_in)) return true;
    const char *reason;
    const ocl_api *const cl = attend__ocl_api(&reason);
    char *const own = cl ? attend__dynlib_folder((attend__function *)cl->clGetPlatformIDs) : NULL;
    const bool beside = own && add_file_in(f, own, name);
    free(own);
    return beside || any_of(f, "/lib:/usr/lib:/lib64:/usr/lib64:/usr/local/lib", name, add_file_in);
}

/* A library that is found nowhere changes no later than the linker's list of all of them. */
static bool add_library(fingerprint *f, const char *name, const char *unused) {
    (void)unused;
    add_text(f, name);
    if (strchr(name, '/'))
        (void)add_file(f, name);
    else if (!add_searched(f, name) && !add_file(f, "/etc/ld.so.cache") &&
             !add_file(f, "/var/run/ld-elf.so.hints"))
        f->unknown = true;
    return false;
}

static void add_icd(fingerprint *f, const char *path) {
    size_t bytes = 0;
    char *const text = attend__file_load(path, MOST_ICD_BYTES, &bytes);
    add_text(f, path);
    f->count++;
    if (text == NULL) {
        f->unknown = f->unknown || attend__file_look(path).exists;
        return;
    }
    text[strcspn(text, "\r\n")] = 0;
    (void)add_library(f, text, NULL);
    free(text);
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static void add_folder(fingerprint *f, const char *folder) {
    char **names;
    size_t found;
    if (!attend__folder_list(folder, &names, &found)) return;
    for (size_t i = 0; i < found; i++) {
        char *const path = ends_with(names[i], ".icd") ? attend__path_join(folder, names[i]) : NULL;
        if (path) add_icd(f, path);
        free(path);
    }
    attend__folder_release(names, found);
}

/* As ocl-icd and the Khronos loader do; a file without a folder is ocl-icd's to find. */
static void add_vendors(fingerprint *f) {
    const char *const vendors = attend__environment_get("OCL_ICD_VENDORS");
    const char *folder = attend__environment_get("OPENCL_VENDOR_PATH");
    if (folder == NULL) folder = "/etc/OpenCL/vendors";
    if (vendors == NULL || attend__file_look(vendors).folder) {
        add_folder(f, vendors ? vendors : folder);
    } else if (!ends_with(vendors, ".icd")) {
        (void)add_library(f, vendors, NULL);
    } else {
        char *const path = strchr(vendors, '/') ? NULL : attend__path_join(folder, vendors);
        add_icd(f, path ? path : vendors);
        free(path);
    }
}

attend_status attend__ocl_fingerprint(char *text, size_t bytes) {
    fingerprint f = {.hash = ATTEND__HASH_START};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const char *const value = attend__environment_get(settings[i]);
        add_text(&f, value ? value : "");
    }
    (void)any_of(&f, attend__environment_get("OCL_ICD_FILENAMES"), NULL, add_library);
    add_vendors(&f);
    if (f.unknown) {
        if (bytes) text[0] = 0;
        return ATTEND_UNSUPPORTED;
    }
    const int length = snprintf(text, bytes, "%d vendor files %016" PRIx64, f.count, f.hash);
    return length > 0 && (size_t)length < bytes ? ATTEND_OK : ATTEND_OVERFLOW;
}

#endif
