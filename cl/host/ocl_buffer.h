/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers of the plugin's table; copies between them and host memory are in ocl_transfer.h. */
#ifndef ATTEND_CL_HOST_OCL_BUFFER_H
#define ATTEND_CL_HOST_OCL_BUFFER_H

#include "ocl.h"

attend_status attend__ocl_buffer_create(attend_device *device, size_t bytes,
                                        attend_device_buffer **buffer);
attend_status attend__ocl_buffer_import(attend_device *device, const char *kind, void *native,
                                        size_t byte_offset, size_t bytes,
                                        attend_device_buffer **buffer);
void attend__ocl_buffer_release(attend_device *device, attend_device_buffer *buffer);

/* For ocl_transfer.c: bytes that a buffer over host memory has to be aligned to, and one over
 * `bytes` behind the first `byte_offset` of `memory`; OK and *buffer NULL where the driver
 * refuses, since its rules for such memory are its own, or another call's buffer is in the way: a
 * copy does without. `byte_offset` is 0 but on CPUs. */
size_t attend__ocl_wrap_alignment(const attend_device *device);
attend_status attend__ocl_buffer_over(attend_device *device, void *memory, size_t byte_offset,
                                      size_t bytes, bool written, attend_device_buffer **buffer);
/* Host memory that a command of a device other than a CPU copies. */
typedef struct ocl_copied {
    uintptr_t start, end;
    struct ocl_copied *next;
} ocl_copied;

/* False: a buffer of such a device lies over some of the memory now. Else none is made there until
 * attend__ocl_copy_ended, before which `copied` must stay. */
bool attend__ocl_copy_begins(ocl_copied *copied, const void *memory, size_t bytes);
void attend__ocl_copy_ended(ocl_copied *copied);

#endif
