/* SPDX-License-Identifier: Apache-2.0
 *
 * Scratch memory of a device: a fixed number of slots, made large enough when a plan is made and
 * never touched by the allocator while something runs. A run takes as many slots as it has workers;
 * it waits only when all are taken, and takes no lock otherwise: threads that run plans at once
 * meet in a few atomic flags. */
#ifndef ATTEND_CPU_WORKSPACE_H
#define ATTEND_CPU_WORKSPACE_H

#include "attend/plugin.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <stdbool.h>

enum { ATTEND__CPU_ALIGNMENT = 64 };

typedef struct attend__cpu_slot {
    void *memory;
    size_t bytes;
    int32_t next; /* of the same run; -1 ends its list */
    atomic_bool taken;
} attend__cpu_slot;

typedef struct attend__cpu_workspace {
    attend__mutex lock; /* for those who wait */
    attend__condition given_back;
    atomic_int waiting;
    attend__cpu_slot *slots;
    int32_t count;
} attend__cpu_workspace;

attend_status attend__cpu_workspace_create(attend__cpu_workspace *workspace,
                                           const attend_host *host, int32_t slots);
/* Allowed on a zeroed workspace. */
void attend__cpu_workspace_destroy(attend__cpu_workspace *workspace, const attend_host *host);

/* Makes every slot at least `bytes` large, waiting for those in use. */
attend_status attend__cpu_workspace_reserve(attend__cpu_workspace *workspace,
                                            const attend_host *host, size_t bytes);

/* Takes at least 1 and at most *count slots, *count says how many; returns the first, `next` leads
 * to the others. Waits while every slot is taken. */
int32_t attend__cpu_workspace_take(attend__cpu_workspace *workspace, int32_t *count);
/* Gives back a whole list. */
void attend__cpu_workspace_give_back(attend__cpu_workspace *workspace, int32_t first);

#endif
