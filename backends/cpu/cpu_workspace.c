/* SPDX-License-Identifier: Apache-2.0
 *
 * The slots of cpu_workspace.h: a small array under one lock. */
#include "cpu_workspace.h"

#include <string.h>

attend_status attend__cpu_workspace_create(attend__cpu_workspace *workspace,
                                           const attend_host *host, int32_t slots) {
    memset(workspace, 0, sizeof *workspace);
    const size_t bytes = (size_t)slots * sizeof *workspace->slots;
    attend__cpu_slot *const memory = host->allocate(host->self, bytes, sizeof(void *));
    if (memory == NULL) return ATTEND_OUT_OF_MEMORY;
    memset(memory, 0, bytes);
    if (!attend__mutex_create(&workspace->lock)) goto no_lock;
    if (!attend__condition_create(&workspace->given_back)) goto no_condition;
    workspace->slots = memory;
    workspace->count = slots;
    return ATTEND_OK;
no_condition:
    attend__mutex_destroy(&workspace->lock);
no_lock:
    host->release(host->self, memory);
    return ATTEND_OUT_OF_MEMORY;
}

void attend__cpu_workspace_destroy(attend__cpu_workspace *workspace, const attend_host *host) {
    if (workspace->slots == NULL) return;
    for (int32_t i = 0; i < workspace->count; i++)
        host->release(host->self, workspace->slots[i].memory);
    host->release(host->self, workspace->slots);
    attend__condition_destroy(&workspace->given_back);
    attend__mutex_destroy(&workspace->lock);
    memset(workspace, 0, sizeof *workspace);
}

attend_status attend__cpu_workspace_reserve(attend__cpu_workspace *workspace,
                                            const attend_host *host, size_t bytes) {
    attend_status status = ATTEND_OK;
    attend__mutex_lock(&workspace->lock);
    for (int32_t i = 0; i < workspace->count && status == ATTEND_OK; i++) {
        attend__cpu_slot *const slot = &workspace->slots[i];
        while (slot->taken && slot->bytes < bytes)
            attend__condition_wait(&workspace->given_back, &workspace->lock);
        if (slot->bytes >= bytes) continue;
        /* The larger memory first: a failure leaves the slot as it was. */
        void *const memory = host->allocate(host->self, bytes, ATTEND__CPU_ALIGNMENT);
        if (memory == NULL) {
            status = ATTEND_OUT_OF_MEMORY;
            break;
        }
        host->release(host->self, slot->memory);
        slot->memory = memory;
        slot->bytes = bytes;
    }
    attend__mutex_unlock(&workspace->lock);
    return status;
}

int32_t attend__cpu_workspace_take(attend__cpu_workspace *workspace, int32_t *count) {
    const int32_t wanted = *count;
    int32_t first = -1, taken = 0;
    attend__mutex_lock(&workspace->lock);
    while (taken == 0) {
        for (int32_t i = 0; i < workspace->count && taken < wanted; i++) {
            attend__cpu_slot *const slot = &workspace->slots[i];
            if (slot->taken) continue;
            slot->taken = true;
            slot->next = first;
            first = i;
            taken++;
        }
        if (taken == 0) attend__condition_wait(&workspace->given_back, &workspace->lock);
    }
    attend__mutex_unlock(&workspace->lock);
    *count = taken;
    return first;
}

void attend__cpu_workspace_give_back(attend__cpu_workspace *workspace, int32_t first) {
    attend__mutex_lock(&workspace->lock);
    for (int32_t i = first; i >= 0; i = workspace->slots[i].next)
        workspace->slots[i].taken = false;
    attend__condition_wake_all(&workspace->given_back);
    attend__mutex_unlock(&workspace->lock);
}
