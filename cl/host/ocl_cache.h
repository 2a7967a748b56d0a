/* SPDX-License-Identifier: Apache-2.0
 *
 * Built programs on disk, so that the second start of an application does not compile. Off with
 * ATTEND_CACHE=off, and for drivers that keep what they compiled themselves. */
#ifndef ATTEND_CL_HOST_OCL_CACHE_H
#define ATTEND_CL_HOST_OCL_CACHE_H

#include "ocl.h"

/* NULL unless a file fits in every part of its key and checksum and the driver takes it. */
cl_program attend__ocl_cache_load(const ocl_device *device, const attend_host *host,
                                  const ocl_source *source, const char *options);
/* A file that cannot be written costs the next start its time and nothing else: not an error. */
void attend__ocl_cache_store(const ocl_device *device, const attend_host *host,
                             const ocl_source *source, const char *options, cl_program program);

/* What the host does in self-tests, as a text: "trials " and the first 16 digits of a SHA-256 of
 * its files, made at build time (cl/CMakeLists.txt). A verdict of another host counts as absent, so
 * that no stricter trial is skipped for an older one's sake. */
extern const char attend__ocl_trials[];

/* What was found out about the device by running `source`, built with all of `options`, in at most
 * `bytes` with its end. */
bool attend__ocl_cache_load_verdict(const ocl_device *device, const attend_host *host,
                                    const ocl_source *source, const char *options, char *text,
                                    size_t bytes);
void attend__ocl_cache_store_verdict(const ocl_device *device, const attend_host *host,
                                     const ocl_source *source, const char *options,
                                     const char *text);

#endif
