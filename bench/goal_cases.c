/* SPDX-License-Identifier: Apache-2.0
 *
 * goal_cases.h. Cases of one figure follow each other, so that they are measured next to each other
 * in each round. */
#include "goal_cases.h"

#include "goals.h"

#include <stdio.h>
#include <string.h>

/* "shares" is all but what one backend alone has to reach. */
static bool in_list(const char *groups, const json_t *figure) {
    const char *const group = json_string_value(json_object_get(figure, "group"));
    const bool one_backend = json_object_get(figure, "backend") != NULL;
    const size_t length = strlen(group);
    for (const char *at = groups; *at; at += *at == ',') {
        const size_t item = strcspn(at, ",");
        const bool all = item == strlen("shares") && !memcmp(at, "shares", item);
        if ((all && !one_backend) || (item == length && !memcmp(at, group, length))) return true;
        at += item;
    }
    return false;
}

static bool add_peak(case_list *list, const char *name, int32_t threads, char *reason) {
    bench_case c;
    memset(&c, 0, sizeof c);
    snprintf(c.name, sizeof c.name, "%s", name);
    c.op = BENCH_KERNEL;
    c.type = ATTEND_F32;
    c.threads = threads;
    return case_list_add(list, &c, reason);
}

/* A case, with the peak that its figure holds it against. */
static bool add_case(case_list *list, const char *name, const char *kind, int32_t threads,
                     char *reason) {
    case_list one = {NULL, 0};
    bool good = case_list_add_named(&one, name, NULL, reason);
    for (size_t i = 0; good && i < one.count; ++i) {
        bench_case *const c = &one.items[i];
        char peak[GOALS_NAME] = "peak-fma";
        c->threads = threads;
        snprintf(c->name, sizeof c->name, "%s", name); /* as goals.json has it, for the report */
        if (!strcmp(kind, "read")) goals_read_name(bench_case_bytes(c), peak);
        if (!strcmp(kind, "read") || !strcmp(kind, "fma"))
            good = add_peak(list, peak, threads, reason);
        good = good && case_list_add(list, c, reason);
    }
    case_list_release(&one);
    return good;
}

static bool add_names(case_list *list, const json_t *figure, const char *key, int32_t threads,
                      char *reason) {
    const json_t *const names = json_object_get(figure, key);
    const char *const kind = json_string_value(json_object_get(figure, "kind"));
    const json_int_t first = json_integer_value(json_object_get(figure, "from")),
                     last = json_integer_value(json_object_get(figure, "to"));
    for (json_int_t queries = first; queries <= last; ++queries)
        for (size_t i = 0; i < json_array_size(names); ++i) {
            char name[GOALS_NAME];
            goals_case_name(json_string_value(json_array_get(names, i)), queries, name);
            if (!add_case(list, name, kind, threads, reason)) return false;
        }
    return true;
}

static bool add_figure(case_list *list, const json_t *figure, char *reason) {
    const json_t *const threads = json_object_get(figure, "threads");
    bool good = true;
    for (size_t i = 0; good && i < json_array_size(threads); ++i) {
        const int32_t count = (int32_t)json_integer_value(json_array_get(threads, i));
        good = add_names(list, figure, "of", count, reason) &&
               add_names(list, figure, "by", count, reason);
    }
    return good;
}

bool case_list_add_goals(case_list *list, const char *groups, char *reason) {
    json_t *const goals = goals_load();
    const json_t *const figures = json_object_get(goals, "shares");
    bool good = goals != NULL, found = false;
    snprintf(reason, CASE_LIST_REASON, "%s", good ? "" : "out of memory");
    for (size_t i = 0; good && i < json_array_size(figures); ++i) {
        const json_t *const figure = json_array_get(figures, i);
        if (!in_list(groups, figure)) continue;
        found = true;
        good = add_figure(list, figure, reason);
    }
    json_decref(goals);
    if (good && !found)
        snprintf(reason, CASE_LIST_REASON,
                 "--set: '%.100s' is no group of figures: shares (all of the processor's), peak, "
                 "masks, options, outputs, rows, decode, layers, tiny; opencl",
                 groups);
    return good && found;
}
