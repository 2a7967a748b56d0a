/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry points of attention.h: attention, its three steps, and plans. */
#include "error.h"
#include "kv_cache.h"
#include "plan.h"

#include <string.h>

attend_status attend_run(attend_context *context, const attend_attention *attention) {
    return attend__operation_call(context, ATTEND_OP_ATTENTION, attention, NULL, NULL);
}

attend_status attend_enqueue(attend_context *context, const attend_attention *attention,
                             size_t wait_count, attend_event *const *waits, attend_event **done) {
    return attend__operation_call(context, ATTEND_OP_ATTENTION, attention, NULL,
                                  &(attend__enqueueing){wait_count, waits, done});
}

#define STEP(run_form, enqueue_form, operation)                                                    \
    attend_status run_form(attend_context *context, const attend_attention *attention) {           \
        return attend__operation_call(context, operation, attention, NULL, NULL);                  \
    }                                                                                              \
    attend_status enqueue_form(attend_context *context, const attend_attention *attention,         \
                               size_t wait_count, attend_event *const *waits,                      \
                               attend_event **done) {                                              \
        return attend__operation_call(context, operation, attention, NULL,                         \
                                      &(attend__enqueueing){wait_count, waits, done});             \
    }

STEP(attend_scores, attend_scores_enqueue, ATTEND_OP_SCORES)
STEP(attend_softmax, attend_softmax_enqueue, ATTEND_OP_SOFTMAX)
STEP(attend_mix, attend_mix_enqueue, ATTEND_OP_MIX)

attend_status attend_merge(attend_context *context, const attend_merging *description) {
    return attend__operation_call(context, ATTEND_OP_MERGE, description, NULL, NULL);
}

attend_status attend_merge_enqueue(attend_context *context, const attend_merging *description,
                                   size_t wait_count, attend_event *const *waits,
                                   attend_event **done) {
    return attend__operation_call(context, ATTEND_OP_MERGE, description, NULL,
                                  &(attend__enqueueing){wait_count, waits, done});
}

/* ---- plans ---------------------------------------------------------------------------------- */

attend_status attend_plan_create(attend_context *context, const attend_attention *largest,
                                 attend_plan **plan) {
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (plan == NULL) return attend__fail(ATTEND_NULL_POINTER, "plan: is NULL");
    *plan = NULL;
    attend__description completed;
    attend__problem problem = {
        .operation = ATTEND_OP_ATTENTION, .values_checked = true, .without_memory = true};
    status = attend__description_copy("largest", attend__operation_fields(ATTEND_OP_ATTENTION),
                                      largest, &completed);
    if (status == ATTEND_OK) status = attend__cache_resolve(context, &completed.attention, true);
    if (status == ATTEND_OK)
        status = attend__validate(context, ATTEND_OP_ATTENTION, &completed, &problem);
    if (status != ATTEND_OK) return status;
    attend__plan_key key;
    attend__plan_key_make(&problem, &completed, &key);
    status = attend__plan_make(context, &problem, &completed, &key, plan);
    if (status != ATTEND_OK) return status;
    attend__context_retain(context);
    (*plan)->holds_context = true;
    return ATTEND_OK;
}

static attend_status check_plan(const attend_plan *plan) {
    if (plan != NULL) return attend__context_check(plan->context);
    return attend__fail(ATTEND_NULL_POINTER, "plan: is NULL");
}

attend_status attend_plan_run(attend_plan *plan, const attend_attention *attention) {
    const attend_status status = check_plan(plan);
    if (status != ATTEND_OK) return status;
    return attend__operation_call(plan->context, ATTEND_OP_ATTENTION, attention, plan, NULL);
}

attend_status attend_plan_enqueue(attend_plan *plan, const attend_attention *attention,
                                  size_t wait_count, attend_event *const *waits,
                                  attend_event **done) {
    const attend_status status = check_plan(plan);
    if (status != ATTEND_OK) return status;
    return attend__operation_call(plan->context, ATTEND_OP_ATTENTION, attention, plan,
                                  &(attend__enqueueing){wait_count, waits, done});
}

size_t attend_plan_workspace_bytes(const attend_plan *plan) {
    return plan != NULL ? plan->info.workspace_bytes : 0;
}

attend_status attend_plan_decision(const attend_plan *plan, attend_decision *decision) {
    const attend_status status = check_plan(plan);
    if (status != ATTEND_OK) return status;
    if (decision == NULL) return attend__fail(ATTEND_NULL_POINTER, "decision: is NULL");
    const attend_context *context = plan->context;
    const attend_decision full = {.size = sizeof full,
                                  .backend = context->backend_name,
                                  .device = context->device_name,
                                  .kernel = plan->info.kernel,
                                  .reason = context->reason,
                                  .refused = plan->info.note,
                                  .shape = plan->shape};
    return attend__decision_give(&full, decision);
}

void attend_plan_release(attend_plan *plan) {
    attend__plan_drop(plan);
}
