/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside attention on the CPU. Query rows that read the same keys and values belong together: a row
 * set is a run of rows (query, head) of one batch and one key/value head, so that grouped heads
 * share what is packed. A row set is the work of one task; what a row gives does not depend on the
 * set it is in. */
#ifndef ATTEND_CPU_ATTENTION_H
#define ATTEND_CPU_ATTENTION_H

#include "cpu_backend.h"
#include "decode_kernels.h"
#include "rows.h"

/* Most rows of a set: packing a block of keys costs about 2 % of using it then. Whole strips of
 * every table. */
enum { ATTEND__SET_ROWS = 204 };

/* One call, and what every task would have to look up. */
typedef struct attend__call {
    const attend_attention *a;
    const attend__attention_kernels *kernels;
    const attend__decode_kernels *decode_kernels;
    int64_t batches, heads, groups, shared; /* B, H, G, H / G */
    int64_t queries, keys, depth, columns;  /* L, S, D, E */
    int64_t padded_columns;                 /* E as a multiple of lanes */
    bool packed, packed_keys, paged;        /* where rows lie: cpu_layout.c */
    bool gathers;                 /* keys may have to be gathered before they are packed */
    int64_t query_rows, key_rows; /* packed: of all samples; else most of a sample */
    float scale, softcap;         /* softcap 0 = off */
    bool terms;                   /* more than position and length changes or excludes scores */
    bool given_weights;           /* MIX: the weights are an input */
    bool wants_scores, wants_weights, wants_mean, wants_lse;
    bool decodes;    /* few rows may be computed by cpu_decode.c */
    float *recalled; /* cpu_decode.c: for side outputs, highest and sum of rows done there */
    int32_t shared_slot;
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

/* Memory of one worker; sizes in cpu_attention.c. */
typedef struct attend__scratch {
    float *keys;          /* panels of a block */
    const float **panels; /* where each panel of a block lies: there, or in a cache */
    float *values;        /* a block */
    float *gathered;      /* rows of a block of keys, where it has to be put together */
    float *scores;        /* a strip */
    float *strips;        /* SET_ROWS rows of q */
    float *out;           /* as many rows of output */
    float *highest, *sum; /* one of each per row of the set */
    float *shrink;        /* per row of a strip */
    attend__query *rows;
    float *again_strip, *again_out; /* a row that is done again with values selected */
    float *all_highest, *all_sum;   /* weights_mean: [heads][queries of the task] */
    float *mean;                    /* weights_mean: [queries of the task][SCORE_STRIDE] */
} attend__scratch;

typedef struct attend__row_set {
    int64_t batch, group;
    attend__query *rows;
    int32_t count;
    float *strips, *out, *highest, *sum;
} attend__row_set;

/* ---- cpu_rows.c: what a row may see ---- */

attend__call attend__call_of(const attend_device *device, attend_operation operation,
                             const attend_attention *a);
/* Row `index` (query * shared + head in group) of a batch and group. */
attend__query attend__query_of(const attend__call *call, int64_t batch, int64_t group,
                               int64_t index);
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
/* MASKED scores x[0 ..] of the block's columns become weights of a row with that highest and sum.
 */
void attend__weigh(const attend__call *call, int64_t batch, const attend__query *row,
                   attend__block block, float highest, float sum, float *x);
void attend__write_lse(const attend__call *call, int64_t batch, const attend__query *row,
                       float highest, float sum);
/* sum[0 .. width - 1]: sums over heads of the weights of keys `key` .. */
void attend__write_mean_row(const attend__call *call, int64_t batch, int64_t query, int64_t key,
                            int64_t width, float *sum);

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
void attend__pack_block_keys(const attend__call *call, const attend__scratch *scratch,
                             int64_t batch, int64_t group, attend__block block);
/* The values of a block, rows of padded columns: the caller's own where they can be read in whole
 * vectors and no copy is asked for. */
typedef struct attend__values {
    const float *first;
    int64_t stride;
} attend__values;
attend__values attend__block_values(const attend__call *call, const attend__scratch *scratch,
                                    int64_t batch, int64_t group, attend__block block, bool copy);

/* ---- cpu_attention.c ---- */

/* Bytes of scratch for calls up to `call`; false if they do not fit. */
bool attend__scratch_bytes(const attend__call *call, size_t *bytes);
attend__scratch attend__scratch_at(const attend__call *call, void *memory);
/* Rows first .. first + count - 1 of a batch and group, count <= SET_ROWS. */
attend__row_set attend__set_of(const attend__call *call, const attend__scratch *scratch,
                               int64_t batch, int64_t group, int64_t first, int32_t count);
/* Keys that some row may use: from *first to *last - 1; none when both are equal. */
void attend__rows_range(const attend__query *rows, int32_t count, int64_t *first, int64_t *last);

/* ---- cpu_strip.c: the tiles of a strip and a block ---- */

/* Packs up to strip_rows rows of q. */
void attend__pack_queries(const attend__call *call, int64_t batch, const attend__query *rows,
                          int32_t count, float *strip);
/* scratch->scores[r][c]: scale * q . k of columns c from the panel of block.from to block.to - 1,
 * of a block whose keys are packed. */
void attend__strip_dots(const attend__call *call, const attend__scratch *scratch,
                        const float *strip, int32_t rows, attend__block block, float scale);
/* The whole of attention for a set whose strips are packed: out, highest and sum of each row.
 * careful: the set is one row, and the values of keys that it excludes are not used even with
 * weight 0. */
void attend__run_set(const attend__call *call, const attend__scratch *scratch,
                     const attend__row_set *set, bool careful);

/* ---- cpu_side_outputs.c ---- */

/* Writes `weights` (from highest and sum of the set) and `scores`, where given. */
void attend__write_side_outputs(const attend__call *call, const attend__scratch *scratch,
                                const attend__row_set *set);
/* Writes weights_mean of queries first .. first + count - 1 from all_highest and all_sum. */
void attend__write_mean(const attend__call *call, const attend__scratch *scratch, int64_t batch,
                        int64_t first, int64_t count);
/* Packed batches: 0 in the padding's rows `first` .. of a batch and group, or its mean's. */
void attend__clear_rows(const attend__call *call, int64_t batch, int64_t group, int64_t first,
                        int64_t count);
void attend__clear_mean(const attend__call *call, int64_t batch, int64_t first, int64_t count);

#endif
