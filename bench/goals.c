/* SPDX-License-Identifier: Apache-2.0
 *
 * goals.h. */
#include "goals.h"

#include "goals_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *goals_load(void) {
    enum { LINES = sizeof bench_goals_text / sizeof bench_goals_text[0] };
    size_t bytes = 1, at = 0;
    for (int i = 0; i < LINES; ++i)
        bytes += strlen(bench_goals_text[i]);
    char *const text = malloc(bytes);
    for (int i = 0; text && i < LINES; ++i) {
        memcpy(text + at, bench_goals_text[i], strlen(bench_goals_text[i]));
        at += strlen(bench_goals_text[i]);
    }
    json_t *const goals = text ? json_loadb(text, at, 0, NULL) : NULL;
    free(text);
    return goals;
}

void goals_case_name(const char *text, json_int_t queries, char name[GOALS_NAME]) {
    const char *const star = strchr(text, '*');
    if (star)
        snprintf(name, GOALS_NAME, "%.*s%lld%s", (int)(star - text), text, (long long)queries,
                 star + 1);
    else
        snprintf(name, GOALS_NAME, "%s", text);
}

void goals_read_name(double bytes, char name[GOALS_NAME]) {
    static const double grain = 1 << 20; /* so that cases over the same keys share one peak */
    snprintf(name, GOALS_NAME, "peak-read-%.0f", fmax(round(bytes / grain), 1) * grain);
}
