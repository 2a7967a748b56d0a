/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels compiled by the plan, not by its first run. PoCL compiles a kernel when it is first
 * launched, once for each work-group size, for offsets of 0 and others, and for grids narrower than
 * 65535 work-items and others (PoCL 3.1, lib/CL/pocl_cache.c). So a plan has each of its kernels
 * launched once with nothing to do: it records a description without samples or rows, which every
 * kernel leaves at once, before it touches memory. */
#include "ocl_rehearse.h"

#include "ocl_event.h"

#include "attend/attend.h"

#include <string.h>

/* PoCL takes wider grids as another kind; dimension 2 is not looked at. */
enum { NARROW = 65535 };

/* ---- launches -------------------------------------------------------------------------------- */

void attend__ocl_rehearse_launch(ocl_launch *launch, const size_t groups[3],
                                 const size_t local[3]) {
    ocl_run *const run = launch->run;
    const unsigned bit = 1u << launch->number;
    if (run->purpose == OCL_SIZES) {
        for (int i = 0; i < 2; i++)
            if (groups[i] * local[i] >= NARROW) run->plan->wide |= bit;
        return;
    }
    const size_t wide[3] = {(NARROW / local[0] + 1) * local[0], local[1], local[2]};
    attend__ocl_command(launch, NULL, local, local);
    if (run->plan->wide & bit) attend__ocl_command(launch, NULL, wide, local);
}

/* ---- descriptions without work --------------------------------------------------------------- */

typedef union any_description {
#define ATTEND_X(name, value, type, text) type name;
    ATTEND_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
} any_description;

/* A tensor [.., N] without rows. */
static void empty(attend_tensor *t) {
    if (t->type == ATTEND_NO_TYPE) return;
    if (t->rank < 2) t->rank = 2;
    memset(t->sizes, 0, sizeof t->sizes);
}

/* Rows of which elements are not neighbours are always packed. */
static void spread(attend_attention *a) {
    a->q.strides[3] = a->v.strides[3] = 2;
}

/* No sample of `rows` query rows each, 0: as many as planned; false if that is more than
 * planned. */
static bool empty_attention(attend_attention *a, int rows) {
    const bool packed = a->cu_query_lengths.type != ATTEND_NO_TYPE;
    int64_t *const planned = packed ? &a->max_query_length : &a->q.sizes[2];
    if (rows > *planned) return false;
    if (rows > 0) *planned = rows;
    if (packed) a->cu_query_lengths.sizes[0] = 1;
    a->q.sizes[0] = 0;
    spread(a);
    return true;
}

/* Neither samples nor rows nor keys; heads stay, since kernels divide by them. */
static void empty_step(attend_attention *a) {
    attend_tensor *const tensors[] = {&a->q, &a->k, &a->v, &a->scores, &a->weights, &a->out};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        tensors[i]->sizes[0] = tensors[i]->sizes[2] = 0;
    a->scores.sizes[3] = a->weights.sizes[3] = 0;
    spread(a);
    a->max_query_length = a->max_key_length = 0;
    if (a->cu_query_lengths.type != ATTEND_NO_TYPE) a->cu_query_lengths.sizes[0] = 1;
}

static void empty_other(attend_operation operation, any_description *d) {
    switch ((int)operation) {
    case ATTEND_OP_PROJECT:
        empty(&d->PROJECT.x);
        empty(&d->PROJECT.out);
        d->PROJECT.w.sizes[0] = 0;
        break;
    case ATTEND_OP_COPY:
        empty(&d->COPY.x);
        empty(&d->COPY.out);
        break;
    case ATTEND_OP_NORM:
        empty(&d->NORM.x);
        break;
    case ATTEND_OP_ACTIVATE:
        empty(&d->ACTIVATE.out);
        break;
    case ATTEND_OP_ROPE:
        d->ROPE.x.sizes[0] = 0;
        break;
    case ATTEND_OP_EMBED:
        empty(&d->EMBED.out);
        break;
    case ATTEND_OP_APPEND:
        d->APPEND.k.sizes[2] = d->APPEND.v.sizes[2] = 0;
        break;
    case ATTEND_OP_MERGE:
        d->MERGE.out.sizes[2] = 0;
        break;
    default:
        break;
    }
}

/* The largest grids, of packing too, which the largest sizes may do without. */
static void record_sizes(ocl_run *run, const void *largest) {
    const attend_device_plan *const plan = run->plan;
    any_description d;
    plan->record(run, largest);
    if (plan->operation > ATTEND_OP_MIX) return;
    memcpy(&d, largest, plan->description_bytes);
    spread(&d.ATTENTION);
    run->scratch_used = 0;
    plan->record(run, &d);
}

/* Every kernel that the plan may launch: attention has others for one token's rows and for few. */
static void record_idle(ocl_run *run, const void *largest) {
    const attend_device_plan *const plan = run->plan;
    any_description d;
    if (plan->operation == ATTEND_OP_ATTENTION) {
        for (int rows = 0; rows <= 2; rows++) {
            memcpy(&d, largest, plan->description_bytes);
            run->scratch_used = 0;
            if (empty_attention(&d.ATTENTION, rows)) plan->record(run, &d);
        }
        return;
    }
    memcpy(&d, largest, plan->description_bytes);
    if (plan->operation <= ATTEND_OP_MIX)
        empty_step(&d.ATTENTION);
    else
        empty_other(plan->operation, &d);
    plan->record(run, &d);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* A queue of its own: the others may wait for what an application has not done yet. */
static attend_status queue_of(const attend_device *device, cl_command_queue *queue) {
    ocl_device *const d = device->shared;
    cl_int error = CL_SUCCESS;
    attend__mutex_lock(&d->build_lock);
    if (d->rehearsals == NULL)
        d->rehearsals = d->cl->clCreateCommandQueue(d->context, d->id, 0, &error);
    *queue = d->rehearsals;
    attend__mutex_unlock(&d->build_lock);
    return error == CL_SUCCESS ? ATTEND_OK
                               : attend__ocl_fail(device->host, error, "clCreateCommandQueue");
}

attend_status attend__ocl_rehearse(attend_device *device, attend_device_plan *plan,
                                   const void *largest) {
    const ocl_device *const shared = device->shared;
    const ocl_api *const cl = device->cl;
    if (!shared->facts.compiles_late || shared->adopted || device->kernels != OCL_CLASS_ROWS)
        return ATTEND_OK;
    ocl_run sizes = {.device = device, .plan = plan, .purpose = OCL_SIZES};
    ocl_run idle = {.device = device, .plan = plan, .purpose = OCL_IDLE};
    attend_status status = queue_of(device, &idle.queue);
    if (status != ATTEND_OK) return status;
    attend__mutex_lock(&device->lock);
    record_sizes(&sizes, largest);
    record_idle(&idle, largest);
    attend__ocl_unlock(device);
    if (idle.last == NULL) return idle.status;
    const cl_int error = cl->clWaitForEvents(1, &idle.last);
    (void)cl->clReleaseEvent(idle.last);
    if (idle.status != ATTEND_OK || error == CL_SUCCESS) return idle.status;
    return attend__ocl_fail(device->host, error, "clWaitForEvents");
}
