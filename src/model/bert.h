/* SPDX-License-Identifier: Apache-2.0
 *
 * The encoder of BERT (Devlin et al. 2018, arXiv:1810.04805) out of libattend's parts: three
 * embeddings and a norm, then encoder blocks with the norm last. */
#ifndef ATTEND_MODEL_BERT_H
#define ATTEND_MODEL_BERT_H

#include "attend/layer.h"
#include "model/bert_config.h"
#include "model/weight_store.h"

typedef struct attend__bert attend__bert;

/* Copies what it needs from `file`. FORMAT for a tensor that is missing or of another shape than
 * the configuration says, OUT_OF_MEMORY, and the errors of attend_block_create. */
attend_status attend__bert_create(attend_context *context, const attend__bert_config *config,
                                  const attend__safetensors *file, attend__bert **bert);
void attend__bert_release(attend__bert *bert); /* NULL is allowed */

/* One text, or several one after another: text b has rows starts[b] .. starts[b + 1] - 1.
 * weights[i] is where layer i's weights [H, L, L] of one text go, or NULL; `weights` NULL: none. */
typedef struct attend__bert_call {
    const int32_t *ids, *types; /* [rows] */
    const int32_t *positions;   /* [rows], of several texts */
    const int32_t *starts;      /* [texts + 1], of several texts */
    int64_t rows, texts;
    int64_t keys; /* of one text: rows behind them are padding, keys of none; 0: none is */
    int64_t skipped_layers; /* at the end; hidden is what comes to the first of them */
    float *hidden;          /* [rows, M] */
    float *const *weights;
    /* Told behind each layer whose weights were wanted, so that one room can serve several. */
    void (*on_weights)(void *user, int64_t layer);
    void *user;
} attend__bert_call;

/* What one reads from the file of a model whose tensors may have names with "bert.". */
attend__weight_store attend__bert_store(attend_context *context, const attend__safetensors *file);
/* Heads, weights and biases of a layer's self-attention. The views live as long as file and store.
 */
attend_status attend__bert_attention(attend__weight_store *store, const attend__bert_config *config,
                                     int64_t layer, attend_multihead_desc *attention);

/* Any number of threads. UNSUPPORTED for several texts where the backend has no packed batches. */
attend_status attend__bert_run(const attend__bert *bert, const attend__bert_call *call);

#endif
