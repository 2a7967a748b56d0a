/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that drivers give: of unknown length, to be kept. */
#ifndef ATTEND_CL_HOST_OCL_TEXT_H
#define ATTEND_CL_HOST_OCL_TEXT_H

#include "ocl.h"

/* Copies for free(), "" where the driver fails, NULL where memory does. Control characters become
 * blanks. */
char *attend__ocl_platform_text(const ocl_api *cl, cl_platform_id platform, cl_platform_info what);
char *attend__ocl_device_text(const ocl_api *cl, cl_device_id device, cl_device_info what);
/* A word of a list separated by blanks. */
bool attend__ocl_has_word(const char *list, const char *word);

#endif
