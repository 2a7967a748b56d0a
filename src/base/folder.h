/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in a folder, and whether somebody else could have put it there. */
#ifndef ATTEND_BASE_FOLDER_H
#define ATTEND_BASE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define ATTEND__PATH_SEPARATOR ';' /* between the folders of a list */
#define ATTEND__FOLDER_SEPARATOR "\\"
#else
#define ATTEND__PATH_SEPARATOR ':'
#define ATTEND__FOLDER_SEPARATOR "/"
#endif

typedef struct attend__file_facts {
    bool exists, regular, folder;
    bool writable_by_others; /* by users other than owner and group */
    uint64_t bytes;
    int64_t changed; /* when its contents last changed, in seconds; only for comparing */
} attend__file_facts;

/* Follows links. */
attend__file_facts attend__file_look(const char *path);

/* Names (without the folder) in the order of their bytes, to be released with
 * attend__folder_release. false if the folder cannot be read; then *names is NULL and *count 0. */
bool attend__folder_list(const char *path, char ***names, size_t *count);
void attend__folder_release(char **names, size_t count);

/* The one absolute path of a file, without links, to be freed; NULL if it has none. */
char *attend__path_real(const char *path);
/* folder, separator and name as a new string; NULL if there is no memory. */
char *attend__path_join(const char *folder, const char *name);

#endif
