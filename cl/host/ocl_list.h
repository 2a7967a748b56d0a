/* SPDX-License-Identifier: Apache-2.0
 *
 * All devices of all platforms, asked once in a process. */
#ifndef ATTEND_CL_HOST_OCL_LIST_H
#define ATTEND_CL_HOST_OCL_LIST_H

#include "ocl.h"

typedef struct ocl_entry {
    cl_platform_id platform;
    cl_device_id device; /* NULL for a platform without one */
    ocl_facts facts;     /* without a device only `platform` may be set */
    uint32_t number;     /* of the device among devices */
    const char *reason;  /* NULL for a usable device */
} ocl_entry;

/* Entries in an order that does not change from run to run. With nothing installed the list holds
 * one entry with the reason. NULL without memory. Any thread. */
const ocl_entry *attend__ocl_list(size_t *count);

#endif
