/* SPDX-License-Identifier: Apache-2.0
 *
 * doctor.h: what can be wrong between this program and a device, and what to do about it. No driver
 * runs in this process before attend_probe called it good. */
#include "base/cache_folder.h"
#include "base/dynlib.h"
#include "base/environment.h"
#include "base/folder.h"
#include "doctor.h"
#include "printable.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text) {
    return printable_text(text, strlen(text));
}

static doctor_finding *add(doctor_report *r, doctor_verdict verdict, const char *subject,
                           const char *remedy, const char *format, ...) CLI_PRINTF(5, 6);
static doctor_finding *add(doctor_report *r, doctor_verdict verdict, const char *subject,
                           const char *remedy, const char *format, ...) {
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (r->count == r->room) {
        const size_t room = r->room ? 2 * r->room : 16;
        doctor_finding *const larger = cli_allocate(room, sizeof *larger);
        if (r->count) memcpy(larger, r->findings, r->count * sizeof *larger);
        free(r->findings);
        r->findings = larger;
        r->room = room;
    }
    doctor_finding *const f = &r->findings[r->count++];
    *f = (doctor_finding){verdict, copy(subject), copy(text), remedy ? copy(remedy) : NULL, 0};
    return f;
}

/* ---- program and settings ------------------------------------------------------------------- */

static void check_library(doctor_report *r) {
    const uint32_t v = attend_version();
    const uint32_t built =
        10000u * ATTEND_VERSION_MAJOR + 100u * ATTEND_VERSION_MINOR + ATTEND_VERSION_PATCH;
    char *const library = attend__dynlib_folder((attend__function *)attend_version);
    char *const program = attend__dynlib_folder((attend__function *)doctor_check);
    add(r, v == built ? DOCTOR_OK : DOCTOR_WARN, "library",
        v == built ? NULL : "install program and library of one version", "attend %u.%u.%u in %s",
        (unsigned)(v / 10000u), (unsigned)(v / 100u % 100u), (unsigned)(v % 100u),
        library ? library : "an unknown folder");
    add(r, DOCTOR_OK, "program", NULL, "in %s", program ? program : "an unknown folder");
    free(library);
    free(program);
}

/* What the library would like to say: settings it does not know, devices that do not open. */
static void on_log(void *user, attend_log_level level, const char *topic, const char *text) {
    if (level <= ATTEND_LOG_WARNING)
        add(user, DOCTOR_WARN, strcmp(topic, "config") ? "selection" : "environment",
            strcmp(topic, "config") ? NULL : "check its spelling and value", "%s", text);
}

static void check_cache(doctor_report *r) {
    const char *const cache = attend__environment_get("ATTEND_CACHE");
    if (cache && !strcmp(cache, "off")) {
        add(r, DOCTOR_WARN, "cache", "unset ATTEND_CACHE",
            "off: no verdict is kept, so auto never takes a GPU");
        return;
    }
    static const char trial[] = "doctor-trial";
    char reason[300] = "";
    char *const folder =
        attend__cache_folder(attend__environment_get("ATTEND_CACHE_DIR"), reason, sizeof reason);
    static const char *const remedy = "let ATTEND_CACHE_DIR name a folder that only you can write";
    if (!folder) {
        add(r, DOCTOR_WARN, "cache", remedy, "%s: no verdict can be kept", reason);
        return;
    }
    char *const path = attend__path_join(folder, trial);
    if (path && attend__cache_store(folder, trial, "key", "data", 4)) {
        (void)remove(path);
        add(r, DOCTOR_OK, "cache", NULL, "%s", folder);
    } else {
        add(r, DOCTOR_WARN, "cache", remedy, "%s: cannot be written", folder);
    }
    free(path);
    free(folder);
}

/* ---- modules and devices -------------------------------------------------------------------- */

static bool is_opencl(const char *backend) {
    return !strcmp(backend, "opencl") || !strcmp(backend, "clblast");
}

/* Of platforms without devices beside one that has some, nobody needs to be told what to do. */
static bool has_usable_device(const attend_device_list *devices, const char *backend) {
    for (size_t i = 0; i < attend_device_list_count(devices); ++i) {
        attend_device_info info = {.size = sizeof info};
        if (!attend_device_list_get(devices, i, &info) && !info.reason &&
            !strcmp(info.backend, backend))
            return true;
    }
    return false;
}

static const char *remedy_for(const doctor_report *r, const attend_device_info *info) {
    switch (info->status) {
    case ATTEND_NO_DEVICE:
        return is_opencl(info->backend) && !has_usable_device(r->devices, info->backend)
                   ? "install the vendor's OpenCL driver, or for the CPU: apt-get install "
                     "pocl-opencl-icd"
                   : NULL;
    case ATTEND_TIMEOUT:
        return "update its driver, or give it longer with --timeout; auto leaves it alone";
    case ATTEND_NOT_FOUND:
        return "install attend-probe into the folder of the modules";
    case ATTEND_AMBIGUOUS:
        return "remove one of the two files";
    case ATTEND_DENIED:
        return "take the right to write it from other users (chmod o-w)";
    case ATTEND_INCOMPATIBLE:
        return "install what it needs or a module of this version, or remove the file";
    default:
        return "update its driver; auto leaves it alone";
    }
}

static const char *kind_name(attend_device_kind kind) {
    switch (kind) {
    case ATTEND_DEVICE_CPU:
        return "CPU";
    case ATTEND_DEVICE_INTEGRATED_GPU:
        return "integrated GPU";
    case ATTEND_DEVICE_DISCRETE_GPU:
        return "discrete GPU";
    case ATTEND_DEVICE_ACCELERATOR:
        return "accelerator";
    default:
        return "device of unknown kind";
    }
}

static void add_device(doctor_report *r, const attend_device_info *info, size_t index) {
    const bool harmless = info->status == ATTEND_NO_DEVICE || info->status == ATTEND_AMBIGUOUS;
    const doctor_verdict verdict = !info->reason ? DOCTOR_OK : harmless ? DOCTOR_WARN : DOCTOR_FAIL;
    char about[600] = "", test[64] = "";
    if (*info->name)
        snprintf(about, sizeof about, "%s, %s%s%s%s%s: ", info->name, kind_name(info->kind),
                 *info->platform ? ", " : "", info->platform, *info->version ? ", " : "",
                 info->version);
    snprintf(test, sizeof test, "self-test right in %.2f s", info->seconds);
    doctor_finding *const f = add(r, verdict, info->id, info->reason ? remedy_for(r, info) : NULL,
                                  "%s%s", about, info->reason ? info->reason : test);
    f->device = index + 1;
}

/* A module that was loaded has a line of its own before its devices. */
static void check_devices(doctor_report *r) {
    const size_t count = attend_device_list_count(r->devices);
    const char *last = "";
    bool opencl = false;
    for (size_t i = 0; i < count; ++i) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(r->devices, i, &info)) continue;
        const bool loaded = *info.file && strcmp(info.backend, info.file) != 0;
        if (loaded && strcmp(last, info.file) != 0)
            add(r, DOCTOR_OK, "module", NULL, "%s: %s", info.backend, info.file);
        last = info.file;
        add_device(r, &info, i);
        opencl = opencl || is_opencl(info.id) || is_opencl(info.backend);
    }
    if (!opencl)
        add(r, DOCTOR_WARN, "module", "install attend's module opencl to use GPUs",
            "there is no module for OpenCL");
}

/* With the verdicts as they are now. "auto" opens nothing that was not just called good. */
static void check_choice(doctor_report *r) {
    const char *const asked = attend__environment_get("ATTEND_BACKEND");
    if (asked && strcmp(asked, "auto") != 0) {
        add(r, DOCTOR_OK, "auto", NULL, "is not asked: ATTEND_BACKEND is %s", asked);
        return;
    }
    attend_options options = attend_options_default();
    options.backend = "auto";
    options.log = on_log;
    options.log_user = r;
    attend_context *context = NULL;
    attend_decision decision = {.size = sizeof decision};
    if (attend_open(&options, &context) || attend_context_decision(context, &decision)) {
        add(r, DOCTOR_FAIL, "auto", "check ATTEND_DEVICE", "%s", attend_error_text());
    } else {
        add(r, DOCTOR_OK, "auto", NULL, "takes %s, %s", decision.backend, decision.device);
        for (const char *line = decision.refused; *line;) {
            const int length = (int)strcspn(line, "\n");
            add(r, DOCTOR_OK, "auto", NULL, "passes over %.*s", length, line);
            line += length + (line[length] != 0);
        }
    }
    attend_close(context);
}

void doctor_check(const cli_globals *globals, double seconds, doctor_report *report) {
    *report = (doctor_report){0};
    check_library(report);
    attend_options options = attend_options_default();
    options.backend = globals->backend ? globals->backend : "auto"; /* whatever ATTEND_BACKEND is */
    options.log = on_log;
    options.log_user = report;
    if (attend_probe(&options, seconds, &report->devices))
        add(report, DOCTOR_FAIL, "environment", NULL, "%s", attend_error_text());
    else
        check_devices(report);
    check_cache(report);
    if (report->devices && !globals->backend) check_choice(report);
}

doctor_verdict doctor_worst(const doctor_report *report) {
    doctor_verdict worst = DOCTOR_OK;
    for (size_t i = 0; i < report->count; ++i)
        if (report->findings[i].verdict > worst) worst = report->findings[i].verdict;
    return worst;
}

void doctor_release(doctor_report *report) {
    for (size_t i = 0; i < report->count; ++i) {
        free(report->findings[i].subject);
        free(report->findings[i].text);
        free(report->findings[i].remedy);
    }
    free(report->findings);
    attend_device_list_release(report->devices);
}
