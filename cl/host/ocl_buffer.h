/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers of the plugin's table. */
#ifndef ATTEND_CL_HOST_OCL_BUFFER_H
#define ATTEND_CL_HOST_OCL_BUFFER_H

#include "ocl.h"

attend_status attend__ocl_buffer_create(attend_device *device, size_t bytes,
                                        attend_device_buffer **buffer);
attend_status attend__ocl_buffer_import(attend_device *device, const char *kind, void *native,
                                        size_t byte_offset, size_t bytes,
                                        attend_device_buffer **buffer);
void attend__ocl_buffer_release(attend_device *device, attend_device_buffer *buffer);
attend_status attend__ocl_buffer_write(attend_device *device, attend_device_buffer *buffer,
                                       size_t offset_bytes, const void *data, size_t bytes);
attend_status attend__ocl_buffer_read(attend_device *device, attend_device_buffer *buffer,
                                      size_t offset_bytes, void *data, size_t bytes);

#endif
