/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_targets.h. */
#include "bench_targets.h"

#include "base/environment.h"
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 8 }; /* of a command, its end included */

/* A backend as another party, in an environment of its own; `all` leaves it out. */
typedef struct variant {
    const char *name, *backend, *setting;
} variant;
static const variant variants[] = {
    {"clblast:defaults", "clblast", "ATTEND_CLBLAST_TUNING=off"},
    {"opencl:host", "opencl", "BENCH_MEMORY=host"},
    {"clblast:host", "clblast", "BENCH_MEMORY=host"},
};
enum { VARIANT_COUNT = sizeof variants / sizeof variants[0] };

static char *copy(const char *text) {
    char *const memory = cli_allocate(strlen(text) + 1, 1);
    memcpy(memory, text, strlen(text) + 1);
    return memory;
}

/* Adds a runner with the command of copied words. */
static runner *add(bench_targets *t, const char *name, const char *const *words) {
    runner *const runners = cli_allocate(t->count + 1, sizeof *runners);
    if (t->count) memcpy(runners, t->runners, t->count * sizeof *runners);
    free(t->runners);
    t->runners = runners;
    runner *const r = &t->runners[t->count++];
    char **const argv = cli_allocate(MOST_WORDS, sizeof *argv);
    for (int i = 0; i + 1 < MOST_WORDS && words[i]; ++i)
        argv[i] = copy(words[i]);
    r->argv = argv;
    r->name = copy(name);
    /* whoever asked for traces wants to see them */
    r->hear_errors = attend__environment_get("ATTEND_VERBOSE") != NULL;
    return r;
}

void bench_targets_release(bench_targets *t) {
    for (size_t i = 0; i < t->count; ++i) {
        for (char *const *word = t->runners[i].argv; *word; ++word)
            free(*word);
        free((void *)(uintptr_t)t->runners[i].argv);
        if (t->runners[i].settings) free(t->runners[i].settings[0]);
        free((void *)(uintptr_t)t->runners[i].settings);
        free(t->runners[i].name);
    }
    free(t->runners);
    memset(t, 0, sizeof *t);
}

/* ---- devices ---- */

/* Calls fits(item) for each item of a list with commas; true when one fits. */
static bool any_item(const char *list, bool (*fits)(const char *item, const void *of),
                     const void *of) {
    for (const char *at = list;; ++at) {
        const size_t length = strcspn(at, ",");
        char *const item = cli_allocate(length + 1, 1);
        memcpy(item, at, length);
        const bool found = length > 0 && fits(item, of);
        free(item);
        if (found) return true;
        at += length;
        if (!*at) return false;
    }
}

static bool is_backend(const char *item, const void *of) {
    const attend_device_info *const info = of;
    /* the oracle is no contestant unless it is named */
    if (!strcmp(item, "all") || !strcmp(item, "auto"))
        return strcmp(info->backend, "reference") != 0;
    return !strcmp(item, info->backend);
}

static bool is_variant(const char *item, const void *of) {
    const variant *const v = of;
    return !strcmp(item, v->name);
}

static bool holds(const char *text, const char *part) {
    const size_t length = strlen(part);
    for (; strlen(text) >= length; ++text) {
        size_t i = 0;
        while (i < length && (text[i] | 32) == (part[i] | 32))
            ++i;
        if (i == length) return true;
    }
    return false;
}

static bool is_device(const char *item, const void *of) {
    const attend_device_info *const info = of;
    const bool gpu =
        info->kind == ATTEND_DEVICE_INTEGRATED_GPU || info->kind == ATTEND_DEVICE_DISCRETE_GPU;
    if (!strcmp(item, "all") || !strcmp(item, info->id)) return true;
    if (!strcmp(item, "cpu")) return info->kind == ATTEND_DEVICE_CPU;
    if (!strcmp(item, "gpu")) return gpu;
    return holds(info->name, item) || holds(info->platform, item) || holds(info->vendor, item) ||
           holds(info->version, item);
}

static runner *add_device(bench_targets *t, const char *program, const attend_device_info *info,
                          int64_t threads) {
    const char *const words[] = {program,       "bench",    "--worker", "--backend",
                                 info->backend, "--device", info->id,   NULL};
    runner *const r = add(t, info->backend, words);
    r->threads = (int32_t)threads;
    return r;
}

static void add_variant(bench_targets *t, const char *program, const attend_device_info *info,
                        const variant *v, int64_t threads) {
    runner *const r = add_device(t, program, info, threads);
    char **const settings = cli_allocate(2, sizeof *settings);
    settings[0] = copy(v->setting);
    r->settings = settings;
    free(r->name);
    r->name = copy(v->name);
}

/* A variant before its backend: the ratio in the table then says what the backend gains. */
static size_t add_parties(const target_choice *choice, bench_targets *t, const char *program,
                          const attend_device_info *info) {
    const size_t before = t->count;
    for (size_t i = 0; i < VARIANT_COUNT; ++i)
        for (size_t k = 0; k < choice->thread_count; ++k)
            if (!strcmp(variants[i].backend, info->backend) &&
                any_item(choice->backends, is_variant, &variants[i]))
                add_variant(t, program, info, &variants[i], choice->threads[k]);
    for (size_t k = 0; k < choice->thread_count; ++k)
        if (any_item(choice->backends, is_backend, info))
            add_device(t, program, info, choice->threads[k]);
    return t->count - before;
}

/* Adds the devices that are wanted; returns how many parties there are. */
static size_t add_devices(const target_choice *choice, bench_targets *t, const char *program,
                          const attend_device_list *list) {
    size_t found = 0;
    for (size_t i = 0; i < attend_device_list_count(list); ++i) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(list, i, &info) || info.reason) continue;
        if (any_item(choice->devices, is_device, &info))
            found += add_parties(choice, t, program, &info);
    }
    return found;
}

/* Shares of the processor's peak need somebody who measures it, whoever else takes part. */
static void add_peak_workers(const target_choice *choice, bench_targets *t, const char *program) {
    const attend_device_info host = {.backend = "cpu", .id = "cpu:0"};
    for (size_t k = 0; k < choice->thread_count; ++k) {
        bool there = false;
        for (size_t i = 0; i < t->count; ++i)
            there |= !strcmp(t->runners[i].name, "cpu") &&
                     t->runners[i].threads == (int32_t)choice->threads[k];
        if (!there) add_device(t, program, &host, choice->threads[k])->peaks_only = true;
    }
}

static void report_unusable(const target_choice *choice, const attend_device_list *list) {
    cli_error("no usable device fits --backend %s --device %s; attend devices lists them",
              choice->backends, choice->devices);
    for (size_t i = 0; i < attend_device_list_count(list); ++i) {
        attend_device_info info = {.size = sizeof info};
        if (!attend_device_list_get(list, i, &info) && info.reason)
            cli_error("%s: %s", info.id, info.reason);
    }
}

/* ---- peers ---- */

/* "pytorch" of "bench/peers/pytorch_peer.py". */
static char *peer_name(const char *file) {
    const char *const slash = strrchr(file, '/');
    char *const name = copy(slash ? slash + 1 : file);
    char *const end = strstr(name, "_peer.py");
    if (end) *end = 0;
    return name;
}

static void add_peer(const target_choice *choice, bench_targets *t, const char *text) {
    const char *const equals = strchr(text, '=');
    const char *const file = equals ? equals + 1 : text;
    char *const name = equals ? copy(text) : peer_name(file);
    if (equals) name[equals - text] = 0;
    const size_t length = strlen(file);
    const bool script = length > 3 && !strcmp(file + length - 3, ".py");
    const char *const words[] = {script ? choice->python : file, script ? file : NULL, NULL};
    for (size_t k = 0; k < choice->thread_count; ++k) {
        runner *const r = add(t, name, words);
        r->peer = true;
        r->threads = (int32_t)choice->threads[k];
    }
    free(name);
}

/* ---- all ---- */

static const char *or_variable(const char *given, const char *variable) {
    if (given) return given;
    const char *const value = attend__environment_get(variable);
    return value ? value : "all";
}

bool bench_targets_create(const target_choice *given, bench_targets *t, int *status) {
    target_choice choice = *given;
    choice.backends = or_variable(given->backends, "ATTEND_BACKEND");
    choice.devices = or_variable(given->devices, "ATTEND_DEVICE");
    memset(t, 0, sizeof *t);
    *status = CLI_FAILED;
    attend_options options = attend_options_default();
    attend_device_list *list = NULL;
    if (attend_device_list_create(&options, &list)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    char *const program = system_own_program();
    bool good = program != NULL;
    if (good && strcmp(choice.backends, "none") != 0)
        good = add_devices(&choice, t, program, list) > 0;
    if (program && !good) report_unusable(&choice, list);
    attend_device_list_release(list);
    for (size_t i = 0; good && i < choice.peers->count; ++i)
        add_peer(&choice, t, choice.peers->items[i]);
    if (good) add_peak_workers(&choice, t, program);
    for (size_t i = 0; i < t->count; ++i)
        t->runners[i].timeout_s = choice.timeout_s;
    free(program);
    if (!good) bench_targets_release(t);
    return good;
}
