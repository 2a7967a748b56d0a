/* SPDX-License-Identifier: Apache-2.0
 *
 * What an encoder or decoder layer accepts when it runs. */
#include "layers/block.h"

#include "core/error.h"
#include "layers/layer_packed.h"

#include <string.h>

static const attend__field args_fields[] = {
    ATTEND__MEMBER(attend_block_args, x, ATTEND__HOME | ATTEND__REQUIRED),
    ATTEND__MEMBER(attend_block_args, memory, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_args, out, ATTEND__RESULT),
    ATTEND__MEMBER(attend_block_args, mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_block_args, bias, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_args, key_mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_block_args, query_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_block_args, key_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_block_args, memory_mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_block_args, memory_bias, ATTEND__GIVEN),
    ATTEND__MEMBER(attend_block_args, memory_key_mask, ATTEND__TRUTH),
    ATTEND__MEMBER(attend_block_args, memory_key_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_block_args, weights, ATTEND__ASKED),
    ATTEND__MEMBER(attend_block_args, weights_mean, ATTEND__ASKED),
    ATTEND__MEMBER(attend_block_args, memory_weights, ATTEND__ASKED),
    ATTEND__MEMBER(attend_block_args, memory_weights_mean, ATTEND__ASKED),
    ATTEND__MEMBER(attend_block_args, cu_query_lengths, ATTEND__LENGTHS),
    ATTEND__MEMBER(attend_block_args, memory_cu_key_lengths, ATTEND__LENGTHS),
    /* the rest of attend__block_call */
    ATTEND__CACHE_FIELDS(attend__block_call, self),
    ATTEND__CACHE_FIELDS(attend__block_call, cross),
};
enum { CALL_FIELDS = sizeof args_fields / sizeof *args_fields };
const attend__fields attend__block_args_fields = {sizeof(attend_block_args), args_fields,
                                                  CALL_FIELDS - 2 * ATTEND__CACHE_COUNT};
const attend__fields attend__block_call_fields = {sizeof(attend__block_call), args_fields,
                                                  CALL_FIELDS};

attend__multihead_call attend__block_self_call(const attend__block_call *call) {
    const attend_block_args *args = &call->args;
    attend__multihead_call c = {attend_multihead_args_default(), call->self};
    attend_multihead_args *const a = &c.args;
    a->x_q = args->x;
    a->mask = args->mask;
    a->bias = args->bias;
    a->key_mask = args->key_mask;
    a->query_lengths = args->query_lengths;
    a->key_lengths = args->key_lengths;
    a->cu_query_lengths = args->cu_query_lengths;
    a->weights = args->weights;
    a->weights_mean = args->weights_mean;
    a->cache = args->cache;
    return c;
}

attend__multihead_call attend__block_cross_call(const attend__block_call *call) {
    const attend_block_args *args = &call->args;
    attend__multihead_call c = {attend_multihead_args_default(), call->cross};
    attend_multihead_args *const a = &c.args;
    a->x_q = args->x;
    a->x_kv = args->memory;
    a->mask = args->memory_mask;
    a->bias = args->memory_bias;
    a->key_mask = args->memory_key_mask;
    a->query_lengths = args->query_lengths;
    a->key_lengths = args->memory_key_lengths;
    a->cu_query_lengths = args->cu_query_lengths;
    a->cu_key_lengths = args->memory_cu_key_lengths;
    a->weights = args->memory_weights;
    a->weights_mean = args->memory_weights_mean;
    a->cache = args->memory_cache;
    a->cache_only = args->memory_cache != NULL && !attend__given(&args->memory);
    return c;
}

static attend_status check_rows(const char *name, const attend_tensor *t, const attend_tensor *x,
                                int64_t width) {
    attend_status status = attend__check_rank(name, t, 3);
    if (status == ATTEND_OK) status = attend__check_type(name, t, x->type);
    if (status == ATTEND_OK)
        status =
            attend__check_size(name, t->sizes[0], &(attend__expected){"batch", "x's", x->sizes[0]});
    if (status != ATTEND_OK) return status;
    return attend__check_size(name, t->sizes[2],
                              &(attend__expected){"width", "the weights'", width});
}

static attend_status check_encoder(const attend_block_args *args) {
    const struct {
        const char *name;
        const attend_tensor *tensor;
    } refused[] = {{"memory", &args->memory},
                   {"memory_mask", &args->memory_mask},
                   {"memory_bias", &args->memory_bias},
                   {"memory_key_mask", &args->memory_key_mask},
                   {"memory_key_lengths", &args->memory_key_lengths},
                   {"memory_cu_key_lengths", &args->memory_cu_key_lengths},
                   {"memory_weights", &args->memory_weights},
                   {"memory_weights_mean", &args->memory_weights_mean}};
    if (args->memory_cache != NULL)
        return attend__fail(ATTEND_INVALID, "memory_cache: an encoder layer has no memory");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (attend__given(refused[i].tensor))
            return attend__fail(ATTEND_INVALID, "%s: an encoder layer has no memory",
                                refused[i].name);
    return ATTEND_OK;
}

static attend_status check_memory(const attend_block *block, const attend_block_args *args) {
    if (block->cross == NULL) return check_encoder(args);
    if (attend__given(&args->memory))
        return check_rows("memory", &args->memory, &args->x, block->cross->width_k);
    if (args->memory_cache == NULL)
        return attend__fail(ATTEND_NULL_POINTER, "memory: not given to a decoder layer");
    return ATTEND_OK;
}

/* The sentence begins with the attention's name of what is called memory_.. here. */
static attend_status rename_memory(attend_status status) {
    static const char *const renamed[] = {
        "mask:",           "bias:",    "key_mask:",     "key_lengths:",
        "cu_key_lengths:", "weights:", "weights_mean:", "cache:"};
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strncmp(attend_error_text(), renamed[i], strlen(renamed[i])) == 0)
            return attend__prefix_error(status, "memory_");
    return attend__prefix_error(status, "cross_attention: ");
}

static attend__packed packed_of(const attend_multihead_args *a) {
    return (attend__packed){.queries_name = "x",
                            .keys_name = "memory",
                            .queries = &a->x_q,
                            .keys = &a->x_kv,
                            .cu_queries = &a->cu_query_lengths,
                            .cu_keys = &a->cu_key_lengths,
                            .query_lengths = &a->query_lengths,
                            .key_lengths = &a->key_lengths,
                            .cache_only = a->cache_only != 0};
}

static attend_status check_packed(const attend_block *block, attend__block_call *call) {
    const attend__multihead_call self = attend__block_self_call(call),
                                 cross = attend__block_cross_call(call);
    attend__packed packed = packed_of(&self.args);
    attend_status status = attend__packed_check(&packed);
    if (status != ATTEND_OK || block->cross == NULL) return status;
    packed = packed_of(&cross.args);
    status = attend__packed_check(&packed);
    return status == ATTEND_OK ? status : rename_memory(status);
}

static void trim(attend_block_args *args) {
    attend__packed_trim(&args->cu_query_lengths, 1, &args->x);
    attend__packed_trim(&args->cu_query_lengths, 1, &args->out);
    attend__packed_trim(&args->memory_cu_key_lengths, 1, &args->memory);
}

static attend_status check_args(const attend_block *block, const attend_block_args *args) {
    attend_status status =
        attend__fields_check(block->head.context, &attend__block_args_fields, args);
    if (status == ATTEND_OK) status = attend__check_activations("x", &args->x, block->head.type);
    if (status == ATTEND_OK) status = check_rows("x", &args->x, &args->x, block->width);
    if (status == ATTEND_OK) status = check_rows("out", &args->out, &args->x, block->width);
    if (status == ATTEND_OK)
        status = attend__check_size("out", args->out.sizes[1],
                                    &(attend__expected){"length", "x's", args->x.sizes[1]});
    if (status == ATTEND_OK)
        status = attend__check_apart("weights_mean", &args->weights_mean, "x", &args->x);
    if (status == ATTEND_OK)
        status =
            attend__check_apart("memory_weights_mean", &args->memory_weights_mean, "x", &args->x);
    if (status == ATTEND_OK && args->cache != NULL && args->cache == args->memory_cache)
        return attend__fail(ATTEND_INVALID, "memory_cache: is the cache of the self-attention");
    if (status == ATTEND_OK) status = check_memory(block, args);
    return status;
}

static attend_status begin_parts(const attend_block *block, attend__block_call *call) {
    memset(&call->self, 0, sizeof call->self);
    memset(&call->cross, 0, sizeof call->cross);
    attend__multihead_call self = attend__block_self_call(call);
    attend_status status = attend__multihead_begin(block->self, &self);
    if (status != ATTEND_OK) return status;
    call->self = self.use;
    if (block->cross == NULL) return ATTEND_OK;
    attend__multihead_call cross = attend__block_cross_call(call);
    status = attend__multihead_begin(block->cross, &cross);
    call->cross = cross.use;
    if (status == ATTEND_OK) return ATTEND_OK;
    attend__multihead_undo(&self);
    return rename_memory(status);
}

attend_status attend__block_begin(const attend_block *block, attend__block_call *call) {
    attend_status status = check_args(block, &call->args);
    if (status == ATTEND_OK) status = check_packed(block, call);
    if (status != ATTEND_OK) return status;
    trim(&call->args);
    size_t bytes = 0;
    status = attend__feedforward_scratch_bytes(block->feedforward, &call->args.x, &bytes);
    return status == ATTEND_OK ? begin_parts(block, call) : status;
}

void attend__block_undo(const attend_block *block, const attend__block_call *call) {
    const attend__multihead_call self = attend__block_self_call(call),
                                 cross = attend__block_cross_call(call);
    if (block->cross != NULL) attend__multihead_undo(&cross);
    attend__multihead_undo(&self);
}
