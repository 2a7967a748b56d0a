/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention for samples with few query rows, such as the steps of a decoder, where reading keys and
 * values is all the time there is. The keys of a sample are cut into chunks counted from key 0,
 * whose size depends on the sample's length alone; a chunk gives highest, sum and output of each
 * row as if there were no other keys, and chunks are joined one after the other, from the first on
 * (Flash-Decoding, Dao et al. 2023; rule: Milakov & Gimelshein 2018, arXiv:1805.02867). So neither
 * threads nor the rest of a batch change a bit; with keys in one chunk only, the bits are those of
 * many rows. */
#ifndef ATTEND_CPU_DECODE_H
#define ATTEND_CPU_DECODE_H

#include "cpu_attention.h"
#include "cpu_carver.h"
#include "decode_kernels.h"

enum {
    /* Most rows of a group that are computed this way: strips of more are faster, but over 16-bit
     * and int8 keys, which they copy, they only catch up there. */
    ATTEND__DECODE_ROWS = 64,
    ATTEND__DECODE_ROWS_F32 = 16,
    ATTEND__DECODE_FEW = 4, /* the most over fewer keys than these, where a strip costs less */
    ATTEND__DECODE_KEYS = 512,
    /* Most rows whose scores come without transposing the keys; of other types than float32, which
     * would be widened for each row, it is one. */
    ATTEND__DECODE_DIRECT = 7,
    ATTEND__DECODE_CHUNK = 512, /* least keys of a chunk: whole blocks */
    ATTEND__DECODE_CHUNKS = 32, /* most chunks of a sample; a chunk grows twofold before that */
    ATTEND__DECODE_AHEAD = 64,  /* most rows that are prefetched */
    ATTEND__DECODE_AHEAD_BYTES = 16384
};

/* Rows of unnormalised output [.][padded_columns] with highest and sum of each. */
typedef struct attend__partial {
    float *out, *highest, *sum;
} attend__partial;

/* Memory of one worker. */
typedef struct attend__decode_scratch {
    attend__query *rows;
    float *strips;  /* strip s of the rows at s * strip_rows * depth */
    float *queries; /* of rows that are direct */
    float *scores, *shrink;
    float *sums;
    float *panels;                      /* of a group of keys */
    const char **lists;                 /* keys of a block, its values, and what comes then */
    float *scales;                      /* int8: of those rows */
    float *copied_keys, *copied_values; /* of a block whose elements do not lie side by side */
    char *zeros;                        /* a row */
    attend__partial total, chunk, again;
    float *again_strip;
} attend__decode_scratch;

/* Rows of a sample and group. */
typedef struct attend__decode_set {
    int64_t batch, group;
    const attend__query *rows;
    int32_t count, each; /* rows of a strip */
    bool direct;         /* queries are read, not strips */
    const float *strips;
    const float *queries; /* attend__decode_stride apart */
    bool careful;         /* one row: the values of keys that it excludes are not used */
} attend__decode_set;

/* Rows of scratch that `rows` rows of queries take. */
static inline int64_t attend__decode_width(int64_t rows) {
    return (rows + 1) / 2 * 2;
}

/* Floats of a query: whole vectors. */
static inline int64_t attend__decode_stride(const attend__call *call) {
    const int64_t lanes = call->kernels->lanes;
    return (call->depth + lanes - 1) / lanes * lanes;
}

struct attend__row_set;

/* ---- cpu_decode_rows.c ---- */

attend__partial attend__decode_carve_partial(attend__carver *c, const attend__call *call,
                                             int64_t rows);
attend__decode_scratch attend__decode_lay_out(const attend__call *call, attend__carver *c,
                                              int64_t rows);
/* Rows first .. first + count - 1 of a sample and group. */
typedef struct attend__decode_rows {
    int64_t batch, group, first;
    int32_t count;
} attend__decode_rows;
attend__decode_set attend__decode_set_of(const attend__call *call,
                                         const attend__decode_scratch *scratch,
                                         attend__decode_rows which);
/* Takes the rows of a chunk into the total of those before it. */
void attend__decode_join(const attend__call *call, int32_t rows, attend__partial total,
                         attend__partial chunk);
/* Writes out and lse of row r; highest and sum are then those of its weights. */
void attend__decode_write_row(const attend__call *call, const attend__decode_set *set, int32_t r,
                              attend__partial total);

/* ---- cpu_decode_chunk.c ---- */

/* Keys begin .. begin + size - 1, begin a multiple of size. */
typedef struct attend__decode_part {
    int64_t begin, size;
} attend__decode_part;
void attend__decode_chunk(const attend__call *call, const attend__decode_scratch *scratch,
                          const attend__decode_set *set, attend__decode_part part,
                          attend__partial to);

/* ---- cpu_decode.c ---- */

/* The sample's rows are computed here, and not in row sets. */
bool attend__decode_takes(const attend__call *call, int64_t batch);
/* Adds what `largest` may need. False if that does not fit in memory. */
bool attend__decode_plan(const attend_device *device, const attend__call *largest,
                         attend__cpu_needs *needs);
/* Computes every sample that attend__decode_takes. True if there is nothing else to do; if not,
 * attend__decode_end must follow. */
bool attend__decode_run(attend_device *device, const attend_device_plan *plan, attend__call *call);
/* Of the call's shared memory, from its begin, what still counts after that. */
size_t attend__decode_kept_bytes(const attend__call *call);
void attend__decode_end(attend_device *device, attend__call *call);
/* Highest and sum of rows that were computed here, where side outputs are asked for. */
void attend__decode_recall(const attend__call *call, const struct attend__row_set *set);

#endif
