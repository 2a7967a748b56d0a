/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_cache.h. */
#include "ocl_cache.h"

cl_program attend__ocl_cache_load(const ocl_device *device, const attend_host *host,
                                  const ocl_source *source, const char *options) {
    (void)device, (void)host, (void)source, (void)options;
    return NULL;
}

void attend__ocl_cache_store(const ocl_device *device, const attend_host *host,
                             const ocl_source *source, const char *options, cl_program program) {
    (void)device, (void)host, (void)source, (void)options, (void)program;
}
