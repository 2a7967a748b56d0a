/* SPDX-License-Identifier: Apache-2.0
 *
 * Every bad argument of the layers: its status, a sentence that names it, no layer made, nothing
 * written. Each line of a list below spoils one member of a description that works. Over budget:
 * the lists are the test. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* W: width of the memory */
enum { B = 2, H = 2, G = 1, L = 3, S = 4, D = 4, E = 3, M = 8, F = 5, W = 6 };

/* Inputs and weights read zeros from here; outputs go to `result`, which must keep its pattern. */
static float zeros[512];
static float result[512];
static int32_t lengths[B] = {L, L}, memory_lengths[B] = {S, S};
static uint8_t truths[512];
static const attend_tensor none;

typedef struct arguments {
    attend_multihead_desc heads;
    attend_multihead_args x;
    attend_feedforward_desc inner;
    attend_feedforward_args y;
    attend_multihead_desc cross;
    attend_block_desc block;
    attend_block_args z;
    attend_buffer *foreign; /* of another context */
} arguments;

static attend_tensor matrix(int64_t rows, int64_t columns) {
    return attend_tensor_2d(zeros, ATTEND_F32, rows, columns);
}

static attend_tensor vector(int64_t size) {
    return attend_tensor_1d(zeros, ATTEND_F32, size);
}

static attend_tensor rows(int64_t batch, int64_t length, int64_t width) {
    return attend_tensor_3d(zeros, ATTEND_F32, batch, length, width);
}

static attend_tensor as_type(attend_tensor t, attend_type type) {
    t.type = type;
    return t;
}

/* An output somewhere in `result`. */
static attend_tensor output(int64_t at, int32_t rank, const int64_t *sizes) {
    return attend_tensor_nd(result + at, ATTEND_F32, rank, sizes);
}

static attend_multihead_desc valid_heads(int64_t width_k) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = H;
    d.kv_heads = G;
    d.w_q = matrix(H * D, M);
    d.w_k = matrix(G * D, width_k);
    d.w_v = matrix(G * E, width_k);
    d.w_o = matrix(M, H * E);
    d.b_q = vector(H * D);
    d.b_k = vector(G * D);
    d.b_v = vector(G * E);
    d.b_o = vector(M);
    d.rope_cos = matrix(9, D / 2);
    d.rope_sin = matrix(9, D / 2);
    d.alibi_slopes = vector(H);
    d.sinks = vector(H);
    d.position = ATTEND_BOTTOM_RIGHT;
    return d;
}

static attend_multihead_args valid_heads_args(void) {
    attend_multihead_args a = attend_multihead_args_default();
    a.x_q = rows(B, L, M);
    a.out = output(0, 3, (int64_t[]){B, L, M});
    a.residual = rows(B, L, M);
    a.mask = attend_tensor_2d(truths, ATTEND_BOOL, L, L);
    a.bias = rows(H, L, L);
    a.key_mask = attend_tensor_2d(truths, ATTEND_BOOL, B, L);
    a.query_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.weights = output(100, 4, (int64_t[]){B, H, L, L});
    a.weights_mean = output(150, 3, (int64_t[]){B, L, L});
    a.lse = output(200, 3, (int64_t[]){B, H, L});
    return a;
}

static attend_feedforward_desc valid_feedforward(void) {
    attend_feedforward_desc d = attend_feedforward_default();
    d.w_1 = d.w_gate = matrix(F, M);
    d.w_2 = matrix(M, F);
    d.b_1 = d.b_gate = vector(F);
    d.b_2 = vector(M);
    return d;
}

static void fill_block(arguments *a) {
    a->heads = valid_heads(M);
    a->cross = valid_heads(W);
    a->inner = valid_feedforward();
    a->block = attend_block_default();
    a->block.self_attention = &a->heads;
    a->block.cross_attention = &a->cross;
    a->block.feedforward = &a->inner;
    a->block.norm_self_weight = a->block.norm_self_bias = vector(M);
    a->block.norm_cross_weight = a->block.norm_cross_bias = vector(M);
    a->block.norm_feedforward_weight = a->block.norm_feedforward_bias = vector(M);
    a->z = attend_block_args_default();
    a->z.x = rows(B, L, M);
    a->z.memory = rows(B, S, W);
    a->z.out = output(0, 3, (int64_t[]){B, L, M});
    a->z.mask = attend_tensor_2d(truths, ATTEND_BOOL, L, L);
    a->z.memory_mask = attend_tensor_2d(truths, ATTEND_BOOL, L, S);
    a->z.bias = rows(H, L, L);
    a->z.memory_bias = rows(H, L, S);
    a->z.key_mask = attend_tensor_2d(truths, ATTEND_BOOL, B, L);
    a->z.memory_key_mask = attend_tensor_2d(truths, ATTEND_BOOL, B, S);
    a->z.query_lengths = a->z.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a->z.memory_key_lengths = attend_tensor_1d(memory_lengths, ATTEND_I32, B);
    a->z.weights = output(100, 4, (int64_t[]){B, H, L, L});
    a->z.weights_mean = output(150, 3, (int64_t[]){B, L, L});
    a->z.memory_weights = output(200, 4, (int64_t[]){B, H, L, S});
    a->z.memory_weights_mean = output(250, 3, (int64_t[]){B, L, S});
}

static void fill(arguments *a) {
    memset(a, 0, sizeof *a);
    fill_block(a);
    a->x = valid_heads_args();
    a->y = attend_feedforward_args_default();
    a->y.x = rows(B, L, M);
    a->y.residual = rows(B, L, M);
    a->y.out = output(0, 3, (int64_t[]){B, L, M});
}

/* ---- the lists: status, name in the sentence, what is spoiled ----------------------------- */

/* weights_mean [B, L, S] is just the view of the residual, which only `out` may be. */
static void overlap_residual(arguments *a) {
    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = rows(B, M, M);
    x.residual = x.weights_mean = output(0, 3, (int64_t[]){B, M, M});
    x.out = output(B * M * M, 3, (int64_t[]){B, M, M});
    a->x = x;
}

#define BAD_HEADS(X)                                                                               \
    X(INVALID, "size", a->heads.size = 3)                                                          \
    X(INVALID, "heads", a->heads.heads = 0)                                                        \
    X(INVALID, "heads", a->heads.heads = -2)                                                       \
    X(INVALID, "kv_heads", a->heads.kv_heads = -1)                                                 \
    X(INVALID, "heads", a->heads.kv_heads = 3)                                                     \
    X(SHAPE, "w_q", a->heads.heads = 3; a->heads.alibi_slopes = a->heads.sinks = vector(3))        \
    X(NULL_POINTER, "w_q", a->heads.w_q = none)                                                    \
    X(NULL_POINTER, "w_k", a->heads.w_k = none)                                                    \
    X(NULL_POINTER, "w_v", a->heads.w_v = none)                                                    \
    X(NULL_POINTER, "w_v", a->heads.w_v.data = NULL)                                               \
    X(SHAPE, "w_q", a->heads.w_q = vector(64))                                                     \
    X(SHAPE, "w_k", a->heads.w_k = matrix(D + 1, M))                                               \
    X(SHAPE, "w_o", a->heads.w_o = matrix(M, H * E + 1))                                           \
    X(SHAPE, "w_o", a->heads.w_o = rows(1, M, H * E))                                              \
    X(TYPE, "w_q", a->heads.w_q.type = ATTEND_I32)                                                 \
    X(TYPE, "w_k", a->heads.w_k.type = ATTEND_F16)                                                 \
    X(TYPE, "w_o", a->heads.w_o.type = ATTEND_BF16)                                                \
    X(STRIDE, "w_v", a->heads.w_v.strides[0] = -1)                                                 \
    X(SHAPE, "b_q", a->heads.b_q = vector(H * D - 1))                                              \
    X(SHAPE, "b_k", a->heads.b_k = matrix(1, G * D))                                               \
    X(TYPE, "b_v", a->heads.b_v.type = ATTEND_F16)                                                 \
    X(SHAPE, "b_o", a->heads.b_o = vector(M + 1))                                                  \
    X(INVALID, "b_o", a->heads.w_o = none)                                                         \
    X(NULL_POINTER, "rope_sin", a->heads.rope_sin = none)                                          \
    X(NULL_POINTER, "rope_cos", a->heads.rope_cos = none)                                          \
    X(SHAPE, "rope_cos", a->heads.rope_cos = matrix(9, D))                                         \
    X(SHAPE, "rope_sin", a->heads.rope_sin = matrix(8, D / 2))                                     \
    X(TYPE, "rope_cos", a->heads.rope_cos.type = ATTEND_F16)                                       \
    X(INVALID, "rope_dim", a->heads.rope_dim = 3)                                                  \
    X(INVALID, "rope_dim", a->heads.rope_dim = D + 2)                                              \
    X(INVALID, "rope_dim", a->heads.rope_dim = -2)                                                 \
    X(SHAPE, "alibi_slopes", a->heads.alibi_slopes = vector(H + 1))                                \
    X(TYPE, "sinks", a->heads.sinks.type = ATTEND_BF16)                                            \
    X(SHAPE, "sinks", a->heads.sinks = vector(1))                                                  \
    X(INVALID, "position", a->heads.position = ATTEND_AT_OFFSETS)                                  \
    X(INVALID, "position", a->heads.position = (attend_position)9)                                 \
    X(INVALID, "precision", a->heads.precision = (attend_precision)2)                              \
    X(INVALID, "scale", a->heads.has_scale = 1; a->heads.scale = (double)NAN)                      \
    X(INVALID, "softcap", a->heads.softcap = -1)                                                   \
    X(INVALID, "softcap", a->heads.softcap = (double)INFINITY)                                     \
    X(INVALID, "window_left", a->heads.window_left = -2)                                           \
    X(INVALID, "window_right", a->heads.window_right = -5)                                         \
    X(INVALID, "max_batch", a->heads.max_batch = -1)                                               \
    X(INVALID, "max_query_length", a->heads.max_query_length = -1)                                 \
    X(INVALID, "max_key_length", a->heads.max_key_length = -1)                                     \
    X(OVERFLOW, "intermediate", a->heads.max_batch = a->heads.max_query_length = INT64_MAX)        \
    X(INVALID, "reserved_flags", a->heads.reserved_flags = 1)

#define BAD_HEADS_ARGS(X)                                                                          \
    X(INVALID, "size", a->x.size = 0)                                                              \
    X(NULL_POINTER, "x_q", a->x.x_q = none)                                                        \
    X(NULL_POINTER, "out", a->x.out = none)                                                        \
    X(NULL_POINTER, "x_q", a->x.x_q.data = NULL)                                                   \
    X(SHAPE, "x_q", a->x.x_q = rows(B, L, M - 1))                                                  \
    X(SHAPE, "x_q", a->x.x_q = matrix(L, M))                                                       \
    X(TYPE, "x_q", a->x.x_q.type = ATTEND_F16)                                                     \
    X(TYPE, "x_q", a->x.x_q.type = ATTEND_I32)                                                     \
    X(STRIDE, "x_q", a->x.x_q.strides[2] = -1)                                                     \
    X(SHAPE, "x_kv", a->x.x_kv = rows(B, S, M + 1))                                                \
    X(SHAPE, "x_kv", a->x.x_kv = rows(B + 1, S, M))                                                \
    X(TYPE, "x_kv", a->x.x_kv = as_type(rows(B, S, M), ATTEND_BF16))                               \
    X(NULL_POINTER, "x_kv", a->x.x_v = rows(B, L, M))                                              \
    X(SHAPE, "x_v", a->x.x_kv = rows(B, L, M); a->x.x_v = rows(B, L + 1, M))                       \
    X(SHAPE, "x_v", a->x.x_kv = rows(B, L, M); a->x.x_v = rows(B, L, 1))                           \
    X(SHAPE, "out", a->x.out.sizes[2] = M - 1)                                                     \
    X(SHAPE, "out", a->x.out.sizes[1] = L - 1)                                                     \
    X(SHAPE, "out", a->x.out.sizes[0] = B - 1)                                                     \
    X(TYPE, "out", a->x.out.type = ATTEND_F16)                                                     \
    X(STRIDE, "out", a->x.out.strides[1] = 0)                                                      \
    X(SHAPE, "residual", a->x.residual = rows(B, L + 1, M))                                        \
    X(TYPE, "residual", a->x.residual.type = ATTEND_BF16)                                          \
    X(OVERLAP, "out", a->x.x_q = a->x.out)                                                         \
    X(OVERLAP, "out", a->x.residual = a->x.out; a->x.residual.data = result + 1)                   \
    X(OVERLAP, "weights", a->x.weights.data = result + 5)                                          \
    X(OVERLAP, "weights_mean", overlap_residual(a))                                                \
    X(SHAPE, "mask", a->x.mask.sizes[0] = L + 1)                                                   \
    X(TYPE, "mask", a->x.mask = matrix(L, L))                                                      \
    X(SHAPE, "bias", a->x.bias = rows(H + 1, L, L))                                                \
    X(TYPE, "bias", a->x.bias.type = ATTEND_I32)                                                   \
    X(SHAPE, "key_mask", a->x.key_mask.sizes[1] = L - 1)                                           \
    X(SHAPE, "query_lengths", a->x.query_lengths.sizes[0] = B + 1)                                 \
    X(TYPE, "key_lengths", a->x.key_lengths = vector(B))                                           \
    X(OUT_OF_RANGE, "key_lengths", a->x.key_lengths.data = memory_lengths)                         \
    X(OUT_OF_RANGE, "query_lengths", a->x.query_lengths.data = memory_lengths)                     \
    X(SHAPE, "weights", a->x.weights.sizes[3] = L - 1)                                             \
    X(TYPE, "weights", a->x.weights.type = ATTEND_BF16)                                            \
    X(SHAPE, "weights_mean", a->x.weights_mean.sizes[1] = L - 1)                                   \
    X(TYPE, "lse", a->x.lse.type = ATTEND_F16)                                                     \
    X(SHAPE, "lse", a->x.lse.rank = 2)                                                             \
    X(INVALID, "x_q",                                                                              \
      a->x.x_q = attend_tensor_in(a->foreign, 0, ATTEND_F32, 3, (int64_t[]){B, L, M}, NULL))

#define BAD_FEEDFORWARD(X)                                                                         \
    X(NULL_POINTER, "w_1", a->inner.w_1 = none)                                                    \
    X(NULL_POINTER, "w_2", a->inner.w_2 = none)                                                    \
    X(SHAPE, "w_1", a->inner.w_1 = vector(M))                                                      \
    X(SHAPE, "w_2", a->inner.w_2 = matrix(M, F + 1))                                               \
    X(SHAPE, "w_gate", a->inner.w_gate = matrix(F + 1, M))                                         \
    X(SHAPE, "w_gate", a->inner.w_gate = matrix(F, M + 1))                                         \
    X(TYPE, "w_gate", a->inner.w_gate.type = ATTEND_F16)                                           \
    X(TYPE, "w_1", a->inner.w_1.type = ATTEND_U8)                                                  \
    X(SHAPE, "b_1", a->inner.b_1 = vector(F + 1))                                                  \
    X(SHAPE, "b_gate", a->inner.b_gate = vector(F - 1))                                            \
    X(INVALID, "b_gate", a->inner.w_gate = none)                                                   \
    X(SHAPE, "b_2", a->inner.b_2 = vector(F))                                                      \
    X(TYPE, "b_2", a->inner.b_2.type = ATTEND_BF16)                                                \
    X(INVALID, "activation", a->inner.activation = (attend_activation)7)                           \
    X(INVALID, "activation", a->inner.activation = (attend_activation)-1)                          \
    X(INVALID, "max_rows", a->inner.max_rows = -1)                                                 \
    X(OVERFLOW, "intermediate", a->inner.max_rows = INT64_MAX)                                     \
    X(INVALID, "reserved_flags", a->inner.reserved_flags = 4)

#define BAD_FEEDFORWARD_ARGS(X)                                                                    \
    X(NULL_POINTER, "x", a->y.x = none)                                                            \
    X(NULL_POINTER, "out", a->y.out = none)                                                        \
    X(SHAPE, "x", a->y.x = rows(B, L, M + 1))                                                      \
    X(SHAPE, "x", a->y.x.rank = 5; a->y.x.sizes[3] = 1; a->y.x.sizes[4] = M)                       \
    X(TYPE, "x", a->y.x.type = ATTEND_F16)                                                         \
    X(SHAPE, "out", a->y.out.sizes[2] = M - 1)                                                     \
    X(SHAPE, "out", a->y.out.sizes[0] = 1)                                                         \
    X(SHAPE, "out", a->y.out.rank = 2)                                                             \
    X(TYPE, "out", a->y.out.type = ATTEND_F16)                                                     \
    X(SHAPE, "residual", a->y.residual = rows(B, L, M - 1))                                        \
    X(TYPE, "residual", a->y.residual.type = ATTEND_F16)                                           \
    X(OVERLAP, "out", a->y.x = a->y.out)

#define BAD_BLOCK(X)                                                                               \
    X(NULL_POINTER, "self_attention", a->block.self_attention = NULL)                              \
    X(NULL_POINTER, "feedforward", a->block.feedforward = NULL)                                    \
    X(NULL_POINTER, "self_attention: w_q", a->heads.w_q = none)                                    \
    X(INVALID, "cross_attention: heads", a->cross.heads = 0)                                       \
    X(SHAPE, "feedforward: w_2", a->inner.w_2 = matrix(M, F + 1))                                  \
    X(SHAPE, "self_attention: w_k", a->heads.w_k = matrix(G * D, M + 1))                           \
    X(SHAPE, "self_attention: w_v", a->heads.w_v = matrix(G * E, M + 1))                           \
    X(SHAPE, "self_attention: w_o", a->heads.w_o = matrix(M + 1, H * E); a->heads.b_o = none)      \
    X(SHAPE, "cross_attention: w_q", a->cross.w_q = matrix(H * D, M + 1))                          \
    X(SHAPE, "cross_attention: w_v", a->cross.w_v = matrix(G * E, W + 1))                          \
    X(SHAPE, "cross_attention: w_o", a->cross.w_o = matrix(M + 1, H * E); a->cross.b_o = none)     \
    X(SHAPE, "feedforward: w_1", a->inner.w_1 = a->inner.w_gate = matrix(F, M + 1))                \
    X(SHAPE, "feedforward: w_2", a->inner.w_2 = matrix(M + 1, F); a->inner.b_2 = none)             \
    X(TYPE, "feedforward",                                                                         \
      a->inner.w_1.type = a->inner.w_gate.type = a->inner.w_2.type = a->inner.b_1.type =           \
          a->inner.b_gate.type = a->inner.b_2.type = ATTEND_F16)                                   \
    X(SHAPE, "norm_self_weight", a->block.norm_self_weight = vector(M - 1))                        \
    X(SHAPE, "norm_self_bias", a->block.norm_self_bias = matrix(1, M))                             \
    X(SHAPE, "norm_cross_weight", a->block.norm_cross_weight = vector(W))                          \
    X(TYPE, "norm_cross_bias", a->block.norm_cross_bias.type = ATTEND_F16)                         \
    X(SHAPE, "norm_feedforward_weight", a->block.norm_feedforward_weight = vector(F))              \
    X(SHAPE, "norm_feedforward_bias", a->block.norm_feedforward_bias = vector(0))                  \
    X(INVALID, "norm_cross_weight", a->block.cross_attention = NULL)                               \
    X(INVALID, "norm", a->block.norm = (attend_norm_kind)0)                                        \
    X(INVALID, "norm", a->block.norm = (attend_norm_kind)3)                                        \
    X(INVALID, "eps", a->block.eps = -1e-9)                                                        \
    X(INVALID, "eps", a->block.eps = (double)NAN)                                                  \
    X(INVALID, "eps", a->block.eps = (double)INFINITY)                                             \
    X(INVALID, "reserved_flags", a->block.reserved_flags = 1)

#define BAD_BLOCK_ARGS(X)                                                                          \
    X(NULL_POINTER, "x", a->z.x = none)                                                            \
    X(NULL_POINTER, "out", a->z.out = none)                                                        \
    X(NULL_POINTER, "memory", a->z.memory = none)                                                  \
    X(SHAPE, "x", a->z.x = rows(B, L, M + 1))                                                      \
    X(SHAPE, "x", a->z.x = matrix(L, M))                                                           \
    X(TYPE, "x", a->z.x.type = ATTEND_F16)                                                         \
    X(SHAPE, "out", a->z.out.sizes[1] = L - 1)                                                     \
    X(SHAPE, "out", a->z.out.sizes[2] = M - 1)                                                     \
    X(TYPE, "out", a->z.out.type = ATTEND_BF16)                                                    \
    X(SHAPE, "memory", a->z.memory = rows(B, S, M))                                                \
    X(SHAPE, "memory", a->z.memory = rows(B + 1, S, W))                                            \
    X(TYPE, "memory", a->z.memory.type = ATTEND_F16)                                               \
    X(OVERLAP, "out", a->z.x = a->z.out; a->z.x.data = result + 2)                                 \
    X(OVERLAP, "out", a->z.memory = rows(B, S, W); a->z.memory.data = result + 4)                  \
    X(OVERLAP, "weights_mean", a->z.weights_mean.data = a->z.memory_weights.data)                  \
    X(SHAPE, "mask", a->z.mask.sizes[1] = L + 1)                                                   \
    X(SHAPE, "bias", a->z.bias.sizes[0] = H + 1)                                                   \
    X(SHAPE, "key_mask", a->z.key_mask.sizes[0] = B + 1)                                           \
    X(OUT_OF_RANGE, "query_lengths", a->z.query_lengths.data = memory_lengths)                     \
    X(OUT_OF_RANGE, "key_lengths", a->z.key_lengths.data = memory_lengths)                         \
    X(SHAPE, "memory_mask", a->z.memory_mask.sizes[1] = S + 1)                                     \
    X(TYPE, "memory_mask", a->z.memory_mask = matrix(L, S))                                        \
    X(SHAPE, "memory_bias", a->z.memory_bias.sizes[2] = S + 1)                                     \
    X(SHAPE, "memory_key_mask", a->z.memory_key_mask.sizes[1] = S - 1)                             \
    X(SHAPE, "memory_key_lengths", a->z.memory_key_lengths.sizes[0] = B + 1)                       \
    X(SHAPE, "weights", a->z.weights.sizes[1] = H - 1)                                             \
    X(SHAPE, "memory_weights", a->z.memory_weights.sizes[3] = S - 1)                               \
    X(SHAPE, "memory_weights_mean", a->z.memory_weights_mean.sizes[2] = S - 1)

/* A list becomes a function that spoils what its line says, and a table of what must come of it. */
typedef struct bad_row {
    attend_status status;
    const char *word, *text;
} bad_row;

#define TABLE(name, list)                                                                          \
    static void spoil_##name(arguments *a, int which) {                                            \
        int line = 0;                                                                              \
        list(SPOIL)                                                                                \
    }                                                                                              \
    static const bad_row name##_rows[] = {list(ROW)};
#define SPOIL(status, word, ...)                                                                   \
    if (line++ == which) {                                                                         \
        __VA_ARGS__;                                                                               \
    }
#define ROW(status, word, ...) {ATTEND_##status, word, #__VA_ARGS__},

TABLE(heads, BAD_HEADS)
TABLE(heads_args, BAD_HEADS_ARGS)
TABLE(feedforward, BAD_FEEDFORWARD)
TABLE(feedforward_args, BAD_FEEDFORWARD_ARGS)
TABLE(block, BAD_BLOCK)
TABLE(block_args, BAD_BLOCK_ARGS)

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))

/* ---- running them --------------------------------------------------------------------------- */

typedef struct fixture {
    attend_context *context, *other;
    attend_buffer *foreign;
} fixture;

static void fill_for(arguments *a, const fixture *f) {
    fill(a);
    a->foreign = f->foreign;
    for (size_t i = 0; i < sizeof result / sizeof *result; i++)
        result[i] = 7;
}

static void expect(const bad_row *row, attend_status status) {
    if (status != row->status || strstr(attend_error_text(), row->word) == NULL)
        fail_msg("%s: %s \"%s\" instead of %s and \"%s\"", row->text, attend_status_name(status),
                 attend_error_text(), attend_status_name(row->status), row->word);
    for (size_t i = 0; i < sizeof result / sizeof *result; i++)
        if (result[i] != 7) fail_msg("%s: wrote into an output", row->text);
}

static void succeeds(attend_status status) {
    if (status != ATTEND_OK) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

static void refuses_heads(void **state) {
    const fixture *f = *state;
    for (int i = 0; i < COUNT(heads_rows); i++) {
        arguments a;
        attend_multihead *layer = (attend_multihead *)(void *)&a;
        fill_for(&a, f);
        spoil_heads(&a, i);
        expect(&heads_rows[i], attend_multihead_create(f->context, &a.heads, &layer));
        assert_null(layer);
    }
}

static void refuses_heads_arguments(void **state) {
    const fixture *f = *state;
    arguments a;
    attend_multihead *layer = NULL;
    fill_for(&a, f);
    succeeds(attend_multihead_create(f->context, &a.heads, &layer));
    for (int i = 0; i < COUNT(heads_args_rows); i++) {
        attend_event *done = (attend_event *)(void *)&a;
        fill_for(&a, f);
        spoil_heads_args(&a, i);
        expect(&heads_args_rows[i], attend_multihead_run(layer, &a.x));
        expect(&heads_args_rows[i], attend_multihead_enqueue(layer, &a.x, 0, NULL, &done));
        assert_null(done);
    }
    fill_for(&a, f);
    succeeds(attend_multihead_run(layer, &a.x));
    attend_multihead_release(layer);
}

static void refuses_feedforward(void **state) {
    const fixture *f = *state;
    for (int i = 0; i < COUNT(feedforward_rows); i++) {
        arguments a;
        attend_feedforward *layer = (attend_feedforward *)(void *)&a;
        fill_for(&a, f);
        spoil_feedforward(&a, i);
        expect(&feedforward_rows[i], attend_feedforward_create(f->context, &a.inner, &layer));
        assert_null(layer);
    }
}

static void refuses_feedforward_arguments(void **state) {
    const fixture *f = *state;
    arguments a;
    attend_feedforward *layer = NULL;
    fill_for(&a, f);
    succeeds(attend_feedforward_create(f->context, &a.inner, &layer));
    for (int i = 0; i < COUNT(feedforward_args_rows); i++) {
        attend_event *done = (attend_event *)(void *)&a;
        fill_for(&a, f);
        spoil_feedforward_args(&a, i);
        expect(&feedforward_args_rows[i], attend_feedforward_run(layer, &a.y));
        expect(&feedforward_args_rows[i], attend_feedforward_enqueue(layer, &a.y, 0, NULL, &done));
        assert_null(done);
    }
    fill_for(&a, f);
    succeeds(attend_feedforward_run(layer, &a.y));
    attend_feedforward_release(layer);
}

static void refuses_block(void **state) {
    const fixture *f = *state;
    for (int i = 0; i < COUNT(block_rows); i++) {
        arguments a;
        attend_block *block = (attend_block *)(void *)&a;
        fill_for(&a, f);
        spoil_block(&a, i);
        expect(&block_rows[i], attend_block_create(f->context, &a.block, &block));
        assert_null(block);
    }
}

static void refuses_block_arguments(void **state) {
    const fixture *f = *state;
    arguments a;
    attend_block *block = NULL;
    fill_for(&a, f);
    succeeds(attend_block_create(f->context, &a.block, &block));
    for (int i = 0; i < COUNT(block_args_rows); i++) {
        attend_event *done = (attend_event *)(void *)&a;
        fill_for(&a, f);
        spoil_block_args(&a, i);
        expect(&block_args_rows[i], attend_block_run(block, &a.z));
        expect(&block_args_rows[i], attend_block_enqueue(block, &a.z, 0, NULL, &done));
        assert_null(done);
    }
    fill_for(&a, f);
    succeeds(attend_block_run(block, &a.z));
    attend_block_release(block);
}

/* What belongs to cross-attention, one at a time. */
static void refuses_memory_of_an_encoder(void **state) {
    const fixture *f = *state;
    arguments a;
    attend_block *block = NULL;
    fill_for(&a, f);
    a.block.cross_attention = NULL;
    a.block.norm_cross_weight = a.block.norm_cross_bias = none;
    succeeds(attend_block_create(f->context, &a.block, &block));
    static const struct {
        const char *name;
        size_t member;
    } members[] = {{"memory", offsetof(attend_block_args, memory)},
                   {"memory_mask", offsetof(attend_block_args, memory_mask)},
                   {"memory_bias", offsetof(attend_block_args, memory_bias)},
                   {"memory_key_mask", offsetof(attend_block_args, memory_key_mask)},
                   {"memory_key_lengths", offsetof(attend_block_args, memory_key_lengths)},
                   {"memory_weights", offsetof(attend_block_args, memory_weights)},
                   {"memory_weights_mean", offsetof(attend_block_args, memory_weights_mean)}};
    const size_t count = sizeof members / sizeof *members;
    for (size_t i = 0; i <= count; i++) { /* the last without any */
        fill_for(&a, f);
        for (size_t k = 0; k < count; k++)
            if (k != i) memset((char *)&a.z + members[k].member, 0, sizeof(attend_tensor));
        const attend_status status = attend_block_run(block, &a.z);
        if (i == count) {
            succeeds(status);
        } else {
            expect(&(bad_row){ATTEND_INVALID, members[i].name, members[i].name}, status);
        }
    }
    attend_block_release(block);
}

static void needs_a_position_for_cross_attention(void **state) {
    const fixture *f = *state;
    arguments a;
    for (int which = 0; which < 4; which++) {
        attend_multihead *layer = NULL;
        fill_for(&a, f);
        a.heads.alibi_slopes = which == 0 ? a.heads.alibi_slopes : none;
        a.heads.causal = which == 1;
        a.heads.window_left = which == 2 ? 1 : -1;
        a.heads.position = ATTEND_POSITION_UNSET;
        succeeds(attend_multihead_create(f->context, &a.heads, &layer));
        succeeds(attend_multihead_run(layer, &a.x)); /* of one sequence with itself it is clear */
        fill_for(&a, f);
        a.x.x_kv = rows(B, L, M);
        const attend_status status = attend_multihead_run(layer, &a.x);
        if (which == 3) {
            succeeds(status);
        } else {
            expect(&(bad_row){ATTEND_INVALID, "position", "position unset"}, status);
        }
        attend_multihead_release(layer);
    }
}

static void refuses_null(void **state) {
    const fixture *f = *state;
    arguments a;
    attend_multihead *heads = NULL;
    attend_feedforward *inner = NULL;
    attend_block *block = NULL;
    fill_for(&a, f);
    assert_int_equal(attend_multihead_create(NULL, &a.heads, &heads), ATTEND_NULL_POINTER);
    assert_int_equal(attend_multihead_create(f->context, NULL, &heads), ATTEND_NULL_POINTER);
    assert_int_equal(attend_multihead_create(f->context, &a.heads, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_feedforward_create(NULL, &a.inner, &inner), ATTEND_NULL_POINTER);
    assert_int_equal(attend_feedforward_create(f->context, NULL, &inner), ATTEND_NULL_POINTER);
    assert_int_equal(attend_feedforward_create(f->context, &a.inner, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_block_create(NULL, &a.block, &block), ATTEND_NULL_POINTER);
    assert_int_equal(attend_block_create(f->context, NULL, &block), ATTEND_NULL_POINTER);
    assert_int_equal(attend_block_create(f->context, &a.block, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_multihead_run(NULL, &a.x), ATTEND_NULL_POINTER);
    assert_int_equal(attend_feedforward_run(NULL, &a.y), ATTEND_NULL_POINTER);
    assert_int_equal(attend_block_run(NULL, &a.z), ATTEND_NULL_POINTER);
    succeeds(attend_multihead_create(f->context, &a.heads, &heads));
    succeeds(attend_feedforward_create(f->context, &a.inner, &inner));
    succeeds(attend_block_create(f->context, &a.block, &block));
    assert_int_equal(attend_multihead_run(heads, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_feedforward_run(inner, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_block_run(block, NULL), ATTEND_NULL_POINTER);
    attend_multihead_release(heads);
    attend_feedforward_release(inner);
    attend_block_release(block);
    attend_multihead_release(NULL);
    attend_feedforward_release(NULL);
    attend_block_release(NULL);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static int open_backend(void **state, const char *backend) {
    static fixture f;
    attend_options options = attend_options_default();
    options.backend = backend;
    if (attend_open(&options, &f.context) || attend_open(&options, &f.other) ||
        attend_buffer_create(f.other, sizeof zeros, &f.foreign)) {
        print_error("%s\n", attend_error_text());
        return 1;
    }
    *state = &f;
    return 0;
}

static int open_chosen(void **state) {
    return open_backend(state, NULL);
}

static int open_cpu(void **state) {
    return open_backend(state, "cpu");
}

static int open_reference(void **state) {
    return open_backend(state, "reference");
}

static int close_backend(void **state) {
    const fixture *f = *state;
    attend_buffer_release(f->foreign);
    attend_close(f->other);
    attend_close(f->context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_heads),
        cmocka_unit_test(refuses_heads_arguments),
        cmocka_unit_test(refuses_feedforward),
        cmocka_unit_test(refuses_feedforward_arguments),
        cmocka_unit_test(refuses_block),
        cmocka_unit_test(refuses_block_arguments),
        cmocka_unit_test(refuses_memory_of_an_encoder),
        cmocka_unit_test(needs_a_position_for_cross_attention),
        cmocka_unit_test(refuses_null),
    };
    if (getenv("ATTEND_BACKEND") != NULL)
        return cmocka_run_group_tests_name("ATTEND_BACKEND", tests, open_chosen, close_backend);
    return cmocka_run_group_tests_name("cpu", tests, open_cpu, close_backend) +
           cmocka_run_group_tests_name("reference", tests, open_reference, close_backend);
}
