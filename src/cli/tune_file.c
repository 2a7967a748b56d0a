/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_file.h. Several tuners may write at once: each reads what is there, adds its own and writes
 * the whole, under a lock. */
#include "tune_file.h"

#include "cli.h"
#include "system.h"

#include "base/environment.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/memory.h"
#include "base/tuning_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- where ----------------------------------------------------------------------------------- */

static const char not_replaced[] =
    "not replaced, since it cannot be read: no regular file, another user's, or one that every "
    "user may write";

/* What is there has to be read, or its results would be lost. */
static bool may_replace(const char *path) {
    size_t bytes;
    void *const data = attend__file_load(path, SIZE_MAX, &bytes);
    free(data);
    return data || !attend__file_look(path).exists;
}

bool tune_file_find(tune_file *file, const char *out) {
    char reason[300] = "out of memory";
    memset(file, 0, sizeof *file);
    if (out) {
        if (!system_can_replace(out))
            cli_error("%s: %s", out, strerror(errno));
        else if (!may_replace(out))
            cli_error("%s: %s", out, not_replaced);
        else if (!attend__tuning_split(out, &file->folder, &file->name))
            cli_error("%s", reason);
        return file->folder != NULL;
    }
    const char *const configured = attend__environment_get("ATTEND_CONFIG_DIR");
    file->folder = attend__config_folder(configured, false, reason, sizeof reason);
    if (!file->folder) {
        file->folder = attend__config_folder(configured, true, reason, sizeof reason);
        file->made = file->folder != NULL;
    }
    char *const path = file->folder ? attend__path_join(file->folder, "tuning") : NULL;
    const bool can = path && system_can_replace(path);
    if (!can)
        cli_error("nothing could be kept: %s%s%s", path ? file->folder : reason, path ? ": " : "",
                  path ? strerror(errno) : "");
    free(path);
    return can;
}

void tune_file_release(tune_file *file) {
    if (file->made && !file->kept) system_remove_folder(file->folder);
    free(file->folder);
    memset(file, 0, sizeof *file);
}

/* ---- what ------------------------------------------------------------------------------------ */

/* The device's key, from the line "device KEY". */
static char *device_key(const tune_report *report) {
    const char *const lines = report->device_lines ? report->device_lines : "";
    if (strncmp(lines, "device ", 7) != 0) return NULL;
    return attend__string_part(lines + 7, strcspn(lines + 7, "\n"));
}

/* What a result knows. A default is kept, too, or the values of a neighbouring shape would take its
 * place; but where candidates are left it says nothing against what an earlier run found. */
typedef enum worth { NOTHING, SOME_TRIED, ALL_TRIED, GAIN } worth;

static worth worth_of(const tune_result *r) {
    if (!r->tried || isnan(r->before_s)) return NOTHING;
    return r->ratio < 1 ? GAIN : r->left ? SOME_TRIED : ALL_TRIED;
}

static void write_line(const tune_result *r, char line[3 * TUNE_TEXT]) {
    char values[TUNE_TEXT];
    tune_point_text(&r->space, &r->best, ' ', values);
    snprintf(line, 3 * TUNE_TEXT, "%s: %s (%.4g s before, %.4g s after)\n", r->space.shape, values,
             r->before_s, r->after_s);
}

/* `lines` (freed; NULL: none) with what was found; NULL without memory. */
static char *merge(char *lines, const tune_report *report) {
    if (!lines) lines = attend__string_copy("");
    for (worth rank = SOME_TRIED; rank <= GAIN; ++rank)
        for (size_t i = 0; lines && i < report->count; ++i) {
            char line[3 * TUNE_TEXT];
            if (worth_of(&report->results[i]) != rank) continue;
            write_line(&report->results[i], line);
            char *const more = rank == SOME_TRIED ? attend__tuning_merge(line, lines)
                                                  : attend__tuning_merge(lines, line);
            free(lines);
            lines = more;
        }
    return lines;
}

/* ---- writing --------------------------------------------------------------------------------- */

static const char *news_text(attend__cache_news news) {
    return news == ATTEND__CACHE_OTHER_KEY ? ", in the place of another device's or driver's"
           : news == ATTEND__CACHE_DAMAGED ? ", in the place of a file that was damaged or none"
                                           : "";
}

/* Under the lock. Other users may read what was found, unlike what a cache holds. */
static bool replace(tune_file *file, const char *name, const char *key, const tune_report *report) {
    char *old;
    const attend__cache_news news = attend__tuning_load(file->folder, name, key, &old);
    const bool refused = news == ATTEND__CACHE_REFUSED;
    char *const lines = merge(old, report), *const path = attend__path_join(file->folder, name);
    size_t total;
    char *const text = lines ? attend__cache_seal(key, lines, strlen(lines), &total) : NULL;
    const bool stored = !refused && text && path && system_replace_file(path, text, total);
    if (stored)
        printf("kept in %s/%s%s\n", file->folder, name, news_text(news));
    else
        cli_error("%s/%s: %s", file->folder, name,
                  refused        ? not_replaced
                  : text && path ? strerror(errno)
                                 : "out of memory");
    free(text);
    free(path);
    free(lines);
    return stored;
}

static bool store(tune_file *file, const char *name, const char *key, const tune_report *report) {
    char lock_name[300];
    snprintf(lock_name, sizeof lock_name, "%.255s.lock", name);
    char *const path = attend__path_join(file->folder, lock_name);
    const int lock = path ? system_lock(path) : -1;
    if (lock == -1) cli_error("%s: %s", path ? path : file->folder, strerror(errno));
    file->kept = lock != -1 && replace(file, name, key, report);
    system_unlock(path, lock);
    free(path);
    return file->kept;
}

bool tune_file_keep(tune_file *file, const tune_report *report) {
    char own_name[ATTEND__TUNING_NAME];
    bool found = false;
    for (size_t i = 0; i < report->count; ++i)
        found |= worth_of(&report->results[i]) != NOTHING;
    if (!found) return true;
    char *const key = device_key(report);
    if (!key) {
        cli_error("nothing was kept: the worker does not say what device it is");
        return false;
    }
    attend__tuning_name(key, own_name);
    const bool stored = store(file, file->name ? file->name : own_name, key, report);
    free(key);
    return stored;
}
