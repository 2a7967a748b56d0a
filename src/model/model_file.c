/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a whole file into memory; see model_file.h. The size comes from the system first, so that
 * memory is taken once, and a folder is told from a file. */
#include "model/model_file.h"

#include "model/model_error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifdef _WIN32
#include <io.h>
typedef struct _stat64 file_facts;
static bool get_facts(FILE *file, file_facts *facts) {
    return _fstat64(_fileno(file), facts) == 0;
}
static bool is_regular(const file_facts *facts) {
    return (facts->st_mode & _S_IFMT) == _S_IFREG;
}
#else
typedef struct stat file_facts;
static bool get_facts(FILE *file, file_facts *facts) {
    return fstat(fileno(file), facts) == 0;
}
static bool is_regular(const file_facts *facts) {
    return S_ISREG(facts->st_mode);
}
#endif

static attend_status read_open(FILE *file, const char *path, unsigned char **bytes, size_t *size) {
    file_facts facts;
    if (!get_facts(file, &facts))
        return attend__model_fail(ATTEND_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (!is_regular(&facts)) return attend__model_fail(ATTEND_IO, "%s: is not a file", path);
    if (facts.st_size < 0 || (uintmax_t)facts.st_size >= SIZE_MAX)
        return attend__model_no_memory(path);

    const size_t wanted = (size_t)facts.st_size;
    unsigned char *const memory = malloc(wanted + 1); /* + 1: an empty file has an address too */
    if (!memory) return attend__model_no_memory(path);
    const size_t got = fread(memory, 1, wanted, file);
    if (got != wanted) {
        free(memory);
        return attend__model_fail(ATTEND_IO, "%s: could be read up to byte %zu of %zu only", path,
                                  got, wanted);
    }
    *bytes = memory;
    *size = wanted;
    return ATTEND_OK;
}

attend_status attend__file_read(const char *path, unsigned char **bytes, size_t *size) {
    *bytes = NULL;
    *size = 0;
    FILE *const file = fopen(path, "rb");
    if (!file)
        return attend__model_fail(ATTEND_IO, "%s: cannot be opened: %s", path, strerror(errno));
    const attend_status status = read_open(file, path, bytes, size);
    fclose(file);
    return status;
}

char *attend__model_path(const char *folder, const char *name) {
    const size_t a = strlen(folder), b = strlen(name);
    char *const path = malloc(a + b + 2);
    if (!path) return NULL;
    memcpy(path, folder, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}
