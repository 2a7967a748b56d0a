/* SPDX-License-Identifier: Apache-2.0
 *
 * dynlib.h on Windows. A module's own dependencies are searched in its folder and the system's
 * only. */
#include "base/dynlib.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

void *attend__dynlib_open(const char *path, char *error, size_t error_bytes) {
    HMODULE library =
        LoadLibraryExA(path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    if (library == NULL)
        (void)snprintf(error, error_bytes, "%s: Windows error %lu", path, GetLastError());
    return (void *)library;
}

attend__function *attend__dynlib_symbol(void *library, const char *name) {
    return (attend__function *)GetProcAddress((HMODULE)library, name);
}

char *attend__dynlib_folder(attend__function *address) {
    HMODULE library = NULL;
    if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
                                GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
                            (const char *)address, &library))
        return NULL;
    char path[MAX_PATH + 1];
    const DWORD length = GetModuleFileNameA(library, path, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) return NULL;
    path[length] = 0;
    char *slash = strrchr(path, '\\');
    if (slash != NULL) *slash = 0;
    return _strdup(path);
}
