/* SPDX-License-Identifier: Apache-2.0
 *
 * The slots of cpu_workspace.h. Who finds no free slot raises `waiting`, looks again and sleeps,
 * all under the lock; who gives one back frees it before it reads `waiting`. Both in one order for
 * all threads, so one of the two sees the other. */
#include "cpu_workspace.h"

#include <string.h>

attend_status attend__cpu_workspace_create(attend__cpu_workspace *workspace,
                                           const attend_host *host, int32_t slots) {
    memset(workspace, 0, sizeof *workspace);
    const size_t bytes = (size_t)slots * sizeof *workspace->slots;
    attend__cpu_slot *const memory = host->allocate(host->self, bytes, sizeof(void *));
    if (memory == NULL) return ATTEND_OUT_OF_MEMORY;
    memset(memory, 0, bytes);
    for (int32_t i = 0; i < slots; i++)
        atomic_init(&memory[i].taken, false);
    atomic_init(&workspace->waiting, 0);
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

static bool claim(attend__cpu_slot *slot) {
    return !atomic_load(&slot->taken) && !atomic_exchange(&slot->taken, true);
}

static void wake_waiting(attend__cpu_workspace *workspace) {
    if (atomic_load(&workspace->waiting) == 0) return;
    attend__mutex_lock(&workspace->lock);
    attend__condition_wake_all(&workspace->given_back);
    attend__mutex_unlock(&workspace->lock);
}

static void claim_waiting(attend__cpu_workspace *workspace, attend__cpu_slot *slot) {
    attend__mutex_lock(&workspace->lock);
    atomic_fetch_add(&workspace->waiting, 1);
    while (atomic_exchange(&slot->taken, true))
        attend__condition_wait(&workspace->given_back, &workspace->lock);
    atomic_fetch_sub(&workspace->waiting, 1);
    attend__mutex_unlock(&workspace->lock);
}

attend_status attend__cpu_workspace_reserve(attend__cpu_workspace *workspace,
                                            const attend_host *host, size_t bytes) {
    attend_status status = ATTEND_OK;
    for (int32_t i = 0; i < workspace->count && status == ATTEND_OK; i++) {
        attend__cpu_slot *const slot = &workspace->slots[i];
        claim_waiting(workspace, slot);
        /* The larger memory first: a failure leaves the slot as it was. */
        void *memory = NULL;
        if (slot->bytes < bytes) {
            memory = host->allocate(host->self, bytes, ATTEND__CPU_ALIGNMENT);
            if (memory == NULL) status = ATTEND_OUT_OF_MEMORY;
        }
        if (memory != NULL) {
            host->release(host->self, slot->memory);
            slot->memory = memory;
            slot->bytes = bytes;
        }
        atomic_store(&slot->taken, false);
        wake_waiting(workspace);
    }
    return status;
}

/* Up to *count free slots; -1 where there is none. */
static int32_t take_free(attend__cpu_workspace *workspace, int32_t *count) {
    const int32_t wanted = *count;
    int32_t first = -1, taken = 0;
    for (int32_t i = 0; i < workspace->count && taken < wanted; i++) {
        attend__cpu_slot *const slot = &workspace->slots[i];
        if (!claim(slot)) continue;
        slot->next = first;
        first = i;
        taken++;
    }
    if (taken > 0) *count = taken;
    return first;
}

int32_t attend__cpu_workspace_take(attend__cpu_workspace *workspace, int32_t *count) {
    int32_t first = take_free(workspace, count);
    if (first >= 0) return first;
    attend__mutex_lock(&workspace->lock);
    atomic_fetch_add(&workspace->waiting, 1);
    while ((first = take_free(workspace, count)) < 0)
        attend__condition_wait(&workspace->given_back, &workspace->lock);
    atomic_fetch_sub(&workspace->waiting, 1);
    attend__mutex_unlock(&workspace->lock);
    return first;
}

void attend__cpu_workspace_give_back(attend__cpu_workspace *workspace, int32_t first) {
    while (first >= 0) {
        attend__cpu_slot *const slot = &workspace->slots[first];
        first = slot->next; /* another run may take it at once */
        atomic_store(&slot->taken, false);
    }
    wake_waiting(workspace);
}
