/* SPDX-License-Identifier: Apache-2.0
 *
 * What attention needs of an instruction set: one table for each, filled by lane_tmpl.h.
 * Query rows lie in the lanes of vectors, a strip of them side by side; keys and values are read
 * where they are, an element at a time, and need no packing:
 *
 *          strip rows             key by key                  strip rows
 *        +------------+      k0: [D] --- dots --->  scores  +------------+ k0
 *   [D]  | queries    |      k1: [D]                        |            | k1
 *        +------------+       ..        highest, soften ->  +------------+ ..
 *                            v0: [E] --- mix ---->   out    +------------+
 *                            v1: [E]                   [E]  |            |
 *                             ..                            +------------+
 *
 * All matrices of a strip are [n][lane_rows]: `lane_rows` floats for each key, element or column,
 * of which a call uses the first `vectors` vectors. Softmax needs no sum or maximum across lanes.
 *
 * Bits: each lane is one chain of operations whose order depends on D, on its keys' places in the
 * block and on nothing else, so that rows may be grouped in any way. Buffers need the alignment of
 * float. */
#ifndef ATTEND_CPU_LANE_KERNELS_H
#define ATTEND_CPU_LANE_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "stage_kernels.h"

enum {
    ATTEND__LANE_KEYS = 128,     /* most keys of a strip's scores */
    ATTEND__LANE_ROWS_MOST = 48, /* largest lane_rows of all tables */
    ATTEND__LANE_VECTORS_MOST = 4,
    ATTEND__KEEP_KEYS = 32 /* keys of a word of attend__lane_keep */
};

/* While a key or value is read, the one `bytes` further on is brought into the caches: processors
 * guess short rows badly, and between the blocks of one key/value head the next is known. Where
 * several strips read the same block, each does its share of the whole. bytes 0: nothing. */
typedef struct attend__lane_ahead {
    int64_t bytes;
    int32_t share, shares;
} attend__lane_ahead;

/* scores[j][r] = sum over d of queries[d][r] keys[j * key_stride + d * depth_stride], and
 * highest[r] the highest of it and of the scores, unless highest is NULL. */
typedef struct attend__lane_dots {
    const float *queries;
    const void *keys; /* floats, or what pair_kernels.h says */
    float *scores;
    float *highest;
    int64_t key_stride, depth_stride, depth;
    int32_t vectors, count; /* of keys */
    attend__lane_ahead ahead;
} attend__lane_dots;

/* Online softmax of `count` keys. Scores x become exp2(factor (x - highest')), where highest'
 * is the higher of highest and block_highest; highest and sum take the block in, and shrink is what
 * the row's output so far must be multiplied by. A score of -inf gets weight 0; a row of them alone
 * leaves highest -inf and sum 0. NaN or +inf among the scores makes sum NaN. */
typedef struct attend__lane_soften {
    float *scores;
    const float *block_highest;
    float *highest, *sum, *shrink;
    float factor; /* > 0 */
    int32_t vectors, count;
} attend__lane_soften;

/* out[e][r] = out[e][r] * shrink[r], 0 when fresh, + sum over j < ends[v] of weights[j][r] values[j
 * * value_stride + e], v the vector of lane r, in the order of j. ends must not fall. */
typedef struct attend__lane_mix {
    const float *weights;
    const float *values;
    const float *shrink;
    float *out;
    int64_t value_stride, columns;
    int32_t vectors;
    int32_t ends[ATTEND__LANE_VECTORS_MOST];
    bool fresh; /* out is not read */
    attend__lane_ahead ahead;
} attend__lane_mix;

/* Rows of n elements in memory, `stride` elements apart, each row at an address of its own. */
typedef struct attend__lane_rows {
    char *const *first;
    attend_type type;
    int32_t count; /* at most lane_rows */
    int64_t stride, n;
} attend__lane_rows;

/* Bit j % KEEP_KEYS of keep[j / KEEP_KEYS][r]: row r may use key j. */
typedef struct attend__lane_keep {
    float *scores;
    float *highest;       /* of what is kept, as in attend__lane_dots */
    const uint32_t *bits; /* NULL: all are kept */
    float other;          /* takes the place of the scores that are not kept */
    int32_t vectors, count;
} attend__lane_keep;

typedef struct attend__lane_kernels {
    int32_t lane_rows;
    int32_t lanes;
    const char *tile; /* "48x8": rows and keys whose scores are summed at once */
    /* to[i][r] = element i of row r; rows from `count` to the end of their vector are 0. */
    void (*pack_rows)(const attend__lane_rows *rows, float *to);
    /* The other way, with one rounding, to nearest even: (x factor[r]) tail[r] + 0, or 0 where
     * factor[r] is 0. factor NULL: x as it is. */
    void (*unpack_rows)(const float *from, const float *factor, const float *tail,
                        const attend__lane_rows *rows);
    /* The rows will be read or written soon. */
    void (*prefetch_rows)(const attend__lane_rows *rows);
    void (*dots)(const attend__lane_dots *dots);
    void (*soften)(const attend__lane_soften *soften);
    void (*mix)(const attend__lane_mix *mix);
    /* finite[r]: none of the n elements of lane r is infinite or NaN. */
    void (*finite_rows)(const float *x, int64_t n, int32_t vectors, bool *finite);

    /* On scores x[count][lane_rows]. */
    void (*scale)(float *x, int32_t count, int32_t vectors, float factor); /* x factor */
    void (*cap)(float *x, int32_t count, int32_t vectors, float cap);      /* cap tanh(x / cap) */
    /* x + b, b the rows' elements; -inf, and nothing else, where b is -inf. */
    void (*add_rows)(const attend__lane_rows *rows, float *x);
    /* x[j][r] - slope[r] |distance[r] - j| */
    void (*slope)(float *x, int32_t count, int32_t vectors, const float *slope,
                  const float *distance);
    void (*keep)(const attend__lane_keep *keep);
    /* exp2(factor (x - reference[r])) scale[r], 0 where x is -inf; x no higher than that */
    void (*weigh)(float *x, int32_t count, int32_t vectors, float factor, const float *reference,
                  const float *scale);

    /* Bit i of bits[i / 32]: byte i of n is not 0. */
    void (*bits_of_bytes)(const uint8_t *bytes, int64_t stride, int32_t n, uint32_t *bits);
} attend__lane_kernels;

#endif
