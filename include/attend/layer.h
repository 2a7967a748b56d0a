/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/layer.h - layers with prepared weights: multi-head attention, feed-forward, encoder layer,
 * decoder layer. A layer copies and prepares its weights when it is
 * created; the arrays may be freed afterwards. Any number of threads may run one layer at once.
 *
 * Weights are [out, in] as torch.nn.Linear keeps them, F32, F16 or BF16, any strides. Activations
 * (x, out, memory) are F32, F16 or BF16, all of one call of one type: that of the weights, or F32
 * over 16-bit weights. Intermediate results have the type of the activations. Run forms finish
 * before they return and take host memory or buffers; enqueue forms follow attend_enqueue. Errors
 * are those of attend_run; a failed call writes no output.
 *
 * Scratch: the pool of a layer is made when it is created if the description names the largest
 * sizes, and grows at the first larger call otherwise. */
#ifndef ATTEND_LAYER_H
#define ATTEND_LAYER_H

#include "attention.h"
#include "cache.h"
#include "stage.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- multi-head attention ------------------------------------------------------------------- */

/* q = x_q Wq^T + bq, k = x_k Wk^T + bk, v = x_v Wv^T + bv; heads are contiguous slices of the
 * columns; out = merge(attention(q, k, v)) Wo^T + bo (+ residual). As torch.nn.MultiheadAttention
 * (Vaswani et al., section 3.2.2), with grouped heads. */
typedef struct attend_multihead_desc {
    size_t size;
    int64_t heads;
    int64_t kv_heads;                 /* 0 = heads */
    attend_tensor w_q;                /* [H * D, M] */
    attend_tensor w_k;                /* [G * D, M or the width of x_k] */
    attend_tensor w_v;                /* [G * E, M or the width of x_v] */
    attend_tensor w_o;                /* [N, H * E]; not given: out is the merged heads */
    attend_tensor b_q, b_k, b_v, b_o; /* [rows of w] */
    attend_tensor rope_cos, rope_sin; /* [P, n] F32: q and k are rotated after their projection */
    int64_t rope_dim;                 /* as attend_rope.rotary_dim */
    int32_t rope_interleaved;
    int32_t causal;
    attend_position position; /* default TOP_LEFT for self-attention, AFTER_CACHE with a cache */
    attend_precision precision;
    double scale; /* used when has_scale */
    double softcap;
    int32_t has_scale;
    int32_t reserved_flags;            /* must be 0 */
    int64_t window_left, window_right; /* default -1 */
    attend_tensor alibi_slopes;        /* [H] F32 */
    attend_tensor sinks;               /* [H] F32 */
    /* 0 = not known. Else what calls of that much need, memory of the device too, is made when the
     * layer is created, as far as it can be had. */
    int64_t max_batch, max_query_length, max_key_length;
} attend_multihead_desc;
ATTEND_API void attend_multihead_desc_init(void *description, size_t size);
static inline attend_multihead_desc attend_multihead_default(void) {
    attend_multihead_desc d;
    attend_multihead_desc_init(&d, sizeof d);
    return d;
}

typedef struct attend_multihead_args {
    size_t size;
    attend_tensor x_q;           /* [B, L, M] */
    attend_tensor x_kv;          /* [B, S, M']: cross-attention; not given: self-attention on x_q */
    attend_tensor x_v;           /* [B, S, M'']: values from elsewhere than keys (x_kv) */
    attend_tensor out;           /* [B, L, N] */
    attend_tensor residual;      /* [B, L, N], added to out; `out` may be the same view */
    attend_tensor mask;          /* as attend_attention.mask: true = attend */
    attend_tensor bias;          /* as attend_attention.bias: additive mask or position bias */
    attend_tensor key_mask;      /* as attend_attention.key_mask: [B, S], true = takes part */
    attend_tensor query_lengths; /* [B] */
    attend_tensor key_lengths;   /* [B] */
    /* Keys and values of x_q (x_kv where given) are rotated and appended to the cache, then all of
     * the cache is attended over: S is the tokens of the longest sample afterwards. Sample b
     * appends query_lengths[b] tokens (x_kv: key_lengths[b]), all where not given; these lie in
     * host memory. The cache has the layer's kv_heads and sizes and no rope of its own. */
    attend_cache *cache;
    attend_tensor weights;      /* [B, H, L, S] */
    attend_tensor weights_mean; /* [B, L, S] */
    attend_tensor lse;          /* [B, H, L] F32 */
    int32_t cache_only;         /* 1: nothing is appended; x_q attends over what the cache holds */
    int32_t reserved_flags;     /* must be 0 */

    /* Packed batches: the samples' rows lie one after another, without padding. x_q [1, U, M], out
     * and residual [1, U, N], lse [1, H, U]; sample b has rows cu[b] .. cu[b + 1] - 1 and its first
     * row has position 0, or with a cache its tokens before the call. [B + 1] I32 or I64 in host
     * memory, from 0 on, never falling, the last at most U; empty samples are allowed. The same for
     * x_kv and x_v [1, V, .] with cu_key_lengths, which belong to x_kv only: self-attention has
     * those of its queries, and appends as many tokens to a cache. mask, bias, key_mask, weights
     * and weights_mean are padded arrays as in attend_attention, L and S those of the longest
     * sample. Rows of out and lse behind the last sample stay as they were. Excludes query_lengths
     * and key_lengths (key_lengths not with cache_only). Errors: INVALID (not in host memory, one
     * without the other, excluded members), SHAPE (no [B + 1], or of another B; x of a batch other
     * than 1), OUT_OF_RANGE (values). */
    attend_tensor cu_query_lengths;
    attend_tensor cu_key_lengths;
} attend_multihead_args;
ATTEND_API void attend_multihead_args_init(void *arguments, size_t size);
static inline attend_multihead_args attend_multihead_args_default(void) {
    attend_multihead_args a;
    attend_multihead_args_init(&a, sizeof a);
    return a;
}

typedef struct attend_multihead attend_multihead;
ATTEND_API attend_status attend_multihead_create(attend_context *context,
                                                 const attend_multihead_desc *description,
                                                 attend_multihead **layer);
ATTEND_API attend_status attend_multihead_run(attend_multihead *layer,
                                              const attend_multihead_args *arguments);
ATTEND_API attend_status attend_multihead_enqueue(attend_multihead *layer,
                                                  const attend_multihead_args *arguments,
                                                  size_t wait_count, attend_event *const *waits,
                                                  attend_event **done);
ATTEND_API void attend_multihead_release(attend_multihead *layer); /* NULL is allowed */

/* ---- feed-forward --------------------------------------------------------------------------- */

/* out = activation(x W1^T + b1) W2^T + b2, or with w_gate: (activation(x Wg^T + bg) * (x W1^T +
 * b1)) W2^T + b2 (Shazeer 2020, arXiv:2002.05202), + residual. */
typedef struct attend_feedforward_desc {
    size_t size;
    attend_tensor w_1;    /* [F, M] */
    attend_tensor w_gate; /* [F, M] */
    attend_tensor w_2;    /* [N, F] */
    attend_tensor b_1, b_gate, b_2;
    attend_activation activation; /* default RELU */
    int32_t reserved_flags;       /* must be 0 */
    int64_t max_rows;             /* B * L; 0 = not known */
} attend_feedforward_desc;
ATTEND_API void attend_feedforward_desc_init(void *description, size_t size);
static inline attend_feedforward_desc attend_feedforward_default(void) {
    attend_feedforward_desc d;
    attend_feedforward_desc_init(&d, sizeof d);
    return d;
}

typedef struct attend_feedforward_args {
    size_t size;
    attend_tensor x;        /* [.., M] */
    attend_tensor residual; /* [.., N]; `out` may be the same view */
    attend_tensor out;      /* [.., N] */
} attend_feedforward_args;
ATTEND_API void attend_feedforward_args_init(void *arguments, size_t size);
static inline attend_feedforward_args attend_feedforward_args_default(void) {
    attend_feedforward_args a;
    attend_feedforward_args_init(&a, sizeof a);
    return a;
}

typedef struct attend_feedforward attend_feedforward;
ATTEND_API attend_status attend_feedforward_create(attend_context *context,
                                                   const attend_feedforward_desc *description,
                                                   attend_feedforward **layer);
ATTEND_API attend_status attend_feedforward_run(attend_feedforward *layer,
                                                const attend_feedforward_args *arguments);
ATTEND_API attend_status attend_feedforward_enqueue(attend_feedforward *layer,
                                                    const attend_feedforward_args *arguments,
                                                    size_t wait_count, attend_event *const *waits,
                                                    attend_event **done);
ATTEND_API void attend_feedforward_release(attend_feedforward *layer); /* NULL is allowed */

/* ---- encoder and decoder layers -------------------------------------------------------------- */

/* One block of a transformer. Encoder: self-attention and feed-forward; decoder: with
 * cross-attention over the encoder's output between them. With t a sub-layer and n its norm: norm
 * last  (norm_first = 0): x = n(x + t(x));   norm first: x = x + t(n(x)). As
 * torch.nn.TransformerEncoderLayer and TransformerDecoderLayer in evaluation, with more norms,
 * activations and gated forms. The sub-layers' descriptions are read when the block is created. */
typedef struct attend_block_desc {
    size_t size;
    const attend_multihead_desc *self_attention;
    const attend_multihead_desc *cross_attention; /* NULL: an encoder layer */
    const attend_feedforward_desc *feedforward;
    attend_tensor norm_self_weight, norm_self_bias;   /* [M]; not given = 1 and 0 */
    attend_tensor norm_cross_weight, norm_cross_bias; /* decoder only */
    attend_tensor norm_feedforward_weight, norm_feedforward_bias;
    attend_norm_kind norm; /* default LAYER_NORM */
    int32_t norm_first;
    double eps;             /* default 1e-5 */
    int64_t reserved_flags; /* must be 0 */
} attend_block_desc;
ATTEND_API void attend_block_desc_init(void *description, size_t size);
static inline attend_block_desc attend_block_default(void) {
    attend_block_desc d;
    attend_block_desc_init(&d, sizeof d);
    return d;
}

typedef struct attend_block_args {
    size_t size;
    attend_tensor x;      /* [B, L, M] */
    attend_tensor memory; /* [B, S, M']: the encoder's output; a decoder needs it or memory_cache */
    attend_tensor out;    /* [B, L, M]; may be the same view as x */
    attend_tensor mask, bias, key_mask, query_lengths, key_lengths; /* of the self-attention */
    attend_tensor memory_mask, memory_bias, memory_key_mask,
        memory_key_lengths;              /* of the cross-attention */
    attend_cache *cache;                 /* of the self-attention, as in attend_multihead_args */
    attend_tensor weights, weights_mean; /* of the self-attention */
    attend_tensor memory_weights, memory_weights_mean; /* of the cross-attention */
    /* Of the cross-attention: keys and values of `memory` are appended; without `memory` those that
     * were appended before are attended over, so that the encoder's output is projected once. */
    attend_cache *memory_cache;

    /* Packed batches, as in attend_multihead_args: x and out [1, U, M] with cu_query_lengths, which
     * are those of the self-attention's keys too; memory [1, V, M'] with memory_cu_key_lengths. A
     * decoder with `memory` needs both or none. */
    attend_tensor cu_query_lengths;
    attend_tensor memory_cu_key_lengths;
} attend_block_args;
ATTEND_API void attend_block_args_init(void *arguments, size_t size);
static inline attend_block_args attend_block_args_default(void) {
    attend_block_args a;
    attend_block_args_init(&a, sizeof a);
    return a;
}

typedef struct attend_block attend_block;
ATTEND_API attend_status attend_block_create(attend_context *context,
                                             const attend_block_desc *description,
                                             attend_block **block);
ATTEND_API attend_status attend_block_run(attend_block *block, const attend_block_args *arguments);
ATTEND_API attend_status attend_block_enqueue(attend_block *block,
                                              const attend_block_args *arguments, size_t wait_count,
                                              attend_event *const *waits, attend_event **done);
ATTEND_API void attend_block_release(attend_block *block); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
