/* SPDX-License-Identifier: Apache-2.0
 *
 * The plans a context keeps for calls that bring none: bounded, locked, the least recently used
 * goes first. A context creates its cache when it is opened and destroys it before the device is
 * closed. */
#ifndef ATTEND_CORE_PLAN_CACHE_H
#define ATTEND_CORE_PLAN_CACHE_H

#include "plan.h"

typedef struct attend__plan_cache attend__plan_cache;

attend_status attend__plan_cache_create(attend_context *context);
void attend__plan_cache_destroy(attend_context *context);

/* The plan for this problem with one reference for the caller (attend__plan_drop); makes it on a
 * miss. `completed` is the validated description; `extent`: of the layer that asks, or NULL. */
attend_status attend__plan_cache_get(attend_context *context, const attend__problem *problem,
                                     const void *completed, const attend__extent *extent,
                                     attend_plan **plan);

#endif
