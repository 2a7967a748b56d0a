/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside attention on the CPU: the call, what a query row may see, and where rows lie. */
#ifndef ATTEND_CPU_ATTENTION_H
#define ATTEND_CPU_ATTENTION_H

#include "cpu_backend.h"
#include "decode_kernels.h"
#include "pair_kernels.h"
#include "rows.h"

#define ATTEND__LOG2_E 0x1.715476p+0f

/* One call, and what every task would have to look up. */
typedef struct attend__call {
    const attend_attention *a;
    const attend__attention_kernels *kernels;
    const attend__decode_kernels *decode_kernels;
    const attend__lane_kernels *lanes;
    const attend__pair_kernels *pairs;      /* NULL: not for these types */
    bool pair_dots, pair_mix;               /* scores, and outputs, come from them: cpu_pairs.c */
    int64_t batches, heads, groups, shared; /* B, H, G, H / G */
    int64_t queries, keys, depth, columns;  /* L, S, D, E */
    int64_t padded_columns;                 /* E as a multiple of lanes */
    bool packed, packed_keys, paged;        /* where rows lie: cpu_layout.c */
    int64_t query_rows, key_rows;           /* packed: of all samples; else most of a sample */
    float scale, softcap;                   /* softcap 0 = off */
    /* Softmax takes factor * score as powers of two. Without further terms scores are q . k as it
     * is; else they are in their own units. */
    float factor;
    bool own_units;
    int64_t covered;    /* keys that mask and bias have */
    bool masked;        /* a mask or key mask excludes keys */
    bool terms;         /* more than position and length changes or excludes scores */
    bool small;         /* all of it lies in the first cache or soon will */
    bool given_weights; /* MIX: the weights are an input */
    bool wants_scores, wants_weights, wants_mean, wants_lse;
    bool decodes;        /* few rows may be computed by cpu_decode.c */
    float *recalled;     /* cpu_decode.c: for side outputs, highest and sum of rows done there */
    char *shared_memory; /* of the call; NULL: not taken */
    int32_t shared_slot;
    uint32_t *mask_bits; /* cpu_mask.c: [batch and query][mask_words]; NULL: not read */
    int64_t mask_words;
    uint8_t *mask_blocks; /* [batch and query][whole blocks of LANE_KEYS]: attend__mask_state */
} attend__call;

/* One query row of a batch: query `query` of head `head`, and the keys first .. last - 1 that
 * position and length allow it. */
typedef struct attend__query {
    int64_t head, query;
    int64_t first, last;
    bool past_length; /* at or beyond the query length */
} attend__query;

/* Columns from .. to - 1 of the block of keys that starts at `key`. */
typedef struct attend__block {
    int64_t key;
    int32_t from, to;
} attend__block;

/* ---- cpu_rows.c: what a row may see ---- */

attend__call attend__call_of(const attend_device *device, attend_operation operation,
                             const attend_attention *a);
/* Keys *first .. *last - 1 of 0 .. end - 1 that position and key range allow; both 0: none. */
void attend__key_range(const attend__call *call, int64_t position, int64_t end, int64_t *first,
                       int64_t *last);
/* Row `index` (query * shared + head in group) of a batch and group. */
attend__query attend__query_of(const attend__call *call, int64_t batch, int64_t group,
                               int64_t index);
/* The position of a query. */
int64_t attend__position_of(const attend__call *call, int64_t batch, int64_t query);
/* keep[c] = 1 where the row may use the key of column block->from + c, else 0. */
void attend__allowed(const attend__call *call, int64_t batch, const attend__query *row,
                     attend__block block, uint8_t *keep);
/* Takes the scores x[0 ..] of columns block->from .. from one stage to a later one. */
void attend__advance_scores(const attend__call *call, int64_t batch, const attend__query *row,
                            attend__block block, attend_scores_stage from, attend_scores_stage to,
                            float *x);
/* The columns of the block at `key` that lie in first .. last - 1. */
static inline attend__block attend__block_of(int64_t key, int64_t first, int64_t last) {
    const int64_t most = ATTEND__BLOCK_KEYS;
    const int64_t from = first > key ? first - key : 0, to = last > key ? last - key : 0;
    attend__block block = {key, (int32_t)(from < most ? from : most),
                           (int32_t)(to < most ? to : most)};
    if (block.to < block.from) block.to = block.from;
    return block;
}
/* The score of the head's sink, -inf without one, and its weight before any key: 1, 0 for -inf; NaN
 * for +inf, as for a key of that score. */
float attend__sink(const attend__call *call, int64_t head);
float attend__sink_weight(float sink);
/* A sink above -inf is one more key without a value; NaN and +inf make the row NaN. It joins a row
 * with that highest score and sum at the end, so that weights stay as exact as without it however
 * far it lies above them: sums of values are multiplied with scale and then with tail, which is 1
 * but for scales that float32 may not hold. */
typedef struct attend__sink_end {
    double highest, sum; /* with the sink */
    float scale, tail;
} attend__sink_end;
attend__sink_end attend__join_sink(double highest, double sum, double sink);
/* MASKED scores x[0 ..] of the block's columns become weights of a row with that highest and sum.
 */
void attend__weigh(const attend__call *call, int64_t batch, const attend__query *row,
                   attend__block block, float highest, float sum, float *x);
float *attend__lse_at(const attend__call *call, int64_t batch, int64_t head, int64_t query);
void attend__write_lse(const attend__call *call, int64_t batch, const attend__query *row,
                       float highest, float sum);
/* sum[0 .. width - 1]: sums over heads of the weights of keys `key` .. */
void attend__write_mean_row(const attend__call *call, int64_t batch, int64_t query, int64_t key,
                            int64_t width, float *sum);

/* Keys that some row may use: from *first to *last - 1; none when both are equal. */
void attend__rows_range(const attend__query *rows, int32_t count, int64_t *first, int64_t *last);
/* Packs up to strip_rows rows of q. */
void attend__pack_queries(const attend__call *call, int64_t batch, const attend__query *rows,
                          int32_t count, float *strip);

/* ---- cpu_layout.c: where rows lie ---- */

int64_t attend__query_length(const attend__call *call, int64_t batch);
int64_t attend__key_length(const attend__call *call, int64_t batch);
/* The end of the keys that length and key range leave. */
int64_t attend__key_limit(const attend__call *call, int64_t batch);
/* Elements from column `column` on of row (b, h, i) of a tensor of rank 4. */
attend__span attend__span_at(const attend_tensor *t, int64_t b, int64_t h, int64_t i,
                             int64_t column);
/* Batch and row of a query in q, out and lse. */
typedef struct attend__place {
    int64_t batch, row;
} attend__place;
attend__place attend__place_of(const attend__call *call, int64_t batch, int64_t query);
attend__span attend__query_span(const attend__call *call, const attend_tensor *t, int64_t batch,
                                const attend__query *row);
/* Values of consecutive keys. */
typedef struct attend__values {
    const float *first;
    int64_t stride;
} attend__values;

/* ---- cpu_side_outputs.c ---- */

/* Packed batches: 0 in the padding's rows `first` .. of a batch and group, or its mean's. */
void attend__clear_rows(const attend__call *call, int64_t batch, int64_t group, int64_t first,
                        int64_t count);
void attend__clear_mean(const attend__call *call, int64_t batch, int64_t first, int64_t count);

#endif
