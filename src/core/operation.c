/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole way of a public call of one operation: copy of the description, checks, plan, launch,
 * decision record. */
#include "error.h"
#include "launch_device.h"
#include "plan_cache.h"
#include "prepared.h"

#include <string.h>

/* What an operation needs until it has ended. On the stack while running; on the heap, counted,
 * once enqueued. */
typedef struct held {
    atomic_int references;
    attend_context *context;
    attend_plan *plan;
    attend_weights *weights;
} held;

static void hold(void *object) {
    held *h = object;
    atomic_fetch_add_explicit(&h->references, 1, memory_order_relaxed);
}

static void drop(void *object) {
    held *h = object;
    if (atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1) return;
    attend_context *context = h->context;
    attend__plan_drop(h->plan);
    attend_weights_release(h->weights);
    attend__recycler_give(&context->calls, h);
}

static attend_status execute(void *object, const void *arguments, attend__sequence *sequence) {
    const held *h = object;
    if (h->plan == NULL) return ATTEND_OK; /* no output has an element */
    attend__description completed;
    memcpy(&completed, arguments,
           attend__operation_fields((attend_operation)h->plan->key.operation)->size);
    return attend__plan_execute(h->plan, &completed, sequence);
}

static attend_status enqueue(attend__call *call, const held *needs, const void *completed,
                             const attend__enqueueing *enqueueing) {
    held *h = attend__recycler_take(&call->context->calls, sizeof *h);
    if (h == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "enqueued work could not be allocated");
    atomic_init(&h->references, 1);
    h->context = needs->context;
    h->plan = needs->plan;
    h->weights = needs->weights;
    if (h->plan != NULL) attend__plan_hold(h->plan);
    if (h->weights != NULL) attend__weights_hold(h->weights);
    call->object = h;
    call->hold = hold;
    call->drop = drop;
    const attend_status status = attend__launch_enqueue(call, completed, enqueueing->wait_count,
                                                        enqueueing->waits, enqueueing->done);
    drop(h);
    return status;
}

/* On host memory nothing stands between a validated call and its plan: no copy of the description,
 * which is longer than a small call's data. */
static attend_status run(const attend__call *call, attend_plan *plan, void *completed) {
    if (plan->composed != NULL || !attend__host_memory(call->context))
        return attend__launch_run(call, completed);
    attend__sequence sequence = {.context = call->context};
    return attend__plan_execute(plan, completed, &sequence);
}

static attend_status find_plan(attend_context *context, const attend__problem *problem,
                               const void *completed, attend_plan **plan) {
    if (problem->empty) {
        *plan = NULL;
        return ATTEND_OK;
    }
    if (*plan == NULL) return attend__plan_cache_get(context, problem, completed, NULL, plan);
    attend__plan_hold(*plan);
    return ATTEND_OK;
}

attend_status attend__operation_call(attend_context *context, attend_operation operation,
                                     const void *description, attend_plan *plan,
                                     const attend__enqueueing *enqueueing) {
    if (enqueueing != NULL && enqueueing->done != NULL) *enqueueing->done = NULL;
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    const attend__fields *fields = attend__operation_fields(operation);
    attend__description completed;
    attend__problem problem = {.operation = operation};
    status = attend__description_copy("description", fields, description, &completed);
    if (status == ATTEND_OK && operation <= ATTEND_OP_MIX)
        status = attend__cache_resolve(context, &completed.attention, false);
    if (status == ATTEND_OK) status = attend__validate(context, operation, &completed, &problem);
    if (status == ATTEND_OK && plan != NULL)
        status = attend__plan_admits(plan, &problem, &completed);
    if (status == ATTEND_OK) status = find_plan(context, &problem, &completed, &plan);
    if (status != ATTEND_OK) return status;

    held needs = {.context = context, .plan = plan, .weights = problem.weights};
    attend__call call = {.context = context, .fields = fields, .body = execute, .object = &needs};
    call.keep_outputs = problem.rows_behind;
    if (enqueueing != NULL)
        status = enqueue(&call, &needs, &completed, enqueueing);
    else if (plan != NULL)
        status = run(&call, plan, &completed);
    if (status == ATTEND_OK && plan != NULL) {
        attend__shape shape;
        attend__problem_shape(&problem, &completed, &shape);
        attend__decision_note(context, plan->info.kernel, &shape);
    }
    attend__plan_drop(plan);
    return status;
}
