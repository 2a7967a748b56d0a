/* SPDX-License-Identifier: Apache-2.0
 *
 * Exchanges within a sub-group (cl/kernels/subgroup.h): which way a device has, and whether its
 * neighbours get what they should. A way is tried where the device's extensions say that it is
 * worth it, in the first plan that would use it (ocl_trial.h). The kernels of a plan are built with
 * it first, and without it where they do not build so, need more than the device runs, or get
 * smaller sub-groups than 16. Results have the same bits either way.
 *
 * ATTEND_SUBGROUPS is, for tests and comparisons, "off" or "emulated", on any device. */
#ifndef ATTEND_CL_HOST_OCL_SUBGROUP_H
#define ATTEND_CL_HOST_OCL_SUBGROUP_H

#include "ocl.h"

typedef struct ocl_subgroups {
    ocl_subgroup_way way; /* OCL_SUBGROUP_COUNT: none */
    size_t item_bytes;    /* of local memory, for each work-item */
} ocl_subgroups;

/* Reads ATTEND_SUBGROUPS. INVALID for what the variable should not say. */
attend_status attend__ocl_subgroups_open(attend_device *device);

/* The device's way, if its self-test agrees. Where it does not, `note` (of `bytes`) gets the
 * reason; it may be NULL, of 0. */
ocl_subgroups attend__ocl_subgroups(attend_device *device, char *note, size_t bytes);
/* "_subgroups.." in the name of a plan's kernel, "" without. */
const char *attend__ocl_subgroups_text(const ocl_subgroups *subgroups);

/* A kernel of a plan, and how it is run. */
typedef struct ocl_wanted {
    const ocl_source *source;
    const char *options, *name;
    size_t items, local_bytes; /* of a work-group; without what an exchange needs */
} ocl_wanted;

/* attend__ocl_plan_kernel, and whether the device runs it (ocl_tuning.h), with the exchange if it
 * can be; *subgroups then says what became of it. */
int attend__ocl_plan_neighbours(attend_device *device, attend_device_plan *plan,
                                const ocl_wanted *wanted, ocl_subgroups *subgroups,
                                attend_status *status);

#endif
