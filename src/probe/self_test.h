/* SPDX-License-Identifier: Apache-2.0
 *
 * A small attention on a device, held against the backend "reference". */
#ifndef ATTEND_PROBE_SELF_TEST_H
#define ATTEND_PROBE_SELF_TEST_H

#include "attend/attend.h"

/* OK if the device gives the right numbers, INTERNAL if they are wrong; else the status of the call
 * that failed. `reason` says what was wrong. `types`: bit (1 << attend_type) of what it computes
 * with. */
attend_status self_test(attend_context *device, uint32_t types, char *reason, size_t bytes);

#endif
