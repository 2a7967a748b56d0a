/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/stage.h - the operations around attention, each on every backend: projection, copies that
 * split and merge heads, norms, activations, rotary positions, embeddings. Each has `run`-like and
 * enqueue forms that follow the rules of attend_run and attend_enqueue: the same errors, the same
 * treatment of host memory and buffers, finished on return or at once with an event.
 *
 * Floating-point tensors are F32, F16 or BF16; unless a field says otherwise all of one call have
 * one type, weights may also be 16-bit under F32 inputs, and arithmetic is float32 with one
 * rounding when stored.
 * "[.., N]" is any rank from 1 to 4; leading dimensions are rows. Outputs may not overlap inputs,
 * except that `out` may be exactly the same view as `x` (or `residual`) where the field says "in
 * place". */
#ifndef ATTEND_STAGE_H
#define ATTEND_STAGE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = f(x). Name, pinned value, name in texts. GELU is the erf form x/2 (1 + erf(x / sqrt 2)),
 * GELU_TANH its tanh approximation (Hendrycks & Gimpel 2016, arXiv:1606.08415), SILU x / (1 +
 * exp(-x)); these three are 0, their limit, at -inf. NaN comes through all. */
#define ATTEND_ACTIVATION_LIST(X)                                                                  \
    X(ATTEND_NO_ACTIVATION, 0, "none")                                                             \
    X(ATTEND_RELU, 1, "relu")                                                                      \
    X(ATTEND_GELU, 2, "gelu")                                                                      \
    X(ATTEND_GELU_TANH, 3, "gelu_tanh")                                                            \
    X(ATTEND_SILU, 4, "silu")                                                                      \
    X(ATTEND_SIGMOID, 5, "sigmoid")                                                                \
    X(ATTEND_TANH, 6, "tanh")

typedef enum attend_activation {
#define ATTEND_X(name, value, text) name = value,
    ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND_ACTIVATION_FORCE_32_BITS = 0x7fffffff
} attend_activation;

typedef enum attend_norm_kind {
    ATTEND_LAYER_NORM =
        1,               /* (x - mean) / sqrt(variance + eps) * weight + bias (arXiv:1607.06450) */
    ATTEND_RMS_NORM = 2, /* x / sqrt(mean(x^2) + eps) * weight               (arXiv:1910.07467) */
    ATTEND_NORM_KIND_FORCE_32_BITS = 0x7fffffff
} attend_norm_kind;

/* ---- projection ---------------------------------------------------------------------------- */

/* A weight matrix in the order a context's device likes best. It owns a copy: the matrix may be
 * freed. */
typedef struct attend_weights attend_weights;

/* w: [N, K] ("out, in", as torch.nn.Linear keeps it), F32, F16 or BF16, any strides, host memory or
 * buffer. Allocates; any thread. */
ATTEND_API attend_status attend_weights_create(attend_context *context, const attend_tensor *w,
                                               attend_weights **weights);
ATTEND_API void attend_weights_release(attend_weights *weights); /* NULL is allowed */

/* out = activation(x W^T + bias) * multiplier + residual, each part off when not given.
 * `multiplier` makes the gated forms: with m = x Wu^T, activation SILU gives SwiGLU
 * (arXiv:2002.05202). */
typedef struct attend_projection {
    size_t size;
    attend_tensor x;          /* [.., K] */
    attend_tensor w;          /* [N, K]; not given when `weights` is */
    attend_weights *weights;  /* prepared; of the same context */
    attend_tensor bias;       /* [N] */
    attend_tensor multiplier; /* [.., N] */
    attend_tensor residual;   /* [.., N]; `out` may be the same view */
    attend_tensor out;        /* [.., N] */
    attend_activation activation;
    int32_t reserved_flags; /* must be 0 */
} attend_projection;
ATTEND_API void attend_projection_init(void *description, size_t size);
static inline attend_projection attend_projection_default(void) {
    attend_projection d;
    attend_projection_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_project(attend_context *context,
                                        const attend_projection *description);
ATTEND_API attend_status attend_project_enqueue(attend_context *context,
                                                const attend_projection *description,
                                                size_t wait_count, attend_event *const *waits,
                                                attend_event **done);

/* ---- copies --------------------------------------------------------------------------------- */

/* out = x, element by element: same rank (1 to 6) and sizes, any strides, any two floating-point
 * types (rounded to nearest even), or one and the same other type. */
typedef struct attend_copy {
    size_t size;
    attend_tensor x;
    attend_tensor out;
} attend_copy;
ATTEND_API void attend_copy_init(void *description, size_t size);
static inline attend_copy attend_copy_default(void) {
    attend_copy d;
    attend_copy_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_copy_run(attend_context *context, const attend_copy *description);
ATTEND_API attend_status attend_copy_enqueue(attend_context *context,
                                             const attend_copy *description, size_t wait_count,
                                             attend_event *const *waits, attend_event **done);

/* split: x [B, L, H * D] -> out [B, H, L, D]; merge: x [B, H, L, D] -> out [B, L, H * D]. H is
 * taken from the tensor of rank 4; head h owns the columns h * D .. h * D + D - 1. SHAPE if the
 * sizes disagree. */
ATTEND_API attend_status attend_split_heads(attend_context *context,
                                            const attend_copy *description);
ATTEND_API attend_status attend_merge_heads(attend_context *context,
                                            const attend_copy *description);
ATTEND_API attend_status attend_split_heads_enqueue(attend_context *context,
                                                    const attend_copy *description,
                                                    size_t wait_count, attend_event *const *waits,
                                                    attend_event **done);
ATTEND_API attend_status attend_merge_heads_enqueue(attend_context *context,
                                                    const attend_copy *description,
                                                    size_t wait_count, attend_event *const *waits,
                                                    attend_event **done);

/* ---- norms ---------------------------------------------------------------------------------- */

/* t = x + residual; sum = t where given; out = norm(t). Mean and variance are taken in two passes.
 */
typedef struct attend_norm {
    size_t size;
    attend_tensor x;        /* [.., M] */
    attend_tensor residual; /* [.., M] */
    attend_tensor weight;   /* [M]; 1 when not given */
    attend_tensor bias;     /* [M]; 0 when not given; allowed for both kinds */
    attend_tensor out;      /* [.., M]; in place of x or residual */
    attend_tensor sum;      /* [.., M]; in place of x or residual */
    attend_norm_kind kind;  /* default LAYER_NORM */
    int32_t reserved_flags; /* must be 0 */
    double eps;             /* default 1e-5; finite, >= 0 */
} attend_norm;
ATTEND_API void attend_norm_init(void *description, size_t size);
static inline attend_norm attend_norm_default(void) {
    attend_norm d;
    attend_norm_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_norm_run(attend_context *context, const attend_norm *description);
ATTEND_API attend_status attend_norm_enqueue(attend_context *context,
                                             const attend_norm *description, size_t wait_count,
                                             attend_event *const *waits, attend_event **done);

/* ---- activations ---------------------------------------------------------------------------- */

/* out = activation(x) * multiplier + residual. */
typedef struct attend_elementwise {
    size_t size;
    attend_tensor x;          /* [.., N] */
    attend_tensor multiplier; /* [.., N] */
    attend_tensor residual;   /* [.., N] */
    attend_tensor out;        /* [.., N]; in place of any input */
    attend_activation activation;
    int32_t reserved_flags; /* must be 0 */
} attend_elementwise;
ATTEND_API void attend_elementwise_init(void *description, size_t size);
static inline attend_elementwise attend_elementwise_default(void) {
    attend_elementwise d;
    attend_elementwise_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_activate(attend_context *context,
                                         const attend_elementwise *description);
ATTEND_API attend_status attend_activate_enqueue(attend_context *context,
                                                 const attend_elementwise *description,
                                                 size_t wait_count, attend_event *const *waits,
                                                 attend_event **done);

/* ---- rotary positions ------------------------------------------------------------------------ */

/* RoPE (Su et al. 2021, arXiv:2104.09864) as ONNX RotaryEmbedding-23: of each head's first
 * rotary_dim = 2 n elements the pairs (x1, x2) become (c x1 - s x2, s x1 + c x2); the rest is
 * copied. Pairs are (r, n + r), or (2 r, 2 r + 1) when interleaved. Row i of batch b uses table row
 * position_ids[b, i], or i + position_offset + position_offsets[b]; with tables of rank 3, table
 * row i of batch b. */
typedef struct attend_rope {
    size_t size;
    attend_tensor x;   /* [B, H, L, D] */
    attend_tensor cos; /* [P, n], or [B, L, n] (then no position_ids); F32 or the type of x */
    attend_tensor sin; /* as cos */
    attend_tensor position_ids; /* [B, L] I32 or I64, each in 0..P-1; host memory is checked, and
                                   copied by the enqueue form; buffers clamped */
    attend_tensor out;          /* [B, H, L, D]; in place */
    int64_t position_offset;    /* >= 0 */
    int64_t rotary_dim;         /* even, <= D; 0 = D */
    int32_t interleaved;
    int32_t reserved_flags;         /* must be 0 */
    attend_tensor position_offsets; /* [B] I32 or I64, >= 0, without position_ids and with tables of
                                       rank 2; host memory is checked, table rows clamped else */
} attend_rope;
ATTEND_API void attend_rope_init(void *description, size_t size);
static inline attend_rope attend_rope_default(void) {
    attend_rope d;
    attend_rope_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_rope_run(attend_context *context, const attend_rope *description);
ATTEND_API attend_status attend_rope_enqueue(attend_context *context,
                                             const attend_rope *description, size_t wait_count,
                                             attend_event *const *waits, attend_event **done);

/* ---- embeddings ------------------------------------------------------------------------------ */

/* out[.., :] = table[ids[..], :] * scale + x[.., :]: token embeddings, and learned or sinusoidal
 * positions when `x` holds the tokens' rows and `ids` the positions. Without ids row i of the
 * second-last dimension takes table row i + id_offset. */
typedef struct attend_embedding {
    size_t size;
    attend_tensor table; /* [N, M] F32, F16 or BF16 */
    attend_tensor ids;   /* [..] I32 or I64, in 0..N-1; checked on the host, clamped in buffers */
    attend_tensor x;     /* [.., M] */
    attend_tensor out;   /* [.., M], rank 2 or more, one more than ids; in place of x */
    double scale;        /* default 1; finite */
    int64_t id_offset;   /* >= 0; only without ids */
} attend_embedding;
ATTEND_API void attend_embedding_init(void *description, size_t size);
static inline attend_embedding attend_embedding_default(void) {
    attend_embedding d;
    attend_embedding_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_embed(attend_context *context, const attend_embedding *description);
ATTEND_API attend_status attend_embed_enqueue(attend_context *context,
                                              const attend_embedding *description,
                                              size_t wait_count, attend_event *const *waits,
                                              attend_event **done);

/* Vaswani et al. section 3.5, on host memory: table[p, 2 i] = sin(p / 10000^(2 i / M)), table[p, 2
 * i + 1] = cos(same). Writes [length, M] floats, contiguous. INVALID for negative sizes,
 * NULL_POINTER, OVERFLOW. */
ATTEND_API attend_status attend_sinusoidal_positions(int64_t length, int64_t model_size,
                                                     float *table);
/* RoPE's tables: cos and sin of p * base^(-2 r / rotary_dim), [length, rotary_dim / 2] floats each.
 * base is usually 10000. */
ATTEND_API attend_status attend_rope_tables(int64_t length, int64_t rotary_dim, double base,
                                            float *cos_table, float *sin_table);

#ifdef __cplusplus
}
#endif
#endif
