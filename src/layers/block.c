/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoder and decoder layers (Vaswani et al. 2017, section 3.1; norm first: Xiong et al. 2020,
 * arXiv:2002.04745): a stream of rows goes through two or three sub-layers, each with a norm and a
 * residual. */
#include "layers/block.h"

#include "core/error.h"

#include <math.h>

static const attend__field desc_fields[] = {
    ATTEND__MEMBER(attend_block_desc, norm_self_weight, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_desc, norm_self_bias, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_desc, norm_cross_weight, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_desc, norm_cross_bias, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_desc, norm_feedforward_weight, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_desc, norm_feedforward_bias, ATTEND__GIVEN),
};
static const attend__fields description_fields = {sizeof(attend_block_desc), desc_fields,
                                                  sizeof desc_fields / sizeof *desc_fields};

/* ---- creating and releasing ------------------------------------------------------------------ */

static void destroy(void *object) {
    attend_block *block = object;
    attend_multihead_release(block->self);
    attend_multihead_release(block->cross);
    attend_feedforward_release(block->feedforward);
    for (int i = 0; i < PARTS; i++) {
        attend__parameter_release(&block->norms[i].weight);
        attend__parameter_release(&block->norms[i].bias);
    }
}

static attend_status make_parts(attend_context *context, const attend_block_desc *d,
                                attend_block *block) {
    if (d->self_attention == NULL) return attend__fail(ATTEND_NULL_POINTER, "self_attention: NULL");
    if (d->feedforward == NULL) return attend__fail(ATTEND_NULL_POINTER, "feedforward: NULL");
    attend_status status = attend_multihead_create(context, d->self_attention, &block->self);
    if (status != ATTEND_OK) return attend__prefix_error(status, "self_attention: ");
    if (d->cross_attention != NULL)
        status = attend_multihead_create(context, d->cross_attention, &block->cross);
    if (status != ATTEND_OK) return attend__prefix_error(status, "cross_attention: ");
    status = attend_feedforward_create(context, d->feedforward, &block->feedforward);
    if (status != ATTEND_OK) return attend__prefix_error(status, "feedforward: ");
    return ATTEND_OK;
}

/* Every width that meets the stream is M, the width of self_attention's w_q. */
static attend_status check_widths(const attend_block *block) {
    const attend_multihead *self = block->self, *cross = block->cross;
    const struct {
        const char *name;
        int64_t width;
    } widths[] = {{"self_attention: w_k", self->width_k},
                  {"self_attention: w_v", self->width_v},
                  {"self_attention: w_o", self->width_out},
                  {"cross_attention: w_q", cross != NULL ? cross->width_q : block->width},
                  {"cross_attention: w_o", cross != NULL ? cross->width_out : block->width},
                  {"feedforward: w_1", block->feedforward->width},
                  {"feedforward: w_2", block->feedforward->width_out}};
    attend_status status = ATTEND_OK;
    const attend__expected stream = {"model size", "that of self_attention's w_q,", block->width};
    for (size_t i = 0; i < sizeof widths / sizeof *widths && status == ATTEND_OK; i++)
        status = attend__check_size(widths[i].name, widths[i].width, &stream);
    if (status != ATTEND_OK || cross == NULL) return status;
    return attend__check_size("cross_attention: w_v", cross->width_v,
                              &(attend__expected){"width", "w_k's", cross->width_k});
}

static attend_status check_types(const attend_block *block) {
    const attend_type type = block->self->head.type;
    if (block->cross != NULL && block->cross->head.type != type)
        return attend__fail(ATTEND_TYPE,
                            "cross_attention: type %s does not match self_attention's %s",
                            attend_type_text(block->cross->head.type), attend_type_text(type));
    if (block->feedforward->head.type != type)
        return attend__fail(ATTEND_TYPE, "feedforward: type %s does not match self_attention's %s",
                            attend_type_text(block->feedforward->head.type),
                            attend_type_text(type));
    return ATTEND_OK;
}

static attend_status check_norm(const attend_context *context, const attend_block_desc *d) {
    if (d->norm != ATTEND_LAYER_NORM && d->norm != ATTEND_RMS_NORM)
        return attend__fail(ATTEND_INVALID, "norm: %d is not one of attend_norm_kind",
                            (int)d->norm);
    if ((uint32_t)d->norm > context->table.highest_norm)
        return attend__fail(ATTEND_UNSUPPORTED, "norm: the backend in use does not know %d",
                            (int)d->norm);
    if (!isfinite(d->eps) || d->eps < 0)
        return attend__fail(ATTEND_INVALID, "eps: %g is negative or not finite", d->eps);
    if (d->reserved_flags != 0) return attend__fail(ATTEND_INVALID, "reserved_flags: not 0");
    return ATTEND_OK;
}

static attend_status make_norms(attend_context *context, const attend_block_desc *d,
                                attend_block *block) {
    const struct {
        const char *name;
        const attend_tensor *from;
        attend__parameter *to;
        part of;
    } vectors[] = {{"norm_self_weight", &d->norm_self_weight, &block->norms[SELF].weight, SELF},
                   {"norm_self_bias", &d->norm_self_bias, &block->norms[SELF].bias, SELF},
                   {"norm_cross_weight", &d->norm_cross_weight, &block->norms[CROSS].weight, CROSS},
                   {"norm_cross_bias", &d->norm_cross_bias, &block->norms[CROSS].bias, CROSS},
                   {"norm_feedforward_weight", &d->norm_feedforward_weight,
                    &block->norms[FEEDFORWARD].weight, FEEDFORWARD},
                   {"norm_feedforward_bias", &d->norm_feedforward_bias,
                    &block->norms[FEEDFORWARD].bias, FEEDFORWARD}};
    const attend__expected size = {"size", "the model size", block->width};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        if (attend__given(vectors[i].from) && vectors[i].of == CROSS && block->cross == NULL)
            return attend__fail(ATTEND_INVALID, "%s: given without cross_attention",
                                vectors[i].name);
        attend_status status =
            attend__check_vector(vectors[i].name, vectors[i].from, block->head.type, &size);
        if (status == ATTEND_OK)
            status = attend__parameter_create(context, vectors[i].from, vectors[i].to);
        if (status != ATTEND_OK) return status;
    }
    return ATTEND_OK;
}

/* The stream after each sub-layer but the last, and what stands between a norm and its sub-layer.
 */
enum { STREAMS = 2, INNER = STREAMS, INTERMEDIATES };

static attend_status scratch_bytes(attend_type type, const int64_t sizes[3], size_t *bytes) {
    attend_status status = ATTEND_OK;
    *bytes = 0;
    for (int i = 0; i < INTERMEDIATES && status == ATTEND_OK; i++)
        status = attend__scratch_add(bytes, type, 3, sizes);
    return status;
}

static attend_status fill(attend_context *context, const attend_block_desc *description,
                          attend_block *block) {
    attend_block_desc d;
    attend_status status =
        attend__description_copy("description", &description_fields, description, &d);
    if (status == ATTEND_OK) status = attend__fields_check(context, &description_fields, &d);
    if (status == ATTEND_OK) status = check_norm(context, &d);
    if (status == ATTEND_OK) status = make_parts(context, &d, block);
    if (status != ATTEND_OK) return status;
    block->width = block->self->width_q;
    block->head.type = block->self->head.type;
    block->norm = d.norm;
    block->norm_first = d.norm_first != 0;
    block->eps = d.eps;
    status = check_widths(block);
    if (status == ATTEND_OK) status = check_types(block);
    if (status == ATTEND_OK) status = make_norms(context, &d, block);
    if (status != ATTEND_OK) return status;
    const attend_multihead_desc *self = &block->self->options;
    const int64_t largest[3] = {self->max_batch, self->max_query_length, block->width};
    size_t bytes = 0;
    status = scratch_bytes(ATTEND_F32, largest, &bytes);
    return status != ATTEND_OK ? status : attend__layer_pool(&block->head, bytes);
}

static attend_status run_norm(const attend_block *block, part which, const attend_tensor rows[3],
                              attend__sequence *sequence) {
    attend_norm n = attend_norm_default();
    n.x = rows[0];
    n.residual = rows[1];
    n.out = rows[2];
    n.weight = attend__parameter_as(&block->norms[which].weight, n.x.type);
    n.bias = attend__parameter_as(&block->norms[which].bias, n.x.type);
    n.kind = block->norm;
    n.eps = block->eps;
    return attend__step(sequence, ATTEND_OP_NORM, &n, NULL);
}

/* The sub-layers have made theirs. */
static attend_status make_plans(void *object) {
    static const attend_tensor none;
    attend_block *const block = object;
    attend__sequence sequence = {.context = block->head.context, .planning = true};
    block->head.extent = block->self->head.extent;
    attend__extent e = block->head.extent;
    const bool known = e.batch > 0; /* else one row has the kernel of many */
    if (!known) e = (attend__extent){.batch = 1, .queries = ATTEND__ROWS_TO_PLAN};
    (void)attend__layer_extent(&block->head, &sequence);
    attend_status status = ATTEND_OK;
    for (int i = known ? 0 : 1; i < 2 && status == ATTEND_OK; i++) {
        const attend_tensor rows =
            attend_tensor_3d(NULL, block->head.type, e.batch, i ? e.queries : 1, block->width);
        status = run_norm(
            block, SELF, (attend_tensor[]){rows, block->norm_first ? none : rows, rows}, &sequence);
    }
    return status;
}

attend_status attend_block_create(attend_context *context, const attend_block_desc *description,
                                  attend_block **result) {
    if (result != NULL) *result = NULL;
    attend_status status = attend__layer_begin(context, description, result);
    if (status != ATTEND_OK) return status;
    void *memory = NULL;
    status = attend__layer_allocate(context, sizeof(attend_block), destroy, &memory);
    if (status != ATTEND_OK) return status;
    attend_block *block = memory;
    status = fill(context, description, block);
    if (status != ATTEND_OK) {
        attend__layer_drop(block);
        return status;
    }
    attend__layer_plan(&block->head, make_plans);
    *result = block;
    return ATTEND_OK;
}

void attend_block_release(attend_block *block) {
    attend__layer_drop(block);
}

/* ---- running --------------------------------------------------------------------------------- */

/* out = t(x) + residual of one sub-layer t; residual may be "not given". */
static attend_status run_part(const attend_block *block, const attend__block_call *call, part which,
                              const attend_tensor rows[3], attend__sequence *sequence) {
    if (which == FEEDFORWARD) {
        attend_feedforward_args f = attend_feedforward_args_default();
        f.x = rows[0];
        f.residual = rows[1];
        f.out = rows[2];
        return attend__feedforward_body(block->feedforward, &f, sequence);
    }
    attend__multihead_call a =
        which == SELF ? attend__block_self_call(call) : attend__block_cross_call(call);
    a.args.x_q = rows[0];
    a.args.residual = rows[1];
    a.args.out = rows[2];
    return attend__multihead_body(which == SELF ? block->self : block->cross, &a, sequence);
}

static attend_status run_steps(const attend_block *block, const attend__block_call *call,
                               const attend_tensor scratch[INTERMEDIATES],
                               attend__sequence *sequence) {
    static const attend_tensor none;
    const attend_block_args *args = &call->args;
    const attend_tensor *inner = &scratch[INNER], *stream = &args->x;
    attend_status status = ATTEND_OK;
    for (int i = SELF, next = 0; i < PARTS && status == ATTEND_OK; i++) {
        if (i == CROSS && block->cross == NULL) continue;
        const attend_tensor *to = i == FEEDFORWARD ? &args->out : &scratch[next++];
        if (block->norm_first) {
            status = run_norm(block, (part)i, (attend_tensor[]){*stream, none, *inner}, sequence);
            if (status == ATTEND_OK)
                status = run_part(block, call, (part)i, (attend_tensor[]){*inner, *stream, *to},
                                  sequence);
        } else {
            status =
                run_part(block, call, (part)i, (attend_tensor[]){*stream, none, *inner}, sequence);
            if (status == ATTEND_OK)
                status =
                    run_norm(block, (part)i, (attend_tensor[]){*inner, *stream, *to}, sequence);
        }
        stream = to;
    }
    return status;
}

static attend_status body(void *object, const void *arguments, attend__sequence *sequence) {
    attend_block *block = object;
    const attend__block_call *call = arguments;
    const attend_block_args *args = &call->args;
    size_t bytes = 0;
    attend__scratch scratch;
    attend_status status = scratch_bytes(args->x.type, args->x.sizes, &bytes);
    if (status == ATTEND_OK)
        status = attend__layer_scratch(&block->head, sequence, bytes, &scratch);
    if (status != ATTEND_OK) return status;
    const attend__extent *const before = attend__layer_extent(&block->head, sequence);
    attend_tensor rows[INTERMEDIATES];
    for (int i = 0; i < INTERMEDIATES && status == ATTEND_OK; i++)
        status = attend__scratch_tensor(&scratch, args->x.type, 3, args->x.sizes, &rows[i]);
    if (status == ATTEND_OK) status = run_steps(block, call, rows, sequence);
    sequence->extent = before;
    attend__scratch_return(block->head.pool, &scratch, sequence);
    return status;
}

static attend_status launch(attend_block *block, const attend_block_args *arguments,
                            const attend__layer_waits *waits) {
    if (block == NULL) return attend__fail(ATTEND_NULL_POINTER, "block: NULL");
    attend_status status = attend__context_check(block->head.context);
    if (status != ATTEND_OK) return status;
    attend__block_call call;
    status =
        attend__description_copy("arguments", &attend__block_args_fields, arguments, &call.args);
    if (status == ATTEND_OK) status = attend__block_begin(block, &call);
    if (status != ATTEND_OK) return status;
    status = attend__layer_launch(block, &attend__block_call_fields, body, &call, waits);
    if (status != ATTEND_OK) attend__block_undo(block, &call);
    return status;
}

attend_status attend_block_run(attend_block *block, const attend_block_args *arguments) {
    return launch(block, arguments, NULL);
}

attend_status attend_block_enqueue(attend_block *block, const attend_block_args *arguments,
                                   size_t wait_count, attend_event *const *waits,
                                   attend_event **done) {
    if (done != NULL) *done = NULL;
    return launch(block, arguments, &(attend__layer_waits){wait_count, waits, done});
}
