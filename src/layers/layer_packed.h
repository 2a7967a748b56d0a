/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed batches in layers: rows of all samples one after another, [1, U, M], and cumulative
 * lengths. Projections, norms and feed-forwards see U rows; only attention, rotation and the cache
 * know of samples. */
#ifndef ATTEND_LAYERS_LAYER_PACKED_H
#define ATTEND_LAYERS_LAYER_PACKED_H

#include "layers/layer_common.h"

/* The cumulative lengths of a call and the rows that they divide, under the names that the caller
 * knows. */
typedef struct attend__packed {
    const char *queries_name, *keys_name; /* of the rows: "x_q", "x_kv" */
    const attend_tensor *queries, *keys;  /* keys: not given in self-attention */
    const attend_tensor *cu_queries, *cu_keys;
    const attend_tensor *query_lengths, *key_lengths;
    bool cache_only;
} attend__packed;
/* Whether these go together; true also where nothing is packed. */
attend_status attend__packed_check(const attend__packed *packed);

/* Leaves those rows of `rows`, [.., .., rows, ..] counted in `dimension`, that belong to samples.
 * Does nothing where either is not given. */
void attend__packed_trim(const attend_tensor *cu, int32_t dimension, attend_tensor *rows);

/* Samples of packed rows [1, U, ..], or the batch of others. */
static inline int64_t attend__packed_samples(const attend_tensor *cu, const attend_tensor *rows) {
    return attend__given(cu) ? cu->sizes[0] - 1 : rows->sizes[0];
}

/* Rows of each sample, as [B] I64 in memory that goes back to the context's recycler. */
attend_status attend__packed_counts(attend_context *context, const attend_tensor *cu,
                                    attend_tensor *counts);

/* Positions of `rows` packed rows in their samples, each from `before` of its sample on (not given:
 * 0), as [1, rows] I32 in memory that goes back to the context's recycler. */
attend_status attend__packed_positions(attend_context *context, const attend_tensor *cu,
                                       const attend_tensor *before, int64_t rows,
                                       attend_tensor *positions);

#endif
