/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/attention.h - attention in one call, the plan that makes it cheap to repeat, and its three
 * steps one by one. Per query row i of batch b and head h, reading key/value head g = h div (H /
 * G):
 *
 *   z_j = scale * q_i . k_j                               (RAW before, SCALED after the scale)
 *   c_j = softcap > 0 ? softcap * tanh(z_j / softcap) : z_j                          (SOFTCAPPED)
 *   s_j = c_j + bias_ij - slope_h * |p - j|     with p = i + offset_b                (MASKED: and
 *         -inf where key j is excluded)
 *   w_j = exp(s_j - m) / Z over allowed keys,   m, Z = maximum and sum, a sink joins both
 *   out = sum_j w_j v_j                         lse = m + ln Z
 *
 * Sources: Vaswani et al. 2017 (arXiv:1706.03762) section 3.2; online softmax Milakov & Gimelshein
 * 2018 (arXiv:1805.02867), Dao 2023 (arXiv:2307.08691); grouped heads Ainslie et al. 2023
 * (arXiv:2305.13245); ALiBi Press et al. 2022 (arXiv:2108.12409); softcap Gemma 2
 * (arXiv:2408.00118); sinks Xiao et al. 2024 (arXiv:2309.17453). Order of steps as ONNX
 * Attention-23 and later.
 *
 * Meaning that holds for every option:
 *   - Allowed = causal AND window AND key length AND mask AND key_mask AND bias is not -inf.
 *     Excluded keys influence nothing, whatever K, V and bias hold there; those excluded by
 *     position or length are not read.
 *   - NaN and infinities that an allowed key brings come through. A finite bias never excludes.
 *   - A row with no allowed key: out 0, weights 0, lse -inf (or the sink). Rows at or beyond a
 *     query length: out 0, weights 0, scores -inf, lse -inf.
 *   - Sums and softmax are float32 (float64 on the backend "reference"), rounded once when stored.
 *   - Same bits on one backend, ISA and device for any thread count, alone, in a batch, packed, in
 *     one block or in pages, with or without side outputs. Between backends and ISAs: the error
 *     bound of docs/numerics.md.
 *   - Sizes of 0: B, H or L of 0 writes nothing and succeeds; S = 0 gives rows without a key; with
 *     D = 0 every q.k is 0 and the default scale is 1. */
#ifndef ATTEND_ATTENTION_H
#define ATTEND_ATTENTION_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where query row i stands on the key axis: p = i + offset. Needed whenever a position is used
 * (causal, window, ALiBi) and L != S; then UNSET is refused. With L == S and no lengths, UNSET
 * means TOP_LEFT. */
typedef enum attend_position {
    ATTEND_POSITION_UNSET = 0,
    ATTEND_TOP_LEFT = 1,     /* offset 0 */
    ATTEND_BOTTOM_RIGHT = 2, /* key length - query length of each sample; may be negative */
    /* Tokens in the cache before the last append: query i is the i-th token of that append. A
     * truncate behind it caps this, a reorder takes it over from the parent. */
    ATTEND_AFTER_CACHE = 3,
    ATTEND_AT_OFFSETS = 4, /* query_offset, plus query_offsets[b] where given */
    ATTEND_POSITION_FORCE_32_BITS = 0x7fffffff
} attend_position;

/* How far the `scores` of a description have come; see the formula above. Before MASKED every key
 * below the key length has its value, whatever causality, window and masks exclude (so its k is
 * read); keys beyond the key length and rows beyond the query length have -inf at every stage. */
typedef enum attend_scores_stage {
    ATTEND_SCORES_RAW = 1,
    ATTEND_SCORES_SCALED = 2,
    ATTEND_SCORES_SOFTCAPPED = 3,
    ATTEND_SCORES_MASKED = 4,
    ATTEND_SCORES_FORCE_32_BITS = 0x7fffffff
} attend_scores_stage;

/* DEFAULT keeps the weights in float32 when they meet 16-bit values. FAST may round them to the
 * storage type first: at most twice the error of the plain composition in that type. */
typedef enum attend_precision {
    ATTEND_PRECISION_DEFAULT = 0,
    ATTEND_PRECISION_FAST = 1,
    ATTEND_PRECISION_FORCE_32_BITS = 0x7fffffff
} attend_precision;

typedef struct attend_cache attend_cache; /* cache.h */

/* Inputs, options and wanted outputs of one attention. Tensors that are "not given" (all zero) are
 * off.
 *
 * Types: q, k, v F32, F16 or BF16; k and v of one type; q of that type, or F32 over 16-bit k and v;
 * k and v I8 with a scale per token and head, under q of any of these.
 * Floating-point outputs: F32 or the type of q (weights, weights_mean, scores, out); lse: F32.
 * bias: F32, F16 or BF16. Strides: see attend_tensor; inputs may overlap each other, outputs
 * overlap nothing. Every combination of options is allowed unless a field says otherwise. */
typedef struct attend_attention {
    size_t size;

    attend_tensor q;   /* [B, H, L, D] */
    attend_tensor k;   /* [B, G, S, D], H a multiple of G; not given when `cache` is */
    attend_tensor v;   /* [B, G, S, E]; may be a view into k; not given when `cache` is */
    attend_tensor out; /* [B, H, L, E] */

    double scale;         /* used when has_scale; finite, may be 0 or negative */
    int32_t has_scale;    /* 0: 1 / sqrt(D), or 1 when D = 0 */
    int32_t causal;       /* 1: keys j <= p */
    double softcap;       /* 0 = off; finite, > 0 */
    int64_t window_left;  /* keys j >= p - window_left; -1 = no bound (default) */
    int64_t window_right; /* keys j <= p + window_right; -1 = no bound (default) */
    attend_position position;
    attend_precision precision;
    int64_t query_offset;        /* with ATTEND_AT_OFFSETS; may be negative */
    attend_tensor query_offsets; /* with ATTEND_AT_OFFSETS: [B] I32 or I64, added to query_offset */

    /* Right padding: rows i >= query_lengths[b] and keys j >= key_lengths[b] take no part. [B], I32
     * or I64, each in 0..L and 0..S; values in host memory are checked, values in a buffer are
     * clamped. */
    attend_tensor query_lengths;
    attend_tensor key_lengths;

    /* Right-aligned to [B, H, L, S], rank 1 to 4 (rank 3 is [H, L, S]); dimensions of 1 broadcast;
     * a last dimension that is neither 1 nor S must be shorter than S: the keys it does not cover
     * are excluded. */
    attend_tensor mask; /* BOOL or U8, nonzero = attend */
    attend_tensor bias; /* added to the scores; exactly -inf excludes the key, NaN comes through */
    attend_tensor key_mask; /* [B, S] BOOL or U8, nonzero = the key may take part; joins `mask` */

    attend_tensor alibi_slopes; /* [H] or [B, H] F32 */
    attend_tensor sinks; /* [H] F32: joins maximum and sum, unscaled; has no value. -inf = none */

    /* Packed batches: the samples' rows lie one after another, without padding. q and out [1, H,
     * sum L, .], lse [1, H, sum L]; k and v [1, G, sum S, .]; sample b has rows cu[b] .. cu[b + 1]
     * - 1. [B + 1] I32 or I64, from 0 on, never falling, the last at most the sum; empty samples
     * are allowed. L and S are max_query_length and max_key_length: mask, bias, key_mask, weights,
     * weights_mean and scores are padded arrays [B, H, L, S]; of those that are written, what lies
     * beyond a sample's own lengths is 0. Rows of out and lse behind the last sample stay as they
     * were. Both cu or none, but over a cache or pages only queries are packed. Excludes
     * query_lengths and key_lengths (over a cache or pages: query_lengths). */
    attend_tensor cu_query_lengths;
    attend_tensor cu_key_lengths;

    /* Keys and values come from this cache instead of k and v; S is the tokens of its longest
     * sample. key_lengths, where given, are in host memory and at most a sample's tokens. */
    attend_cache *cache;

    /* Outputs on request; asking changes no bit of `out` and needs no L x S scratch. */
    attend_tensor weights;            /* [B, H, L, S] */
    attend_tensor weights_mean;       /* [B, L, S]: mean over the H heads */
    attend_tensor scores;             /* [B, H, L, S] as far as scores_stage */
    attend_tensor lse;                /* [B, H, L] F32, natural logarithm */
    attend_scores_stage scores_stage; /* default MASKED */

    int32_t reserved_flags; /* must be 0 */

    /* Scratch of the caller's: [n] U8, n >= attend_plan_workspace_bytes of the plan, 64-byte
     * aligned. Not given: the plan's own pool. One call at a time may use it. */
    attend_tensor workspace;

    /* Keys and values in pages of C tokens that are the application's own (attend_cache does this
     * for you): k [P, G, C, D], v [P, G, C, E], any strides; key j of sample b is token j % C of
     * page page_table[b, j / C]. [B, N] I32. Needs key_lengths, each at most N * C. Tokens and
     * entries at or beyond a length are never read; entries in host memory that are used are
     * checked, entries in a buffer are clamped. */
    attend_tensor page_table;

    /* Of k and v in I8: F32, of the sizes of k and v without the last, so that an element means
     * k * k_scale in float32. */
    attend_tensor k_scales;
    attend_tensor v_scales;

    /* L and S of packed batches, S of pages and caches; 0 = the longest sample's, which for cu in
     * buffers nobody knows: then they must be set (pages with lengths in a buffer: 0 = N * C). At
     * least the longest, and at most what pages hold. 0 in all other calls. */
    int64_t max_query_length;
    int64_t max_key_length;

    /* A part of the keys: only key_begin <= j < key_end take part, and no others are read; 0 and 0
     * = all. Positions count from key 0 as ever. With `lse` the parts can be joined by
     * attend_merge, wherever they were computed. */
    int64_t key_begin;
    int64_t key_end; /* 0 = no end; else >= key_begin */
} attend_attention;

ATTEND_API void attend_attention_init(void *attention, size_t size);
static inline attend_attention attend_attention_default(void) {
    attend_attention a;
    attend_attention_init(&a, sizeof a);
    return a;
}

/* Attention, finished on return. Host memory and buffers may be mixed. Plans are kept in a bounded
 * cache of the context: the first call of a kind may compile and allocate, later ones do neither
 * (host memory on a device with memory of its own excepted: it is copied). Errors: NULL_POINTER (q,
 * k, v, out or data missing), SHAPE, TYPE, STRIDE, OVERFLOW, OVERLAP, OUT_OF_RANGE (a length),
 * INVALID (scale, softcap, window, position, stage), UNSUPPORTED, OUT_OF_MEMORY, DEVICE_LOST. */
ATTEND_API attend_status attend_run(attend_context *context, const attend_attention *attention);

/* The same, returned from at once; the work starts when all `waits` are complete. Tensors lie in
 * buffers (lengths, offsets, slopes, sinks and cumulative lengths may be host memory: copied before
 * return). *done (NULL allowed) must be released. Argument errors are returned here; a fault of the
 * device is the status of *done. Memory of the views must stay valid until then. */
ATTEND_API attend_status attend_enqueue(attend_context *context, const attend_attention *attention,
                                        size_t wait_count, attend_event *const *waits,
                                        attend_event **done);

/* ---- plans -------------------------------------------------------------------------------- */

/* A plan fixes the types, D, E, the set of options in use, and the largest B, H, G, L and S; of
 * packed batches also the largest sums, of pages or a cache the largest number and size of pages: S
 * is then all that these hold, so that one plan serves a cache while it grows.
 * Running it neither compiles nor allocates; sizes up to those, lengths, strides, pointers and
 * values of options may change from run to run. INVALID where a run uses an option the plan does
 * not have, SHAPE where it is larger. Any number of threads may run one plan at once. */
typedef struct attend_plan attend_plan;

ATTEND_API attend_status attend_plan_create(attend_context *context,
                                            const attend_attention *largest, attend_plan **plan);
ATTEND_API attend_status attend_plan_run(attend_plan *plan, const attend_attention *attention);
ATTEND_API attend_status attend_plan_enqueue(attend_plan *plan, const attend_attention *attention,
                                             size_t wait_count, attend_event *const *waits,
                                             attend_event **done);
/* Bytes of scratch that one run of the plan uses. */
ATTEND_API size_t attend_plan_workspace_bytes(const attend_plan *plan);
/* What the plan will run and why; strings live as long as the plan. */
ATTEND_API attend_status attend_plan_decision(const attend_plan *plan, attend_decision *decision);
ATTEND_API void attend_plan_release(attend_plan *plan); /* NULL is allowed */

/* ---- the steps of attention, for people who want to see each ------------------------------- */

/* The three steps read and write fields of one description, so that
 *     attend_scores(ctx, &a); attend_softmax(ctx, &a); attend_mix(ctx, &a);
 * equals attend_run(ctx, &a) within the error bound, for any scores_stage.
 *
 * attend_scores: reads q, k and the options up to scores_stage; writes `scores`.
 * attend_softmax: reads `scores` as being at scores_stage and applies what is left of the formula;
 * writes `weights`, and `lse`, `weights_mean` where given. Keys that the options exclude are
 * excluded at every stage; at MASKED a score of -inf excludes the key too. Without q and at stage
 * RAW, has_scale must be set. attend_mix: reads `weights` and v; writes out = sum over allowed keys
 * of weight times v. Allowed is what the options of the description
 * say, so that excluded keys cannot bring NaN. Head averaging, the scale and the bias are not used
 * here, except for keys that a bias of -inf excludes. Tensors that a step does not use are ignored.
 * S is taken from k, scores or weights. Errors as attend_run. */
ATTEND_API attend_status attend_scores(attend_context *context, const attend_attention *attention);
ATTEND_API attend_status attend_softmax(attend_context *context, const attend_attention *attention);
ATTEND_API attend_status attend_mix(attend_context *context, const attend_attention *attention);
ATTEND_API attend_status attend_scores_enqueue(attend_context *context,
                                               const attend_attention *attention, size_t wait_count,
                                               attend_event *const *waits, attend_event **done);
ATTEND_API attend_status attend_softmax_enqueue(attend_context *context,
                                                const attend_attention *attention,
                                                size_t wait_count, attend_event *const *waits,
                                                attend_event **done);
ATTEND_API attend_status attend_mix_enqueue(attend_context *context,
                                            const attend_attention *attention, size_t wait_count,
                                            attend_event *const *waits, attend_event **done);

/* ---- parts of the keys --------------------------------------------------------------------- */

/* Joins attention over disjoint parts of the keys (key_begin and key_end, or views of k and v with
 * their own offsets) into attention over all of them: with m the largest of lse_p, w_p = exp(lse_p
 * - m), out = sum of w_p out_p / sum of w_p, lse = m + ln sum of w_p, in float32 in the order of
 * the parts (Dao et al. 2023, Flash-Decoding; Shyam et al. 2024, arXiv:2408.04093). A part with lse
 * -inf has no allowed key there and its out is not used; if all are, out is 0 and lse -inf. A sink
 * belongs to one part only, or to the merge. Any number of parts, 0 among that; NaN comes through.
 */
typedef struct attend_merging {
    size_t size;
    attend_tensor parts;    /* [P, B, H, L, E] F32, F16 or BF16 */
    attend_tensor part_lse; /* [P, B, H, L] F32 */
    attend_tensor sinks;    /* [H] F32: joins as in attend_attention; not given = none */
    attend_tensor out;      /* [B, H, L, E] F32 or the type of parts */
    attend_tensor lse;      /* [B, H, L] F32; not given = not wanted */
    int64_t reserved_flags; /* must be 0 */
} attend_merging;
ATTEND_API void attend_merging_init(void *description, size_t size);
static inline attend_merging attend_merging_default(void) {
    attend_merging d;
    attend_merging_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_merge(attend_context *context, const attend_merging *description);
ATTEND_API attend_status attend_merge_enqueue(attend_context *context,
                                              const attend_merging *description, size_t wait_count,
                                              attend_event *const *waits, attend_event **done);

/* ---- helpers on host memory ---------------------------------------------------------------- */

/* ALiBi's slopes for `heads` heads: 2^(-8 i / n) with n the next lower power of two, the rest from
 * the odd steps of 2n (Press et al., section 3). Writes slopes[heads]. NULL_POINTER, INVALID for
 * heads < 1. */
ATTEND_API attend_status attend_alibi_slopes(int64_t heads, float *slopes);

/* T5's relative position bias (Raffel et al. 2020, arXiv:1910.10683; bucket rule of Mesh
 * TensorFlow): bias[h, i, j] = table[bucket(j - i - query_offset), h]. table is [buckets, H] float,
 * bias [H, L, S] float, both contiguous. Distances up to half the (one-sided) buckets have one
 * each, beyond that they widen logarithmically up to max_distance; bidirectional splits the buckets
 * between past and future, otherwise the future shares bucket 0. */
typedef struct attend_t5_bias {
    size_t size;
    const float *table;
    float *bias;
    int64_t heads, query_length, key_length, query_offset;
    int32_t buckets;       /* default 32; even and >= 4 when bidirectional, else >= 2 */
    int32_t max_distance;  /* default 128; > buckets / 2 (/ 4 when bidirectional) */
    int32_t bidirectional; /* default 1 */
} attend_t5_bias;
ATTEND_API void attend_t5_bias_init(void *description, size_t size);
static inline attend_t5_bias attend_t5_bias_default(void) {
    attend_t5_bias d;
    attend_t5_bias_init(&d, sizeof d);
    return d;
}
ATTEND_API attend_status attend_t5_position_bias(const attend_t5_bias *description);

#ifdef __cplusplus
}
#endif
#endif
