/* SPDX-License-Identifier: Apache-2.0
 *
 * Trials: random calls of a stage, run on 1 and on 3 threads and on each instruction set, whose
 * outputs are held against the values and bounds that the test gives. */
#ifndef STAGE_TRIAL_H
#define STAGE_TRIAL_H

#include "stage_case.h"

enum { STAGE_CASES = 200 };

typedef attend_status run_fn(attend_context *context, const void *description);

/* A case of any stage: how to run it, and the values its outputs should have. */
typedef struct trial {
    stage_case c;
    const void *description;
    run_fn *run;
    stage_tensor *out[2];
    double *want[2], *bound[2];
    char text[160];
} trial;

typedef void make_fn(trial *t);

/* Output `slot` (0 or 1) of the trial; then the value and bound of its element i, to which the half
 * unit of 16-bit results and 1e-37 are added. */
void stage_give(trial *t, int slot, stage_tensor *out);
void stage_expect(trial *t, int slot, int64_t i, double want, double bound);
void stage_run_trials(make_fn *make, const char *name);

#endif
