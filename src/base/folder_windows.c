/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.h on Windows. Who may write is a question for access lists there; it is not asked. */
#include "base/folder.h"
#include "base/folder_step.h"

#include <stdlib.h>
#include <windows.h>

struct attend__folder_step {
    HANDLE search;
    WIN32_FIND_DATAA data;
    char name[MAX_PATH];
    BOOL more;
};

attend__folder_step *attend__folder_open(const char *path) {
    char *pattern = attend__path_join(path, "*");
    attend__folder_step *step = pattern == NULL ? NULL : calloc(1, sizeof *step);
    if (step != NULL) {
        step->search = FindFirstFileA(pattern, &step->data);
        step->more = step->search != INVALID_HANDLE_VALUE;
        if (!step->more) {
            free(step);
            step = NULL;
        }
    }
    free(pattern);
    return step;
}

const char *attend__folder_next(attend__folder_step *step) {
    if (!step->more) return NULL;
    memcpy(step->name, step->data.cFileName, sizeof step->name);
    step->name[sizeof step->name - 1] = 0;
    step->more = FindNextFileA(step->search, &step->data);
    return step->name;
}

void attend__folder_close(attend__folder_step *step) {
    (void)FindClose(step->search);
    free(step);
}

attend__file_facts attend__file_look(const char *path) {
    attend__file_facts facts = {0};
    WIN32_FILE_ATTRIBUTE_DATA info;
    if (!GetFileAttributesExA(path, GetFileExInfoStandard, &info)) return facts;
    facts.exists = true;
    facts.folder = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    facts.regular = !facts.folder;
    facts.bytes = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    facts.changed = (int64_t)((uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 |
                              info.ftLastWriteTime.dwLowDateTime);
    return facts;
}

char *attend__path_real(const char *path) {
    return _fullpath(NULL, path, 0);
}
