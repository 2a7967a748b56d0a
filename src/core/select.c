/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTEND_BACKEND: one name is strict, a list permits falling back in its order; "auto" is a GPU
 * where select_auto.c finds one, else "cpu". ATTEND_DEVICE then chooses within the backend. */
#include "select.h"

#include "device_list.h"
#include "error.h"
#include "log.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds to a text of a fixed size; what does not fit is cut. */
static void append(char *text, size_t bytes, const char *more) {
    const size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s", more);
}

/* ---- devices -------------------------------------------------------------------------------- */

static bool has_part(const char *text, const char *part) {
    const size_t length = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] &&
               tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == length) return true;
    }
    return false;
}

/* How good a device is for the type that was asked for; 0 = not of it. */
static int rank_for_type(const attend_device_info *info, const char *type) {
    if (!strcmp(type, "cpu")) return info->kind == ATTEND_DEVICE_CPU;
    return info->kind == ATTEND_DEVICE_DISCRETE_GPU     ? 2
           : info->kind == ATTEND_DEVICE_INTEGRATED_GPU ? 1
                                                        : 0;
}

static int rank_without_wish(const attend_device_info *info) {
    return info->kind == ATTEND_DEVICE_DISCRETE_GPU     ? 4
           : info->kind == ATTEND_DEVICE_INTEGRATED_GPU ? 3
           : info->kind == ATTEND_DEVICE_ACCELERATOR    ? 2
                                                        : 1;
}

static int fits(const attend_device_info *info, const char *wanted) {
    if (!wanted) return rank_without_wish(info);
    if (!strcmp(info->id, wanted)) return 100;
    if (!strcmp(wanted, "gpu") || !strcmp(wanted, "cpu")) return rank_for_type(info, wanted);
    return has_part(info->name, wanted) || has_part(info->platform, wanted) ||
           has_part(info->vendor, wanted) || has_part(info->version, wanted);
}

typedef struct search {
    int best;
    uint32_t ties; /* devices as good as the best */
    char listed[512];
} search;

static void consider(search *s, const char *wanted, const attend_device_info *info, uint32_t index,
                     attend__choice *choice) {
    char line[256];
    snprintf(line, sizeof line, "%s%s (%s)%s%s", *s->listed ? ", " : "", info->id, info->name,
             info->reason ? ": " : "", info->reason ? info->reason : "");
    append(s->listed, sizeof s->listed, line);
    const int rank = info->reason ? 0 : fits(info, wanted);
    if (rank == 0 || rank < s->best) return;
    if (rank == s->best) {
        s->ties++;
        return;
    }
    s->best = rank;
    s->ties = 1;
    choice->device = index;
    choice->info = *info;
}

attend_status attend__select_device(const attend__settings *settings, attend__allow_fn *allow,
                                    const void *argument, attend__choice *choice) {
    const char *wanted = settings->values[ATTEND__SETTING_DEVICE];
    search s = {0};
    attend_device_info info;
    uint32_t count = 0, allowed = 0;
    for (; count < ATTEND__MOST_DEVICES; count++) {
        if (attend__device_info_ask(choice->module->plugin.device_info, count, &info) != ATTEND_OK)
            break;
        if (allow && !allow(argument, &info)) continue;
        allowed++;
        consider(&s, wanted, &info, count, choice);
    }
    const char *name = choice->module->name;
    if (count == 0) return attend__fail(ATTEND_NO_DEVICE, "%s: no device", name);
    if (allowed == 0)
        return attend__fail(ATTEND_NO_DEVICE, "%s: a good device is gone; run attend doctor", name);
    if (s.best == 0 && !wanted)
        return attend__fail(ATTEND_NO_DEVICE, "%s: no usable device: %s", name, s.listed);
    if (s.best == 0)
        return attend__fail(ATTEND_NOT_FOUND, "device \"%.80s\": none of %s's fits: %s", wanted,
                            name, s.listed);
    /* a type or no wish takes the first of the best; a part of a name must say which */
    const bool by_name = wanted && strcmp(wanted, "gpu") != 0 && strcmp(wanted, "cpu") != 0;
    if (by_name && s.ties > 1)
        return attend__fail(ATTEND_AMBIGUOUS, "device \"%.80s\": fits more than one of %s", wanted,
                            s.listed);
    return ATTEND_OK;
}

/* ---- backends ------------------------------------------------------------------------------- */

static attend_status unknown_backend(const attend__settings *settings, const char *name) {
    char listed[700] = "";
    size_t count;
    attend__module **all = attend__registry_all(settings, &count);
    for (size_t i = 0; i < count; i++) {
        append(listed, sizeof listed, i ? ", " : "");
        append(listed, sizeof listed, all[i]->name);
        if (all[i]->status == ATTEND_OK) continue;
        append(listed, sizeof listed, ": ");
        append(listed, sizeof listed, all[i]->reason);
    }
    free(all);
    return attend__fail(ATTEND_NOT_FOUND, "backend \"%.80s\" is not known; there are: %s", name,
                        listed);
}

static attend_status choose(const attend__settings *settings, const char *name,
                            attend__choice *choice) {
    choice->module = attend__registry_find(settings, name);
    if (!choice->module) return unknown_backend(settings, name);
    if (choice->module->status != ATTEND_OK)
        return attend__fail(choice->module->status, "%s: %s", name, choice->module->reason);
    return attend__select_device(settings, NULL, NULL, choice);
}

void attend__select_reason(const attend__settings *settings, const char *more,
                           attend__choice *choice) {
    const bool from_api = settings->from_api[ATTEND__SETTING_BACKEND];
    const bool asked = settings->values[ATTEND__SETTING_BACKEND] != NULL;
    snprintf(choice->reason, sizeof choice->reason, "%s%s",
             from_api ? "the application asked"
             : asked  ? "ATTEND_BACKEND asked"
                      : "default",
             more);
}

void attend__select_refuse(attend__choice *choice, const char *text) {
    append(choice->refused, sizeof choice->refused, *choice->refused ? "\n" : "");
    append(choice->refused, sizeof choice->refused, text);
}

const char *attend__next_name(const char *text, char *name, size_t bytes) {
    size_t length = strcspn(text, ",");
    const char *rest = text + length + (text[length] == ',');
    const size_t blanks = strspn(text, " ");
    text += blanks < length ? blanks : length;
    length -= blanks < length ? blanks : length;
    while (length && text[length - 1] == ' ')
        length--;
    snprintf(name, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
    return rest;
}

static attend_status try_name(const attend__settings *settings, const char *name,
                              attend__open_fn *open, void *argument, attend__choice *choice) {
    const attend_status status = choose(settings, name, choice);
    return status == ATTEND_OK ? open(argument, choice) : status;
}

/* A wish that only a GPU meets is not met: then the GPUs' reasons are the ones to know. */
static attend_status try_auto(const attend__settings *settings, attend__open_fn *open,
                              void *argument, attend__choice *choice) {
    char reason[sizeof choice->reason]; /* which a GPU that does not open leaves changed */
    snprintf(reason, sizeof reason, "%s", choice->reason);
    if (attend__select_gpu(settings, open, argument, choice) == ATTEND_OK) return ATTEND_OK;
    snprintf(choice->reason, sizeof choice->reason, "%s", reason);
    const attend_status status = try_name(settings, "cpu", open, argument, choice);
    if (status == ATTEND_OK || !*choice->refused) return status;
    char text[512];
    snprintf(text, sizeof text, "%s", attend_error_text());
    return attend__fail(status, "%s; %s", text, choice->refused);
}

attend_status attend__select(const attend__settings *settings, attend__open_fn *open,
                             void *argument, attend__choice *choice) {
    memset(choice, 0, sizeof *choice);
    const char *text = settings->values[ATTEND__SETTING_BACKEND];
    if (!text) text = "auto";
    const bool strict = !strchr(text, ',');
    attend_status status =
        attend__fail(ATTEND_NOT_FOUND, "backend: the list \"%.80s\" names none", text);
    bool fell_back = false;
    while (*text) {
        char name[80];
        text = attend__next_name(text, name, sizeof name);
        if (!*name) continue;
        attend__select_reason(settings, fell_back ? ", after others were refused" : "", choice);
        status = strcmp(name, "auto") ? try_name(settings, name, open, argument, choice)
                                      : try_auto(settings, open, argument, choice);
        if (status == ATTEND_OK) break;
        if (strict) return status;
        fell_back = true;
        attend__select_refuse(choice, attend_error_text());
    }
    if (status != ATTEND_OK && strict) return status;
    if (status != ATTEND_OK)
        return attend__fail(status, "no backend of the list can run: %s", choice->refused);
    if (fell_back)
        attend__log(settings, ATTEND_LOG_WARNING, "select", "running on %s, because %s",
                    choice->module->name, choice->refused);
    return ATTEND_OK;
}
