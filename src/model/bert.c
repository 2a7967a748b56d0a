/* SPDX-License-Identifier: Apache-2.0
 *
 * BERT's encoder; see bert.h. Tables and hidden states lie in buffers, so that on a device with
 * memory of its own only ids go in, and the last hidden states and the wanted weights come out. */
#include "model/bert.h"

#include "base/checked.h"
#include "model/model_error.h"

#include <stdio.h>
#include <stdlib.h>

/* A table that every run reads, on the device. */
typedef struct table {
    attend_buffer *buffer;
    attend_tensor view;
} table;

struct attend__bert {
    attend_context *context;
    attend__bert_config config;
    table words, positions, types, norm_weight, norm_bias;
    attend_block **blocks; /* [layers]; NULL behind a failure */
};

/* ---- one layer ------------------------------------------------------------------------------- */

/* The weights of a layer: member, name behind "encoder.layer.N.", rows, columns (M model size, F
 * inner size). */
#define LAYER_WEIGHTS(X)                                                                           \
    X(w_q, "attention.self.query.weight", M, M)                                                    \
    X(b_q, "attention.self.query.bias", M, 0)                                                      \
    X(w_k, "attention.self.key.weight", M, M)                                                      \
    X(b_k, "attention.self.key.bias", M, 0)                                                        \
    X(w_v, "attention.self.value.weight", M, M)                                                    \
    X(b_v, "attention.self.value.bias", M, 0)                                                      \
    X(w_o, "attention.output.dense.weight", M, M)                                                  \
    X(b_o, "attention.output.dense.bias", M, 0)                                                    \
    X(norm_1_weight, "attention.output.LayerNorm.weight", M, 0)                                    \
    X(norm_1_bias, "attention.output.LayerNorm.bias", M, 0)                                        \
    X(w_1, "intermediate.dense.weight", F, M)                                                      \
    X(b_1, "intermediate.dense.bias", F, 0)                                                        \
    X(w_2, "output.dense.weight", M, F)                                                            \
    X(b_2, "output.dense.bias", M, 0)                                                              \
    X(norm_2_weight, "output.LayerNorm.weight", M, 0)                                              \
    X(norm_2_bias, "output.LayerNorm.bias", M, 0)

typedef struct layer_weights {
#define X(member, name, rows, columns) attend_tensor member;
    LAYER_WEIGHTS(X)
#undef X
} layer_weights;

enum { LAYER_WEIGHT_COUNT = sizeof(layer_weights) / sizeof(attend_tensor) };

static attend_status get_layer(attend__weight_store *store, const attend__bert_config *config,
                               int64_t layer, layer_weights *weights) {
    const int64_t M = config->model_size, F = config->inner_size;
    const struct {
        const char *name;
        int64_t rows, columns;
        attend_tensor *view;
    } list[LAYER_WEIGHT_COUNT] = {
#define X(member, name, rows, columns) {name, rows, columns, &weights->member},
        LAYER_WEIGHTS(X)
#undef X
    };
    for (size_t i = 0; i < LAYER_WEIGHT_COUNT; i++) {
        char name[128];
        snprintf(name, sizeof name, "encoder.layer.%lld.%s", (long long)layer, list[i].name);
        const attend_status status =
            attend__weight_get(store, name, list[i].rows, list[i].columns, list[i].view);
        if (status) return status;
    }
    return ATTEND_OK;
}

static attend_multihead_desc self_attention(const attend__bert_config *config,
                                            const layer_weights *w) {
    attend_multihead_desc attention = attend_multihead_default();
    attention.heads = config->heads;
    attention.w_q = w->w_q;
    attention.w_k = w->w_k;
    attention.w_v = w->w_v;
    attention.w_o = w->w_o;
    attention.b_q = w->b_q;
    attention.b_k = w->b_k;
    attention.b_v = w->b_v;
    attention.b_o = w->b_o;
    return attention;
}

attend_status attend__bert_attention(attend__weight_store *store, const attend__bert_config *config,
                                     int64_t layer, attend_multihead_desc *attention) {
    layer_weights w;
    const attend_status status = get_layer(store, config, layer, &w);
    if (!status) *attention = self_attention(config, &w);
    return status;
}

static attend_status create_block(attend__bert *bert, attend__weight_store *store, int64_t layer) {
    layer_weights w;
    const attend_status status = get_layer(store, &bert->config, layer, &w);
    if (status) return status;
    const attend_multihead_desc attention = self_attention(&bert->config, &w);

    attend_feedforward_desc feedforward = attend_feedforward_default();
    feedforward.w_1 = w.w_1;
    feedforward.w_2 = w.w_2;
    feedforward.b_1 = w.b_1;
    feedforward.b_2 = w.b_2;
    feedforward.activation = bert->config.activation;

    attend_block_desc block = attend_block_default();
    block.self_attention = &attention;
    block.feedforward = &feedforward;
    block.norm_self_weight = w.norm_1_weight;
    block.norm_self_bias = w.norm_1_bias;
    block.norm_feedforward_weight = w.norm_2_weight;
    block.norm_feedforward_bias = w.norm_2_bias;
    block.eps = bert->config.eps;
    return attend_block_create(bert->context, &block, &bert->blocks[layer]);
}

static attend_status create_blocks(attend__bert *bert, attend__weight_store *store) {
    const int64_t layers = bert->config.layers;
    /* Before memory is taken for them: a configuration may name any number. */
    if ((uint64_t)layers > attend__safetensors_count(store->file) / LAYER_WEIGHT_COUNT)
        return attend__model_fail(
            ATTEND_FORMAT, "%s: %zu tensors are too few for config.json's num_hidden_layers %lld",
            attend__safetensors_path(store->file), attend__safetensors_count(store->file),
            (long long)layers);
    bert->blocks = calloc((size_t)layers, sizeof *bert->blocks);
    if (!bert->blocks) return attend__model_no_memory(attend__safetensors_path(store->file));
    for (int64_t i = 0; i < layers; i++) {
        const attend_status status = create_block(bert, store, i);
        attend__weight_store_clear(store);
        if (status) return status;
    }
    return ATTEND_OK;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static const char words_name[] = "embeddings.word_embeddings.weight";

attend__weight_store attend__bert_store(attend_context *context, const attend__safetensors *file) {
    attend__weight_store store = {.context = context, .file = file, .prefix = ""};
    if (!attend__safetensors_find(file, words_name)) store.prefix = "bert.";
    return store;
}

static attend_status create_table(attend__bert *bert, attend__weight_store *store, const char *name,
                                  int64_t rows, int64_t columns, table *result) {
    attend_tensor view;
    attend_status status = attend__weight_get(store, name, rows, columns, &view);
    if (status) return status;
    size_t bytes =
        sizeof(float); /* of what the file holds: cannot overflow unless converted from 16 bits */
    for (int32_t i = 0; i < view.rank; i++)
        if (!attend__mul_size(bytes, (size_t)view.sizes[i], &bytes))
            return attend__model_no_memory(attend__safetensors_path(store->file));
    status = attend_buffer_create(bert->context, bytes, &result->buffer);
    if (!status) status = attend_buffer_write(result->buffer, 0, view.data, bytes);
    result->view = attend_tensor_in(result->buffer, 0, ATTEND_F32, view.rank, view.sizes, NULL);
    attend__weight_store_clear(store);
    return status;
}

static attend_status create_tables(attend__bert *bert, attend__weight_store *store) {
    const attend__bert_config *const c = &bert->config;
    const struct {
        const char *name;
        int64_t rows, columns;
        table *table;
    } list[] = {
        {words_name, c->words, c->model_size, &bert->words},
        {"embeddings.position_embeddings.weight", c->positions, c->model_size, &bert->positions},
        {"embeddings.token_type_embeddings.weight", c->types, c->model_size, &bert->types},
        {"embeddings.LayerNorm.weight", c->model_size, 0, &bert->norm_weight},
        {"embeddings.LayerNorm.bias", c->model_size, 0, &bert->norm_bias},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const attend_status status =
            create_table(bert, store, list[i].name, list[i].rows, list[i].columns, list[i].table);
        if (status) return status;
    }
    return ATTEND_OK;
}

/* Blocks compile when they are created; what stands before them when it first runs, which is here,
 * for one token. */
static attend_status begin(const attend__bert *bert, const attend__safetensors *file) {
    static const int32_t first = 0;
    float *const hidden = calloc((size_t)bert->config.model_size, sizeof *hidden);
    if (!hidden) return attend__model_no_memory(attend__safetensors_path(file));
    const attend__bert_call call = {.ids = &first,
                                    .types = &first,
                                    .rows = 1,
                                    .texts = 1,
                                    .skipped_layers = bert->config.layers,
                                    .hidden = hidden};
    const attend_status status = attend__bert_run(bert, &call);
    free(hidden);
    return status;
}

attend_status attend__bert_create(attend_context *context, const attend__bert_config *config,
                                  const attend__safetensors *file, attend__bert **bert) {
    *bert = NULL;
    attend__bert *const b = calloc(1, sizeof *b);
    if (!b) return attend__model_no_memory(attend__safetensors_path(file));
    b->context = context;
    b->config = *config;
    attend__weight_store store = attend__bert_store(context, file);
    attend_status status = create_tables(b, &store);
    if (!status) status = create_blocks(b, &store);
    attend__weight_store_clear(&store);
    if (!status) status = begin(b, file);
    if (status)
        attend__bert_release(b);
    else
        *bert = b;
    return status;
}

void attend__bert_release(attend__bert *bert) {
    if (!bert) return;
    for (int64_t i = 0; bert->blocks && i < bert->config.layers; i++)
        attend_block_release(bert->blocks[i]);
    free(bert->blocks);
    attend_buffer_release(bert->words.buffer);
    attend_buffer_release(bert->positions.buffer);
    attend_buffer_release(bert->types.buffer);
    attend_buffer_release(bert->norm_weight.buffer);
    attend_buffer_release(bert->norm_bias.buffer);
    free(bert);
}

/* ---- run ------------------------------------------------------------------------------------- */

/* x = norm(words[ids] + positions[place in its text] + types[types]). */
static attend_status embed(const attend__bert *bert, const attend__bert_call *call,
                           const attend_tensor *x) {
    attend_embedding words = attend_embedding_default();
    words.table = bert->words.view;
    words.ids = attend_tensor_2d(call->ids, ATTEND_I32, 1, call->rows);
    words.out = *x;
    attend_status status = attend_embed(bert->context, &words);

    attend_embedding positions = attend_embedding_default();
    positions.table = bert->positions.view;
    if (call->texts > 1)
        positions.ids = attend_tensor_2d(call->positions, ATTEND_I32, 1, call->rows);
    positions.x = positions.out = *x;
    if (!status) status = attend_embed(bert->context, &positions);

    attend_embedding types = attend_embedding_default();
    types.table = bert->types.view;
    types.ids = attend_tensor_2d(call->types, ATTEND_I32, 1, call->rows);
    types.x = types.out = *x;
    if (!status) status = attend_embed(bert->context, &types);

    attend_norm norm = attend_norm_default();
    norm.x = norm.out = *x;
    norm.weight = bert->norm_weight.view;
    norm.bias = bert->norm_bias.view;
    norm.eps = bert->config.eps;
    return status ? status : attend_norm_run(bert->context, &norm);
}

static attend_status run_blocks(const attend__bert *bert, const attend__bert_call *call,
                                const attend_tensor *x) {
    attend_status status = ATTEND_OK;
    const int64_t layers = bert->config.layers - call->skipped_layers;
    const int32_t keys = (int32_t)call->keys;
    for (int64_t i = 0; !status && i < layers; i++) {
        attend_block_args args = attend_block_args_default();
        args.x = args.out = *x;
        if (call->texts > 1)
            args.cu_query_lengths = attend_tensor_1d(call->starts, ATTEND_I32, call->texts + 1);
        if (keys) args.key_lengths = attend_tensor_1d(&keys, ATTEND_I32, 1);
        if (call->weights && call->weights[i])
            args.weights = attend_tensor_4d(call->weights[i], ATTEND_F32, 1, bert->config.heads,
                                            call->rows, call->rows);
        status = attend_block_run(bert->blocks[i], &args);
        if (!status && call->on_weights && args.weights.data) call->on_weights(call->user, i);
    }
    return status;
}

attend_status attend__bert_run(const attend__bert *bert, const attend__bert_call *call) {
    const int64_t sizes[] = {1, call->rows, bert->config.model_size};
    size_t bytes;
    if (!attend__mul_size((size_t)sizes[1], (size_t)sizes[2], &bytes) ||
        !attend__mul_size(bytes, sizeof(float), &bytes))
        return attend__model_fail(ATTEND_OVERFLOW,
                                  "text: hidden states of %lld tokens are too many",
                                  (long long)call->rows);
    attend_buffer *buffer;
    attend_status status = attend_buffer_create(bert->context, bytes, &buffer);
    if (status) return status;
    const attend_tensor x = attend_tensor_in(buffer, 0, ATTEND_F32, 3, sizes, NULL);
    status = embed(bert, call, &x);
    if (!status) status = run_blocks(bert, call, &x);
    if (!status) status = attend_buffer_read(buffer, 0, call->hidden, bytes);
    attend_buffer_release(buffer);
    return status;
}
