/* SPDX-License-Identifier: Apache-2.0
 *
 * Where modules lie and which there are, found without loading one. */
#ifndef ATTEND_CORE_MODULE_FILES_H
#define ATTEND_CORE_MODULE_FILES_H

#include "config.h"

typedef struct attend__module_file {
    char *name;            /* of the backend, as the file name says it */
    char *path;            /* absolute */
    const char *hidden_by; /* not NULL: never loaded, for this earlier file ("": a built-in backend)
                              has its name */
} attend__module_file;

/* The files named attend-NAME.so in the module folders: folders in order, files by name. NULL and
 * 0 if there is none or no memory. */
attend__module_file *attend__module_files(const attend__settings *settings, size_t *count);
void attend__module_files_release(attend__module_file *files, size_t count);
/* The sentence for a file with `hidden_by`. */
void attend__module_hidden_text(const attend__module_file *file, char *text, size_t bytes);

/* The module folders of the settings, in order, NULL after the last: the library's own, then those
 * of ATTEND_PLUGIN_PATH. The caller releases them. */
char **attend__module_folders(const attend__settings *settings);
void attend__module_folders_release(char **folders);
/* The path of the first file of that name in them, for free(); NULL if there is none. */
char *attend__module_folders_find(const attend__settings *settings, const char *file);

/* Whether code of this file may run here: it is one, and not every user could have written it. */
attend_status attend__module_file_check(const char *path);

#endif
