/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads options and environment into one record. */
#include "config.h"

#include "base/environment.h"
#include "base/memory.h"
#include "base/thread.h"
#include "error.h"
#include "launch.h"
#include "log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 1024 };

#define PREFIX "ATTEND_"

static const char *const names[ATTEND__SETTING_COUNT] = {
#define ATTEND_X(name) PREFIX #name,
    ATTEND__SETTING_LIST(ATTEND_X)
#undef ATTEND_X
};

void attend_options_init(void *options, size_t size) {
    const attend_options defaults = {.size = size};
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static void *plain_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    return attend__aligned_allocate(bytes, alignment);
}

static void plain_release(void *user, void *memory) {
    (void)user;
    attend__aligned_free(memory);
}

void *attend__settings_allocate(const attend__settings *settings, size_t bytes, size_t alignment) {
    const attend_allocator *a = &settings->allocator;
    return a->allocate(a->user, bytes ? bytes : 1, alignment);
}

void attend__settings_free(const attend__settings *settings, void *memory) {
    if (memory) settings->allocator.release(settings->allocator.user, memory);
}

const char *attend__settings_find(const attend__settings *settings, const char *name) {
    for (int i = 0; i < ATTEND__SETTING_COUNT; i++)
        if (!strcmp(names[i] + strlen(PREFIX), name)) return settings->values[i];
    return NULL;
}

/* A variable that looks like ours and is not is most likely misspelt: said once in a process. */
static void warn_unknown(void *argument, const char *name, size_t length) {
    for (int i = 0; i < ATTEND__SETTING_COUNT; i++)
        if (strlen(names[i]) == length && !strncmp(names[i], name, length)) return;
    static const char *const tools[] = {"ATTEND_TEST_",
                                        "ATTEND_ORACLE_"}; /* of tests and scripts */
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        if (!strncmp(name, tools[i], strlen(tools[i]))) return;
    attend__log(argument, ATTEND_LOG_WARNING, "config", "%.*s: no such setting", (int)length, name);
}

static attend_status take(attend__settings *s, const char *const from_api[ATTEND__SETTING_COUNT]) {
    for (int i = 0; i < ATTEND__SETTING_COUNT; i++) {
        const char *value = from_api[i] && from_api[i][0] ? from_api[i] : NULL;
        s->from_api[i] = value != NULL;
        if (!value && !s->options.ignore_environment) value = attend__environment_get(names[i]);
        s->values[i] = attend__string_copy(value);
        if (value && !s->values[i])
            return attend__fail(ATTEND_OUT_OF_MEMORY, "%s: no memory", names[i]);
    }
    return ATTEND_OK;
}

static attend_status take_threads(attend__settings *s) {
    const char *text = s->values[ATTEND__SETTING_NUM_THREADS];
    s->threads = s->options.threads;
    if (s->threads < 0 || s->threads > MOST_THREADS)
        return attend__fail(ATTEND_INVALID, "threads: %d is not in 0..%d", (int)s->threads,
                            MOST_THREADS);
    if (s->threads == 0 && text) {
        char *end;
        const long n = strtol(text, &end, 10);
        if (*end || n < 1 || n > MOST_THREADS)
            return attend__fail(ATTEND_INVALID,
                                "ATTEND_NUM_THREADS: \"%.80s\" is not a number in 1..%d", text,
                                MOST_THREADS);
        s->threads = (int32_t)n;
    }
    if (s->threads == 0) s->threads = attend__processor_count();
    return ATTEND_OK;
}

static attend_status fill(attend__settings *s) {
    const char *const from_api[ATTEND__SETTING_COUNT] = {
        [ATTEND__SETTING_BACKEND] = s->options.backend,
        [ATTEND__SETTING_DEVICE] = s->options.device,
        [ATTEND__SETTING_ISA] = s->options.isa,
        [ATTEND__SETTING_PLUGIN_PATH] = s->options.plugin_path,
        [ATTEND__SETTING_VERBOSE] = s->options.verbose,
    };
    attend_status status = take(s, from_api);
    if (status == ATTEND_OK) status = take_threads(s);
    if (status == ATTEND_OK)
        status = attend__log_topics(s->values[ATTEND__SETTING_VERBOSE], &s->topics);
    const char *file = s->values[ATTEND__SETTING_LOG_FILE];
    if (status == ATTEND_OK && file && s->topics) status = attend__log_check_file(file);
    const char *cache = s->values[ATTEND__SETTING_CACHE];
    if (status == ATTEND_OK && cache && strcmp(cache, "off") != 0 && strcmp(cache, "on") != 0)
        status = attend__fail(ATTEND_INVALID,
                              "ATTEND_CACHE: \"%.80s\" is neither \"on\" nor \"off\"", cache);
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    if (status == ATTEND_OK && !s->options.ignore_environment && attend__log_wanted(s, "config") &&
        !atomic_flag_test_and_set(&warned))
        attend__environment_visit(PREFIX, warn_unknown, s);
    return status;
}

attend_status attend__settings_create(const attend_options *options, attend__settings **settings) {
    static const attend__fields fields = {sizeof(attend_options), NULL, 0};
    *settings = NULL;
    attend_options full = {.size = sizeof full};
    attend_status status =
        options ? attend__description_copy("options", &fields, options, &full) : ATTEND_OK;
    if (status != ATTEND_OK) return status;
    attend_allocator allocator = {plain_allocate, plain_release, NULL};
    if (full.allocator) allocator = *full.allocator;
    if (!allocator.allocate || !allocator.release)
        return attend__fail(ATTEND_NULL_POINTER,
                            "allocator: allocate and release must both be given");
    attend__settings *s = allocator.allocate(allocator.user, sizeof *s, 64);
    if (!s) return attend__fail(ATTEND_OUT_OF_MEMORY, "options: no memory");
    *s = (attend__settings){.options = full, .allocator = allocator};
    status = fill(s);
    if (status != ATTEND_OK)
        attend__settings_release(s);
    else
        *settings = s;
    return status;
}

void attend__settings_release(attend__settings *settings) {
    if (!settings) return;
    for (int i = 0; i < ATTEND__SETTING_COUNT; i++)
        free(settings->values[i]);
    const attend_allocator allocator = settings->allocator;
    allocator.release(allocator.user, settings);
}
