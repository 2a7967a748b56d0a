/* SPDX-License-Identifier: Apache-2.0
 *
 * dynlib.h with dlopen. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include "base/dynlib.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *attend__dynlib_open(const char *path, char *error, size_t error_bytes) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *text = dlerror();
        (void)snprintf(error, error_bytes, "%s", text == NULL ? "unknown fault" : text);
    }
    return library;
}

attend__function *attend__dynlib_symbol(void *library, const char *name) {
    void *symbol = dlsym(library, name);
    attend__function *function = NULL;
    memcpy(&function, &symbol, sizeof function); /* POSIX promises one size for both */
    return function;
}

char *attend__dynlib_folder(attend__function *address) {
    void *symbol = NULL;
    memcpy(&symbol, &address, sizeof symbol);
    Dl_info info;
    if (dladdr(symbol, &info) == 0 || info.dli_fname == NULL) return NULL;
    char *path = realpath(info.dli_fname, NULL);
    if (path == NULL) return NULL;
    char *slash = strrchr(path, '/');
    if (slash != NULL) slash[slash == path] = 0;
    return path;
}
