/* SPDX-License-Identifier: Apache-2.0
 *
 * One case on one context: inputs in the device's memory, everything that can be prepared is. */
#ifndef ATTEND_BENCH_ATTEND_CASE_H
#define ATTEND_BENCH_ATTEND_CASE_H

#include "attend_inputs.h"
#include "worker_loop.h"

/* Fills *call for any operation but KERNEL. The inputs and their context must outlive the call. */
worker_verdict attend_case_prepare(attend_inputs *inputs, const bench_case *c, worker_call *call,
                                   char *reason);

#endif
