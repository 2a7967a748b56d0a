/* SPDX-License-Identifier: Apache-2.0
 *
 * Host tensors packed without gaps, to be copied to devices with memory of their own, or kept past
 * a call. */
#ifndef ATTEND_CORE_STAGING_H
#define ATTEND_CORE_STAGING_H

#include "context.h"

/* A view without gaps of `tensor`'s elements: the same sizes, strides in the same order, dimensions
 * of stride 0 still stored once. Has no memory yet. Returns its bytes. */
size_t attend__compact_view(const attend_tensor *tensor, attend_tensor *view);
/* Whether the elements already lie as the view wants them. */
bool attend__is_compact(const attend_tensor *tensor, const attend_tensor *view);
/* Copies a host tensor's elements into memory laid out as `view` (this one, or any of the same
 * sizes), and back; gaps are not touched. */
void attend__gather(const attend_tensor *tensor, const attend_tensor *view, void *memory);
void attend__scatter(const attend_tensor *tensor, const attend_tensor *view, const void *memory);

static inline char *attend__tensor_start(const attend_tensor *tensor) {
    return (char *)tensor->data + (size_t)tensor->offset * attend_type_bytes(tensor->type);
}

#endif
