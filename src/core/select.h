/* SPDX-License-Identifier: Apache-2.0
 *
 * Which backend and device a context opens, and why. */
#ifndef ATTEND_CORE_SELECT_H
#define ATTEND_CORE_SELECT_H

#include "registry.h"

typedef struct attend__choice {
    attend__module *module;
    uint32_t device; /* index within the module */
    attend_device_info info;
    char reason[160];
    char refused[1024]; /* "name: why" a line, for the names of a list that were passed over */
} attend__choice;

/* Opens what was chosen; a refusal is a reason to go on to the next name of a list. */
typedef attend_status attend__open_fn(void *argument, const attend__choice *choice);

/* NOT_FOUND, AMBIGUOUS and the refusals of modules and of `open`, each with the candidates. */
attend_status attend__select(const attend__settings *settings, attend__open_fn *open,
                             void *argument, attend__choice *choice);

#endif
