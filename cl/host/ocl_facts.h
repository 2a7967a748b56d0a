/* SPDX-License-Identifier: Apache-2.0
 *
 * What a device is, asked once, and which family of kernels suits it. */
#ifndef ATTEND_CL_HOST_OCL_FACTS_H
#define ATTEND_CL_HOST_OCL_FACTS_H

#include "ocl.h"

/* Fills *facts; its texts are new and live for the process or until attend__ocl_facts_release.
 * false without memory. */
bool attend__ocl_facts_ask(const ocl_api *cl, cl_platform_id platform, cl_device_id device,
                           ocl_facts *facts);
void attend__ocl_facts_release(ocl_facts *facts);
/* Why the device cannot be used, a static text; NULL if it can. */
const char *attend__ocl_unusable(const ocl_api *cl, cl_device_id device);

#endif
