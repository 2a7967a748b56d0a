/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of packed batches, pages and caches share: the same tokens in another layout, and
 * a quantiser in plain C that is written apart from the library's. */
#ifndef SERVING_DATA_H
#define SERVING_DATA_H

#include "attention_problem.h"

/* ---- the same tokens elsewhere --------------------------------------------------------------- */

/* [B, H, n, .] or [B, H, n] without padding: [1, H, sum of lengths, .]. */
attend_tensor serving_packed(problem *p, const attend_tensor *t, const int64_t *lengths);
/* 0, lengths[0], lengths[0] + lengths[1], .. in I32 or I64. */
attend_tensor serving_cumulative(problem *p, const int64_t *lengths, int64_t count,
                                 attend_type type);
attend_tensor serving_none(void);
/* `count` rows of dimension 2 of one sample, as [1, H, count, .]. */
attend_tensor serving_rows(attend_tensor t, int64_t sample, int64_t first, int64_t count);
void serving_copy_row(const attend_tensor *to, int64_t to_0, int64_t to_2,
                      const attend_tensor *from, int64_t from_0, int64_t from_2);
/* Every element NaN; of I8: -128, which no quantised element is. */
void serving_poison(const attend_tensor *t);

typedef struct serving_pages {
    attend_tensor k, v, k_scales, v_scales, table;
} serving_pages;

/* k and v of a description (dense, with scales in I8) in pages of `size` tokens (0 = one block per
 * sample) that a random table names. What no sample uses is NaN, the table's entries behind a
 * sample's last page are -7 and 2^30. */
serving_pages serving_paged(problem *p, const attend_attention *a, const int64_t *lengths,
                            int64_t size);
/* The description with its keys and values there. */
attend_attention serving_over_pages(const attend_attention *a, const serving_pages *pages,
                                    const attend_tensor *key_lengths);

/* ---- int8 ------------------------------------------------------------------------------------ */

/* As cache.h defines it: scale, and elements of one token and head. */
float serving_quantise(const float *x, int64_t count, int8_t *bytes);
/* [B, G, S, n] floats in I8, with scales [B, G, S]. */
attend_tensor serving_bytes(problem *p, const attend_tensor *x, attend_tensor *scales);
/* What a cache of that type holds for these floats, as F32. */
attend_tensor serving_meaning(problem *p, const attend_tensor *x, attend_type type);

/* ---- caches ---------------------------------------------------------------------------------- */

/* B, G, D and E of the sizes; S is the capacity. */
attend_cache_desc serving_cache(problem_sizes sizes, attend_type type, int64_t page_size);
/* Asserts success, with the sentence of a failure. */
void serving_succeeds(attend_status status);
/* A copy of the tensor in a buffer of problem_context; *buffer must be released. */
attend_tensor serving_in_buffer(const attend_tensor *t, attend_buffer **buffer);
/* The backend works on host memory. */
bool serving_on_host(void);

#endif
