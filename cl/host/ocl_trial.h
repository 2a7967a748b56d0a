/* SPDX-License-Identifier: Apache-2.0
 *
 * Self-tests of what an extension promises: a kernel `check` is run and its result judged, in the
 * first plan that would rely on it. The verdict is kept for the process, and in the build cache.
 *
 * A self-test runs in a context and a queue of its own: an instruction that a device refuses may
 * cost all that its context holds, and an application's own context and queue are not ours to add
 * to, or to wait for. */
#ifndef ATTEND_CL_HOST_OCL_TRIAL_H
#define ATTEND_CL_HOST_OCL_TRIAL_H

#include "ocl.h"

enum { OCL_TRIAL_TEXT = 160, OCL_TRIAL_ARRAYS = 3 };

/* ---- running --------------------------------------------------------------------------------- */

typedef struct ocl_trial {
    const ocl_api *cl;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_uint arguments, arrays;
    cl_mem memory[OCL_TRIAL_ARRAYS];
    void *host[OCL_TRIAL_ARRAYS];
    size_t bytes[OCL_TRIAL_ARRAYS];
    cl_int error; /* the first failure; what follows does nothing */
    const char *call;
} ocl_trial;

void attend__ocl_trial_open(ocl_trial *r, const ocl_device *device, const ocl_source *source,
                            const char *options);
/* The next argument: an array, which stays the caller's and lives as long as the trial, or local
 * memory. */
void attend__ocl_trial_array(ocl_trial *r, void *host, size_t bytes);
void attend__ocl_trial_local(ocl_trial *r, size_t bytes);
/* One work-group. The arrays are written first, the last of them is read afterwards. */
bool attend__ocl_trial_run(ocl_trial *r, size_t items);
/* Where a call failed, `text` says which, and `again` whether it may be otherwise another time. */
void attend__ocl_trial_close(ocl_trial *r, char text[OCL_TRIAL_TEXT], bool *again);

/* ---- verdicts -------------------------------------------------------------------------------- */

/* What a self-test is to find out. `test` is given `what`; it returns whether all agrees, or false
 * with a reason in `text`. */
typedef struct ocl_question {
    const char *name, *options; /* in the log; of the self-test's kernel */
    const ocl_source *source;
    bool (*test)(const ocl_device *device, const void *what, char text[OCL_TRIAL_TEXT],
                 bool *again);
    const void *what;
} ocl_question;

/* What this process knows, else the build cache, else the self-test; under the build's lock, so
 * that two threads do not test at once. Where it is not good, `note` (of `bytes`) gets the reason.
 */
bool attend__ocl_verdict(attend_device *device, ocl_verdict *verdict, const ocl_question *question,
                         char *note, size_t bytes);

#endif
