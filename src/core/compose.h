/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention out of SCORES, SOFTMAX and MIX, for devices whose table lacks ATTENTION. */
#ifndef ATTEND_CORE_COMPOSE_H
#define ATTEND_CORE_COMPOSE_H

#include "plan.h"

/* Plans the steps and their scratch for the sizes of `largest`; fills plan->composed and
 * plan->info. */
attend_status attend__composition_make(attend_plan *plan, const attend__problem *problem,
                                       const attend_attention *largest);
void attend__composition_release(attend_context *context, struct attend__composition *composition);
attend_status attend__composition_execute(const attend_plan *plan,
                                          const attend_attention *completed,
                                          attend__sequence *sequence);

#endif
