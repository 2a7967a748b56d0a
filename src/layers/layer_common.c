/* SPDX-License-Identifier: Apache-2.0
 *
 * What every layer has and checks; see the header. */
#include "layers/layer_common.h"

#include "base/checked.h"
#include "core/error.h"
#include "core/prepared.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Scratch blocks that a layer keeps: the threads that can usefully run one layer at once. */
enum { SCRATCH_KEPT = 8, SCRATCH_ALIGNMENT = 64 };

attend_status attend__layer_begin(attend_context *context, const void *description,
                                  const void *result) {
    const attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (description == NULL) return attend__fail(ATTEND_NULL_POINTER, "description: NULL");
    if (result == NULL) return attend__fail(ATTEND_NULL_POINTER, "the place of the result: NULL");
    return ATTEND_OK;
}

attend_status attend__layer_allocate(attend_context *context, size_t bytes, void (*destroy)(void *),
                                     void **layer) {
    attend__layer *head = attend__context_allocate(context, bytes);
    if (head == NULL) return attend__fail(ATTEND_OUT_OF_MEMORY, "no memory for a layer");
    memset(head, 0, bytes);
    atomic_init(&head->references, 1);
    attend__context_retain(context);
    head->context = context;
    head->destroy = destroy;
    *layer = head;
    return ATTEND_OK;
}

void attend__layer_hold(void *layer) {
    attend__layer *head = layer;
    atomic_fetch_add_explicit(&head->references, 1, memory_order_relaxed);
}

void attend__layer_drop(void *layer) {
    attend__layer *head = layer;
    if (head == NULL) return;
    if (atomic_fetch_sub_explicit(&head->references, 1, memory_order_acq_rel) != 1) return;
    attend_context *context = head->context;
    head->destroy(layer);
    if (head->pool != NULL) attend__scratch_pool_release(head->pool);
    attend__context_free(context, head);
    attend__context_release(context);
}

attend_status attend__layer_launch(void *layer, const attend__fields *fields,
                                   attend__layer_body *body, const void *arguments,
                                   const attend__layer_waits *waits) {
    attend__layer *head = layer;
    const attend__call call = {.context = head->context,
                               .fields = fields,
                               .body = body,
                               .object = layer,
                               .hold = attend__layer_hold,
                               .drop = attend__layer_drop};
    if (waits == NULL) return attend__launch_run(&call, arguments);
    return attend__launch_enqueue(&call, arguments, waits->count, waits->events, waits->done);
}

attend_status attend__layer_pool(attend__layer *layer, size_t bytes) {
    return attend__scratch_pool_create(layer->context, bytes, SCRATCH_KEPT, &layer->pool);
}

attend_status attend__layer_scratch(attend__layer *layer, const attend__sequence *sequence,
                                    size_t bytes, attend__scratch *scratch) {
    memset(scratch, 0, sizeof *scratch);
    return sequence->planning ? ATTEND_OK : attend__scratch_get(layer->pool, bytes, scratch);
}

void attend__layer_plan(attend__layer *layer, attend_status (*make_plans)(void *layer)) {
    char before[ATTEND__ERROR_BYTES];
    if (attend__host_memory(layer->context)) {
        layer->extent.batch = 0;
        return;
    }
    attend__error_copy(before);
    if (make_plans(layer) != ATTEND_OK) layer->extent.batch = 0;
    attend__set_error(before);
}

const attend__extent *attend__layer_extent(const attend__layer *layer, attend__sequence *sequence) {
    const attend__extent *const before = sequence->extent;
    sequence->extent = layer->extent.batch > 0 ? &layer->extent : NULL;
    return before;
}

attend_status attend__scratch_add(size_t *total, attend_type type, int32_t rank,
                                  const int64_t *sizes) {
    size_t bytes = attend_type_bytes(type);
    bool fits = true;
    for (int32_t d = 0; d < rank; d++)
        fits = fits && attend__mul_size(bytes, (size_t)sizes[d], &bytes);
    fits = fits && attend__add_size(bytes, SCRATCH_ALIGNMENT - 1, &bytes);
    bytes -= bytes % SCRATCH_ALIGNMENT;
    if (!fits || !attend__add_size(*total, bytes, total))
        return attend__fail(ATTEND_OVERFLOW,
                            "the intermediate results do not fit into the address space");
    return ATTEND_OK;
}

/* ---- parameters ----------------------------------------------------------------------------- */

attend_status attend__parameter_create(attend_context *context, const attend_tensor *given,
                                       attend__parameter *parameter) {
    if (!attend__given(given)) return ATTEND_OK;
    attend_status status =
        attend__kept_copy(context, given, given->type, &parameter->buffers[0], &parameter->stored);
    if (status != ATTEND_OK || given->type == ATTEND_F32) {
        parameter->wide = parameter->stored;
        return status;
    }
    return attend__kept_copy(context, given, ATTEND_F32, &parameter->buffers[1], &parameter->wide);
}

void attend__parameter_release(attend__parameter *parameter) {
    attend_buffer_release(parameter->buffers[0]);
    attend_buffer_release(parameter->buffers[1]);
}

attend_tensor attend__parameter_as(const attend__parameter *parameter, attend_type activations) {
    return activations == ATTEND_F32 ? parameter->wide : parameter->stored;
}

/* ---- checks --------------------------------------------------------------------------------- */

attend_status attend__check_rank(const char *name, const attend_tensor *t, int32_t rank) {
    if (t->rank == rank) return ATTEND_OK;
    return attend__fail(ATTEND_SHAPE, "%s: rank %" PRId32 " instead of %" PRId32, name, t->rank,
                        rank);
}

attend_status attend__check_size(const char *name, int64_t size, const attend__expected *expected) {
    if (size == expected->size) return ATTEND_OK;
    return attend__fail(ATTEND_SHAPE, "%s: %s %" PRId64 " does not match %s %" PRId64, name,
                        expected->what, size, expected->of, expected->size);
}

attend_status attend__check_type(const char *name, const attend_tensor *t, attend_type type) {
    if (t->type == type) return ATTEND_OK;
    return attend__fail(ATTEND_TYPE, "%s: type %s instead of %s", name, attend_type_text(t->type),
                        attend_type_text(type));
}

attend_status attend__check_weight(const char *name, const attend_tensor *w, attend_type *type) {
    const attend_status status = attend__check_rank(name, w, 2);
    if (status != ATTEND_OK) return status;
    if (*type == ATTEND_NO_TYPE) *type = w->type;
    return attend__check_type(name, w, *type);
}

attend_status attend__check_vector(const char *name, const attend_tensor *v, attend_type type,
                                   const attend__expected *expected) {
    if (!attend__given(v)) return ATTEND_OK;
    attend_status status = attend__check_rank(name, v, 1);
    if (status == ATTEND_OK) status = attend__check_type(name, v, type);
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, v->sizes[0], expected);
}

attend_status attend__check_activations(const char *name, const attend_tensor *x,
                                        attend_type weights) {
    if (x->type == weights || x->type == ATTEND_F32) return ATTEND_OK;
    return attend__fail(ATTEND_TYPE, "%s: type %s over weights of type %s", name,
                        attend_type_text(x->type), attend_type_text(weights));
}

attend_status attend__check_activation(const attend_context *context,
                                       attend_activation activation) {
    switch (activation) {
#define ATTEND_X(name, value, text)                                                                \
    case name:                                                                                     \
        break;
        ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return attend__fail(ATTEND_INVALID, "activation: %d is not one of attend_activation",
                            (int)activation);
    }
    if ((uint32_t)activation <= context->table.highest_activation) return ATTEND_OK;
    return attend__fail(ATTEND_UNSUPPORTED, "activation: the backend in use does not know %d",
                        (int)activation);
}

attend_status attend__check_apart(const char *name, const attend_tensor *output,
                                  const char *home_name, const attend_tensor *home) {
    if (!attend__given(output) || !attend__given(home) || !attend__tensors_overlap(output, home))
        return ATTEND_OK;
    return attend__fail(ATTEND_OVERLAP, "%s: overlaps %s", name, home_name);
}

attend_status attend__prefix_error(attend_status status, const char *prefix) {
    char text[1024];
    snprintf(text, sizeof text, "%s", attend_error_text());
    return attend__fail(status, "%s%s", prefix, text);
}
