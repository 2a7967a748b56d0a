/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files that make up an ocl_device. */
#ifndef ATTEND_CL_HOST_OCL_DEVICE_H
#define ATTEND_CL_HOST_OCL_DEVICE_H

#include "ocl.h"

void attend__ocl_programs_release(ocl_device *device);

#endif
