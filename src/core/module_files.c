/* SPDX-License-Identifier: Apache-2.0
 *
 * module_files.h. */
#include "module_files.h"

#include "attend/plugin.h"
#include "base/dynlib.h"
#include "base/folder.h"
#include "base/memory.h"
#include "builtin.h"
#include "error.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- folders -------------------------------------------------------------------------------- */

static char *own_folder(void) {
    char *library = attend__dynlib_folder((attend__function *)attend__module_files);
#ifdef ATTEND__LIBRARIES_FROM_PROGRAM
    /* a static library lies in a program: the modules lie where the shared one would */
    char *program = library;
    library = program ? attend__path_join(program, ATTEND__LIBRARIES_FROM_PROGRAM) : NULL;
    free(program);
#endif
    char *attend = library ? attend__path_join(library, "attend") : NULL;
    char abi[16];
    snprintf(abi, sizeof abi, "%u", ATTEND_PLUGIN_ABI);
    char *folder = attend ? attend__path_join(attend, abi) : NULL;
    free(library);
    free(attend);
    return folder;
}

/* A relative folder would let the working directory choose the code that runs. */
static char *absolute_part(const char *text, size_t length) {
    char *part = attend__string_part(text, length);
    char *real =
        part && (part[0] == '/' || (length > 2 && part[1] == ':')) ? attend__path_real(part) : NULL;
    free(part);
    return real;
}

char **attend__module_folders(const attend__settings *settings) {
    const char *path = settings->values[ATTEND__SETTING_PLUGIN_PATH];
    size_t most = 3, count = 0;
    for (const char *c = path; c && *c; c++)
        most += *c == ATTEND__PATH_SEPARATOR;
    char **folders = calloc(most, sizeof *folders);
    if (!folders) return NULL;
    folders[count] = own_folder();
    if (folders[count]) count++;
    while (path && *path) {
        const char separator[] = {ATTEND__PATH_SEPARATOR, 0};
        const size_t length = strcspn(path, separator);
        char *folder = length ? absolute_part(path, length) : NULL;
        if (folder)
            folders[count++] = folder;
        else if (length)
            attend__log(settings, ATTEND_LOG_WARNING, "config",
                        "plugin path: \"%.*s\" is not the absolute path of a folder", (int)length,
                        path);
        path += length + (path[length] != 0);
    }
    return folders;
}

void attend__module_folders_release(char **folders) {
    for (size_t i = 0; folders && folders[i]; i++)
        free(folders[i]);
    free(folders);
}

char *attend__module_folders_find(const attend__settings *settings, const char *file) {
    char **folders = attend__module_folders(settings);
    char *found = NULL;
    for (size_t i = 0; folders && folders[i] && !found; i++) {
        char *path = attend__path_join(folders[i], file);
        if (path && attend__file_look(path).exists)
            found = path;
        else
            free(path);
    }
    attend__module_folders_release(folders);
    return found;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* "attend-NAME.so" -> NAME as a new string; NULL for other files. */
static char *module_name(const char *file) {
    const size_t length = strlen(file), prefix = strlen("attend-"),
                 suffix = strlen(ATTEND__DYNLIB_SUFFIX);
    if (length <= prefix + suffix || strncmp(file, "attend-", prefix) != 0 ||
        strcmp(file + length - suffix, ATTEND__DYNLIB_SUFFIX) != 0)
        return NULL;
    return attend__string_part(file + prefix, length - prefix - suffix);
}

static const char *const builtin_names[] = {
#define ATTEND_X(backend) #backend,
    ATTEND__BUILTIN_LIST(ATTEND_X)
#undef ATTEND_X
};

typedef struct list {
    attend__module_file *items;
    size_t count, room;
} list;

static const char *earlier(const list *l, const char *name) {
    for (size_t i = 0; i < sizeof builtin_names / sizeof *builtin_names; i++)
        if (!strcmp(builtin_names[i], name)) return "";
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i].name, name)) return l->items[i].path;
    return NULL;
}

/* Takes both strings; false if there is no memory. */
static bool append(list *l, char *name, char *path) {
    if (l->count == l->room) {
        const size_t room = l->room ? 2 * l->room : 8;
        attend__module_file *items = realloc(l->items, room * sizeof *items);
        if (!items) {
            free(name);
            free(path);
            return false;
        }
        l->items = items;
        l->room = room;
    }
    const char *hidden_by = earlier(l, name);
    l->items[l->count++] = (attend__module_file){name, path, hidden_by};
    return true;
}

static void append_folder(list *l, const char *folder) {
    char **files;
    size_t count;
    if (!attend__folder_list(folder, &files, &count)) return;
    for (size_t i = 0; i < count; i++) {
        char *name = module_name(files[i]);
        char *path = name ? attend__path_join(folder, files[i]) : NULL;
        if (!path)
            free(name);
        else if (!append(l, name, path))
            break;
    }
    attend__folder_release(files, count);
}

attend__module_file *attend__module_files(const attend__settings *settings, size_t *count) {
    list l = {0};
    char **folders = attend__module_folders(settings);
    for (size_t i = 0; folders && folders[i]; i++)
        append_folder(&l, folders[i]);
    attend__module_folders_release(folders);
    *count = l.count;
    return l.items;
}

void attend__module_files_release(attend__module_file *files, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(files[i].name);
        free(files[i].path);
    }
    free(files);
}

void attend__module_hidden_text(const attend__module_file *file, char *text, size_t bytes) {
    snprintf(text, bytes, "not loaded: %s has this name already",
             *file->hidden_by ? file->hidden_by : "a built-in backend");
}

/* Who can write the folder can put another file in this one's place. */
static bool folder_writable_by_others(const char *path) {
    const char *end = strrchr(path, ATTEND__FOLDER_SEPARATOR[0]);
    char *folder = end && end > path ? attend__string_part(path, (size_t)(end - path)) : NULL;
    const bool writable = !folder || attend__file_look(folder).writable_by_others;
    free(folder);
    return writable;
}

attend_status attend__module_file_check(const char *path) {
    const attend__file_facts facts = attend__file_look(path);
    if (!facts.exists)
        return attend__fail(ATTEND_NOT_FOUND, "a link to a file that does not exist");
    if (!facts.regular) return attend__fail(ATTEND_INCOMPATIBLE, "not a file");
    if (facts.bytes == 0) return attend__fail(ATTEND_INCOMPATIBLE, "the file is empty");
    if (facts.writable_by_others)
        return attend__fail(ATTEND_DENIED, "every user could have written this file");
    if (folder_writable_by_others(path))
        return attend__fail(ATTEND_DENIED, "every user could have put this file into its folder");
    return ATTEND_OK;
}
