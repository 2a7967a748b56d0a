/* SPDX-License-Identifier: Apache-2.0
 *
 * Prepared weights inside: what the device made of a matrix, or a plain contiguous copy where it
 * makes nothing. */
#ifndef ATTEND_CORE_PREPARED_H
#define ATTEND_CORE_PREPARED_H

#include "context.h"

struct attend_weights {
    atomic_int references;
    attend_context *context;
    attend_type type;
    int64_t rows, columns;         /* N, K */
    attend_device_weights *device; /* NULL: `plain` is used */
    attend_buffer *buffer;         /* of `plain` */
    attend_tensor plain; /* as steps expect it: host memory, or the buffer of other devices */
};
void attend__weights_hold(attend_weights *weights);

/* A contiguous copy of a tensor as `type`, in a buffer that the caller releases; *result is how
 * steps expect it. */
attend_status attend__kept_copy(attend_context *context, const attend_tensor *given,
                                attend_type type, attend_buffer **buffer, attend_tensor *result);

#endif
