/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans of a multi-head layer's steps, made when it is created: for its largest sizes, and where a
 * decoder may have it for one token a sample, so that its calls compile nothing, and those without
 * rare options make nothing at all. Where the layer does not know its sizes they are made for a few
 * rows, on devices that compile: other sizes then have plans of their own, of programs that are
 * there. */
#include "layers/multihead.h"

#include "core/error.h"

/* A call to plan for. Options are what makes kernels of their own on some device, and what is
 * common: the rest of them has its plans made by the first call. UNBOUND: one that the layer's
 * windows do not reach, so that it has none. */
typedef enum variant {
    ROWS,
    ROWS_ADDED,
    TOKENS,
    TOKENS_ADDED,
    MASKED,
    LENGTHS,
    PACKED,
    UNBOUND
} variant;
enum { VARIANTS = UNBOUND + 1 };

static void fill(const attend_multihead *layer, const attend__extent *e, bool cross,
                 attend_multihead_args *a) {
    const attend_type type = layer->head.type;
    const int64_t columns =
        layer->w_o != NULL ? layer->width_out : layer->options.heads * layer->value_size;
    a->x_q = attend_tensor_3d(NULL, type, e->batch, e->queries, layer->width_q);
    a->out = attend_tensor_3d(NULL, type, e->batch, e->queries, columns);
    if (!cross) return;
    a->x_kv = attend_tensor_3d(NULL, type, e->batch, e->keys, layer->width_k);
    if (layer->width_v != layer->width_k)
        a->x_v = attend_tensor_3d(NULL, type, e->batch, e->keys, layer->width_v);
}

/* `numbers` has room for the lengths of all samples, or where they begin, twice. */
static void add_options(variant which, const attend__extent *e, int32_t *numbers,
                        attend_multihead_args *a) {
    const bool cross = attend__given(&a->x_kv);
    const int64_t keys = cross ? e->keys : e->queries, samples = e->batch;
    int32_t *const others = numbers + samples + 1;
    if (which == ROWS_ADDED || which == TOKENS_ADDED) a->residual = a->out;
    if (which == MASKED) a->mask = attend_tensor_4d(NULL, ATTEND_BOOL, 1, 1, e->queries, keys);
    if (which != LENGTHS && which != PACKED) return;
    for (int64_t b = 0; b <= samples; b++) {
        numbers[b] = (int32_t)(which == LENGTHS ? keys : b * e->queries);
        others[b] = (int32_t)(b * keys);
    }
    if (which == LENGTHS) {
        a->key_lengths = attend_tensor_1d(numbers, ATTEND_I32, samples);
        return;
    }
    attend_tensor *const rows[] = {&a->x_q, &a->x_kv, &a->x_v, &a->out};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!attend__given(rows[i])) continue;
        rows[i]->sizes[1] *= samples;
        rows[i]->sizes[0] = 1;
    }
    a->cu_query_lengths = attend_tensor_1d(numbers, ATTEND_I32, samples + 1);
    if (cross) a->cu_key_lengths = attend_tensor_1d(others, ATTEND_I32, samples + 1);
}

/* A call that would be refused, or of which something does not build, has no plan: the other calls
 * of the layer may be fine. Without memory for it none of such sizes will be. */
static attend_status make_one(attend_multihead *layer, variant which, const attend__extent *extent,
                              bool cross, int32_t *numbers) {
    attend__extent e = *extent;
    const attend_multihead_desc options = layer->options;
    attend__multihead_call call = {.args = attend_multihead_args_default()};
    if (which == UNBOUND) layer->options.window_left = layer->options.window_right = -1;
    attend__sequence sequence = {.context = layer->head.context, .planning = true};
    if (which == TOKENS || which == TOKENS_ADDED) e.queries = 1;
    fill(layer, &e, cross, &call.args);
    add_options(which, &e, numbers, &call.args);
    attend_status status = attend__multihead_begin(layer, &call);
    if (status == ATTEND_OK) status = attend__multihead_body(layer, &call, &sequence);
    layer->options = options;
    return status == ATTEND_OUT_OF_MEMORY ? status : ATTEND_OK;
}

/* Of unknown sizes what has kernels of its own. Of known ones, windows bind calls of all sizes or
 * of none (validate_attention.c). */
static bool has_variant(const attend_multihead *layer, variant which, bool known, bool tokens) {
    const attend_multihead_desc *const d = &layer->options;
    if (which == TOKENS || which == TOKENS_ADDED) return tokens && (known || which == TOKENS);
    if (which == ROWS_ADDED || which == PACKED) return known;
    if (which == UNBOUND) return !known && (d->window_left >= 0 || d->window_right >= 0);
    return true;
}

attend_status attend__multihead_plans(void *object) {
    attend_multihead *const layer = object;
    attend_context *const context = layer->head.context;
    const attend_multihead_desc *const d = &layer->options;
    /* values of another width come from other rows than the queries */
    const bool alone = layer->width_k == layer->width_q && layer->width_v == layer->width_q;
    const bool crosses = d->max_key_length > 0 || !alone;
    attend__extent e = {.batch = d->max_batch,
                        .queries = d->max_query_length,
                        .keys = attend__larger(d->max_query_length, d->max_key_length),
                        .tokens = d->causal || crosses};
    const bool known = e.batch > 0 && e.queries > 0;
    if (known && e.batch > INT32_MAX / 2 / e.keys) return ATTEND_OK; /* no call is as large */
    if (known) layer->head.extent = e;
    if (!known) e = (attend__extent){1, ATTEND__ROWS_TO_PLAN, ATTEND__ROWS_TO_PLAN, e.tokens};
    int32_t *const numbers =
        attend__context_allocate(context, 2 * ((size_t)e.batch + 1) * sizeof *numbers);
    if (numbers == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "the lengths of a plan could not be allocated");
    attend_status status = ATTEND_OK;
    for (int i = 0; i < VARIANTS && status == ATTEND_OK; i++) {
        if (!has_variant(layer, (variant)i, known, e.tokens)) continue;
        if (alone) status = make_one(layer, (variant)i, &e, false, numbers);
        if (status == ATTEND_OK && crosses) status = make_one(layer, (variant)i, &e, true, numbers);
    }
    attend__context_free(context, numbers);
    return status;
}
