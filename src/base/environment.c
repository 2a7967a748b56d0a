/* SPDX-License-Identifier: Apache-2.0
 *
 * environment.h. "Elevated" is what the kernel says at program start (AT_SECURE) where it can be
 * had, otherwise different real and effective ids. On Windows rights are not inherited by way of
 * the file, and an administrator's shell passes its own variables on purpose: nothing is refused
 * there. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* environ, and issetugid on BSD systems */
#endif
#include "base/environment.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
static bool elevated(void) {
    return false;
}
#define variables _environ
#elif defined(__linux__)
#include <sys/auxv.h>
#include <unistd.h>
static bool elevated(void) {
    return getauxval(AT_SECURE) != 0;
}
#define variables environ
#else
#include <unistd.h>
extern char **environ;
static bool elevated(void) {
    return getuid() != geteuid() || getgid() != getegid();
}
#define variables environ
#endif

const char *attend__environment_get(const char *name) {
    const char *value = elevated() ? NULL : getenv(name);
    return value == NULL || value[0] == 0 ? NULL : value;
}

void attend__environment_visit(const char *prefix,
                               void (*visit)(void *argument, const char *name, size_t length),
                               void *argument) {
    if (elevated() || variables == NULL) return;
    const size_t length = strlen(prefix);
    for (char **entry = variables; *entry != NULL; entry++)
        if (strncmp(*entry, prefix, length) == 0) visit(argument, *entry, strcspn(*entry, "="));
}
