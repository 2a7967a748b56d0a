/* SPDX-License-Identifier: Apache-2.0
 *
 * Weight matrices prepared once: by the device if it has a better order for them, else kept as a
 * contiguous copy. */
#include "prepared.h"

#include "base/checked.h"
#include "error.h"
#include "launch.h"
#include "staging.h"
#include "validate.h"

#include <string.h>

static const attend__field matrix_list[] = {
    {"w", 0, ATTEND__INPUT | ATTEND__REQUIRED | ATTEND__FLOATS}};
static const attend__fields matrix_fields = {sizeof(attend_tensor), matrix_list, 1};

/* The body of a launch: `arguments` is the matrix in the device's memory. */
static attend_status prepare(void *object, const void *arguments, attend__sequence *sequence) {
    attend_weights *weights = object;
    attend_context *context = sequence->context;
    attend_tensor w;
    memcpy(&w, arguments, sizeof w);
    if (attend__host_memory(context)) {
        w.data = attend__tensor_start(&w);
        w.offset = 0;
    } else {
        w.buffer = (attend_buffer *)(void *)w.buffer->device;
    }
    return context->table.weights_create(context->device, &w, &weights->device);
}

/* Host memory into a buffer that holds the elements row by row. */
static attend_status upload(attend_context *context, const attend_tensor *from,
                            attend_buffer *buffer) {
    const attend_tensor rows = attend_tensor_nd(NULL, from->type, from->rank, from->sizes);
    const size_t bytes = (size_t)attend__elements(from) * attend_type_bytes(from->type);
    if (attend__is_compact(from, &rows))
        return attend_buffer_write(buffer, 0, attend__tensor_start(from), bytes);
    void *packed = attend__context_allocate(context, bytes);
    if (packed == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%zu bytes for a copy could not be had", bytes);
    attend__gather(from, &rows, packed);
    const attend_status status = attend_buffer_write(buffer, 0, packed, bytes);
    attend__context_free(context, packed);
    return status;
}

/* `w` is host memory. */
static attend_status keep_copy(attend_weights *weights, const attend_tensor *w) {
    const size_t bytes = (size_t)attend__elements(w) * attend_type_bytes(w->type);
    attend_status status = attend_buffer_create(weights->context, bytes, &weights->buffer);
    if (status != ATTEND_OK) return status;
    weights->plain.buffer = weights->buffer;
    return upload(weights->context, w, weights->buffer);
}

static attend_status keep_copy_of_buffer(attend_weights *weights, const attend_tensor *w) {
    attend_context *context = weights->context;
    const size_t bytes = attend__span_bytes(w);
    attend_tensor host = *w;
    host.buffer = NULL;
    host.offset = 0;
    host.data = attend__context_allocate(context, bytes);
    if (host.data == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "w: %zu bytes for a copy could not be had",
                            bytes);
    attend_status status = attend_buffer_read(
        w->buffer, (size_t)w->offset * attend_type_bytes(w->type), host.data, bytes);
    if (status == ATTEND_OK) status = keep_copy(weights, &host);
    attend__context_free(context, host.data);
    return status;
}

static attend_status check_matrix(attend_context *context, const attend_tensor *w) {
    attend_status status = attend__fields_check(context, &matrix_fields, w);
    if (status != ATTEND_OK) return status;
    if (w->rank != 2)
        return attend__fail(ATTEND_SHAPE, "w: rank %d, but [N, K] has rank 2", (int)w->rank);
    int64_t bytes = 0;
    if (!attend__mul_i64(attend__elements(w), (int64_t)attend_type_bytes(w->type), &bytes) ||
        (uint64_t)bytes > PTRDIFF_MAX)
        return attend__fail(ATTEND_OVERFLOW,
                            "w: a contiguous copy does not fit into the address space");
    if ((context->table.operations >> ATTEND_OP_PROJECT & 1u) == 0)
        return attend__fail(ATTEND_UNSUPPORTED, "project: the backend %s cannot do this",
                            context->backend_name);
    if ((context->table.types >> w->type & 1u) == 0)
        return attend__fail(ATTEND_UNSUPPORTED, "w: the backend %s does not compute with %s",
                            context->backend_name, attend_type_text(w->type));
    return ATTEND_OK;
}

static attend_status fill(attend_weights *weights, const attend_tensor *w) {
    weights->plain = attend_tensor_nd(NULL, w->type, 2, w->sizes);
    if (attend__elements(w) == 0)
        return ATTEND_OK; /* nothing to prepare: a matrix without memory */
    if (weights->context->table.weights_create != NULL) {
        const attend__call call = {.context = weights->context,
                                   .fields = &matrix_fields,
                                   .body = prepare,
                                   .object = weights,
                                   .once = true};
        return attend__launch_run(&call, w);
    }
    return w->buffer != NULL ? keep_copy_of_buffer(weights, w) : keep_copy(weights, w);
}

attend_status attend_weights_create(attend_context *context, const attend_tensor *w,
                                    attend_weights **result) {
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (result == NULL) return attend__fail(ATTEND_NULL_POINTER, "weights: is NULL");
    *result = NULL;
    if (w == NULL) return attend__fail(ATTEND_NULL_POINTER, "w: is NULL");
    status = check_matrix(context, w);
    if (status != ATTEND_OK) return status;
    attend_weights *weights = attend__context_allocate(context, sizeof *weights);
    if (weights == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "weights could not be allocated");
    memset(weights, 0, sizeof *weights);
    atomic_init(&weights->references, 1);
    weights->context = context;
    attend__context_retain(context);
    weights->type = w->type;
    weights->rows = w->sizes[0];
    weights->columns = w->sizes[1];
    status = fill(weights, w);
    if (status == ATTEND_OK)
        *result = weights;
    else
        attend_weights_release(weights);
    return status;
}

void attend__weights_hold(attend_weights *weights) {
    atomic_fetch_add_explicit(&weights->references, 1, memory_order_relaxed);
}

void attend_weights_release(attend_weights *weights) {
    if (weights == NULL ||
        atomic_fetch_sub_explicit(&weights->references, 1, memory_order_acq_rel) != 1)
        return;
    attend_context *context = weights->context;
    if (weights->device != NULL && context->table.weights_release != NULL)
        context->table.weights_release(context->device, weights->device);
    attend_buffer_release(weights->buffer);
    attend__context_free(context, weights);
    attend__context_release(context);
}

attend_status attend__kept_copy(attend_context *context, const attend_tensor *given,
                                attend_type type, attend_buffer **buffer, attend_tensor *result) {
    size_t bytes = attend_type_bytes(type);
    bool fits = true;
    for (int32_t d = 0; d < given->rank; d++)
        fits = fits && attend__mul_size(bytes, (size_t)given->sizes[d], &bytes);
    if (!fits)
        return attend__fail(ATTEND_OVERFLOW, "a parameter does not fit into the address space");
    const attend_status status = attend_buffer_create(context, bytes, buffer);
    if (status != ATTEND_OK) return status;
    if (!attend__host_memory(context) && given->data != NULL && given->type == type) {
        *result = attend_tensor_in(*buffer, 0, type, given->rank, given->sizes, NULL);
        return bytes > 0 ? upload(context, given, *buffer) : ATTEND_OK;
    }
    attend_copy copy = attend_copy_default();
    copy.x = *given;
    copy.out = attend_tensor_in(*buffer, 0, type, given->rank, given->sizes, NULL);
    *result = copy.out;
    if (attend__host_memory(context))
        *result = attend_tensor_nd((*buffer)->host, type, given->rank, given->sizes);
    return attend_copy_run(context, &copy);
}
