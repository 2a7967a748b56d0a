/* SPDX-License-Identifier: Apache-2.0
 *
 * Work that waits for the application's user events, kept here in the order of its calls until
 * what it waits for is over. Work of one thread keeps its order even where only the first of it
 * waits for a gate.
 *
 * Work that waits for an event of the application's own is kept, too, while earlier work is: that
 * event may depend on the earlier work, which could not go past it in the queue. OpenCL tells of
 * such an event's end by a callback, in which our lock may be held already, so who waits here
 * looks at it from time to time. */
#include "ocl_event.h"
#include "ocl_run.h"

#include <string.h>

struct ocl_gate {
    ocl_gate *next;
    const void *thread; /* whose work it is */
    attend_device_plan *plan;
    attend_device_event *event;
    size_t wait_count;
    attend_device_event **waits; /* behind the description */
    void *description;           /* behind this structure; small arrays behind the waits */
};

/* An address that only this thread has. */
static const void *this_thread(void) {
    static _Thread_local char here;
    return &here;
}

bool attend__ocl_foreign_open(const attend_device_event *event) {
    return event->imported && !event->complete;
}

bool attend__ocl_gate_of_this_thread(const attend_device *device) {
    for (const ocl_gate *g = device->gates; g != NULL; g = g->next)
        if (g->thread == this_thread()) return true;
    return false;
}

/* ---- the copy of a description --------------------------------------------------------------- */

enum { MOST_SMALL = 8, FEW_WAITS = 16 };

/* The tensors of a description that may lie in host memory. */
static int small_tensors(attend_operation operation, void *description,
                         attend_tensor *list[MOST_SMALL]) {
    int count = 0;
    if (operation <= ATTEND_OP_MIX) {
        attend_attention *const a = description;
        list[count++] = &a->query_offsets;
        list[count++] = &a->query_lengths;
        list[count++] = &a->key_lengths;
        list[count++] = &a->cu_query_lengths;
        list[count++] = &a->cu_key_lengths;
        list[count++] = &a->alibi_slopes;
        list[count++] = &a->sinks;
        list[count++] = &a->page_table;
    } else if (operation == ATTEND_OP_APPEND) {
        attend_append *const a = description;
        list[count++] = &a->counts;
        list[count++] = &a->cu_counts;
        list[count++] = &a->starts;
        list[count++] = &a->page_table;
    } else if (operation == ATTEND_OP_ROPE) {
        attend_rope *const r = description;
        list[count++] = &r->position_ids;
        list[count++] = &r->position_offsets;
    } else if (operation == ATTEND_OP_MERGE) {
        list[count++] = &((attend_merging *)description)->sinks;
    }
    return count;
}

static size_t rounded(size_t bytes) {
    return (bytes + 15) / 16 * 16;
}

/* Bytes from the first to behind the last element. */
static size_t span_bytes(const attend_tensor *t) {
    int64_t last = 0;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->sizes[i] == 0) return 0;
        last += (t->sizes[i] - 1) * t->strides[i];
    }
    return (size_t)(last + 1) * attend__ocl_element_bytes(t->type);
}

static size_t small_bytes(const attend_device_plan *plan, void *description) {
    attend_tensor *list[MOST_SMALL];
    size_t bytes = 0;
    const int count = small_tensors(plan->operation, description, list);
    for (int i = 0; i < count; i++)
        if (list[i]->type != ATTEND_NO_TYPE && list[i]->data) bytes += rounded(span_bytes(list[i]));
    return bytes;
}

static void copy_small(const attend_device_plan *plan, void *description, char *room) {
    attend_tensor *list[MOST_SMALL];
    const int count = small_tensors(plan->operation, description, list);
    for (int i = 0; i < count; i++) {
        attend_tensor *const t = list[i];
        if (t->type == ATTEND_NO_TYPE || t->data == NULL) continue;
        const size_t bytes = span_bytes(t);
        const size_t start = (size_t)t->offset * attend__ocl_element_bytes(t->type);
        memcpy(room, (const char *)t->data + start, bytes);
        t->data = room;
        t->offset = 0;
        room += rounded(bytes);
    }
}

/* ---- keeping and submitting ------------------------------------------------------------------ */

attend_status attend__ocl_gate_add(attend_device *device, attend_device_plan *plan,
                                   const void *description, size_t wait_count,
                                   attend_device_event *const *waits, attend_device_event *event) {
    const size_t head = rounded(sizeof(ocl_gate)), body = rounded(plan->description_bytes);
    const size_t list = rounded(wait_count * sizeof *waits);
    const size_t small = small_bytes(plan, (void *)(uintptr_t)description);
    ocl_gate *const g = device->host->allocate(device->host->self, head + body + list + small, 16);
    if (g == NULL)
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                  "opencl: no memory for work that waits");
    *g =
        (ocl_gate){.thread = this_thread(), .plan = plan, .event = event, .wait_count = wait_count};
    g->description = (char *)g + head;
    g->waits = (attend_device_event **)(void *)((char *)g + head + body);
    memcpy(g->description, description, plan->description_bytes);
    copy_small(plan, g->description, (char *)g + head + body + list);
    for (size_t i = 0; i < wait_count; i++) {
        g->waits[i] = waits[i];
        attend__ocl_event_retain(waits[i]);
    }
    attend__ocl_event_retain(event);
    *device->last_gate = g;
    device->last_gate = &g->next;
    return ATTEND_OK;
}

static bool first_of_its_thread(const attend_device *device, const ocl_gate *gate) {
    const ocl_gate *g = device->gates;
    while (g != gate && g->thread != gate->thread)
        g = g->next;
    return g == gate;
}

/* Whether the work can go on, and how what it waited for ended. */
static bool ready(attend_device *device, const ocl_gate *g, attend_status *waited) {
    *waited = ATTEND_OK;
    for (size_t i = 0; i < g->wait_count; i++) {
        bool pending;
        const attend_status status = attend__ocl_event_look(device, g->waits[i], &pending);
        if (pending || (device->gates != g && attend__ocl_foreign_open(g->waits[i]))) return false;
        if (*waited == ATTEND_OK) *waited = status;
    }
    return first_of_its_thread(device, g);
}

/* Commands of our own queue are in order by themselves; only the application's are passed on. */
static cl_uint foreign_waits(size_t count, attend_device_event *const *waits, cl_event *events) {
    cl_uint used = 0;
    for (size_t i = 0; i < count; i++)
        if (attend__ocl_foreign_open(waits[i])) events[used++] = waits[i]->command;
    return used;
}

attend_status attend__ocl_submit_waiting(attend_device *device, attend_device_plan *plan,
                                         const void *description, size_t wait_count,
                                         attend_device_event *const *waits, cl_event *command) {
    const attend_host *const host = device->host;
    cl_event few[FEW_WAITS], *events = few;
    device->failed_call = "no memory";
    device->failed_error = CL_SUCCESS;
    if (wait_count + 1 > FEW_WAITS)
        events = host->allocate(host->self, (wait_count + 1) * sizeof *events, 16);
    if (events == NULL)
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for %zu waits",
                                  wait_count);
    cl_uint used = foreign_waits(wait_count, waits, events);
    if (device->chained && device->tail) events[used++] = device->tail;
    const attend_status status =
        attend__ocl_submit(device, plan, description, used, events, command);
    if (events != few) host->release(host->self, events);
    return status;
}

static void submit(attend_device *device, ocl_gate *g, attend_status waited) {
    cl_event command = NULL;
    if (waited != ATTEND_OK) {
        attend__ocl_event_dropped(device, g->event, g->wait_count, g->waits, waited);
        return;
    }
    const attend_status status = attend__ocl_submit_waiting(device, g->plan, g->description,
                                                            g->wait_count, g->waits, &command);
    if (status != ATTEND_OK) attend__ocl_event_refused(device, g->event);
    if (command)
        attend__ocl_event_submitted(device, g->event, command, status);
    else
        attend__ocl_event_ended(device, g->event, status);
}

static void take_out(attend_device *device, ocl_gate **link) {
    ocl_gate *const g = *link;
    *link = g->next;
    if (device->last_gate == &g->next) device->last_gate = link;
}

static void release(attend_device *device, ocl_gate *g) {
    for (size_t i = 0; i < g->wait_count; i++)
        attend__ocl_event_release(device, g->waits[i]);
    attend__ocl_event_release(device, g->event);
    device->host->release(device->host->self, g);
}

void attend__ocl_gates_open(attend_device *device) {
    bool changed = true;
    while (changed) {
        changed = false;
        for (ocl_gate **link = &device->gates; *link != NULL;) {
            ocl_gate *const g = *link;
            attend_status waited;
            if (!ready(device, g, &waited)) {
                link = &g->next;
                continue;
            }
            submit(device, g, waited);
            take_out(device, link);
            release(device, g);
            changed = true;
        }
    }
    attend__condition_wake_all(&device->changed);
}

/* Whether only looking can tell that a kept work can go on. */
static bool must_look(const attend_device *device) {
    for (const ocl_gate *g = device->gates; g != NULL; g = g->next)
        for (size_t i = 0; i < g->wait_count; i++)
            if (g->waits[i]->imported) return true;
    return false;
}

void attend__ocl_gates_look(attend_device *device) {
    if (must_look(device)) attend__ocl_gates_open(device);
}

void attend__ocl_gates_change(attend_device *device, int64_t nanoseconds) {
    enum { PAUSE = 1000000 };
    const bool look = must_look(device);
    if (look && (nanoseconds < 0 || nanoseconds > PAUSE)) nanoseconds = PAUSE;
    (void)attend__condition_wait_for(&device->changed, &device->lock, nanoseconds);
    if (look) attend__ocl_gates_open(device);
    if (device->followers == NULL) return;
    attend__ocl_unlock(device);
    attend__mutex_lock(&device->lock);
}

void attend__ocl_gates_wait(attend_device *device) {
    while (device->gates != NULL)
        attend__ocl_gates_change(device, -1);
}

/* Tensors of a description hold their buffers' addresses as they are: the same bytes anywhere else
 * cost a wait and no more. */
static bool may_use(const ocl_gate *g, const attend_device_buffer *buffer) {
    if (buffer->imported) return true;
    for (size_t at = 0; at + sizeof buffer <= g->plan->description_bytes; at += sizeof buffer)
        if (memcmp((const char *)g->description + at, &buffer, sizeof buffer) == 0) return true;
    return false;
}

void attend__ocl_gates_wait_for(attend_device *device, const attend_device_buffer *buffer) {
    for (const ocl_gate *g = device->gates; g != NULL;) {
        const bool waits = may_use(g, buffer);
        if (waits) attend__ocl_gates_change(device, -1);
        g = waits ? device->gates : g->next; /* after a wait the list is another */
    }
}
