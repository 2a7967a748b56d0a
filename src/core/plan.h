/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plan is inside: the device's plan (or, composed, the plans of the steps) and what it was
 * made for. */
#ifndef ATTEND_CORE_PLAN_H
#define ATTEND_CORE_PLAN_H

#include "decision.h"
#include "validate.h"

struct attend__composition; /* compose.h */

/* Plain words without padding, so that keys compare and hash as memory. */
typedef struct attend__plan_key {
    uint32_t operation, settings;
    uint64_t options;
    uint64_t types[2];   /* four bits for each field of the operation */
    int64_t fixed[3];    /* sizes of attend__operation_fixed */
    int64_t largest[10]; /* sizes of attend__operation_largest */
} attend__plan_key;

struct attend_plan {
    atomic_int references;
    attend_context *context;
    bool holds_context; /* plans of the cache do not: the context owns them */
    attend__plan_key key;
    attend_device_plan *device;
    struct attend__composition *composed;
    attend_plan_info info;
    char shape[160];
};

void attend__plan_key_make(const attend__problem *problem, const void *completed,
                           attend__plan_key *key);
/* For the cache: lengths, batch and rows rounded up to powers of two, so that few plans serve many
 * sizes. */
void attend__plan_key_round(attend__plan_key *key, const attend__extent *extent);
/* For the steps of a layer, before rounding: sizes up to those of the layer. */
void attend__plan_key_extend(attend__plan_key *key, const attend__extent *extent);

/* A plan with one reference, made on the device for the sizes of `key`. */
attend_status attend__plan_make(attend_context *context, const attend__problem *problem,
                                const void *completed, const attend__plan_key *key,
                                attend_plan **plan);
void attend__plan_hold(attend_plan *plan);
void attend__plan_drop(attend_plan *plan);

/* Whether `plan` may run this problem: INVALID, TYPE or SHAPE with a sentence where not. */
attend_status attend__plan_admits(const attend_plan *plan, const attend__problem *problem,
                                  const void *completed);

/* Sizes and options of a call for the decision record. */
void attend__problem_shape(const attend__problem *problem, const void *completed,
                           attend__shape *shape);

/* Runs or enqueues a validated, resolved description (execute.c); its addresses become the
 * device's. */
attend_status attend__plan_execute(attend_plan *plan, void *completed, attend__sequence *sequence);

/* The whole way of one public call of one operation: copy, check, plan, launch. plan NULL = the
 * cache. */
typedef struct attend__enqueueing {
    size_t wait_count;
    attend_event *const *waits;
    attend_event **done;
} attend__enqueueing;
attend_status attend__operation_call(attend_context *context, attend_operation operation,
                                     const void *description, attend_plan *plan,
                                     const attend__enqueueing *enqueueing);

#endif
