/* SPDX-License-Identifier: Apache-2.0
 *
 * Which backend and device a context opens, and why. */
#ifndef ATTEND_CORE_SELECT_H
#define ATTEND_CORE_SELECT_H

#include "registry.h"

/* On one device "auto" takes the first of these that can have it, then any other module. */
#define ATTEND__AUTO_ORDER "opencl", "clblast"

typedef struct attend__choice {
    attend__module *module;
    uint32_t device; /* index within the module */
    attend_device_info info;
    char reason[160];
    char refused[1024]; /* "name: why" a line, for what was passed over */
} attend__choice;

/* Opens what was chosen; a refusal is a reason to go on to the next name of a list. */
typedef attend_status attend__open_fn(void *argument, const attend__choice *choice);

/* NOT_FOUND, AMBIGUOUS and the refusals of modules and of `open`, each with the candidates. */
attend_status attend__select(const attend__settings *settings, attend__open_fn *open,
                             void *argument, attend__choice *choice);

/* The next name of a list of backends, without blanks around it; "" where two commas meet. Returns
 * what is behind it. */
const char *attend__next_name(const char *text, char *name, size_t bytes);

/* ---- between select.c and select_auto.c ---- */

/* Whether a device may be chosen at all; NULL in place of it: any may. */
typedef bool attend__allow_fn(const void *argument, const attend_device_info *info);

/* Chooses among the module's devices by ATTEND_DEVICE. */
attend_status attend__select_device(const attend__settings *settings, attend__allow_fn *allow,
                                    const void *argument, attend__choice *choice);
/* choice->reason: who asked, then `more`. */
void attend__select_reason(const attend__settings *settings, const char *more,
                           attend__choice *choice);
/* Adds a line to choice->refused. */
void attend__select_refuse(attend__choice *choice, const char *text);

/* A discrete GPU, else an integrated one, that a stored verdict calls good, opened; else NO_DEVICE,
 * and choice->refused says why. */
attend_status attend__select_gpu(const attend__settings *settings, attend__open_fn *open,
                                 void *argument, attend__choice *choice);

#endif
