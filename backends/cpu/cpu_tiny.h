/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside attention on the CPU: calls too small for row sets and strips. */
#ifndef ATTEND_CPU_TINY_H
#define ATTEND_CPU_TINY_H

#include "cpu_attention.h"

/* Adds what `largest` may need. False if that does not fit in memory. */
bool attend__tiny_plan(const attend__call *largest, attend__cpu_needs *needs);
/* True: it was such a call, and it is done. */
bool attend__tiny_run(attend_device *device, const attend_device_plan *plan,
                      attend_operation operation, const attend__call *call);

#endif
