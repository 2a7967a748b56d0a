/* SPDX-License-Identifier: Apache-2.0
 *
 * Host memory of one call on a device that computes in it as it lies: each range of memory that
 * tensors of the call lie in becomes one buffer, without a copy. */
#ifndef ATTEND_CORE_WRAPPED_H
#define ATTEND_CORE_WRAPPED_H

#include "launch.h"
#include "validate.h"

/* Nothing of it is allocated: buffers without a reference to the context, as the call holds one. */
typedef struct attend__wrapped {
    attend_context *context;
    size_t count;
    struct attend__wrapped_range {
        uintptr_t start, end;
        bool written;
        attend_buffer buffer; /* .device NULL: the device wants a copy */
    } list[ATTEND__MAX_FIELDS];
} attend__wrapped;

/* Wraps what tensors of `arguments` lie in; nothing where the device has no such memory. */
attend_status attend__wrap(attend__wrapped *w, attend_context *context,
                           const attend__fields *fields, const void *arguments);
/* Makes a host tensor a view of its buffer; false: it has to be copied. */
bool attend__wrapped_use(attend__wrapped *w, attend_tensor *t);
/* After the work, which ended with `status`: what it wrote is in host memory on return. Keeps the
 * first failure and its sentence. */
attend_status attend__unwrap(attend__wrapped *w, attend_status status);

#endif
