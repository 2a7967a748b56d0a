/* SPDX-License-Identifier: Apache-2.0
 *
 * Work of a run, shared out: each worker takes the next task from one atomic counter until there is
 * none left, so that tasks of unequal length balance. Which worker does a task never changes its
 * result. */
#include "cpu_backend.h"

#include <stdatomic.h>

/* Below this many multiplications waking a second thread costs more than it saves: about 5 us of
 * one core. */
static const double parallel_from = 400e3;

typedef struct crew {
    const attend__cpu_work *work;
    const attend__cpu_slot *slots; /* NULL: scratch lies in `memory` */
    char *memory;
    size_t scratch_bytes;
    int32_t first_slot;
    atomic_llong next;
} crew;

static void *scratch_of(const crew *c, int32_t worker) {
    if (c->slots == NULL)
        return c->memory == NULL ? NULL : c->memory + (size_t)worker * c->scratch_bytes;
    int32_t slot = c->first_slot;
    for (int32_t i = 0; i < worker; i++)
        slot = c->slots[slot].next;
    return c->slots[slot].memory;
}

static void labour(void *argument, int32_t worker) {
    crew *const c = argument;
    void *const scratch = scratch_of(c, worker);
    for (;;) {
        const long long index = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (index >= c->work->count) return;
        c->work->task(c->work->argument, index, scratch);
    }
}

static bool is_given(const attend_tensor *workspace) {
    return workspace != NULL && workspace->type != ATTEND_NO_TYPE;
}

void *attend__cpu_shared_take(attend_device *device, const attend_device_plan *plan,
                              const attend_tensor *workspace, int32_t *slot) {
    *slot = -1;
    if (plan->shared_bytes == 0) return NULL;
    if (is_given(workspace)) /* after the workers' */
        return (char *)workspace->data + workspace->offset +
               plan->scratch_bytes * (size_t)device->threads;
    int32_t one = 1;
    *slot = attend__cpu_workspace_take(&device->shared, &one);
    return device->shared.slots[*slot].memory;
}

void attend__cpu_shared_give_back(attend_device *device, int32_t slot) {
    if (slot >= 0) attend__cpu_workspace_give_back(&device->shared, slot);
}

int32_t attend__cpu_workers(const attend_device *device, const attend__cpu_work *work) {
    const int32_t workers = work->work < parallel_from ? 1 : device->threads;
    return workers < work->count ? workers : (int32_t)work->count;
}

void attend__cpu_tasks(attend_device *device, const attend_device_plan *plan,
                       const attend__cpu_work *work) {
    const attend_tensor *const workspace = work->workspace;
    const bool given = is_given(workspace);
    int32_t workers = attend__cpu_workers(device, work);
    if (workers < 1) return;

    crew c = {work, NULL, NULL, plan->scratch_bytes, -1, 0};
    if (given) {
        c.memory = (char *)workspace->data + workspace->offset;
    } else if (plan->scratch_bytes > 0) {
        c.first_slot = attend__cpu_workspace_take(&device->workspace, &workers);
        c.slots = device->workspace.slots;
    }
    if (workers == 1)
        labour(&c, 0);
    else
        device->host.parallel(device->host.self, workers, labour, &c);
    if (c.slots != NULL) attend__cpu_workspace_give_back(&device->workspace, c.first_slot);
}
