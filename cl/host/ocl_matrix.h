/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix units (cl/kernels/matrix.h): which one a device has, and whether it computes what it
 * should. A unit is tried where the device's extensions say that it is worth it, in the first plan
 * that would use it (ocl_trial.h): the self-test's kernel must build, and agree with double
 * precision.
 *
 * ATTEND_MATRIX is, for tests and comparisons,
 *     off              no unit
 *     emulated-NAME    the unit's fragments with its instruction emulated, on any device */
#ifndef ATTEND_CL_HOST_OCL_MATRIX_H
#define ATTEND_CL_HOST_OCL_MATRIX_H

#include "ocl_trial.h"

enum {
    OCL_MATRIX_ITEMS = 128, /* of a work-group */
    OCL_MATRIX_DEPTH = 64   /* of the self-test's sums */
};

typedef struct ocl_matrix_shape {
    const char *name, *options;
    int lanes, rows, columns, exchanged;
    bool bf16;
} ocl_matrix_shape;
extern const ocl_matrix_shape attend__ocl_matrix_shapes[OCL_MATRIX_COUNT];

/* A unit as a plan uses it. */
typedef struct ocl_matrix_use {
    const ocl_matrix_shape *shape; /* NULL: none */
    attend_type type;              /* of elements */
    size_t exchange_bytes;         /* of local memory */
    char options[80];              /* of kernels */
    char name[40];                 /* in the names of plans */
} ocl_matrix_use;

/* Reads ATTEND_MATRIX. INVALID for what the variable should not say. */
attend_status attend__ocl_matrix_open(attend_device *device);

/* The device's unit for elements of `type` (F16, BF16), if its self-test agrees. Where it does not,
 * `note` (of `bytes`) gets the reason. */
ocl_matrix_use attend__ocl_matrix(attend_device *device, attend_type type, char *note,
                                  size_t bytes);

/* ocl_trial.h: whether the products of a unit, an ocl_matrix_use, agree with double precision. */
bool attend__ocl_matrix_check(const ocl_device *device, const void *what, char text[OCL_TRIAL_TEXT],
                              bool *again);

#endif
