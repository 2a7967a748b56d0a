/* SPDX-License-Identifier: Apache-2.0
 *
 * One head of one layer, step by step, for people who want to see each; see attend/model.h. The
 * steps run one by one on the model's context, and beside them the fused attention of all heads, so
 * that both can be compared. */
#include "base/checked.h"
#include "model/model_error.h"
#include "model/model_parts.h"
#include "model/trace_bound.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS = ATTEND_TRACE_BOUND, ROOM = STEPS + 1 };

struct attend_head_trace {
    attend_encoding *encoding;
    int64_t length, model_size, head_size;
    float *steps[ROOM]; /* by attend_trace_step; [0] is unused */
};

/* State of one call. */
typedef struct tracing {
    const attend_model *model;
    attend_trace_options options;
    attend_head_trace *trace;
    unsigned char *key_mask; /* [L]; NULL without padding */
    attend_multihead_desc layer;
} tracing;

/* ---- options and room ------------------------------------------------------------------------ */

void attend_trace_options_init(void *options, size_t size) {
    if (!options) return;
    memset(options, 0, size);
    memcpy(options, &size, size < sizeof size ? size : sizeof size);
}

static attend_status check_options(tracing *t, const attend_trace_options *given) {
    const attend__bert_config *const c = &t->model->config;
    attend_trace_options *const o = &t->options;
    *o = attend_trace_options_default();
    const attend_status status =
        given ? attend__model_options_copy(o, sizeof *o, given) : ATTEND_OK;
    if (status) return status;
    if (o->layer < 0 || o->layer >= c->layers)
        return attend__model_fail(ATTEND_OUT_OF_RANGE, "layer: %d of a model with %lld layers",
                                  (int)o->layer, (long long)c->layers);
    if (o->head < 0 || o->head >= c->heads)
        return attend__model_fail(ATTEND_OUT_OF_RANGE, "head: %d of a model with %lld heads",
                                  (int)o->head, (long long)c->heads);
    if (o->padding < 0 || o->padding > c->positions)
        return attend__model_fail(ATTEND_OUT_OF_RANGE,
                                  "padding: %d tokens, the model takes at most %lld",
                                  (int)o->padding, (long long)c->positions);
    if (o->causal != 0 && o->causal != 1)
        return attend__model_fail(ATTEND_INVALID, "causal: %d is neither 0 nor 1", (int)o->causal);
    return ATTEND_OK;
}

static int64_t columns_of(const attend_head_trace *trace, attend_trace_step step) {
    switch (step) {
    case ATTEND_TRACE_INPUT:
        return trace->model_size;
    case ATTEND_TRACE_SCORES:
    case ATTEND_TRACE_SCALED:
    case ATTEND_TRACE_MASKED:
    case ATTEND_TRACE_WEIGHTS:
        return trace->length;
    default:
        return trace->head_size;
    }
}

static attend_status make_room(tracing *t) {
    attend_head_trace *const trace = t->trace;
    trace->length = (int64_t)attend_encoding_length(trace->encoding);
    trace->model_size = t->model->config.model_size;
    trace->head_size = trace->model_size / t->model->config.heads;
    bool done = true;
    for (int step = 1; step <= STEPS && done; step++) {
        const size_t columns = (size_t)columns_of(trace, (attend_trace_step)step);
        trace->steps[step] = attend__allocate_floats((size_t)trace->length, columns, 1);
        done = trace->steps[step] != NULL;
    }
    if (done && t->options.padding) {
        const size_t keys = (size_t)(trace->length - t->options.padding);
        t->key_mask = calloc((size_t)trace->length, 1);
        done = t->key_mask != NULL;
        if (done) memset(t->key_mask, 1, keys);
    }
    return done ? ATTEND_OK
                : attend__model_fail(ATTEND_OUT_OF_MEMORY,
                                     "text: not enough memory for the steps of %lld tokens",
                                     (long long)trace->length);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static attend_status run_layers_before(const tracing *t) {
    const attend_encoding *const e = t->trace->encoding;
    const attend__bert_call call = {
        .ids = e->ids,
        .types = e->types,
        .rows = t->trace->length,
        .texts = 1,
        .keys = t->options.padding ? t->trace->length - t->options.padding : 0,
        .skipped_layers = t->model->config.layers - t->options.layer,
        .hidden = t->trace->steps[ATTEND_TRACE_INPUT]};
    return attend__bert_run(t->model->bert, &call);
}

/* The rows of a weight or bias that belong to the head. */
static attend_tensor rows_of_head(const tracing *t, const attend_tensor *all) {
    const int64_t D = t->trace->head_size, columns = all->rank == 2 ? all->sizes[1] : 1;
    const float *const first = (const float *)all->data + t->options.head * D * columns;
    return all->rank == 2 ? attend_tensor_2d(first, ATTEND_F32, D, columns)
                          : attend_tensor_1d(first, ATTEND_F32, D);
}

static attend_tensor rows_of_step(const tracing *t, attend_trace_step step) {
    return attend_tensor_2d(t->trace->steps[step], ATTEND_F32, t->trace->length,
                            columns_of(t->trace, step));
}

static attend_status project(const tracing *t, const attend_tensor *w, const attend_tensor *b,
                             attend_trace_step step) {
    attend_projection p = attend_projection_default();
    p.x = rows_of_step(t, ATTEND_TRACE_INPUT);
    p.w = rows_of_head(t, w);
    p.bias = rows_of_head(t, b);
    p.out = rows_of_step(t, step);
    return attend_project(t->model->context, &p);
}

static attend_status project_all(const tracing *t) {
    attend_status status = project(t, &t->layer.w_q, &t->layer.b_q, ATTEND_TRACE_QUERIES);
    if (!status) status = project(t, &t->layer.w_k, &t->layer.b_k, ATTEND_TRACE_KEYS);
    if (!status) status = project(t, &t->layer.w_v, &t->layer.b_v, ATTEND_TRACE_VALUES);
    return status;
}

static attend_tensor as_head(const tracing *t, attend_trace_step step) {
    return attend_tensor_4d(t->trace->steps[step], ATTEND_F32, 1, 1, t->trace->length,
                            columns_of(t->trace, step));
}

/* Padding is masked and not cut off by a length, so that its scores can be seen before they are
 * masked. */
static attend_tensor key_mask(const tracing *t) {
    if (!t->key_mask) return (attend_tensor){0};
    return attend_tensor_2d(t->key_mask, ATTEND_BOOL, 1, t->trace->length);
}

static attend_status attend_in_steps(const tracing *t) {
    static const struct {
        attend_trace_step step;
        attend_scores_stage stage;
    } stages[] = {{ATTEND_TRACE_SCORES, ATTEND_SCORES_RAW},
                  {ATTEND_TRACE_SCALED, ATTEND_SCORES_SCALED},
                  {ATTEND_TRACE_MASKED, ATTEND_SCORES_MASKED}};
    attend_attention a = attend_attention_default();
    a.q = as_head(t, ATTEND_TRACE_QUERIES);
    a.k = as_head(t, ATTEND_TRACE_KEYS);
    a.v = as_head(t, ATTEND_TRACE_VALUES);
    a.causal = t->options.causal;
    a.position = ATTEND_TOP_LEFT;
    a.key_mask = key_mask(t);
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < sizeof stages / sizeof *stages && !status; i++) {
        a.scores = as_head(t, stages[i].step);
        a.scores_stage = stages[i].stage;
        status = attend_scores(t->model->context, &a);
    }
    a.weights = as_head(t, ATTEND_TRACE_WEIGHTS);
    if (!status) status = attend_softmax(t->model->context, &a);
    a.out = as_head(t, ATTEND_TRACE_MIX);
    return status ? status : attend_mix(t->model->context, &a);
}

/* All heads at once, without the output projection: their outputs beside each other. */
static attend_status run_all_heads(const tracing *t, float *all) {
    const attend_head_trace *const trace = t->trace;
    attend_multihead_desc desc = t->layer;
    desc.w_o = desc.b_o = (attend_tensor){0};
    desc.causal = t->options.causal;
    attend_multihead *layer;
    attend_status status = attend_multihead_create(t->model->context, &desc, &layer);
    if (status) return status;
    attend_multihead_args args = attend_multihead_args_default();
    args.x_q = attend_tensor_3d(trace->steps[ATTEND_TRACE_INPUT], ATTEND_F32, 1, trace->length,
                                trace->model_size);
    args.out = attend_tensor_3d(all, ATTEND_F32, 1, trace->length, trace->model_size);
    args.key_mask = key_mask(t);
    status = attend_multihead_run(layer, &args);
    attend_multihead_release(layer);
    return status;
}

static attend_status attend_fused(const tracing *t) {
    const attend_head_trace *const trace = t->trace;
    const size_t L = (size_t)trace->length, M = (size_t)trace->model_size,
                 D = (size_t)trace->head_size;
    float *const all = attend__allocate_floats(L, M, 1);
    const attend_status status =
        all ? run_all_heads(t, all)
            : attend__model_fail(ATTEND_OUT_OF_MEMORY, "text: not enough memory for all heads");
    for (size_t i = 0; i < L && !status; i++)
        memcpy(trace->steps[ATTEND_TRACE_OUTPUT] + i * D, all + i * M + (size_t)t->options.head * D,
               D * sizeof(float));
    free(all);
    return status;
}

static attend_status fill_bound(const tracing *t) {
    float *const *const steps = t->trace->steps;
    attend_tensor w[3] = {t->layer.w_q, t->layer.w_k, t->layer.w_v};
    attend_tensor b[3] = {t->layer.b_q, t->layer.b_k, t->layer.b_v};
    attend__traced_head head = {.length = (size_t)t->trace->length,
                                .model_size = (size_t)t->trace->model_size,
                                .head_size = (size_t)t->trace->head_size,
                                .x = steps[ATTEND_TRACE_INPUT],
                                .masked = steps[ATTEND_TRACE_MASKED],
                                .weights = steps[ATTEND_TRACE_WEIGHTS],
                                .mix = steps[ATTEND_TRACE_MIX]};
    for (int i = 0; i < 3; i++) {
        head.w[i] = rows_of_head(t, &w[i]).data;
        head.b[i] = rows_of_head(t, &b[i]).data;
        head.projected[i] = steps[ATTEND_TRACE_QUERIES + i];
    }
    return attend__trace_bound(&head, steps[ATTEND_TRACE_BOUND])
               ? ATTEND_OK
               : attend__model_fail(ATTEND_OUT_OF_MEMORY, "text: not enough memory for the bound");
}

/* ---- together -------------------------------------------------------------------------------- */

static attend_status compute(tracing *t) {
    attend__safetensors *file;
    attend_status status = attend__safetensors_open(t->model->weights_path, &file);
    if (status) return status;
    attend__weight_store store = attend__bert_store(t->model->context, file);
    status = attend__bert_attention(&store, &t->model->config, t->options.layer, &t->layer);
    if (!status) status = run_layers_before(t);
    if (!status) status = project_all(t);
    if (!status) status = attend_in_steps(t);
    if (!status) status = attend_fused(t);
    if (!status) status = fill_bound(t);
    attend__weight_store_clear(&store);
    attend__safetensors_close(file);
    return status;
}

attend_status attend_model_trace_head(const attend_model *model, const char *text,
                                      size_t text_bytes, const attend_trace_options *options,
                                      attend_head_trace **trace) {
    if (!trace) return attend__model_fail(ATTEND_NULL_POINTER, "trace: missing");
    *trace = NULL;
    if (!model) return attend__model_fail(ATTEND_NULL_POINTER, "model: missing");
    tracing t = {.model = model};
    attend_status status = check_options(&t, options);
    if (status) return status;
    t.trace = calloc(1, sizeof *t.trace);
    if (!t.trace) return attend__model_fail(ATTEND_OUT_OF_MEMORY, "trace: not enough memory");
    const attend__model_text texts = {.texts = {text, t.options.second_text},
                                      .bytes = {text_bytes, t.options.second_text_bytes},
                                      .padding = t.options.padding};
    status = attend__model_tokens(model, &texts, &t.trace->encoding);
    if (!status) status = attend__encoding_fits(model, t.trace->encoding);
    if (!status) status = make_room(&t);
    if (!status && t.trace->length) status = compute(&t);
    free(t.key_mask);
    if (status)
        attend_head_trace_release(t.trace);
    else
        *trace = t.trace;
    return status;
}

void attend_head_trace_release(attend_head_trace *trace) {
    if (!trace) return;
    attend_encoding_release(trace->encoding);
    for (int step = 0; step < ROOM; step++)
        free(trace->steps[step]);
    free(trace);
}

const attend_encoding *attend_head_trace_encoding(const attend_head_trace *trace) {
    return trace ? trace->encoding : NULL;
}

const float *attend_head_trace_values(const attend_head_trace *trace, attend_trace_step step,
                                      int64_t *rows, int64_t *columns) {
    const bool known = trace && (int)step >= 1 && (int)step <= STEPS;
    if (rows) *rows = known ? trace->length : 0;
    if (columns) *columns = known ? columns_of(trace, step) : 0;
    return known ? trace->steps[step] : NULL;
}
