/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h on Windows, where a user's own folders (LOCALAPPDATA) are closed to others by access
 * lists that new files inherit. */
#include "base/file.h"

#include "base/folder.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

void *attend__file_load(const char *path, size_t most, size_t *bytes) {
    *bytes = 0;
    const attend__file_facts facts = attend__file_look(path);
    if (!facts.regular || facts.bytes > most || facts.bytes >= SIZE_MAX) return NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    const size_t size = (size_t)facts.bytes;
    char *data = malloc(size + 1);
    if (data && fread(data, 1, size, file) == size) {
        data[size] = 0;
        *bytes = size;
    } else {
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

bool attend__file_write_atomic(const char *path, const void *data, size_t bytes) {
    const size_t room = strlen(path) + 48;
    char *temporary = malloc(room);
    if (!temporary) return false;
    (void)snprintf(temporary, room, "%s.%lu-%lu", path, GetCurrentProcessId(),
                   GetCurrentThreadId());
    FILE *file = fopen(temporary, "wb");
    bool done = file != NULL;
    if (file) {
        done = fwrite(data, 1, bytes, file) == bytes;
        done = fclose(file) == 0 && done;
        done = done && MoveFileExA(temporary, path, MOVEFILE_REPLACE_EXISTING);
        if (!done) (void)DeleteFileA(temporary);
    }
    free(temporary);
    return done;
}

bool attend__folder_make(const char *path) {
    return CreateDirectoryA(path, NULL) || attend__file_look(path).folder;
}
