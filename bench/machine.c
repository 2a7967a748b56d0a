/* SPDX-License-Identifier: Apache-2.0
 *
 * machine.h: the build, the command and the settings. */
#include "machine.h"

#include "base/environment.h"
#include "build_info.h"
#include "hardware.h"

#include "attend/core.h"
#include "cli/printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Arguments and variables may be any bytes, JSON texts may not. */
static json_t *safe_text(const char *text) {
    char *const safe = printable_text(text, strlen(text));
    json_t *const value = json_string(safe);
    free(safe);
    return value;
}

static json_t *describe_library(void) {
    const unsigned version = attend_version();
    char text[32];
    snprintf(text, sizeof text, "%u.%u.%u", version / 10000, version / 100 % 100, version % 100);
    return json_pack("{s:s, s:s}", "version", text, "commit", BUILD_COMMIT);
}

static json_t *list_words(int argc, char **argv) {
    json_t *const list = json_array();
    for (int i = 0; i < argc; ++i)
        json_array_append_new(list, safe_text(argv[i]));
    return list;
}

/* ---- variables ---- */

static void keep_variable(void *argument, const char *name, size_t length) {
    char copy[256];
    if (length >= sizeof copy) return;
    memcpy(copy, name, length);
    copy[length] = 0;
    const char *const value = attend__environment_get(copy);
    if (!value) return;
    char *const key = printable_text(copy, length);
    json_object_set_new(argument, key, safe_text(value));
    free(key);
}

/* What changes speed: ours, and what the peers' libraries read. */
static json_t *list_variables(void) {
    static const char *const prefixes[] = {"ATTEND_", "OMP_",      "GOMP_", "KMP_",
                                           "MKL_",    "OPENBLAS_", "BLIS_", "POCL_",
                                           "OCL_",    "ONEDNN_",   "DNNL_"};
    static const char *const names[] = {"LD_PRELOAD", "MALLOC_ARENA_MAX"};
    json_t *const object = json_object();
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; ++i)
        attend__environment_visit(prefixes[i], keep_variable, object);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i)
        keep_variable(object, names[i], strlen(names[i]));
    return object;
}

/* null: where the backend keeps it by default, if it has a cache. */
static json_t *describe_cache(void) {
    const char *const state = attend__environment_get("ATTEND_CACHE");
    if (state && !strcmp(state, "off")) return json_string("off");
    const char *const folder = attend__environment_get("ATTEND_CACHE_DIR");
    return folder ? safe_text(folder) : json_null();
}

/* ---- all ---- */

static json_t *utc_now(void) {
    const time_t now = time(NULL);
    struct tm parts;
    char text[32] = "";
    if (gmtime_r(&now, &parts)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text[0] ? json_string(text) : json_null();
}

static json_t *positive_or_null(double x) {
    return x > 0 ? json_real(x) : json_null();
}

/* Sizes in bytes; 0 is not known. */
static json_t *size_or_null(uint64_t bytes) {
    return bytes ? json_integer((json_int_t)bytes) : json_null();
}

json_t *machine_context(int argc, char **argv) {
    hardware h;
    hardware_look(&h);
    json_t *const context = json_object();
    const struct {
        const char *key;
        json_t *value; /* NULL: no memory */
    } items[] = {
        {"attend", describe_library()},
        {"compiler", json_string(BUILD_COMPILER)},
        {"flags", safe_text(BUILD_FLAGS)},
        {"build_type", json_string(BUILD_TYPE)},
        {"cpu", safe_text(h.cpu)},
        {"processors", json_integer(h.processors)},
        {"cpu_quota", positive_or_null(machine_cpu_quota())},
        {"memory_bytes", size_or_null(h.memory_bytes)},
        {"cache_bytes", size_or_null(h.cache_bytes)},
        {"governor", h.governor[0] ? safe_text(h.governor) : json_null()},
        {"load", h.load >= 0 ? json_real(h.load) : json_null()},
        {"clock_s", positive_or_null(h.clock_s)},
        {"os", safe_text(h.os)},
        {"date", utc_now()},
        {"command", list_words(argc, argv)},
        {"environment", list_variables()},
        {"cache", describe_cache()},
    };
    bool whole = context != NULL;
    for (size_t i = 0; i < sizeof items / sizeof items[0]; ++i)
        whole &= json_object_set_new(context, items[i].key, items[i].value) == 0;
    if (whole) return context;
    json_decref(context);
    return NULL;
}
