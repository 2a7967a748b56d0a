/* SPDX-License-Identifier: Apache-2.0
 *
 * The position-wise feed-forward layer (Vaswani et al. 2017, section 3.3) and its gated forms
 * (Shazeer 2020, arXiv:2002.05202): two projections, or three of which one multiplies in the
 * epilogue of another. */
#include "layers/feedforward.h"

#include "core/error.h"

#include <inttypes.h>
#include <string.h>

static const attend__field desc_fields[] = {
    ATTEND__MEMBER(attend_feedforward_desc, w_1, ATTEND__NEED),
    ATTEND__MEMBER(attend_feedforward_desc, w_gate, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_feedforward_desc, w_2, ATTEND__NEED),
    ATTEND__MEMBER(attend_feedforward_desc, b_1, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_feedforward_desc, b_gate, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_feedforward_desc, b_2, ATTEND__GIVEN),
};
static const attend__fields description_fields = {sizeof(attend_feedforward_desc), desc_fields,
                                                  sizeof desc_fields / sizeof *desc_fields};

static const attend__field args_fields[] = {
    ATTEND__MEMBER(attend_feedforward_args, x, ATTEND__NEED),
    ATTEND__MEMBER(attend_feedforward_args, residual, ATTEND__HOME),
    ATTEND__MEMBER(attend_feedforward_args, out, ATTEND__RESULT),
};
static const attend__fields argument_fields = {sizeof(attend_feedforward_args), args_fields,
                                               sizeof args_fields / sizeof *args_fields};

/* ---- creating and releasing ------------------------------------------------------------------ */

static attend_status check_weights(const attend_feedforward_desc *d, attend_feedforward *layer) {
    attend_type *type = &layer->head.type;
    attend_status status = attend__check_weight("w_1", &d->w_1, type);
    if (status == ATTEND_OK) status = attend__check_weight("w_2", &d->w_2, type);
    if (status == ATTEND_OK && attend__given(&d->w_gate))
        status = attend__check_weight("w_gate", &d->w_gate, type);
    if (status != ATTEND_OK) return status;
    layer->width = d->w_1.sizes[1];
    layer->hidden = d->w_1.sizes[0];
    layer->width_out = d->w_2.sizes[0];
    status = attend__check_size("w_2", d->w_2.sizes[1],
                                &(attend__expected){"width", "the rows of w_1", layer->hidden});
    if (status != ATTEND_OK || !attend__given(&d->w_gate)) return status;
    status = attend__check_size("w_gate", d->w_gate.sizes[0],
                                &(attend__expected){"rows", "w_1's", layer->hidden});
    if (status != ATTEND_OK) return status;
    return attend__check_size("w_gate", d->w_gate.sizes[1],
                              &(attend__expected){"width", "w_1's", layer->width});
}

static attend_status check_desc(const attend_feedforward_desc *d, attend_feedforward *layer) {
    attend_status status = check_weights(d, layer);
    if (status != ATTEND_OK) return status;
    if (attend__given(&d->b_gate) && !attend__given(&d->w_gate))
        return attend__fail(ATTEND_INVALID, "b_gate: given without w_gate");
    const attend__expected hidden = {"size", "the rows of w_1", layer->hidden};
    const attend__expected out = {"size", "the rows of w_2", layer->width_out};
    status = attend__check_vector("b_1", &d->b_1, layer->head.type, &hidden);
    if (status == ATTEND_OK)
        status = attend__check_vector("b_gate", &d->b_gate, layer->head.type, &hidden);
    if (status == ATTEND_OK) status = attend__check_vector("b_2", &d->b_2, layer->head.type, &out);
    if (status == ATTEND_OK) status = attend__check_activation(layer->head.context, d->activation);
    if (status != ATTEND_OK) return status;
    if (d->reserved_flags != 0) return attend__fail(ATTEND_INVALID, "reserved_flags: not 0");
    if (d->max_rows < 0)
        return attend__fail(ATTEND_INVALID, "max_rows: %" PRId64 " is negative", d->max_rows);
    layer->activation = d->activation;
    return ATTEND_OK;
}

static void destroy(void *object) {
    attend_feedforward *layer = object;
    attend_weights_release(layer->w_1);
    attend_weights_release(layer->w_gate);
    attend_weights_release(layer->w_2);
    attend__parameter_release(&layer->b_1);
    attend__parameter_release(&layer->b_gate);
    attend__parameter_release(&layer->b_2);
}

static attend_status prepare(attend_feedforward *layer, const attend_feedforward_desc *d) {
    attend_context *context = layer->head.context;
    attend_status status = attend_weights_create(context, &d->w_1, &layer->w_1);
    if (status == ATTEND_OK && attend__given(&d->w_gate))
        status = attend_weights_create(context, &d->w_gate, &layer->w_gate);
    if (status == ATTEND_OK) status = attend_weights_create(context, &d->w_2, &layer->w_2);
    if (status == ATTEND_OK) status = attend__parameter_create(context, &d->b_1, &layer->b_1);
    if (status == ATTEND_OK) status = attend__parameter_create(context, &d->b_gate, &layer->b_gate);
    if (status == ATTEND_OK) status = attend__parameter_create(context, &d->b_2, &layer->b_2);
    return status;
}

/* Room for the hidden rows, and for those that multiply them. `x` tells the rows. */
attend_status attend__feedforward_scratch_bytes(const attend_feedforward *layer,
                                                const attend_tensor *x, size_t *bytes) {
    int64_t sizes[ATTEND_MAX_RANK];
    memcpy(sizes, x->sizes, sizeof sizes);
    sizes[x->rank - 1] = layer->hidden;
    *bytes = 0;
    attend_status status = attend__scratch_add(bytes, x->type, x->rank, sizes);
    if (status == ATTEND_OK && layer->w_gate != NULL)
        status = attend__scratch_add(bytes, x->type, x->rank, sizes);
    return status;
}

static attend_status make_pool(attend_feedforward *layer, int64_t rows) {
    const attend_tensor largest = attend_tensor_2d(NULL, ATTEND_F32, rows, layer->width);
    size_t bytes = 0;
    const attend_status status = attend__feedforward_scratch_bytes(layer, &largest, &bytes);
    return status != ATTEND_OK ? status : attend__layer_pool(&layer->head, bytes);
}

/* For all rows and for one, with and without a residual; of unknown rows only what has kernels of
 * its own. */
static attend_status make_plans(void *object) {
    attend_feedforward *const layer = object;
    const int64_t rows = layer->head.extent.queries;
    attend__sequence sequence = {.context = layer->head.context, .planning = true};
    attend_status status = ATTEND_OK;
    for (int i = 0; i < (rows > 0 ? 4 : 1) && status == ATTEND_OK; i++) {
        const attend_type type = layer->head.type;
        const int64_t n = i % 2 ? 1 : rows > 0 ? rows : ATTEND__ROWS_TO_PLAN;
        attend_feedforward_args args = attend_feedforward_args_default();
        args.x = attend_tensor_2d(NULL, type, n, layer->width);
        args.out = attend_tensor_2d(NULL, type, n, layer->width_out);
        if (i / 2) args.residual = args.out;
        status = attend__feedforward_body(layer, &args, &sequence);
    }
    return status;
}

attend_status attend_feedforward_create(attend_context *context,
                                        const attend_feedforward_desc *description,
                                        attend_feedforward **result) {
    if (result != NULL) *result = NULL;
    attend_status status = attend__layer_begin(context, description, result);
    if (status != ATTEND_OK) return status;
    void *memory = NULL;
    status = attend__layer_allocate(context, sizeof(attend_feedforward), destroy, &memory);
    if (status != ATTEND_OK) return status;
    attend_feedforward *layer = memory;
    attend_feedforward_desc d;
    status = attend__description_copy("description", &description_fields, description, &d);
    if (status == ATTEND_OK) status = attend__fields_check(context, &description_fields, &d);
    if (status == ATTEND_OK) status = check_desc(&d, layer);
    if (status == ATTEND_OK) status = prepare(layer, &d);
    if (status == ATTEND_OK) status = make_pool(layer, d.max_rows);
    if (status != ATTEND_OK) {
        attend__layer_drop(layer);
        return status;
    }
    if (d.max_rows > 0) layer->head.extent = (attend__extent){1, d.max_rows, d.max_rows, true};
    attend__layer_plan(&layer->head, make_plans);
    *result = layer;
    return ATTEND_OK;
}

void attend_feedforward_release(attend_feedforward *layer) {
    attend__layer_drop(layer);
}

/* ---- running --------------------------------------------------------------------------------- */

static attend_status run_steps(const attend_feedforward *layer, const attend_feedforward_args *args,
                               const attend_tensor *hidden, const attend_tensor *multiplier,
                               attend__sequence *sequence) {
    const attend_type type = args->x.type;
    attend_status status = ATTEND_OK;
    attend_projection in = attend_projection_default();
    in.x = args->x;
    if (layer->w_gate != NULL) {
        in.weights = layer->w_1;
        in.bias = attend__parameter_as(&layer->b_1, type);
        in.out = *multiplier;
        status = attend__step(sequence, ATTEND_OP_PROJECT, &in, NULL);
        if (status != ATTEND_OK) return status;
        in.multiplier = *multiplier;
    }
    in.weights = layer->w_gate != NULL ? layer->w_gate : layer->w_1;
    in.bias = attend__parameter_as(layer->w_gate != NULL ? &layer->b_gate : &layer->b_1, type);
    in.activation = layer->activation;
    in.out = *hidden;
    status = attend__step(sequence, ATTEND_OP_PROJECT, &in, NULL);
    if (status != ATTEND_OK) return status;
    attend_projection out = attend_projection_default();
    out.x = *hidden;
    out.weights = layer->w_2;
    out.bias = attend__parameter_as(&layer->b_2, type);
    out.residual = args->residual;
    out.out = args->out;
    return attend__step(sequence, ATTEND_OP_PROJECT, &out, NULL);
}

attend_status attend__feedforward_body(void *object, const void *arguments,
                                       attend__sequence *sequence) {
    attend_feedforward *layer = object;
    const attend_feedforward_args *args = arguments;
    const int32_t rank = args->x.rank;
    int64_t sizes[ATTEND_MAX_RANK];
    memcpy(sizes, args->x.sizes, sizeof sizes);
    sizes[rank - 1] = layer->hidden;
    size_t bytes = 0;
    attend__scratch scratch;
    attend_status status = attend__feedforward_scratch_bytes(layer, &args->x, &bytes);
    if (status == ATTEND_OK)
        status = attend__layer_scratch(&layer->head, sequence, bytes, &scratch);
    if (status != ATTEND_OK) return status;
    const attend__extent *const before = attend__layer_extent(&layer->head, sequence);
    attend_tensor hidden, multiplier;
    status = attend__scratch_tensor(&scratch, args->x.type, rank, sizes, &hidden);
    if (status == ATTEND_OK && layer->w_gate != NULL)
        status = attend__scratch_tensor(&scratch, args->x.type, rank, sizes, &multiplier);
    if (status == ATTEND_OK) status = run_steps(layer, args, &hidden, &multiplier, sequence);
    sequence->extent = before;
    attend__scratch_return(layer->head.pool, &scratch, sequence);
    return status;
}

static attend_status check_result(const char *name, const attend_tensor *t,
                                  const attend_feedforward *layer, const attend_tensor *x) {
    attend_status status = attend__check_rank(name, t, x->rank);
    if (status == ATTEND_OK) status = attend__check_type(name, t, x->type);
    for (int32_t d = 0; d < x->rank - 1 && status == ATTEND_OK; d++)
        status =
            attend__check_size(name, t->sizes[d], &(attend__expected){"size", "x's", x->sizes[d]});
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, t->sizes[x->rank - 1],
                              &(attend__expected){"width", "the rows of w_2", layer->width_out});
}

static attend_status check_args(const attend_feedforward *layer,
                                const attend_feedforward_args *args) {
    attend_status status = attend__fields_check(layer->head.context, &argument_fields, args);
    const attend_tensor *x = &args->x;
    if (status == ATTEND_OK) status = attend__check_activations("x", x, layer->head.type);
    if (status != ATTEND_OK) return status;
    if (x->rank < 1 || x->rank > 4)
        return attend__fail(ATTEND_SHAPE, "x: rank %" PRId32 " is not 1 to 4", x->rank);
    status = attend__check_size("x", x->sizes[x->rank - 1],
                                &(attend__expected){"width", "w_1's", layer->width});
    if (status == ATTEND_OK) status = check_result("out", &args->out, layer, x);
    if (status == ATTEND_OK && attend__given(&args->residual))
        status = check_result("residual", &args->residual, layer, x);
    size_t bytes = 0;
    return status != ATTEND_OK ? status : attend__feedforward_scratch_bytes(layer, x, &bytes);
}

static attend_status call(attend_feedforward *layer, const attend_feedforward_args *arguments,
                          const attend__layer_waits *waits) {
    if (layer == NULL) return attend__fail(ATTEND_NULL_POINTER, "layer: NULL");
    attend_status status = attend__context_check(layer->head.context);
    if (status != ATTEND_OK) return status;
    attend_feedforward_args args;
    status = attend__description_copy("arguments", &argument_fields, arguments, &args);
    if (status == ATTEND_OK) status = check_args(layer, &args);
    if (status != ATTEND_OK) return status;
    return attend__layer_launch(layer, &argument_fields, attend__feedforward_body, &args, waits);
}

attend_status attend_feedforward_run(attend_feedforward *layer,
                                     const attend_feedforward_args *arguments) {
    return call(layer, arguments, NULL);
}

attend_status attend_feedforward_enqueue(attend_feedforward *layer,
                                         const attend_feedforward_args *arguments,
                                         size_t wait_count, attend_event *const *waits,
                                         attend_event **done) {
    if (done != NULL) *done = NULL;
    return call(layer, arguments, &(attend__layer_waits){wait_count, waits, done});
}
