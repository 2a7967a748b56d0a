/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of folder.h that is the same on every system, given a way to step through a folder. */
#include "base/folder.h"
#include "base/folder_step.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool attend__folder_list(const char *path, char ***names, size_t *count) {
    *names = NULL;
    *count = 0;
    attend__folder_step *step = attend__folder_open(path);
    if (step == NULL) return false;
    char **list = NULL;
    size_t used = 0, room = 0;
    bool fits = true;
    for (const char *name; fits && (name = attend__folder_next(step)) != NULL;) {
        if (used == room) {
            room = room == 0 ? 16 : 2 * room;
            char **more = realloc(list, room * sizeof *list);
            fits = more != NULL;
            if (!fits) break;
            list = more;
        }
        list[used] = attend__string_copy(name);
        fits = list[used] != NULL;
        used += fits;
    }
    attend__folder_close(step);
    if (!fits) {
        attend__folder_release(list, used);
        return false;
    }
    if (used > 1) qsort(list, used, sizeof *list, compare);
    *names = list;
    *count = used;
    return true;
}

void attend__folder_release(char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

char *attend__path_join(const char *folder, const char *name) {
    const size_t a = strlen(folder), b = strlen(name);
    char *path = malloc(a + b + 2);
    if (path == NULL) return NULL;
    memcpy(path, folder, a);
    path[a] = ATTEND__FOLDER_SEPARATOR[0];
    memcpy(path + a + 1, name, b + 1);
    return path;
}
