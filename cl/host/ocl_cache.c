/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_cache.h. The key of a file is everything the binary, or the verdict, depends on, the source's
 * text included; base/cache_folder.h stores and compares it whole. A driver may still take a binary
 * and fail later, so one kernel of it is made before it is believed. */
#include "ocl_cache.h"

#include "base/cache_folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BINARY_BYTES = 64 << 20, NAME_BYTES = 40, VERDICT_BYTES = 64 << 10 };

typedef struct place {
    char *folder, *key;
    char name[NAME_BYTES];
} place;

static void release(place *p) {
    free(p->folder);
    free(p->key);
}

/* ATTEND_CACHE=on asks for the cache even where the driver has its own. */
static bool wanted(const ocl_device *d, const attend_host *host) {
    const char *const setting = host->config(host->self, "CACHE");
    if (setting) return strcmp(setting, "off") != 0;
    return !d->facts.keeps_binaries;
}

/* `trials`: NULL for a program; for a verdict, what the host checks (attend__ocl_trials). */
static bool find_place(const ocl_device *d, const attend_host *host, const ocl_source *source,
                       const char *options, const char *trials, place *p) {
    *p = (place){0};
    if (!wanted(d, host)) return false;
    const ocl_facts *const f = &d->facts;
    const char *const parts[] = {trials ? trials : "opencl 1",
                                 source->name,
                                 options,
                                 f->name,
                                 f->vendor,
                                 f->version,
                                 f->driver,
                                 f->platform,
                                 f->platform_version,
                                 source->text};
    enum { PARTS = sizeof parts / sizeof *parts };
    size_t bytes = 1;
    for (int i = 0; i < PARTS; i++)
        bytes += strlen(parts[i]) + 1;
    p->folder = attend__cache_folder(host->config(host->self, "CACHE_DIR"), NULL, 0);
    p->key = malloc(bytes);
    if (p->folder == NULL || p->key == NULL) {
        release(p);
        return false;
    }
    p->key[0] = 0;
    char *end = p->key;
    for (int i = 0; i < PARTS; i++)
        end += snprintf(end, bytes - (size_t)(end - p->key), "%s\n", parts[i]);
    (void)snprintf(p->name, sizeof p->name, "%s-%016" PRIx64, trials ? "verdict" : "program",
                   attend__hash(ATTEND__HASH_START, p->key, (size_t)(end - p->key)));
    return true;
}

/* ---- loading --------------------------------------------------------------------------------- */

static bool has_kernel(const ocl_api *cl, cl_program program) {
    char names[4096];
    size_t bytes = 0;
    if (cl->clGetProgramInfo(program, CL_PROGRAM_KERNEL_NAMES, sizeof names - 1, names, &bytes) !=
            CL_SUCCESS ||
        bytes == 0)
        return false;
    names[bytes] = 0;
    names[strcspn(names, ";")] = 0;
    cl_int error = CL_SUCCESS;
    cl_kernel kernel = cl->clCreateKernel(program, names, &error);
    if (error == CL_SUCCESS) (void)cl->clReleaseKernel(kernel);
    return error == CL_SUCCESS;
}

static cl_program from_binary(const ocl_device *d, const char *options, const void *data,
                              size_t bytes) {
    const ocl_api *const cl = d->cl;
    const unsigned char *binary = data;
    cl_int accepted = CL_SUCCESS, error = CL_SUCCESS;
    cl_program program =
        cl->clCreateProgramWithBinary(d->context, 1, &d->id, &bytes, &binary, &accepted, &error);
    if (error != CL_SUCCESS) return NULL;
    if (accepted == CL_SUCCESS &&
        cl->clBuildProgram(program, 1, &d->id, options, NULL, NULL) == CL_SUCCESS &&
        has_kernel(cl, program))
        return program;
    (void)cl->clReleaseProgram(program);
    return NULL;
}

cl_program attend__ocl_cache_load(const ocl_device *device, const attend_host *host,
                                  const ocl_source *source, const char *options) {
    place p;
    if (!find_place(device, host, source, options, NULL, &p)) return NULL;
    void *data = NULL;
    size_t bytes = 0;
    cl_program program = NULL;
    if (attend__cache_load(p.folder, p.name, p.key, MOST_BINARY_BYTES, &data, &bytes) ==
        ATTEND__CACHE_FOUND)
        program = from_binary(device, options, data, bytes);
    free(data);
    release(&p);
    return program;
}

/* ---- storing --------------------------------------------------------------------------------- */

/* The binary of the one device that a program of ours is built for; a context of the application's
 * may have more devices, whose binaries are empty. */
static unsigned char *binary_of(const ocl_device *d, cl_program program, size_t *bytes) {
    const ocl_api *const cl = d->cl;
    cl_device_id devices[64];
    size_t sizes[64], size = 0;
    unsigned char *binaries[64] = {NULL};
    if (cl->clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof devices, devices, &size) !=
        CL_SUCCESS)
        return NULL;
    const size_t count = size / sizeof *devices;
    if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof sizes, sizes, NULL) !=
        CL_SUCCESS)
        return NULL;
    unsigned char *mine = NULL;
    for (size_t i = 0; i < count; i++) {
        if (devices[i] != d->id || sizes[i] == 0) continue;
        *bytes = sizes[i];
        mine = binaries[i] = malloc(sizes[i]);
    }
    if (mine && cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, count * sizeof *binaries,
                                     binaries, NULL) == CL_SUCCESS)
        return mine;
    free(mine);
    return NULL;
}

void attend__ocl_cache_store(const ocl_device *device, const attend_host *host,
                             const ocl_source *source, const char *options, cl_program program) {
    place p;
    if (!find_place(device, host, source, options, NULL, &p)) return;
    size_t bytes = 0;
    unsigned char *const binary = binary_of(device, program, &bytes);
    if (binary) (void)attend__cache_store(p.folder, p.name, p.key, binary, bytes);
    free(binary);
    release(&p);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

bool attend__ocl_cache_load_verdict(const ocl_device *device, const attend_host *host,
                                    const ocl_source *source, const char *options, char *text,
                                    size_t bytes) {
    place p;
    if (!find_place(device, host, source, options, attend__ocl_trials, &p)) return false;
    void *data = NULL;
    size_t length = 0;
    const bool found = attend__cache_load(p.folder, p.name, p.key, VERDICT_BYTES, &data, &length) ==
                           ATTEND__CACHE_FOUND &&
                       length < bytes;
    if (found) memcpy(text, data, length + 1);
    free(data);
    release(&p);
    return found;
}

void attend__ocl_cache_store_verdict(const ocl_device *device, const attend_host *host,
                                     const ocl_source *source, const char *options,
                                     const char *text) {
    place p;
    if (!find_place(device, host, source, options, attend__ocl_trials, &p)) return;
    (void)attend__cache_store(p.folder, p.name, p.key, text, strlen(text));
    release(&p);
}
