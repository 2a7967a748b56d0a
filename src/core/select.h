/* SPDX-License-Identifier: Apache-2.0
 *
 * Which backend and device a context opens, and why. */
#ifndef ATTEND_CORE_SELECT_H
#define ATTEND_CORE_SELECT_H

#include "registry.h"

typedef struct attend__choice {
    attend__module *module;
    uint32_t device;        /* index within the module */
    attend_device_info info;
    char reason[160];
    char refused[1024]; /* "name: why" a line, for the names of a list that were passed over */
} attend__choice;

/* NOT_FOUND, AMBIGUOUS and the modules' own refusals, each with the candidates. */
attend_status attend__select(const attend__settings *settings, attend__choice *choice);

#endif
