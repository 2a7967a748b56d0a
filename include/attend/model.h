/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/model.h - libattend-model: text in, hidden states, embeddings and attention weights out.
 * Reads a folder with config.json, model.safetensors and tokenizer.json of the BERT family
 * (model_type "bert", WordPiece). Layers and heads count from 0. Link with attend-model. */
#ifndef ATTEND_MODEL_H
#define ATTEND_MODEL_H

#include "attend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct attend_model attend_model;
typedef struct attend_encoding attend_encoding;

/* Reads the folder and prepares the weights for the context, which must outlive the model. Errors:
 * IO (a file missing or unreadable), FORMAT (a file that is damaged or lies about its sizes; a
 * tensor with an unexpected shape), UNSUPPORTED (another model family), OUT_OF_MEMORY; each names
 * the file. */
ATTEND_API attend_status attend_model_open(attend_context *context, const char *folder,
                                           attend_model **model);
ATTEND_API void attend_model_release(attend_model *model); /* NULL is allowed */

typedef struct attend_model_info {
    size_t size;
    int64_t layers, heads, model_size, vocabulary_size, max_tokens;
} attend_model_info;
ATTEND_API attend_status attend_model_get_info(const attend_model *model, attend_model_info *info);

/* Which weights an encoding keeps: every layer's and head's (default), a range of them, or only the
 * embedding. Memory is taken for what is kept, and for one layer more where not all heads are. */
typedef struct attend_encode_options {
    size_t size;
    int32_t layer;       /* -1 = all layers (default), -2 = none, else the first of layer_count */
    int32_t head;        /* -1 = all heads (default), else the first of head_count */
    int32_t layer_count; /* 0 = 1; must be 0 where layer names none */
    int32_t head_count;  /* 0 = 1; must be 0 where head names none */
    /* Not NULL: a second text of UTF-8, encoded with the first as the tokenizer's form for pairs
     * says: [CLS] A [SEP] B [SEP], types 0 and 1. Not for attend_model_encode_many. */
    const char *second_text;
    size_t second_text_bytes;
} attend_encode_options;
ATTEND_API void attend_encode_options_init(void *options, size_t size);
static inline attend_encode_options attend_encode_options_default(void) {
    attend_encode_options o;
    attend_encode_options_init(&o, sizeof o);
    return o;
}

/* Tokenizes and runs the model over `text`, `text_bytes` bytes of UTF-8 (may hold NUL characters).
 * Keeps the weights of every layer and head. Errors: FORMAT for text that is not UTF-8 (the
 * sentence has the byte offset), OUT_OF_RANGE for more than max_tokens tokens (both texts
 * together), and those of attend_run. Any number of threads may use one model. */
ATTEND_API attend_status attend_model_encode(const attend_model *model, const char *text,
                                             size_t text_bytes, attend_encoding **encoding);
/* The same, keeping what `options` say; NULL = default. INVALID or OUT_OF_RANGE for layers or heads
 * that the model does not have; UNSUPPORTED for a second text where tokenizer.json has no form for
 * pairs, or one with types that config.json does not have. */
ATTEND_API attend_status attend_model_encode_with(const attend_model *model, const char *text,
                                                  size_t text_bytes,
                                                  const attend_encode_options *options,
                                                  attend_encoding **encoding);
/* Several texts at once, each as attend_model_encode_with gives it, to the bit on backends that
 * have one order for all row counts: the texts run one after another in one packed batch, without
 * padding. `sizes` are the bytes of each text, NULL = all end with NUL. encodings[count] receives
 * one encoding for each text, in the order of the texts; all are NULL after a failure, whose
 * sentence names the text ("texts[3]: .."). Texts whose weights are kept run one by one: keep none
 * (layer -2) where only embeddings are wanted. Errors as attend_model_encode_with. */
ATTEND_API attend_status attend_model_encode_many(const attend_model *model, size_t count,
                                                  const char *const *texts, const size_t *sizes,
                                                  const attend_encode_options *options,
                                                  attend_encoding **encodings);
/* Only the ids, without running the model; no limit on their number. */
ATTEND_API attend_status attend_model_tokenize(const attend_model *model, const char *text,
                                               size_t text_bytes, attend_encoding **encoding);
ATTEND_API void attend_encoding_release(attend_encoding *encoding); /* NULL is allowed */

/* Getters of an encoding; what they return lives as long as it. Tokens count from 0 and include
 * [CLS] and [SEP]. */
ATTEND_API size_t attend_encoding_length(const attend_encoding *encoding);
ATTEND_API const int32_t *attend_encoding_ids(const attend_encoding *encoding);
/* The token as the vocabulary writes it ("##strom"); NULL for token >= length. */
ATTEND_API const char *attend_encoding_token(const attend_encoding *encoding, size_t token);
/* The bytes of its own text that the token stands for: both 0 for [CLS] and [SEP]. */
ATTEND_API attend_status attend_encoding_span(const attend_encoding *encoding, size_t token,
                                              size_t *begin, size_t *end);
/* Which text the token comes from: 0 the first, 1 the second, -1 none: [CLS] and [SEP] that the
 * tokenizer adds, and token >= length. */
ATTEND_API int32_t attend_encoding_text(const attend_encoding *encoding, size_t token);
/* [length] types as the model gets them; [SEP] behind the second text has its type. */
ATTEND_API const int32_t *attend_encoding_types(const attend_encoding *encoding);
/* [length, M] float, the last layer's output; NULL if only tokenized. */
ATTEND_API const float *attend_encoding_hidden(const attend_encoding *encoding);
/* [M] float: mean over the tokens, scaled to unit length; NULL if only tokenized. */
ATTEND_API const float *attend_encoding_embedding(const attend_encoding *encoding);
/* [length, length] float weights of a layer and head, rows are queries; NULL if they were not kept.
 */
ATTEND_API const float *attend_encoding_weights(const attend_encoding *encoding, int32_t layer,
                                                int32_t head);
/* One of them; NaN if it was not kept or lies outside. */
ATTEND_API float attend_encoding_weight(const attend_encoding *encoding, int32_t layer,
                                        int32_t head, size_t query, size_t key);
/* Cosine similarity of two embeddings; NaN if a model gave them different sizes or only tokens. */
ATTEND_API double attend_encoding_similarity(const attend_encoding *a, const attend_encoding *b);

/* ---- one head, step by step ------------------------------------------------------------------ */

/* Which head, and what its keys are masked by. */
typedef struct attend_trace_options {
    size_t size;
    int32_t layer, head;
    /* 1: a query sees no key behind itself. In this head only: the layers before it run as the
     * model was trained. */
    int32_t causal;
    /* So many [PAD] tokens stand behind the text, as in a batch with a longer one; nobody sees
     * them, in the layers before neither. */
    int32_t padding;
    const char *second_text; /* as in attend_encode_options */
    size_t second_text_bytes;
} attend_trace_options;
ATTEND_API void attend_trace_options_init(void *options, size_t size);
static inline attend_trace_options attend_trace_options_default(void) {
    attend_trace_options o;
    attend_trace_options_init(&o, sizeof o);
    return o;
}

/* The steps in their order. L tokens with the padding, M = model_size, D = M / heads; rows are
 * tokens (queries), columns of [L, L] are keys. */
typedef enum attend_trace_step {
    ATTEND_TRACE_INPUT = 1, /* x [L, M]: the hidden states that come to the layer */
    ATTEND_TRACE_QUERIES =
        2, /* q [L, D] = x Wq^T + bq, of W and b the head's rows; k and v alike */
    ATTEND_TRACE_KEYS = 3,
    ATTEND_TRACE_VALUES = 4,
    ATTEND_TRACE_SCORES = 5,  /* [L, L]: q_i . k_j */
    ATTEND_TRACE_SCALED = 6,  /* [L, L]: times 1 / sqrt(D) */
    ATTEND_TRACE_MASKED = 7,  /* [L, L]: -inf where key j is excluded from query i */
    ATTEND_TRACE_WEIGHTS = 8, /* [L, L]: softmax of each row */
    ATTEND_TRACE_MIX = 9,     /* [L, D]: sum over j of weight_ij v_j */
    /* [L, D]: the head's columns out of the fused attention over all heads, as the model's own
     * layer computes them. */
    ATTEND_TRACE_OUTPUT = 10,
    ATTEND_TRACE_BOUND = 11, /* [L, D]: how far MIX and OUTPUT may lie apart (docs/numerics.md) */
    ATTEND_TRACE_FORCE_32_BITS = 0x7fffffff
} attend_trace_step;

typedef struct attend_head_trace attend_head_trace;

/* Runs the model up to the layer and computes the head one step after the other on the model's
 * context, by the public functions of stage.h and attention.h. The layer's weights are read again
 * from model.safetensors, which must be the file that was opened. Errors: OUT_OF_RANGE for a layer
 * or head that the model does not have, a negative padding, or more tokens than max_tokens;
 * UNSUPPORTED for padding where the vocabulary has no [PAD]; those of attend_model_open for the
 * file, and of attend_model_encode_with for the texts. */
ATTEND_API attend_status attend_model_trace_head(const attend_model *model, const char *text,
                                                 size_t text_bytes,
                                                 const attend_trace_options *options,
                                                 attend_head_trace **trace);
ATTEND_API void attend_head_trace_release(attend_head_trace *trace); /* NULL is allowed */
/* The tokens, with the padding; no weights or states. Lives as long as the trace. */
ATTEND_API const attend_encoding *attend_head_trace_encoding(const attend_head_trace *trace);
/* The numbers of a step, row after row, and how many rows and columns there are (NULL: not wanted).
 * NULL for a step that is none. */
ATTEND_API const float *attend_head_trace_values(const attend_head_trace *trace,
                                                 attend_trace_step step, int64_t *rows,
                                                 int64_t *columns);

#ifdef __cplusplus
}
#endif
#endif
