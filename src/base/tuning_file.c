/* SPDX-License-Identifier: Apache-2.0
 *
 * tuning_file.h. */
#include "base/tuning_file.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

void attend__tuning_name(const char *key, char name[ATTEND__TUNING_NAME]) {
    (void)snprintf(name, ATTEND__TUNING_NAME, "tuning-%016" PRIx64,
                   attend__hash(ATTEND__HASH_START, key, strlen(key)));
}

bool attend__tuning_split(const char *path, char **folder, const char **name) {
    const char *last = NULL;
    for (const char *at = path; *at; at++)
        if (*at == '/' || *at == '\\') last = at;
    *name = last ? last + 1 : path;
    *folder = last ? attend__string_part(path, (size_t)(last - path) + (last == path))
                   : attend__string_copy(".");
    return *folder != NULL;
}

attend__cache_news attend__tuning_load(const char *folder, const char *name, const char *key,
                                       char **lines) {
    void *data;
    size_t bytes;
    const attend__cache_news news =
        attend__cache_load(folder, name, key, MOST_BYTES, &data, &bytes);
    *lines = data;
    return news;
}

/* ---- merging --------------------------------------------------------------------------------- */

static size_t line_length(const char *line) {
    const size_t length = strcspn(line, "\n");
    return length + (line[length] == '\n');
}

/* Whether a line of `lines` is about the same shape as `line`. */
static bool has_shape(const char *lines, const char *line) {
    const size_t length = strcspn(line, ":\n");
    for (const char *at = lines; *at; at += line_length(at))
        if (strcspn(at, ":\n") == length && !strncmp(at, line, length)) return true;
    return false;
}

char *attend__tuning_merge(const char *old, const char *more) {
    if (!old) old = "";
    char *const merged = malloc(strlen(old) + strlen(more) + 1);
    char *end = merged;
    if (!merged) return NULL;
    for (const char *at = old; *at; at += line_length(at)) {
        if (has_shape(more, at)) continue;
        memcpy(end, at, line_length(at));
        end += line_length(at);
    }
    memcpy(end, more, strlen(more) + 1);
    return merged;
}
