/* SPDX-License-Identifier: Apache-2.0
 *
 * What a multi-head layer accepts: its description when it is created, its arguments before
 * anything starts. The options of the attention inside are checked by the code that checks a single
 * attention. */
#include "layers/multihead.h"

#include "core/error.h"
#include "layers/layer_packed.h"

#include <inttypes.h>
#include <math.h>

/* ---- the description ------------------------------------------------------------------------- */

static attend_status check_heads(const attend_multihead_desc *d, attend_multihead *layer) {
    if (d->heads < 1)
        return attend__fail(ATTEND_INVALID, "heads: %" PRId64 " is less than 1", d->heads);
    if (d->kv_heads < 0)
        return attend__fail(ATTEND_INVALID, "kv_heads: %" PRId64 " is negative", d->kv_heads);
    layer->kv_heads = d->kv_heads == 0 ? d->heads : d->kv_heads;
    if (d->heads % layer->kv_heads != 0)
        return attend__fail(ATTEND_INVALID,
                            "heads: %" PRId64 " is not a multiple of kv_heads %" PRId64, d->heads,
                            layer->kv_heads);
    return ATTEND_OK;
}

static attend_status divide_rows(const char *name, const attend_tensor *w, int64_t heads,
                                 int64_t *size) {
    if (w->sizes[0] % heads != 0)
        return attend__fail(ATTEND_SHAPE,
                            "%s: %" PRId64 " rows do not divide into %" PRId64 " heads", name,
                            w->sizes[0], heads);
    *size = w->sizes[0] / heads;
    return ATTEND_OK;
}

static attend_status check_weights(const attend_multihead_desc *d, attend_multihead *layer) {
    attend_type *type = &layer->head.type;
    attend_status status = attend__check_weight("w_q", &d->w_q, type);
    if (status == ATTEND_OK) status = attend__check_weight("w_k", &d->w_k, type);
    if (status == ATTEND_OK) status = attend__check_weight("w_v", &d->w_v, type);
    if (status == ATTEND_OK && attend__given(&d->w_o))
        status = attend__check_weight("w_o", &d->w_o, type);
    if (status == ATTEND_OK) status = divide_rows("w_q", &d->w_q, d->heads, &layer->head_size);
    if (status == ATTEND_OK)
        status = divide_rows("w_v", &d->w_v, layer->kv_heads, &layer->value_size);
    if (status != ATTEND_OK) return status;
    layer->width_q = d->w_q.sizes[1];
    layer->width_k = d->w_k.sizes[1];
    layer->width_v = d->w_v.sizes[1];
    /* G * D and H * E: at most the rows of w_q; E of one head is at most the rows of w_v, so that
     * the second product may not fit. */
    const attend__expected rows_k = {"rows", "kv_heads * head size",
                                     layer->kv_heads * layer->head_size};
    status = attend__check_size("w_k", d->w_k.sizes[0], &rows_k);
    if (status != ATTEND_OK) return status;
    if (layer->value_size > 0 && d->heads > INT64_MAX / layer->value_size)
        return attend__fail(ATTEND_OVERFLOW,
                            "heads: %" PRId64 " heads of %" PRId64 " values do not fit", d->heads,
                            layer->value_size);
    const int64_t merged = d->heads * layer->value_size;
    layer->width_out = attend__given(&d->w_o) ? d->w_o.sizes[0] : merged;
    if (!attend__given(&d->w_o)) return ATTEND_OK;
    return attend__check_size("w_o", d->w_o.sizes[1],
                              &(attend__expected){"width", "heads * value size", merged});
}

static attend_status check_vectors(const attend_multihead_desc *d, attend_type type) {
    const struct {
        const char *name, *of;
        const attend_tensor *vector;
        attend_type type;
        int64_t size;
    } vectors[] = {{"b_q", "the rows of w_q", &d->b_q, type, d->w_q.sizes[0]},
                   {"b_k", "the rows of w_k", &d->b_k, type, d->w_k.sizes[0]},
                   {"b_v", "the rows of w_v", &d->b_v, type, d->w_v.sizes[0]},
                   {"b_o", "the rows of w_o", &d->b_o, type, d->w_o.sizes[0]},
                   {"alibi_slopes", "heads", &d->alibi_slopes, ATTEND_F32, d->heads},
                   {"sinks", "heads", &d->sinks, ATTEND_F32, d->heads}};
    if (attend__given(&d->b_o) && !attend__given(&d->w_o))
        return attend__fail(ATTEND_INVALID, "b_o: given without w_o");
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors && status == ATTEND_OK; i++) {
        const attend__expected size = {"size", vectors[i].of, vectors[i].size};
        status = attend__check_vector(vectors[i].name, vectors[i].vector, vectors[i].type, &size);
    }
    return status;
}

static attend_status check_rope_table(const char *name, const attend_tensor *table,
                                      int64_t columns) {
    if (!attend__given(table))
        return attend__fail(ATTEND_NULL_POINTER, "%s: not given, though the other table is", name);
    const attend_status status = attend__check_rank(name, table, 2);
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, table->sizes[1],
                              &(attend__expected){"width", "half the rotated size", columns});
}

static attend_status check_rope(const attend_multihead_desc *d, int64_t head_size) {
    if (d->rope_dim < 0 || d->rope_dim > head_size || d->rope_dim % 2 != 0)
        return attend__fail(ATTEND_INVALID, "rope_dim: %" PRId64 " is odd or not in 0..%" PRId64,
                            d->rope_dim, head_size);
    if (!attend__given(&d->rope_cos) && !attend__given(&d->rope_sin)) return ATTEND_OK;
    const int64_t rotated = d->rope_dim == 0 ? head_size : d->rope_dim;
    if (rotated % 2 != 0)
        return attend__fail(ATTEND_INVALID, "rope_dim: the head size %" PRId64 " is odd",
                            head_size);
    attend_status status = check_rope_table("rope_cos", &d->rope_cos, rotated / 2);
    if (status == ATTEND_OK) status = check_rope_table("rope_sin", &d->rope_sin, rotated / 2);
    if (status != ATTEND_OK) return status;
    return attend__check_size("rope_sin", d->rope_sin.sizes[0],
                              &(attend__expected){"rows", "rope_cos's", d->rope_cos.sizes[0]});
}

static attend_status check_options(const attend_multihead_desc *d) {
    if (d->has_scale && !isfinite(d->scale))
        return attend__fail(ATTEND_INVALID, "scale: not finite");
    if (!isfinite(d->softcap) || d->softcap < 0)
        return attend__fail(ATTEND_INVALID, "softcap: neither 0 nor finite and positive");
    if (d->window_left < -1)
        return attend__fail(ATTEND_INVALID, "window_left: %" PRId64 " is less than -1",
                            d->window_left);
    if (d->window_right < -1)
        return attend__fail(ATTEND_INVALID, "window_right: %" PRId64 " is less than -1",
                            d->window_right);
    if (d->precision != ATTEND_PRECISION_DEFAULT && d->precision != ATTEND_PRECISION_FAST)
        return attend__fail(ATTEND_INVALID, "precision: %d is not one of attend_precision",
                            (int)d->precision);
    if (d->position == ATTEND_AT_OFFSETS)
        return attend__fail(ATTEND_INVALID, "position: a layer has no query_offset for AT_OFFSETS");
    if ((int)d->position < ATTEND_POSITION_UNSET || d->position > ATTEND_AT_OFFSETS)
        return attend__fail(ATTEND_INVALID, "position: %d is not one of attend_position",
                            (int)d->position);
    if (d->reserved_flags != 0) return attend__fail(ATTEND_INVALID, "reserved_flags: not 0");
    const struct {
        const char *name;
        int64_t size;
    } largest[] = {{"max_batch", d->max_batch},
                   {"max_query_length", d->max_query_length},
                   {"max_key_length", d->max_key_length}};
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++)
        if (largest[i].size < 0)
            return attend__fail(ATTEND_INVALID, "%s: %" PRId64 " is negative", largest[i].name,
                                largest[i].size);
    return ATTEND_OK;
}

attend_status attend__multihead_check_desc(const attend_multihead_desc *d,
                                           attend_multihead *layer) {
    attend_status status = check_heads(d, layer);
    if (status == ATTEND_OK) status = check_weights(d, layer);
    if (status == ATTEND_OK) status = check_vectors(d, layer->head.type);
    if (status == ATTEND_OK) status = check_rope(d, layer->head_size);
    if (status == ATTEND_OK) status = check_options(d);
    return status;
}

/* ---- the arguments --------------------------------------------------------------------------- */

/* A view of rank 3 of the type of x_q: [B of x_q, any, `width`]. */
static attend_status check_rows(const char *name, const attend_tensor *t, const attend_tensor *x_q,
                                const attend__expected *width) {
    attend_status status = attend__check_rank(name, t, 3);
    if (status == ATTEND_OK) status = attend__check_type(name, t, x_q->type);
    if (status == ATTEND_OK)
        status = attend__check_size(name, t->sizes[0],
                                    &(attend__expected){"batch", "x_q's", x_q->sizes[0]});
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, t->sizes[2], width);
}

static attend_status check_inputs(const attend_multihead *layer,
                                  const attend_multihead_args *args) {
    const attend__expected width_q = {"width", "w_q's", layer->width_q};
    const attend__expected width_k = {"width", "w_k's", layer->width_k};
    const attend__expected width_v = {"width", "w_v's", layer->width_v};
    attend_status status = attend__check_activations("x_q", &args->x_q, layer->head.type);
    if (status == ATTEND_OK) status = check_rows("x_q", &args->x_q, &args->x_q, &width_q);
    if (status != ATTEND_OK) return status;
    const bool cross = attend__given(&args->x_kv), values = attend__given(&args->x_v);
    if (args->reserved_flags != 0)
        return attend__fail(ATTEND_INVALID, "reserved_flags: %d is not 0",
                            (int)args->reserved_flags);
    if (args->cache_only && args->cache == NULL)
        return attend__fail(ATTEND_NULL_POINTER, "cache: NULL, though cache_only is set");
    if (args->cache_only && cross)
        return attend__fail(ATTEND_INVALID, "x_kv: given, though cache_only is set");
    if (values && !cross)
        return attend__fail(ATTEND_NULL_POINTER, "x_kv: not given, though x_v is");
    const char *keys_name = cross ? "x_kv" : "x_q", *values_name = values ? "x_v" : keys_name;
    const attend_tensor *x_k = cross ? &args->x_kv : &args->x_q;
    const attend_tensor *x_v = values ? &args->x_v : x_k;
    if (args->cache_only) return ATTEND_OK;
    status = check_rows(keys_name, x_k, &args->x_q, &width_k);
    if (status == ATTEND_OK) status = check_rows(values_name, x_v, &args->x_q, &width_v);
    if (status != ATTEND_OK) return status;
    return attend__check_size(values_name, x_v->sizes[1],
                              &(attend__expected){"length", "x_kv's", x_k->sizes[1]});
}

static attend_status check_result(const char *name, const attend_tensor *t,
                                  const attend_multihead *layer, const attend_tensor *x_q) {
    const attend__expected width = {
        "width", layer->w_o != NULL ? "the rows of w_o" : "the merged heads'", layer->width_out};
    const attend_status status = check_rows(name, t, x_q, &width);
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, t->sizes[1],
                              &(attend__expected){"length", "x_q's", x_q->sizes[1]});
}

static attend_status check_packed(const attend_multihead_args *args) {
    const attend_status status = attend__packed_check(&(attend__packed){
        .queries_name = "x_q",
        .keys_name = "x_kv",
        .queries = &args->x_q,
        .keys = &args->x_kv,
        .cu_queries = &args->cu_query_lengths,
        .cu_keys = &args->cu_key_lengths,
        .query_lengths = &args->query_lengths,
        .key_lengths = &args->key_lengths,
        .cache_only = args->cache_only != 0,
    });
    /* before it is trimmed, as attention sees it */
    const bool packed = attend__given(&args->cu_query_lengths);
    if (status != ATTEND_OK || !packed || args->lse.rank != 3) return status;
    return attend__check_size("lse", args->lse.sizes[2],
                              &(attend__expected){"length", "x_q's", args->x_q.sizes[1]});
}

static void trim(attend_multihead_args *args) {
    const attend_tensor *queries = &args->cu_query_lengths, *keys = &args->cu_key_lengths;
    attend__packed_trim(queries, 1, &args->x_q);
    attend__packed_trim(queries, 1, &args->out);
    attend__packed_trim(queries, 1, &args->residual);
    if (args->lse.rank == 3) attend__packed_trim(queries, 2, &args->lse);
    attend__packed_trim(keys, 1, &args->x_kv);
    attend__packed_trim(keys, 1, &args->x_v);
}

attend_status attend__multihead_check_args(attend_multihead *layer, attend_multihead_args *args) {
    attend_status status =
        attend__fields_check(layer->head.context, &attend__multihead_args_fields, args);
    if (status == ATTEND_OK) status = check_inputs(layer, args);
    if (status == ATTEND_OK) status = check_packed(args);
    if (status == ATTEND_OK) status = check_result("out", &args->out, layer, &args->x_q);
    if (status == ATTEND_OK && attend__given(&args->residual))
        status = check_result("residual", &args->residual, layer, &args->x_q);
    if (status == ATTEND_OK)
        status =
            attend__check_apart("weights_mean", &args->weights_mean, "residual", &args->residual);
    if (status == ATTEND_OK) trim(args);
    return status;
}
