/* SPDX-License-Identifier: Apache-2.0
 *
 * What a context logs of its choices (topic "select"), as lines of a text. */
#ifndef ATTEND_TESTS_SELECT_LOG_H
#define ATTEND_TESTS_SELECT_LOG_H

#include <attend/attend.h>

#include <stdio.h>
#include <string.h>

static char lines[4096];

static void note(void *user, attend_log_level level, const char *topic, const char *text) {
    const size_t used = strlen(lines);
    (void)user, (void)level;
    if (strcmp(topic, "select") == 0)
        (void)snprintf(lines + used, sizeof lines - used, "%s\n", text);
}

#endif
