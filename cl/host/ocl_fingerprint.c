/* SPDX-License-Identifier: Apache-2.0
 *
 * What the devices depend on, without loading a driver: the files that name the vendors' libraries
 * and those libraries, found as the loader finds them (OpenCL ICD extension, cl_khr_icd). A driver
 * that is updated, added or taken away changes the text. */
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

static uint64_t add_text(uint64_t hash, const char *text) {
    return attend__hash(hash, text, strlen(text) + 1);
}

/* A file as what it is now: links followed, its size and time. */
static bool add_file(uint64_t *hash, const char *path) {
    char *const real = attend__path_real(path);
    if (real == NULL) return false;
    const attend__file_facts facts = attend__file_look(real);
    char line[64];
    (void)snprintf(line, sizeof line, "%" PRIu64 " %" PRId64, facts.bytes, facts.changed);
    *hash = add_text(add_text(*hash, real), line);
    free(real);
    return facts.regular;
}

/* A library by its path, or by a name that the dynamic linker looks for: mostly beside the loader
 * of OpenCL. */
static void add_library(uint64_t *hash, const char *name) {
    *hash = add_text(*hash, name);
    if (strchr(name, '/')) {
        (void)add_file(hash, name);
        return;
    }
    const char *reason;
    const ocl_api *const cl = attend__ocl_api(&reason);
    char *const own = cl ? attend__dynlib_folder((attend__function *)cl->clGetPlatformIDs) : NULL;
    const char *const folders[] = {own, "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *const path = folders[i] ? attend__path_join(folders[i], name) : NULL;
        const bool found = path && add_file(hash, path);
        free(path);
        if (found) break;
    }
    free(own);
}

static void add_icd(uint64_t *hash, const char *path) {
    size_t bytes = 0;
    char *const text = attend__file_load(path, MOST_ICD_BYTES, &bytes);
    *hash = add_text(*hash, path);
    if (text == NULL) return;
    text[strcspn(text, "\r\n")] = 0;
    add_library(hash, text);
    free(text);
}

/* Libraries that the Khronos loader takes besides, ':' between. */
static void add_libraries(uint64_t *hash, const char *list) {
    char *const copy = attend__string_copy(list);
    if (copy == NULL) return;
    for (char *name = copy, *end; *name; name = end) {
        end = name + strcspn(name, ":");
        if (*end) *end++ = 0;
        add_library(hash, name);
    }
    free(copy);
}

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static void add_folder(uint64_t *hash, const char *folder, int *count) {
    char **names;
    size_t found;
    if (!attend__folder_list(folder, &names, &found)) return;
    for (size_t i = 0; i < found; i++) {
        char *const path = ends_with(names[i], ".icd") ? attend__path_join(folder, names[i]) : NULL;
        if (path == NULL) continue;
        add_icd(hash, path);
        ++*count;
        free(path);
    }
    attend__folder_release(names, found);
}

attend_status attend__ocl_fingerprint(char *text, size_t bytes) {
    uint64_t hash = ATTEND__HASH_START;
    int count = 0;
    const char *const vendors = attend__environment_get("OCL_ICD_VENDORS");
    const char *const files = attend__environment_get("OCL_ICD_FILENAMES");
    if (files) add_libraries(&hash, files);
    if (vendors && !attend__file_look(vendors).folder) {
        ends_with(vendors, ".icd") ? add_icd(&hash, vendors) : add_library(&hash, vendors);
        count++;
    } else {
        add_folder(&hash, vendors ? vendors : "/etc/OpenCL/vendors", &count);
    }
    const int length = snprintf(text, bytes, "%d vendor files %016" PRIx64, count, hash);
    return length > 0 && (size_t)length < bytes ? ATTEND_OK : ATTEND_OVERFLOW;
}

#endif
