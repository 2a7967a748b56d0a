/* SPDX-License-Identifier: Apache-2.0
 *
 * Run and enqueue on devices with memory of their own. */
#ifndef ATTEND_CORE_LAUNCH_DEVICE_H
#define ATTEND_CORE_LAUNCH_DEVICE_H

#include "kv_cache.h"
#include "launch.h"
#include "validate.h"

/* Room for the arguments of any call: of an operation, of a cache, or of a layer with its caches.
 */
typedef union attend__arguments {
    attend__description description;
    attend__cache_appending appending;
    struct {
        attend_multihead_args args;
        attend__cache_use use;
    } multihead;
    attend_feedforward_args feedforward;
    struct {
        attend_block_args args;
        attend__cache_use uses[2];
    } block;
    attend_tensor tensor;
} attend__arguments;

/* Once for each context, behind its device. */
attend_status attend__staging_create(attend_context *context);
attend_status attend__device_run(const attend__call *call, const void *arguments);
/* Waits and memory have been checked. */
attend_status attend__device_enqueue(const attend__call *call, const void *arguments,
                                     size_t wait_count, attend_event *const *waits,
                                     attend_event **event);

#endif
