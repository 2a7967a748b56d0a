/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/cache.h - keys and values that are kept between calls: a cache that grows by appending,
 * and the one operation below it, for applications that manage pages of their own.
 *
 * A cache holds `batch` samples, each with its own number of tokens, at most `capacity`. Its layout
 * is the backend's; attend_cache_read gives tokens back in plain order. Tokens lie in pages that
 * samples take as they grow and may share after a reorder (a shared page is copied when a sample
 * writes to it), or in one block per sample; what a sample's attention gives does not depend on
 * that, nor on how the tokens were split into appends.
 *
 * Threads: any number of threads may attend over a cache at once; a call that changes it (append,
 * truncate, reset, reorder, a layer that appends) must be alone. Enqueued work: lengths change when
 * the call returns, contents when the work is done; work that reads what other enqueued work writes
 * must wait for its event, as with any buffer, and so must an append that may take pages which
 * truncate, reset or reorder gave back while enqueued work still reads them. If enqueued work fails
 * late, the tokens it was to write are undefined. */
#ifndef ATTEND_CACHE_H
#define ATTEND_CACHE_H

#include "attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- appending to pages ---------------------------------------------------------------------- */

/* Tokens of k and v go to positions starts[b] .. starts[b] + counts[b] - 1 of sample b, in pages as
 * attend_attention.page_table describes. Elements are rounded to the type of the pages; in I8 each
 * token and head has scale = amax / 127 (float32) with amax its largest |element|, and elements x /
 * scale (float32) rounded half to even, within -127..127 where the scale is subnormal; scale 0
 * gives elements 0, and a token with NaN or infinity has the scale NaN and elements 0, so that it
 * means NaN. All backends store the same bytes. Nothing but these places is written. No two tokens
 * of a call may have the same place. */
typedef struct attend_append {
    size_t size;
    attend_tensor k;          /* [B, G, n, D]; packed: [1, G, sum of counts, D] */
    attend_tensor v;          /* [B, G, n, E], of the type of k; F32, F16 or BF16 */
    attend_tensor counts;     /* [B] I32 or I64, each in 0..n; not given: n each */
    attend_tensor cu_counts;  /* [B + 1] I32 or I64 instead of counts: k and v are packed */
    attend_tensor starts;     /* [B] I32 or I64, >= 0, starts + counts <= N * C */
    attend_tensor page_table; /* [B, N] I32; not given: sample b has page b alone */
    attend_tensor k_pages;    /* [P, G, C, D] F32, F16, BF16 or I8, written in part */
    attend_tensor v_pages;    /* [P, G, C, E], of the type of k_pages */
    attend_tensor k_scales;   /* [P, G, C] F32: with I8, and only then */
    attend_tensor v_scales;
    /* k is rotated on its way (attend_rope), by table row of each token's position. [R, n], F32;
     * both or none; R at least every position + 1. */
    attend_tensor rope_cos, rope_sin;
    int64_t rotary_dim; /* even, <= D; 0 = D */
    int32_t interleaved;
    int32_t reserved_flags; /* must be 0 */
} attend_append;
ATTEND_API void attend_append_init(void *description, size_t size);
static inline attend_append attend_append_default(void) {
    attend_append d;
    attend_append_init(&d, sizeof d);
    return d;
}
/* Rules of attend_run and attend_enqueue. Counts, starts and tables in host memory are checked; in
 * buffers they are clamped so that nothing outside the pages is written. */
ATTEND_API attend_status attend_append_run(attend_context *context,
                                           const attend_append *description);
ATTEND_API attend_status attend_append_enqueue(attend_context *context,
                                               const attend_append *description, size_t wait_count,
                                               attend_event *const *waits, attend_event **done);

/* ---- the cache ------------------------------------------------------------------------------- */

typedef struct attend_cache_desc {
    size_t size;
    int64_t batch, kv_heads, head_size, value_size; /* value_size 0 = head_size */
    int64_t capacity;                               /* tokens per sample */
    int64_t page_size;      /* tokens per page, any >= 1; 0 = one block per sample */
    attend_type type;       /* F32, F16, BF16, I8 (a scale per token and head) */
    int32_t reserved_flags; /* must be 0 */

    /* Pages of all samples together; 0 = enough for every sample's capacity, and so for one block
     * and for memory of the application's. */
    int64_t page_count;

    /* Rotation of k while it is appended; copied. Not given = none. [R, n] F32, R >= capacity. */
    attend_tensor rope_cos, rope_sin;
    int64_t rope_dim; /* as attend_rope.rotary_dim */
    int32_t rope_interleaved;
    int32_t reserved_options; /* must be 0 */

    /* Memory of the application's instead of the cache's own; it must outlive the cache. k [P, G,
     * C, D], v [P, G, C, E] of `type`, in buffers (on backends that work on host memory also host
     * memory), any strides, C = page_size (one block: P = batch, C = capacity); with I8 the scales
     * [P, G, C] F32. */
    attend_tensor k, v, k_scales, v_scales;
    /* With k: host memory, [batch, N] I32, N * C >= capacity. Read at every call and never written:
     * the application enters a page before a token falls into it, and entries behind a sample's
     * tokens may hold anything. Not given: the cache keeps a table of its own over the P pages. */
    attend_tensor page_table;
    /* With k: [batch] I32 or I64, host memory: tokens that lie there already; not given = 0. */
    attend_tensor lengths;
} attend_cache_desc;
ATTEND_API void attend_cache_desc_init(void *description, size_t size);
static inline attend_cache_desc attend_cache_desc_default(void) {
    attend_cache_desc d;
    attend_cache_desc_init(&d, sizeof d);
    return d;
}

/* An empty cache, or one over memory of the application's. Allocates all that appending and reading
 * will ever need. Errors: SHAPE, TYPE, INVALID, OUT_OF_RANGE (a length), OVERFLOW, OUT_OF_MEMORY,
 * UNSUPPORTED (the type on this device). */
ATTEND_API attend_status attend_cache_create(attend_context *context,
                                             const attend_cache_desc *description,
                                             attend_cache **cache);
ATTEND_API void attend_cache_release(attend_cache *cache); /* NULL is allowed */

/* Appends counts[b] tokens (host memory, [B] I32 or I64; NULL = n each) of k [B, G, n, D] and v [B,
 * G, n, E] to sample b; or, packed, of k [1, G, sum of counts, D] where B > 1. k and v: F32, F16 or
 * BF16, rounded to the cache's type. OUT_OF_RANGE where a sample would exceed the capacity,
 * OUT_OF_MEMORY where no page is free; then nothing has changed. */
ATTEND_API attend_status attend_cache_append(attend_cache *cache, const attend_tensor *k,
                                             const attend_tensor *v, const attend_tensor *counts);
ATTEND_API attend_status attend_cache_append_enqueue(attend_cache *cache, const attend_tensor *k,
                                                     const attend_tensor *v,
                                                     const attend_tensor *counts, size_t wait_count,
                                                     attend_event *const *waits,
                                                     attend_event **done);

/* Keeps the first lengths[b] tokens of each sample ([B] I32 or I64, host memory, each at most what
 * the sample has) and gives pages back. */
ATTEND_API attend_status attend_cache_truncate(attend_cache *cache, const attend_tensor *lengths);
/* Empties every sample. */
ATTEND_API attend_status attend_cache_reset(attend_cache *cache);
/* Sample b becomes what sample parents[b] was ([B] I32 or I64, host memory, each in 0..B-1): for
 * beam search. Copies no token: pages are shared until one of their samples writes. UNSUPPORTED
 * where the page table is the application's, who reorders that. */
ATTEND_API attend_status attend_cache_reorder(attend_cache *cache, const attend_tensor *parents);

/* What a cache holds now. */
typedef struct attend_cache_info {
    size_t size;
    int64_t batch, kv_heads, head_size, value_size, capacity;
    int64_t page_size; /* of the layout: the backend's where one block was asked for */
    int64_t page_count, free_pages;
    attend_type type;
    int32_t reserved;
    size_t memory_bytes; /* keys, values and scales */
    size_t table_bytes;  /* of the page table */
    int64_t longest;     /* tokens of the longest sample */
} attend_cache_info;
/* info->size must be set by the caller. */
ATTEND_API attend_status attend_cache_get_info(const attend_cache *cache, attend_cache_info *info);
/* Tokens of one sample; -1 for a sample that is not there. */
ATTEND_API int64_t attend_cache_length(const attend_cache *cache, int64_t sample);

/* Tokens on their way out of a cache, into host memory. */
typedef struct attend_cache_view {
    size_t size;
    int64_t sample, first; /* tokens first .. first + n - 1 of that sample */
    attend_tensor k;       /* [G, n, D], F32, F16, BF16 (I8 is multiplied out and rounded), or I8 */
    attend_tensor v;       /* [G, n, E]; k, v or both */
    attend_tensor k_scales, v_scales; /* [G, n] F32, with k or v in I8 */
} attend_cache_view;
ATTEND_API void attend_cache_view_init(void *view, size_t size);
static inline attend_cache_view attend_cache_view_default(void) {
    attend_cache_view d;
    attend_cache_view_init(&d, sizeof d);
    return d;
}
/* Waits for enqueued work, then reads. OUT_OF_RANGE for tokens the sample does not have. Allocates;
 * for looking, not for speed. */
ATTEND_API attend_status attend_cache_read(const attend_cache *cache,
                                           const attend_cache_view *view);

#ifdef __cplusplus
}
#endif
#endif
