/* SPDX-License-Identifier: Apache-2.0
 *
 * The last check of a multi-head layer before it starts, and with it the tokens that the call adds
 * to its cache: they are counted in first, since masks and side outputs are as long as the cache
 * will be, and taken out again if anything is refused. */
#include "layers/multihead.h"

#include "core/error.h"
#include "layers/layer_packed.h"

#include <inttypes.h>
#include <string.h>

/* ---- the cache ------------------------------------------------------------------------------- */

static attend_status check_cache(const attend_multihead *layer, const attend_multihead_args *args) {
    const attend_cache *cache = args->cache;
    attend_status status = attend__cache_check(layer->head.context, cache);
    if (status != ATTEND_OK) return status;
    const struct {
        const char *what, *of;
        int64_t has, needs;
    } sizes[] = {{"batch", "x_q's", cache->batch,
                  attend__packed_samples(&args->cu_query_lengths, &args->x_q)},
                 {"number of key/value heads", "the layer's", cache->kv_heads, layer->kv_heads},
                 {"head size", "the layer's", cache->head_size, layer->head_size},
                 {"value size", "the layer's", cache->value_size, layer->value_size}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == ATTEND_OK; i++)
        status = attend__check_size(
            "cache", sizes[i].has, &(attend__expected){sizes[i].what, sizes[i].of, sizes[i].needs});
    if (status == ATTEND_OK && attend__given(&cache->rope_cos))
        return attend__fail(ATTEND_INVALID, "cache: rotates keys itself; a layer does that");
    return status;
}

/* The tokens that each sample appends, of a call that is not packed. */
static attend_status check_counts(const attend_multihead_args *args, const attend_tensor **counts) {
    const bool cross = attend__given(&args->x_kv);
    const char *name = cross ? "key_lengths" : "query_lengths";
    *counts = cross ? &args->key_lengths : &args->query_lengths;
    if (!cross && attend__given(&args->key_lengths))
        return attend__fail(ATTEND_INVALID, "key_lengths: the cache knows them");
    if (attend__given(*counts) && (*counts)->data == NULL)
        return attend__fail(ATTEND_INVALID, "%s: must lie in host memory over a cache", name);
    return ATTEND_OK;
}

static attend_status count_in(const attend_multihead_args *args, attend__cache_use *use) {
    attend_context *context = args->cache->context;
    const int64_t tokens = attend__multihead_lengths_of(args).keys;
    const bool packed = attend__given(&args->cu_query_lengths);
    const attend_tensor *counts = NULL;
    if (!packed) {
        const attend_status status = check_counts(args, &counts);
        if (status != ATTEND_OK) return status;
        return attend__cache_prepare(args->cache, tokens, counts, false, use);
    }
    attend_tensor own;
    const attend_tensor *cu =
        attend__given(&args->x_kv) ? &args->cu_key_lengths : &args->cu_query_lengths;
    attend_status status = attend__packed_counts(context, cu, &own);
    if (status != ATTEND_OK) return status;
    status = attend__cache_prepare(args->cache, tokens, &own, true, use);
    attend__recycler_give(&context->calls, own.data);
    return status;
}

static attend_status begin_cache(const attend_multihead *layer, attend__multihead_call *call) {
    const attend_multihead_args *args = &call->args;
    memset(&call->use, 0, sizeof call->use);
    if (args->cache == NULL) return ATTEND_OK;
    const attend_status status = check_cache(layer, args);
    if (status != ATTEND_OK) return status;
    if (!args->cache_only) return count_in(args, &call->use);
    attend__cache_look(args->cache, &call->use);
    return attend__cache_lengths_check(args->cache, &args->key_lengths);
}

void attend__multihead_undo(const attend__multihead_call *call) {
    if (call->args.cache != NULL && !call->args.cache_only) attend__cache_undo(call->args.cache);
}

/* ---- the attention --------------------------------------------------------------------------- */

static attend_status check_rope_rows(const attend_multihead *layer, int64_t length) {
    const attend_tensor *table = &layer->rope_cos.stored;
    if (!attend__given(table) || table->sizes[0] >= length) return ATTEND_OK;
    return attend__fail(ATTEND_SHAPE,
                        "rope_cos: %" PRId64 " positions are fewer than the length %" PRId64,
                        table->sizes[0], length);
}

static attend_status check_position(const attend_attention *a) {
    const bool used =
        a->causal || a->window_left >= 0 || a->window_right >= 0 || attend__given(&a->alibi_slopes);
    if (!used || a->position != ATTEND_POSITION_UNSET) return ATTEND_OK;
    return attend__fail(ATTEND_INVALID, "position: must be set for cross-attention with causal, a "
                                        "window or alibi_slopes");
}

/* The positions that rotation can meet without a cache. */
static int64_t longest_of(const attend_multihead_args *args,
                          const attend__multihead_lengths *lengths) {
    if (!attend__given(&args->cu_query_lengths))
        return attend__larger(lengths->queries, lengths->keys);
    const int64_t queries = attend__cumulative_longest(&args->cu_query_lengths, lengths->queries);
    if (!attend__given(&args->cu_key_lengths)) return queries;
    return attend__larger(queries,
                          attend__cumulative_longest(&args->cu_key_lengths, lengths->keys));
}

static attend_status check_attention(const attend_multihead *layer,
                                     const attend__multihead_call *call) {
    const attend_type type = call->args.x_q.type;
    const attend__multihead_lengths n = attend__multihead_lengths_of(&call->args);
    const int64_t heads = layer->options.heads, groups = layer->kv_heads;
    const bool cached = attend__given(&call->use.k);
    size_t bytes = 0;
    attend_attention a = attend__multihead_attention(layer, call);
    const int64_t positions = cached ? call->use.longest : longest_of(&call->args, &n);
    attend_status status = check_rope_rows(layer, positions);
    if (status == ATTEND_OK) status = check_position(&a);
    if (status == ATTEND_OK) status = attend__multihead_scratch_bytes(layer, type, &n, &bytes);
    if (status != ATTEND_OK) return status;
    a.q = attend_tensor_4d(NULL, type, n.batch, heads, n.queries, layer->head_size);
    a.out = attend_tensor_4d(NULL, type, n.batch, heads, n.queries, layer->value_size);
    if (!cached) {
        a.k = attend_tensor_4d(NULL, type, n.batch, groups, n.keys, layer->head_size);
        a.v = attend_tensor_4d(NULL, type, n.batch, groups, n.keys, layer->value_size);
    }
    return attend__operation_check(layer->head.context, ATTEND_OP_ATTENTION, &a);
}

attend_status attend__multihead_begin(const attend_multihead *layer, attend__multihead_call *call) {
    attend_status status = begin_cache(layer, call);
    if (status != ATTEND_OK) return status;
    status = check_attention(layer, call);
    if (status != ATTEND_OK) attend__multihead_undo(call);
    return status;
}
