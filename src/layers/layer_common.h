/* SPDX-License-Identifier: Apache-2.0
 *
 * What every layer has: a reference count, so that a layer may be released while its work is
 * enqueued, vectors in device memory, scratch, and the checks of its arguments. */
#ifndef ATTEND_LAYERS_LAYER_COMMON_H
#define ATTEND_LAYERS_LAYER_COMMON_H

#include "core/launch.h"

/* Roles of members of the layers' descriptions. HOME: `out` may be the same view. */
enum {
    ATTEND__GIVEN = ATTEND__INPUT | ATTEND__FLOATS,
    ATTEND__NEED = ATTEND__GIVEN | ATTEND__REQUIRED,
    ATTEND__HOME = ATTEND__GIVEN | ATTEND__IN_PLACE,
    ATTEND__TABLE = ATTEND__INPUT | ATTEND__ONLY_F32,
    ATTEND__TRUTH = ATTEND__INPUT | ATTEND__TRUTHS,
    ATTEND__LENGTHS = ATTEND__INPUT | ATTEND__SMALL | ATTEND__INDICES,
    ATTEND__ASKED = ATTEND__OUTPUT | ATTEND__FLOATS,
    ATTEND__ASKED_F32 = ATTEND__OUTPUT | ATTEND__ONLY_F32,
    ATTEND__RESULT = ATTEND__ASKED | ATTEND__REQUIRED
};

/* First member of each layer. */
typedef struct attend__layer {
    atomic_int references;
    attend_context *context;
    attend__scratch_pool *pool;
    attend_type type;      /* of the weights */
    attend__extent extent; /* batch 0: not known */
    void (*destroy)(
        void *layer); /* releases what the layer has beyond this head; parts may be missing */
} attend__layer;

/* Zeroed memory for a layer of `bytes`, which holds the context from here on. */
attend_status attend__layer_allocate(attend_context *context, size_t bytes, void (*destroy)(void *),
                                     void **layer);
/* The pool of the layer; `bytes` of one call at its largest, 0 = not known. */
attend_status attend__layer_pool(attend__layer *layer, size_t bytes);
/* Scratch of one call; of a sequence that plans, a zeroed one. */
attend_status attend__layer_scratch(attend__layer *layer, const attend__sequence *sequence,
                                    size_t bytes, attend__scratch *scratch);
/* Rows of a sample for which plans are made where a layer does not know its largest sizes: as many
 * as take the kernels for many. */
enum { ATTEND__ROWS_TO_PLAN = 32 };
/* Calls make_plans, on devices that compile. What cannot be planned is no failure of the creation:
 * calls then have plans of their own sizes, and say what is wrong with them. */
void attend__layer_plan(attend__layer *layer, attend_status (*make_plans)(void *layer));
/* What the sequence plans for from here on; gives what it did before, to be put back. */
const attend__extent *attend__layer_extent(const attend__layer *layer, attend__sequence *sequence);
/* The public head of a create call: context, description, place of the result. */
attend_status attend__layer_begin(attend_context *context, const void *description,
                                  const void *result);
void attend__layer_hold(void *layer);
void attend__layer_drop(void *layer); /* NULL is allowed */

typedef attend_status attend__layer_body(void *layer, const void *arguments,
                                         attend__sequence *sequence);
/* Where a call waits and what it gives back; NULL for a call that finishes before it returns. */
typedef struct attend__layer_waits {
    size_t count;
    attend_event *const *events;
    attend_event **done;
} attend__layer_waits;
attend_status attend__layer_launch(void *layer, const attend__fields *fields,
                                   attend__layer_body *body, const void *arguments,
                                   const attend__layer_waits *waits);

/* A vector or table of a layer in device memory: in the type it was given, and in F32 too where
 * that has 16 bits, because F32 activations may meet 16-bit weights and an operation takes its
 * vectors in the type of x. */
typedef struct attend__parameter {
    attend_buffer *buffers[2];
    attend_tensor stored, wide; /* not given: all zero */
} attend__parameter;
attend_status attend__parameter_create(attend_context *context, const attend_tensor *given,
                                       attend__parameter *parameter);
void attend__parameter_release(attend__parameter *parameter);
attend_tensor attend__parameter_as(const attend__parameter *parameter, attend_type activations);

/* Adds the bytes of a contiguous scratch tensor to *total. */
attend_status attend__scratch_add(size_t *total, attend_type type, int32_t rank,
                                  const int64_t *sizes);

static inline int64_t attend__larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Checks of one tensor; `name` begins the sentence. */
attend_status attend__check_rank(const char *name, const attend_tensor *t, int32_t rank);
/* "x_q: width 500 does not match w_q's 512": what = "width", of = "w_q's". */
typedef struct attend__expected {
    const char *what, *of;
    int64_t size;
} attend__expected;
attend_status attend__check_size(const char *name, int64_t size, const attend__expected *expected);
/* A weight: a matrix, of type `type` unless that is still open. */
attend_status attend__check_weight(const char *name, const attend_tensor *w, attend_type *type);
/* An optional vector of type `type`. */
attend_status attend__check_vector(const char *name, const attend_tensor *v, attend_type type,
                                   const attend__expected *expected);
/* x: the type of the weights, or F32 over 16-bit weights. */
attend_status attend__check_activations(const char *name, const attend_tensor *x,
                                        attend_type weights);
attend_status attend__check_type(const char *name, const attend_tensor *t, attend_type type);
attend_status attend__check_activation(const attend_context *context, attend_activation activation);

/* `out` may be the view `home`, so that attend__fields_check lets every output be: no other may. */
attend_status attend__check_apart(const char *name, const attend_tensor *output,
                                  const char *home_name, const attend_tensor *home);

/* The sentence of the last failure with `prefix` before it; returns `status`. */
attend_status attend__prefix_error(attend_status status, const char *prefix);

#endif
