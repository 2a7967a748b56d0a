/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_tuning.h: where values come from. */
#include "ocl_tuning.h"

#include "base/memory.h"
#include "base/tuning_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ocl_tuning {
    int asked_values[OCL_TUNED_COUNT]; /* OCL_NOT_TUNED where ATTEND_TUNING does not name it */
    char *lines;                       /* of the file; NULL: none */
} ocl_tuning;

enum { KEY_BYTES = 800, MOST_PRIVATE_BYTES = 4096 };

#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
say(const attend_device *device, const char *format, ...) {
    char text[900];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    device->host->log(device->host->self, ATTEND_LOG_INFO, "tuning", text);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Everything that the best values depend on, but for the kernel and the shape. */
static void device_key(const attend_device *device, char key[KEY_BYTES]) {
    const ocl_facts *const f = &device->shared->facts;
    (void)snprintf(key, KEY_BYTES,
                   "opencl 1 | %.100s | %.100s | %.100s | %.100s | %.250s | %u units | %s", f->name,
                   f->version, f->driver, f->platform, f->platform_version,
                   (unsigned)f->compute_units, attend__ocl_class_text(device->kernels));
}

static void load(const attend_device *device, const char *key, const char *path, ocl_tuning *t) {
    static const char *const news_texts[] = {
        [ATTEND__CACHE_FOUND] = "read",
        [ATTEND__CACHE_ABSENT] = "is not there",
        [ATTEND__CACHE_OTHER_KEY] = "is about another device or driver",
        [ATTEND__CACHE_DAMAGED] = "is damaged",
        [ATTEND__CACHE_REFUSED] = "is not this user's, or cannot be read"};
    const attend_host *const host = device->host;
    char name[ATTEND__TUNING_NAME], reason[300] = "";
    const char *file = name;
    char *folder = NULL;
    attend__tuning_name(key, name);
    if (!path)
        folder = attend__config_folder(host->config(host->self, "CONFIG_DIR"), false, reason,
                                       sizeof reason);
    else
        (void)attend__tuning_split(path, &folder, &file);
    if (folder)
        say(device, "file %s/%s %s", folder, file,
            news_texts[attend__tuning_load(folder, file, key, &t->lines)]);
    else
        say(device, "file: none, %s", reason);
    free(folder);
}

/* "KERNEL:NAME=VALUE,..;KERNEL:.." */
static bool read_asked(const char *text, ocl_tuning *t, char reason[OCL_TUNED_TEXT]) {
    while (*text) {
        const size_t whole = strcspn(text, ";"), kernel = strcspn(text, ":;");
        if (kernel >= whole) {
            (void)snprintf(reason, OCL_TUNED_TEXT,
                           "\"%.60s\" is none of off, file:PATH, KERNEL:NAME=VALUE,..", text);
            return false;
        }
        const ocl_tuned_part part = {text, text + kernel + 1, kernel, whole - kernel - 1};
        if (!attend__ocl_tuned_read(&part, t->asked_values, reason)) return false;
        text += whole + (text[whole] == ';');
    }
    return true;
}

attend_status attend__ocl_tuning_open(attend_device *device) {
    const attend_host *const host = device->host;
    const char *const setting = host->config(host->self, "TUNING");
    char reason[OCL_TUNED_TEXT], key[KEY_BYTES];
    ocl_tuning *const t = calloc(1, sizeof *t);
    device->tuning = t;
    if (!t) return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a device");
    for (int i = 0; i < OCL_TUNED_COUNT; i++)
        t->asked_values[i] = OCL_NOT_TUNED;
    const bool file = setting && !strncmp(setting, "file:", 5);
    const bool off = setting && !strcmp(setting, "off");
    if (setting && !file && !off && !read_asked(setting, t, reason))
        return attend__ocl_refuse(host, ATTEND_INVALID, "ATTEND_TUNING: %s", reason);
    device_key(device, key);
    say(device, "device %s", key);
    if (!off) load(device, key, file ? setting + 5 : NULL, t);
    return ATTEND_OK;
}

void attend__ocl_tuning_close(attend_device *device) {
    if (device->tuning) free(device->tuning->lines);
    free(device->tuning);
    device->tuning = NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_of(int index, const ocl_source *source) {
    const char *const kernel = attend__ocl_tuned_parameters[index].kernel;
    return strlen(kernel) == strcspn(source->name, ".") &&
           !strncmp(kernel, source->name, strlen(kernel));
}

/* The nearest line's values; how far it is, < 0 if none says anything. */
static int look_up(const ocl_tuning *t, const char *key, int values[OCL_TUNED_COUNT]) {
    int least = -1;
    char reason[OCL_TUNED_TEXT];
    for (const char *line = t->lines; line && *line;) {
        const size_t whole = strcspn(line, "\n"), head = strcspn(line, ":\n");
        const int distance = attend__ocl_tuned_distance(key, line);
        if (distance >= 0 && head + 2 < whole && (least < 0 || distance < least)) {
            const char *const said = line + head + 2;
            size_t length = strcspn(said, "(\n");
            while (length > 0 && said[length - 1] == ' ')
                length--;
            const ocl_tuned_part part = {line, said, strcspn(line, " "), length};
            if (length > 0 && attend__ocl_tuned_read(&part, values, reason)) least = distance;
        }
        line += whole + (line[whole] == '\n');
    }
    return least;
}

static void describe(const attend_device *device, const ocl_source *source, const char *key,
                     bool aside, const int *values, const char *from) {
    char choices[600] = "", chosen[300] = "";
    size_t used = 0, chosen_used = 0;
    for (int i = 0; i < OCL_TUNED_COUNT; i++) {
        const ocl_tuned_parameter *const p = &attend__ocl_tuned_parameters[i];
        if (!is_of(i, source) || used + 60 > sizeof choices || chosen_used + 40 > sizeof chosen)
            continue;
        chosen_used += (size_t)snprintf(chosen + chosen_used, sizeof chosen - chosen_used, "%s=%d ",
                                        p->name, values[i]);
        used += (size_t)snprintf(choices + used, sizeof choices - used, " %s=%d", p->name,
                                 p->defaults[device->kernels]);
        for (int v = 0; v < p->value_count && used + 12 < sizeof choices; v++)
            used += (size_t)snprintf(choices + used, sizeof choices - used, "%c%d", v ? ',' : ':',
                                     p->values[v]);
    }
    say(device, "choices %.*s%s", (int)strcspn(source->name, "."), source->name, choices);
    say(device, "%s %s: %s(%s)", aside ? "aside" : "plan", key, chosen, from);
}

void attend__ocl_tuned(const attend_device *device, const ocl_source *source,
                       const ocl_tuned_shape *shape, int values[OCL_TUNED_COUNT]) {
    const ocl_tuning *const t = device->tuning;
    char key[OCL_TUNED_TEXT];
    attend__ocl_tuned_key(source, shape, key);
    for (int i = 0; i < OCL_TUNED_COUNT; i++)
        if (is_of(i, source)) values[i] = attend__ocl_tuned_parameters[i].defaults[device->kernels];
    const int distance = look_up(t, key, values);
    const char *from = distance == 0 ? "file" : distance > 0 ? "nearest" : "default";
    for (int i = 0; i < OCL_TUNED_COUNT; i++) {
        if (!is_of(i, source) || t->asked_values[i] == OCL_NOT_TUNED) continue;
        values[i] = t->asked_values[i];
        from = "asked";
    }
    describe(device, source, key, shape->aside, values, from);
}

bool attend__ocl_tuned_asked(const attend_device *device, ocl_tuned_index index) {
    return device->tuning->asked_values[index] != OCL_NOT_TUNED;
}

/* ---- what a device can run ------------------------------------------------------------------- */

/* The kernel's name, in sentences. */
static int name_length(const ocl_source *source) {
    return (int)strcspn(source->name, ".");
}

void attend__ocl_kernel_fits(const attend_device *device, const attend_device_plan *plan,
                             int kernel, const ocl_source *source, size_t local_bytes,
                             attend_status *status) {
    if (kernel < 0 || *status != ATTEND_OK) return;
    const ocl_api *const cl = device->cl;
    const cl_kernel object = plan->kernels[kernel];
    const cl_device_id id = device->shared->id;
    cl_ulong own = 0;
    /* a driver that does not say is taken to allow it */
    if (cl->clGetKernelWorkGroupInfo(object, id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof own, &own,
                                     NULL) != CL_SUCCESS)
        own = 0;
    const uint64_t local = device->shared->facts.local_bytes;
    if (own > local || local_bytes > local - own)
        *status =
            attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                               "opencl: %.*s with %llu bytes of local memory; the device "
                               "has %llu",
                               name_length(source), source->name,
                               (unsigned long long)(own + local_bytes), (unsigned long long)local);
}

void attend__ocl_candidate_fits(const attend_device *device, const attend_device_plan *plan,
                                int kernel, const ocl_source *source, attend_status *status) {
    if (kernel < 0 || *status != ATTEND_OK || device->shared->facts.kind == ATTEND_DEVICE_CPU)
        return;
    cl_ulong spilled = 0;
    if (device->cl->clGetKernelWorkGroupInfo(plan->kernels[kernel], device->shared->id,
                                             CL_KERNEL_PRIVATE_MEM_SIZE, sizeof spilled, &spilled,
                                             NULL) == CL_SUCCESS &&
        spilled > MOST_PRIVATE_BYTES)
        *status =
            attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                               "opencl: a candidate of %.*s with %llu bytes of private "
                               "memory a work-item, which are not in registers",
                               name_length(source), source->name, (unsigned long long)spilled);
}

/* PoCL says 1024 bytes of any kernel. */
bool attend__ocl_kernel_spills(const attend_device *device, const attend_device_plan *plan,
                               int kernel) {
    enum { KERNEL_SPILL_MEM_SIZE = 0x4109 }; /* Intel's, of registers alone */
    const cl_uint asked[] = {CL_KERNEL_PRIVATE_MEM_SIZE, KERNEL_SPILL_MEM_SIZE};
    for (int i = device->shared->facts.kind == ATTEND_DEVICE_CPU; i < 2; i++) {
        cl_ulong bytes = 0;
        if (device->cl->clGetKernelWorkGroupInfo(plan->kernels[kernel], device->shared->id,
                                                 asked[i], sizeof bytes, &bytes,
                                                 NULL) == CL_SUCCESS &&
            bytes > 0)
            return true;
    }
    return false;
}
