/* SPDX-License-Identifier: Apache-2.0
 *
 * How host memory and the device's come together. ATTEND_TRANSFERS names a way, for tests and
 * comparisons; else it follows from the device:
 *     share   the device computes in host memory as it lies: CPUs, where a trial shows it, and
 *             devices that say they share the host's memory, for whole pages
 *     stage   long copies go in pieces through two buffers of memory that the device reads by
 *             itself: one is filled while the other is under way
 *     copy    one command of the driver for each copy */
#ifndef ATTEND_CL_HOST_OCL_TRANSFER_H
#define ATTEND_CL_HOST_OCL_TRANSFER_H

#include "ocl.h"

/* INVALID for an ATTEND_TRANSFERS that is none of the above. */
attend_status attend__ocl_transfers_open(attend_device *device);
void attend__ocl_transfers_close(attend_device *device);

/* Members of the plugin's table. */
attend_status attend__ocl_buffer_write(attend_device *device, attend_device_buffer *buffer,
                                       size_t offset_bytes, const void *data, size_t bytes);
attend_status attend__ocl_buffer_read(attend_device *device, attend_device_buffer *buffer,
                                      size_t offset_bytes, void *data, size_t bytes);
attend_status attend__ocl_buffer_wrap(attend_device *device, void *memory, size_t bytes,
                                      int32_t written, attend_device_buffer **buffer);
attend_status attend__ocl_buffer_unwrap(attend_device *device, attend_device_buffer *buffer);

#endif
