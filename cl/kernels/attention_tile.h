/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of a tile, and of the local memory of its work-group, for the kernel and for the host that
 * hands that memory in. (PoCL 3.1 makes a __local array of a kernel that its helper functions are
 * given into one array of the process, which groups on two threads would share.)
 *
 * `rows` x `keys`: of a block of scores. `depth`: floats of a query that lie there at once, all of
 * the head size or a slice. In floats: lines of rows, weights, queries, a slice of keys or a band
 * of values or the maxima (`slice`), and a word of what is out of the common in a block. */
#ifndef ATTEND_CL_ATTENTION_TILE_H
#define ATTEND_CL_ATTENTION_TILE_H

#include "shared_types.h"

#define TILE_CHUNK 256 /* keys that are summed on their own */
#define TILE_KEYS 4    /* of a work-item */
#define TILE_SLICE 16  /* of the head size */

/* What the work-group knows of a query row: of row_info. */
typedef struct row_line {
    i64 place, mask_at, bias_at, number, query_at;
    i32 first, end;
    f32 slope;
    f32 old; /* by a matrix unit: what the row's earlier sums are multiplied with */
} row_line;

#define LINE_FLOATS 14
#define SLICE_PITCH(keys) ((keys) + 16) /* of neighbours along d; 16: two of them share no bank */
#define BAND_FLOATS 1024
#define SLICE_FLOATS(keys)                                                                         \
    (TILE_SLICE * SLICE_PITCH(keys) > BAND_FLOATS ? TILE_SLICE * SLICE_PITCH(keys) : BAND_FLOATS)
#define WEIGHTS_AT(rows) ((rows)*LINE_FLOATS)
#define QUERIES_AT(rows, weights) (WEIGHTS_AT(rows) + (rows) * (weights))
#define SLICE_AT(rows, weights, depth) (QUERIES_AT(rows, weights) + (rows) * (depth))
#define FLAG_AT(rows, weights, depth, slice) (SLICE_AT(rows, weights, depth) + (slice))
#define TILE_FLOATS(rows, weights, depth, slice) (FLAG_AT(rows, weights, depth, slice) + 4)

/* By a matrix unit, with 16-bit elements, two in a word: of a padded head size, elements at once
 * and words of a query; of so many keys, floats of a row of scores or weights; of so many columns
 * of values, keys at once and words of them. Rows are padded against conflicts. */
#define MATRIX_SLICE(depth) ((depth) % 32 == 0 ? 32 : 16)
#define MATRIX_QUERY(depth) ((depth) / 2 + 4)
#define MATRIX_WEIGHTS(keys) ((keys) + 8)
#define MATRIX_BAND(columns) ((columns) > 64 ? 16 : 32)
#define MATRIX_BAND_WORDS(columns) (MATRIX_BAND(columns) / 2 * ((columns) + 8))
#define MATRIX_SLICE_FLOATS(keys, columns)                                                         \
    (MATRIX_BAND_WORDS(columns) > SLICE_FLOATS(keys) ? MATRIX_BAND_WORDS(columns)                  \
                                                     : SLICE_FLOATS(keys))

/* Of a block of scores: what there is to do. */
#define BLOCK_CLOSED 0 /* nobody may see any of its keys */
#define BLOCK_OPEN 1   /* all see all */
#define BLOCK_MIXED 2

#endif
