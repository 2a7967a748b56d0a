/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers: memory of the context's device, or memory of the application's that the device can use
 * as it is. */
#include "context.h"
#include "error.h"
#include "worker.h"

#include <string.h>

static attend_status make(attend_context *context, size_t bytes, attend_buffer **buffer) {
    attend_buffer *b = attend__context_allocate(context, sizeof *b);
    if (!b) return attend__fail(ATTEND_OUT_OF_MEMORY, "buffer: no memory");
    *b = (attend_buffer){.context = context, .bytes = bytes};
    atomic_init(&b->references, 1);
    *buffer = b;
    return ATTEND_OK;
}

static attend_status check_new(attend_context *context, attend_buffer **buffer) {
    if (!buffer) return attend__fail(ATTEND_NULL_POINTER, "buffer: is NULL");
    *buffer = NULL;
    return attend__context_check(context);
}

attend_status attend_buffer_create(attend_context *context, size_t bytes, attend_buffer **buffer) {
    attend_buffer *b = NULL;
    attend_status status = check_new(context, buffer);
    if (status == ATTEND_OK) status = make(context, bytes, &b);
    if (status != ATTEND_OK) return status;
    if (attend__host_memory(context)) {
        b->host = attend__context_allocate(context, bytes);
        b->owned = true;
        if (!b->host)
            status = attend__fail(ATTEND_OUT_OF_MEMORY, "buffer: no memory for %zu bytes", bytes);
    } else {
        status = context->table.buffer_create(context->device, bytes, &b->device);
    }
    if (status != ATTEND_OK) {
        attend__context_free(context, b);
        return status;
    }
    attend__context_retain(context);
    *buffer = b;
    return ATTEND_OK;
}

static attend_status import(attend_buffer *b, const char *kind, void *native, size_t byte_offset) {
    attend_context *context = b->context;
    if (attend__host_memory(context) && !strcmp(kind, "host")) {
        b->host = (char *)native + byte_offset;
        return ATTEND_OK;
    }
    if (attend__host_memory(context) || !context->table.buffer_import)
        return attend__fail(ATTEND_UNSUPPORTED,
                            "buffer: %s cannot use memory of kind \"%.40s\" without a copy",
                            context->backend_name, kind);
    return context->table.buffer_import(context->device, kind, native, byte_offset, b->bytes,
                                        &b->device);
}

attend_status attend_buffer_import(attend_context *context, const char *kind, void *native,
                                   size_t byte_offset, size_t bytes, attend_buffer **buffer) {
    attend_buffer *b = NULL;
    attend_status status = check_new(context, buffer);
    if (status != ATTEND_OK) return status;
    if (!kind || !native)
        return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", kind ? "native" : "kind");
    if (byte_offset > SIZE_MAX - bytes)
        return attend__fail(ATTEND_OVERFLOW, "byte_offset: %zu and %zu bytes overflow", byte_offset,
                            bytes);
    status = make(context, bytes, &b);
    if (status != ATTEND_OK) return status;
    status = import(b, kind, native, byte_offset);
    if (status != ATTEND_OK) {
        attend__context_free(context, b);
        return status;
    }
    attend__context_retain(context);
    *buffer = b;
    return ATTEND_OK;
}

static attend_status check_range(const attend_buffer *b, size_t offset, const void *data,
                                 size_t bytes) {
    if (!b) return attend__fail(ATTEND_NULL_POINTER, "buffer: is NULL");
    const attend_status status = attend__context_check(b->context);
    if (status != ATTEND_OK) return status;
    if (bytes && !data) return attend__fail(ATTEND_NULL_POINTER, "data: is NULL");
    if (offset > b->bytes || bytes > b->bytes - offset)
        return attend__fail(ATTEND_OUT_OF_RANGE,
                            "offset_bytes: %zu and %zu bytes lie beyond the buffer's %zu", offset,
                            bytes, b->bytes);
    return ATTEND_OK;
}

attend_status attend_buffer_write(attend_buffer *buffer, size_t offset_bytes, const void *data,
                                  size_t bytes) {
    const attend_status status = check_range(buffer, offset_bytes, data, bytes);
    if (status != ATTEND_OK || bytes == 0) return status;
    attend_context *context = buffer->context;
    if (buffer->device)
        return context->table.buffer_write(context->device, buffer->device, offset_bytes, data,
                                           bytes);
    attend__worker_drain(context);
    memcpy((char *)buffer->host + offset_bytes, data, bytes);
    return ATTEND_OK;
}

attend_status attend_buffer_read(attend_buffer *buffer, size_t offset_bytes, void *data,
                                 size_t bytes) {
    const attend_status status = check_range(buffer, offset_bytes, data, bytes);
    if (status != ATTEND_OK || bytes == 0) return status;
    attend_context *context = buffer->context;
    if (buffer->device)
        return context->table.buffer_read(context->device, buffer->device, offset_bytes, data,
                                          bytes);
    attend__worker_drain(context);
    memcpy(data, (const char *)buffer->host + offset_bytes, bytes);
    return ATTEND_OK;
}

size_t attend_buffer_size_bytes(const attend_buffer *buffer) {
    return buffer ? buffer->bytes : 0;
}

void attend__buffer_retain(attend_buffer *buffer) {
    atomic_fetch_add(&buffer->references, 1);
}

void attend_buffer_release(attend_buffer *buffer) {
    if (!buffer || buffer->context->process != attend__process_id()) return;
    if (atomic_fetch_sub(&buffer->references, 1) != 1) return;
    attend_context *context = buffer->context;
    if (buffer->device) context->table.buffer_release(context->device, buffer->device);
    if (buffer->owned) attend__context_free(context, buffer->host);
    attend__context_free(context, buffer);
    attend__context_release(context);
}
