/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenCL whose N-th call fails: functions for the `symbol` member of attend_opencl_objects that
 * call the loader's, count the objects that are made and given back, and fail where they are told
 * to. A release that fails has released, and a wait that fails has waited: what a caller would
 * have to assume otherwise (the object is gone, the command still reads its memory) cannot be
 * tested without undefined behaviour of the driver. */
#ifndef FAULTY_OPENCL_H
#define FAULTY_OPENCL_H

#include "opencl_calls.h"

#include <stdbool.h>

typedef struct faulty_plan {
    long at;          /* the call that fails, from 1; 0 = none */
    const char *name; /* or the first call of this function; NULL = none */
    long passed;      /* calls of it that succeed before */
    bool from_there;  /* and all calls after it */
    cl_int error;
    cl_int state; /* < 0: what clGetEventInfo says of every command that has ended */
} faulty_plan;

/* Sets counts to 0. */
void faulty_start(faulty_plan plan);
/* No fault from here on; the counts stay. */
void faulty_stop(void);
long faulty_calls(void);
/* The call that failed first, "" if none did. */
const char *faulty_failed(void);
/* Objects that were made or retained and not given back, all kinds; waits a little for what a
 * driver's thread gives back. Writes what is left of each kind into `text`. */
long faulty_left(char *text, size_t bytes);

void *faulty_symbol(void *user, const char *name);

#endif
