/* SPDX-License-Identifier: Apache-2.0
 *
 * Multi-head attention with prepared weights (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2;
 * grouped heads arXiv:2305.13245): projections, optional rotation, attention over strided views of
 * the projected rows, so that no head is ever copied to be split or merged, and the output
 * projection with the residual in its epilogue. */
#include "layers/multihead.h"

#include "base/checked.h"
#include "core/error.h"
#include "layers/layer_packed.h"

#include <string.h>

static const attend__field desc_fields[] = {
    ATTEND__MEMBER(attend_multihead_desc, w_q, ATTEND__NEED),
    ATTEND__MEMBER(attend_multihead_desc, w_k, ATTEND__NEED),
    ATTEND__MEMBER(attend_multihead_desc, w_v, ATTEND__NEED),
    ATTEND__MEMBER(attend_multihead_desc, w_o, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_desc, b_q, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_desc, b_k, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_desc, b_v, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_desc, b_o, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_desc, rope_cos, ATTEND__TABLE),
    ATTEND__MEMBER(attend_multihead_desc, rope_sin, ATTEND__TABLE),
    ATTEND__MEMBER(attend_multihead_desc, alibi_slopes, ATTEND__TABLE),
    ATTEND__MEMBER(attend_multihead_desc, sinks, ATTEND__TABLE),
};
const attend__fields attend__multihead_desc_fields = {sizeof(attend_multihead_desc), desc_fields,
                                                      sizeof desc_fields / sizeof *desc_fields};

static const attend__field args_fields[] = {
    ATTEND__MEMBER(attend_multihead_args, x_q, ATTEND__NEED),
    ATTEND__MEMBER(attend_multihead_args, x_kv, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_args, x_v, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_args, out, ATTEND__RESULT),
    ATTEND__MEMBER(attend_multihead_args, residual, ATTEND__HOME),
    ATTEND__MEMBER(attend_multihead_args, mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_multihead_args, bias, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_multihead_args, key_mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_multihead_args, query_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_multihead_args, key_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_multihead_args, weights, ATTEND__ASKED),
    ATTEND__MEMBER(attend_multihead_args, weights_mean, ATTEND__ASKED),
    ATTEND__MEMBER(attend_multihead_args, lse, ATTEND__ASKED_F32),
    ATTEND__MEMBER(attend_multihead_args, cu_query_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_multihead_args, cu_key_lengths, ATTEND__LENGTHS),
    /* the rest of attend__multihead_call */
    ATTEND__CACHE_FIELDS(attend__multihead_call, use),
};
enum { CALL_FIELDS = sizeof args_fields / sizeof *args_fields };
const attend__fields attend__multihead_args_fields = {sizeof(attend_multihead_args), args_fields,
                                                      CALL_FIELDS - ATTEND__CACHE_COUNT};
static const attend__fields call_fields = {sizeof(attend__multihead_call), args_fields,
                                           CALL_FIELDS};

/* ---- creating and releasing ------------------------------------------------------------------ */

static void destroy(void *object) {
    attend_multihead *layer = object;
    attend_weights_release(layer->w_q);
    attend_weights_release(layer->w_k);
    attend_weights_release(layer->w_v);
    attend_weights_release(layer->w_o);
    attend__parameter *const parameters[] = {
        &layer->b_q,      &layer->b_k,      &layer->b_v,          &layer->b_o,
        &layer->rope_cos, &layer->rope_sin, &layer->alibi_slopes, &layer->sinks};
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        attend__parameter_release(parameters[i]);
}

static attend_status prepare_weights(attend_multihead *layer) {
    const attend_multihead_desc *d = &layer->options;
    const struct {
        const attend_tensor *from;
        attend_weights **to;
    } weights[] = {{&d->w_q, &layer->w_q},
                   {&d->w_k, &layer->w_k},
                   {&d->w_v, &layer->w_v},
                   {&d->w_o, &layer->w_o}};
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < sizeof weights / sizeof *weights && status == ATTEND_OK; i++)
        if (attend__given(weights[i].from))
            status = attend_weights_create(layer->head.context, weights[i].from, weights[i].to);
    return status;
}

static attend_status prepare_parameters(attend_multihead *layer) {
    const attend_multihead_desc *d = &layer->options;
    const struct {
        const attend_tensor *from;
        attend__parameter *to;
    } parameters[] = {{&d->b_q, &layer->b_q},
                      {&d->b_k, &layer->b_k},
                      {&d->b_v, &layer->b_v},
                      {&d->b_o, &layer->b_o},
                      {&d->rope_cos, &layer->rope_cos},
                      {&d->rope_sin, &layer->rope_sin},
                      {&d->alibi_slopes, &layer->alibi_slopes},
                      {&d->sinks, &layer->sinks}};
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters && status == ATTEND_OK; i++)
        status =
            attend__parameter_create(layer->head.context, parameters[i].from, parameters[i].to);
    return status;
}

/* The intermediate results of one call, in the order in which they are taken from the scratch. */
enum { QUERIES, KEYS, VALUES, MERGED, INTERMEDIATES };

static void intermediate_sizes(const attend_multihead *layer,
                               const attend__multihead_lengths *lengths,
                               int64_t sizes[INTERMEDIATES][3]) {
    const int64_t heads = layer->options.heads;
    const int64_t columns[INTERMEDIATES] = {
        heads * layer->head_size, layer->kv_heads * layer->head_size,
        layer->kv_heads * layer->value_size, heads * layer->value_size};
    for (int i = 0; i < INTERMEDIATES; i++) {
        sizes[i][0] = lengths->batch;
        sizes[i][1] = i == KEYS || i == VALUES ? lengths->keys : lengths->queries;
        sizes[i][2] = columns[i];
    }
}

attend_status attend__multihead_scratch_bytes(const attend_multihead *layer, attend_type type,
                                              const attend__multihead_lengths *lengths,
                                              size_t *bytes) {
    int64_t sizes[INTERMEDIATES][3];
    intermediate_sizes(layer, lengths, sizes);
    attend_status status = ATTEND_OK;
    *bytes = 0;
    for (int i = 0; i < INTERMEDIATES && status == ATTEND_OK; i++)
        status = attend__scratch_add(bytes, type, 3, sizes[i]);
    return status;
}

static attend_status make_pool(attend_multihead *layer) {
    const attend_multihead_desc *d = &layer->options;
    const attend__multihead_lengths largest = {
        d->max_batch, d->max_query_length, attend__larger(d->max_query_length, d->max_key_length)};
    size_t bytes = 0;
    const attend_status status =
        attend__multihead_scratch_bytes(layer, ATTEND_F32, &largest, &bytes);
    return status != ATTEND_OK ? status : attend__layer_pool(&layer->head, bytes);
}

attend_status attend_multihead_create(attend_context *context,
                                      const attend_multihead_desc *description,
                                      attend_multihead **result) {
    if (result != NULL) *result = NULL;
    attend_status status = attend__layer_begin(context, description, result);
    if (status != ATTEND_OK) return status;
    void *memory = NULL;
    status = attend__layer_allocate(context, sizeof(attend_multihead), destroy, &memory);
    if (status != ATTEND_OK) return status;
    attend_multihead *layer = memory;
    attend_multihead_desc *d = &layer->options;
    status =
        attend__description_copy("description", &attend__multihead_desc_fields, description, d);
    if (status == ATTEND_OK)
        status = attend__fields_check(context, &attend__multihead_desc_fields, d);
    if (status == ATTEND_OK) status = attend__multihead_check_desc(d, layer);
    if (status == ATTEND_OK) status = prepare_weights(layer);
    if (status == ATTEND_OK) status = prepare_parameters(layer);
    if (status == ATTEND_OK) status = make_pool(layer);
    if (status != ATTEND_OK) {
        attend__layer_drop(layer);
        return status;
    }
    attend__layer_plan(&layer->head, attend__multihead_plans);
    *result = layer;
    return ATTEND_OK;
}

void attend_multihead_release(attend_multihead *layer) {
    attend__layer_drop(layer);
}

/* ---- running --------------------------------------------------------------------------------- */

/* [B, n, heads * size] as [B, heads, n, size]. */
static attend_tensor heads_view(const attend_tensor *rows, int64_t heads, int64_t size) {
    attend_tensor view = *rows;
    view.rank = 4;
    const int64_t sizes[4] = {rows->sizes[0], heads, rows->sizes[1], size};
    /* With one head its stride is never used, and the product might not fit. */
    const int64_t strides[4] = {rows->strides[0], heads > 1 ? size * rows->strides[2] : 1,
                                rows->strides[1], rows->strides[2]};
    memcpy(view.sizes, sizes, sizeof sizes);
    memcpy(view.strides, strides, sizeof strides);
    return view;
}

typedef struct project_call {
    attend_weights *weights;
    const attend__parameter *bias;
    const attend_tensor *x, *residual, *out;
} project_call;

static attend_status project(attend__sequence *sequence, const project_call *call) {
    attend_projection p = attend_projection_default();
    p.x = *call->x;
    p.weights = call->weights;
    p.bias = attend__parameter_as(call->bias, call->x->type);
    if (call->residual != NULL) p.residual = *call->residual;
    p.out = *call->out;
    return attend__step(sequence, ATTEND_OP_PROJECT, &p, NULL);
}

/* Where the rows stand that are rotated: each sample from `before` on, 0 where not given. */
typedef struct rotation {
    const attend_tensor *heads, *cu, *before;
} rotation;

static attend_status rotate(const attend_multihead *layer, attend__sequence *sequence,
                            const rotation *r) {
    attend_context *context = layer->head.context;
    attend_rope rope = attend_rope_default();
    rope.x = rope.out = *r->heads;
    rope.cos = layer->rope_cos.stored;
    rope.sin = layer->rope_sin.stored;
    rope.rotary_dim = layer->options.rope_dim;
    rope.interleaved = layer->options.rope_interleaved;
    attend_status status = ATTEND_OK;
    const attend__extent *const extent = sequence->extent;
    attend__extent joined; /* samples in one */
    if (attend__given(r->cu)) {
        status = attend__packed_positions(context, r->cu, r->before, r->heads->sizes[2],
                                          &rope.position_ids);
        if (extent != NULL) {
            joined = (attend__extent){1, extent->batch * extent->keys, 0, false};
            sequence->extent = &joined;
        }
    } else {
        rope.position_offsets = *r->before;
    }
    if (status == ATTEND_OK) status = attend__step(sequence, ATTEND_OP_ROPE, &rope, NULL);
    sequence->extent = extent;
    attend__recycler_give(&context->calls, rope.position_ids.data);
    return status;
}

attend_attention attend__multihead_attention(const attend_multihead *layer,
                                             const attend__multihead_call *call) {
    const attend_multihead_desc *d = &layer->options;
    const attend_multihead_args *args = &call->args;
    const bool cached = attend__given(&call->use.k);
    attend_attention a = attend_attention_default();
    a.scale = d->scale;
    a.has_scale = d->has_scale;
    a.causal = d->causal;
    a.softcap = d->softcap;
    a.window_left = d->window_left;
    a.window_right = d->window_right;
    a.precision = d->precision;
    a.position = d->position;
    if (!attend__given(&args->x_kv) && !args->cache_only && a.position == ATTEND_POSITION_UNSET)
        a.position = cached ? ATTEND_AFTER_CACHE : ATTEND_TOP_LEFT;
    a.alibi_slopes = layer->alibi_slopes.stored;
    a.sinks = layer->sinks.stored;
    a.query_lengths = args->query_lengths;
    if (!cached || args->cache_only) a.key_lengths = args->key_lengths;
    a.cu_query_lengths = args->cu_query_lengths;
    if (!cached)
        a.cu_key_lengths =
            attend__given(&args->x_kv) ? args->cu_key_lengths : args->cu_query_lengths;
    a.mask = args->mask;
    a.bias = args->bias;
    a.key_mask = args->key_mask;
    a.weights = args->weights;
    a.weights_mean = args->weights_mean;
    a.lse = args->lse;
    if (cached) attend__cache_fill(&call->use, &a);
    return a;
}

/* New keys and values into the cache, rotated on their way. */
static attend_status append_heads(const attend_multihead *layer, const attend__cache_use *use,
                                  const attend_tensor *k, const attend_tensor *v,
                                  attend__sequence *sequence) {
    const attend__cache_rope rope = {layer->rope_cos.stored, layer->rope_sin.stored,
                                     layer->options.rope_dim, layer->options.rope_interleaved};
    return attend__cache_steps(use, k, v, &rope, sequence);
}

static attend_status attend_heads(const attend_multihead *layer, const attend__multihead_call *call,
                                  const attend_tensor rows[INTERMEDIATES],
                                  attend__sequence *sequence) {
    static const attend_tensor none;
    const bool cached = attend__given(&call->use.k), turns = attend__given(&layer->rope_cos.stored);
    const attend_tensor k = heads_view(&rows[KEYS], layer->kv_heads, layer->head_size),
                        v = heads_view(&rows[VALUES], layer->kv_heads, layer->value_size);
    attend_attention a = attend__multihead_attention(layer, call);
    a.q = heads_view(&rows[QUERIES], layer->options.heads, layer->head_size);
    a.out = heads_view(&rows[MERGED], layer->options.heads, layer->value_size);
    const rotation queries = {&a.q, &call->args.cu_query_lengths,
                              cached ? &call->use.before : &none},
                   keys = {&k, &a.cu_key_lengths, &none};
    attend_status status = ATTEND_OK;
    if (turns) status = rotate(layer, sequence, &queries);
    if (status == ATTEND_OK && turns && !cached) status = rotate(layer, sequence, &keys);
    if (status == ATTEND_OK && cached && !call->args.cache_only)
        status = append_heads(layer, &call->use, &k, &v, sequence);
    if (status != ATTEND_OK) return status;
    if (!cached) {
        a.k = k;
        a.v = v;
    }
    return attend__step(sequence, ATTEND_OP_ATTENTION, &a, NULL);
}

static attend_status finish(const attend_multihead *layer, const attend_multihead_args *args,
                            const attend_tensor *merged, attend__sequence *sequence) {
    if (layer->w_o != NULL)
        return project(sequence, &(project_call){layer->w_o, &layer->b_o, merged, &args->residual,
                                                 &args->out});
    if (!attend__given(&args->residual)) return ATTEND_OK; /* attention wrote `out` itself */
    attend_elementwise add = attend_elementwise_default();
    add.x = *merged;
    add.residual = args->residual;
    add.out = args->out;
    return attend__step(sequence, ATTEND_OP_ACTIVATE, &add, NULL);
}

static attend_status run_steps(const attend_multihead *layer, const attend__multihead_call *call,
                               attend_tensor rows[INTERMEDIATES], attend__sequence *sequence) {
    const attend_multihead_args *args = &call->args;
    const attend_tensor *x_k = attend__given(&args->x_kv) ? &args->x_kv : &args->x_q;
    const attend_tensor *x_v = attend__given(&args->x_v) ? &args->x_v : x_k;
    if (layer->w_o == NULL && !attend__given(&args->residual)) rows[MERGED] = args->out;
    const project_call in[] = {{layer->w_q, &layer->b_q, &args->x_q, NULL, &rows[QUERIES]},
                               {layer->w_k, &layer->b_k, x_k, NULL, &rows[KEYS]},
                               {layer->w_v, &layer->b_v, x_v, NULL, &rows[VALUES]}};
    attend_status status = ATTEND_OK;
    const int projections = args->cache_only ? 1 : 3;
    for (int i = 0; i < projections && status == ATTEND_OK; i++)
        status = project(sequence, &in[i]);
    if (status == ATTEND_OK) status = attend_heads(layer, call, rows, sequence);
    if (status == ATTEND_OK) status = finish(layer, args, &rows[MERGED], sequence);
    return status;
}

attend_status attend__multihead_body(void *object, const void *arguments,
                                     attend__sequence *sequence) {
    attend_multihead *layer = object;
    const attend__multihead_call *call = arguments;
    const attend_type type = call->args.x_q.type;
    const attend__multihead_lengths lengths = attend__multihead_lengths_of(&call->args);
    int64_t sizes[INTERMEDIATES][3];
    intermediate_sizes(layer, &lengths, sizes);
    size_t bytes = 0;
    attend__scratch scratch;
    attend_status status = attend__multihead_scratch_bytes(layer, type, &lengths, &bytes);
    if (status == ATTEND_OK)
        status = attend__layer_scratch(&layer->head, sequence, bytes, &scratch);
    if (status != ATTEND_OK) return status;
    const attend__extent *const before = attend__layer_extent(&layer->head, sequence);
    attend_tensor rows[INTERMEDIATES];
    for (int i = 0; i < INTERMEDIATES && status == ATTEND_OK; i++)
        status = attend__scratch_tensor(&scratch, type, 3, sizes[i], &rows[i]);
    if (status == ATTEND_OK) status = run_steps(layer, call, rows, sequence);
    sequence->extent = before;
    attend__scratch_return(layer->head.pool, &scratch, sequence);
    return status;
}

static attend_status launch(attend_multihead *layer, const attend_multihead_args *arguments,
                            const attend__layer_waits *waits) {
    if (layer == NULL) return attend__fail(ATTEND_NULL_POINTER, "layer: NULL");
    attend_status status = attend__context_check(layer->head.context);
    if (status != ATTEND_OK) return status;
    attend__multihead_call call;
    status = attend__description_copy("arguments", &attend__multihead_args_fields, arguments,
                                      &call.args);
    if (status == ATTEND_OK) status = attend__multihead_check_args(layer, &call.args);
    if (status == ATTEND_OK) status = attend__multihead_begin(layer, &call);
    if (status != ATTEND_OK) return status;
    status = attend__layer_launch(layer, &call_fields, attend__multihead_body, &call, waits);
    if (status != ATTEND_OK) attend__multihead_undo(&call);
    return status;
}

attend_status attend_multihead_run(attend_multihead *layer,
                                   const attend_multihead_args *arguments) {
    return launch(layer, arguments, NULL);
}

attend_status attend_multihead_enqueue(attend_multihead *layer,
                                       const attend_multihead_args *arguments, size_t wait_count,
                                       attend_event *const *waits, attend_event **done) {
    if (done != NULL) *done = NULL;
    return launch(layer, arguments, &(attend__layer_waits){wait_count, waits, done});
}
