/* SPDX-License-Identifier: Apache-2.0
 *
 * What the application and the environment ask for: API before environment before default, read
 * once when a context is opened. */
#ifndef ATTEND_CORE_CONFIG_H
#define ATTEND_CORE_CONFIG_H

#include "attend/core.h"

#include <stdbool.h>

/* Every variable: the setting's name, ATTEND_ before it is the variable's. */
#define ATTEND__SETTING_LIST(X)                                                                    \
    X(BACKEND)                                                                                     \
    X(DEVICE)                                                                                      \
    X(NUM_THREADS)                                                                                 \
    X(ISA)                                                                                         \
    X(KERNELS)                                                                                     \
    X(MATRIX)                                                                                      \
    X(SUBGROUPS)                                                                                   \
    X(CLBLAST_ATTENTION)                                                                           \
    X(CLBLAST_TUNING)                                                                              \
    X(VERBOSE)                                                                                     \
    X(LOG_FILE)                                                                                    \
    X(CACHE_DIR)                                                                                   \
    X(CACHE)                                                                                       \
    X(CONFIG_DIR)                                                                                  \
    X(TRANSFERS)                                                                                   \
    X(TUNING)                                                                                      \
    X(PLUGIN_PATH)

typedef enum attend__setting {
#define ATTEND_X(name) ATTEND__SETTING_##name,
    ATTEND__SETTING_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND__SETTING_COUNT
} attend__setting;

typedef struct attend__settings {
    char *values[ATTEND__SETTING_COUNT]; /* NULL = unset; own copies */
    bool from_api[ATTEND__SETTING_COUNT];
    int32_t threads;        /* at least 1 */
    unsigned topics;        /* bit per topic that ATTEND_VERBOSE names (log.c) */
    attend_options options; /* callbacks; its strings are not used */
    attend_allocator allocator;
} attend__settings;

/* Errors: INVALID for a thread count that is none, an unknown topic or member; OUT_OF_MEMORY. */
attend_status attend__settings_create(const attend_options *options, attend__settings **settings);
void attend__settings_release(attend__settings *settings);
/* By the name without ATTEND_; NULL when unset or unknown. */
const char *attend__settings_find(const attend__settings *settings, const char *name);

void *attend__settings_allocate(const attend__settings *settings, size_t bytes, size_t alignment);
void attend__settings_free(const attend__settings *settings, void *memory);

#endif
