/* SPDX-License-Identifier: Apache-2.0
 *
 * The one way this library reads the environment. In a process that runs with more rights than its
 * user (set-user-ID, capabilities) the environment is the user's word, not the program's: there
 * every variable reads as unset. */
#ifndef ATTEND_BASE_ENVIRONMENT_H
#define ATTEND_BASE_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

/* NULL when unset, empty, or in an elevated process. Valid until the environment changes. */
const char *attend__environment_get(const char *name);

/* Calls visit with the name (not terminated: `length` bytes) of each variable that starts with
 * `prefix`. */
void attend__environment_visit(const char *prefix,
                               void (*visit)(void *argument, const char *name, size_t length),
                               void *argument);

#endif
