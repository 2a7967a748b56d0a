/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory: our own, a range of an application's cl_mem, or host memory on a device that computes
 * in it. */
#include "ocl_buffer.h"

#include "ocl_run.h"

#include <stdio.h>
#include <string.h>

static attend_status keep(attend_device *device, cl_mem memory, size_t byte_offset, size_t bytes,
                          attend_device_buffer **buffer) {
    attend_device_buffer *const b = attend__recycler_take(&device->records, sizeof *b);
    if (b == NULL) {
        (void)device->cl->clReleaseMemObject(memory);
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                  "opencl: no memory for a buffer");
    }
    *b = (attend_device_buffer){.memory = memory, .byte_offset = byte_offset, .bytes = bytes};
    *buffer = b;
    return ATTEND_OK;
}

static attend_status create(attend_device *device, cl_mem_flags flags, void *host_memory,
                            size_t bytes, attend_device_buffer **buffer) {
    cl_int error = CL_SUCCESS;
    const uint64_t most = device->shared->facts.largest_buffer_bytes;
    if (bytes > most)
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                  "opencl: a buffer of %zu bytes; %s gives %llu at most", bytes,
                                  device->shared->facts.name, (unsigned long long)most);
    cl_mem memory = device->cl->clCreateBuffer(device->shared->context, flags, bytes ? bytes : 1,
                                               host_memory, &error);
    if (error != CL_SUCCESS)
        return attend__ocl_refuse(device->host, attend__ocl_status(error),
                                  "opencl: a buffer of %zu bytes: %s", bytes,
                                  attend__ocl_error_name(error));
    return keep(device, memory, 0, bytes, buffer);
}

attend_status attend__ocl_buffer_create(attend_device *device, size_t bytes,
                                        attend_device_buffer **buffer) {
    return create(device, CL_MEM_READ_WRITE, NULL, bytes, buffer);
}

size_t attend__ocl_wrap_alignment(const attend_device *device) {
    if (device->shared->facts.kind != ATTEND_DEVICE_CPU) return 4096;
    const size_t align = device->shared->facts.base_align_bits / 8;
    return align > 64 ? align : 64;
}

/* ---- host memory where it lies --------------------------------------------------------------- */

/* OpenCL leaves undefined what commands do with two buffers over the same host memory, and Intel's
 * driver for GPUs ends the process where one reaches beyond another that is live. Two calls at once
 * may use the same keys or weights: what lies under a buffer is listed, and so is what a command
 * copies, which such drivers treat alike, for all devices of the process but CPUs, whose drivers do
 * nothing with an address but use it. */
static attend__mutex listed_lock = ATTEND__MUTEX_INIT;
static attend_device_buffer *listed;
static ocl_copied *copies;

/* Under the lock. */
static attend_device_buffer *find_over(uintptr_t start, uintptr_t end) {
    attend_device_buffer *b = listed;
    while (b && (start >= b->end || b->start >= end))
        b = b->next;
    return b;
}

/* Under the lock. */
static bool is_copied(uintptr_t start, uintptr_t end) {
    const ocl_copied *c = copies;
    while (c && (start >= c->end || c->start >= end))
        c = c->next;
    return c != NULL;
}

bool attend__ocl_copy_begins(ocl_copied *copied, const void *memory, size_t bytes) {
    const uintptr_t start = (uintptr_t)memory;
    attend__mutex_lock(&listed_lock);
    const bool is_free = find_over(start, start + bytes) == NULL;
    if (is_free) {
        *copied = (ocl_copied){start, start + bytes, copies};
        copies = copied;
    }
    attend__mutex_unlock(&listed_lock);
    return is_free;
}

void attend__ocl_copy_ended(ocl_copied *copied) {
    attend__mutex_lock(&listed_lock);
    ocl_copied **link = &copies;
    while (*link != copied)
        link = &(*link)->next;
    *link = copied->next;
    attend__mutex_unlock(&listed_lock);
}

/* Gives back the memory object, too, under the lock: none may be made there before, and none that
 * is listed may be gone. */
static void unlist(const attend_device *device, attend_device_buffer *buffer) {
    attend__mutex_lock(&listed_lock);
    attend_device_buffer **link = &listed;
    while (*link != buffer)
        link = &(*link)->next;
    *link = buffer->next;
    (void)device->cl->clReleaseMemObject(buffer->memory);
    attend__mutex_unlock(&listed_lock);
}

/* `error` of the driver, or success: another call's buffer or copy. Without a lock: the
 * application's log takes the time it likes. */
static void say_copied(const attend_device *device, size_t bytes, cl_int error) {
    char line[200];
    if (error == CL_SUCCESS)
        (void)snprintf(line, sizeof line,
                       "%zu bytes of host memory are copied: another call uses some of them now",
                       bytes);
    else
        (void)snprintf(line, sizeof line,
                       "%zu bytes of host memory are copied: the driver makes no buffer over them: "
                       "%s (%d)",
                       bytes, attend__ocl_error_name(error), (int)error);
    device->host->log(device->host->self, ATTEND_LOG_INFO, "dispatch", line);
}

static attend_status make_over(attend_device *device, void *memory, size_t byte_offset,
                               size_t bytes, bool written, cl_int *error,
                               attend_device_buffer **buffer) {
    const cl_mem_flags access = written ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
    cl_mem over = device->cl->clCreateBuffer(device->shared->context, access | CL_MEM_USE_HOST_PTR,
                                             byte_offset + bytes, memory, error);
    if (*error == CL_OUT_OF_HOST_MEMORY)
        return attend__ocl_fail(device->host, *error, "clCreateBuffer over host memory");
    if (*error != CL_SUCCESS) return ATTEND_OK;
    const attend_status status = keep(device, over, byte_offset, bytes, buffer);
    if (status == ATTEND_OK) (*buffer)->read_only = !written;
    return status;
}

/* Another call's buffer that holds these bytes serves both, if neither writes there. */
static attend_status share_over(attend_device *device, const attend_device_buffer *other,
                                uintptr_t start, size_t bytes, attend_device_buffer **buffer) {
    const cl_int error = device->cl->clRetainMemObject(other->memory);
    if (error != CL_SUCCESS) return attend__ocl_fail(device->host, error, "clRetainMemObject");
    const attend_status status =
        keep(device, other->memory, (size_t)(start - other->start), bytes, buffer);
    if (status == ATTEND_OK) (*buffer)->read_only = true;
    return status;
}

static attend_status make_listed(attend_device *device, void *memory, size_t bytes, bool written,
                                 cl_int *error, attend_device_buffer **buffer) {
    const uintptr_t start = (uintptr_t)memory, end = start + bytes;
    attend_status status = ATTEND_OK;
    attend__mutex_lock(&listed_lock);
    const attend_device_buffer *const other = find_over(start, end);
    if (other == NULL && !is_copied(start, end))
        status = make_over(device, memory, 0, bytes, written, error, buffer);
    else if (other && !written && other->read_only && other->shared == device->shared &&
             other->start <= start && end <= other->end)
        status = share_over(device, other, start, bytes, buffer);
    attend_device_buffer *const b = *buffer;
    if (b) {
        b->start = other ? other->start : start;
        b->end = other ? other->end : end;
        b->shared = device->shared;
        b->next = listed;
        listed = b;
    }
    attend__mutex_unlock(&listed_lock);
    return status;
}

attend_status attend__ocl_buffer_over(attend_device *device, void *memory, size_t byte_offset,
                                      size_t bytes, bool written, attend_device_buffer **buffer) {
    cl_int error = CL_SUCCESS;
    *buffer = NULL;
    const attend_status status =
        device->shared->facts.kind == ATTEND_DEVICE_CPU
            ? make_over(device, memory, byte_offset, bytes, written, &error, buffer)
            : make_listed(device, memory, byte_offset + bytes, written, &error, buffer);
    if (status == ATTEND_OK && *buffer == NULL) say_copied(device, bytes, error);
    return status;
}

/* ---- import ---------------------------------------------------------------------------------- */

static attend_status check_memory(attend_device *device, cl_mem memory, size_t byte_offset,
                                  size_t bytes, cl_mem_flags *flags) {
    const ocl_api *const cl = device->cl;
    cl_context context = NULL;
    cl_mem_object_type type = 0;
    size_t size = 0;
    cl_int error = cl->clGetMemObjectInfo(memory, CL_MEM_TYPE, sizeof type, &type, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetMemObjectInfo(memory, CL_MEM_CONTEXT, sizeof context, &context, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof size, &size, NULL);
    if (error == CL_SUCCESS)
        error = cl->clGetMemObjectInfo(memory, CL_MEM_FLAGS, sizeof *flags, flags, NULL);
    if (error != CL_SUCCESS)
        return attend__ocl_refuse(device->host, ATTEND_INVALID, "cl_mem: no memory object: %s",
                                  attend__ocl_error_name(error));
    if (type != CL_MEM_OBJECT_BUFFER)
        return attend__ocl_refuse(device->host, ATTEND_INVALID, "cl_mem: is not a buffer");
    if (context != device->shared->context)
        return attend__ocl_refuse(device->host, ATTEND_INVALID,
                                  "cl_mem: belongs to another cl_context");
    if (*flags & CL_MEM_WRITE_ONLY)
        return attend__ocl_refuse(device->host, ATTEND_INVALID,
                                  "cl_mem: created with CL_MEM_WRITE_ONLY");
    if (byte_offset > size || bytes > size - byte_offset)
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_RANGE,
                                  "byte_offset: %zu and %zu bytes lie beyond the %zu of the cl_mem",
                                  byte_offset, bytes, size);
    return ATTEND_OK;
}

static attend_status import_memory(attend_device *device, cl_mem memory, size_t byte_offset,
                                   size_t bytes, attend_device_buffer **buffer) {
    cl_mem_flags flags = 0;
    attend_status status = check_memory(device, memory, byte_offset, bytes, &flags);
    if (status != ATTEND_OK) return status;
    const cl_int error = device->cl->clRetainMemObject(memory);
    if (error != CL_SUCCESS) return attend__ocl_fail(device->host, error, "clRetainMemObject");
    status = keep(device, memory, byte_offset, bytes, buffer);
    if (status != ATTEND_OK) return status;
    (*buffer)->read_only = (flags & CL_MEM_READ_ONLY) != 0;
    (*buffer)->imported = true;
    return ATTEND_OK;
}

/* Only where the device computes in the host's memory and sees it as it is: a CPU. Others may copy
 * behind our back. */
static attend_status import_host(attend_device *device, void *memory, size_t byte_offset,
                                 size_t bytes, attend_device_buffer **buffer) {
    const size_t align = device->shared->facts.base_align_bits / 8;
    char *const start = (char *)memory + byte_offset;
    if (device->shared->facts.kind != ATTEND_DEVICE_CPU)
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "buffer: %s cannot use host memory without a copy",
                                  device->shared->facts.name);
    if (align > 1 && (uintptr_t)start % align != 0)
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "buffer: %s uses host memory without a copy only if it is "
                                  "aligned to %zu bytes",
                                  device->shared->facts.name, align);
    if (bytes == 0) return attend__ocl_buffer_create(device, 0, buffer);
    const attend_status status =
        create(device, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, start, bytes, buffer);
    if (status == ATTEND_OK) (*buffer)->imported = true;
    return status;
}

attend_status attend__ocl_buffer_import(attend_device *device, const char *kind, void *native,
                                        size_t byte_offset, size_t bytes,
                                        attend_device_buffer **buffer) {
    if (!strcmp(kind, "cl_mem")) return import_memory(device, native, byte_offset, bytes, buffer);
    if (!strcmp(kind, "host")) return import_host(device, native, byte_offset, bytes, buffer);
    return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                              "buffer: memory of kind \"%.40s\" is not known here", kind);
}

void attend__ocl_buffer_release(attend_device *device, attend_device_buffer *buffer) {
    if (buffer == NULL) return;
    if (buffer->shared)
        unlist(device, buffer);
    else
        (void)device->cl->clReleaseMemObject(buffer->memory);
    attend__recycler_give(&device->records, buffer);
}
