/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels around CLBlast's products are told, by value. Attention goes through blocks: of
 * some planes (sample and key/value head) at once, and of some rows of each, counted as in
 * attention_params.h. A block's matrices lie in scratch, float32, places (`_at`) in floats:
 *   queries [planes][rows][pitch]      scores [planes][rows][scores_pitch], in place the weights
 *   keys, values [planes][keys][pitch] sums   [planes][parts][rows][sums_pitch]
 * with the keys from `first` on and before a.SP; a.L is the query length of the block's samples.
 * Every pitch is larger than the rows it holds: backends/clblast/clblast_gemm.h says why. */
#ifndef ATTEND_CL_CLBLAST_PARAMS_H
#define ATTEND_CL_CLBLAST_PARAMS_H

#include "attention_params.h"
#include "stage_arguments.h"

/* Rows of a tensor [B, heads, n, size] widened into a block. */
typedef struct widen_params {
    operand_source x;
    i64 to;
    i64 table_at; /* of samples; -1 = none */
    i64 flags_at; /* [planes] ints: set where something is not finite, and 0 put in its place;
                     -1 = copied as it is */
    i32 G, R, n;  /* row r of plane z: head z % G * R + r / n, row r % n */
    i32 begin, end; /* rows that are read */
    i32 limit;      /* column of the table of samples with the row behind the last; -1 = none */
    i32 plane, planes, row, rows, pitch;
    i32 first; /* row of the tensor that is row 0 of a head */
} widen_params;

typedef struct block_params {
    attention_params a;
    operand_source v;
    i64 strides[4], at; /* of the caller's weights or scores */
    i64 scores_at, sums_at, flags_at;
    i32 type, stage;
    i32 plane, planes, row, rows;
    i32 first; /* key in the first column of scores: where a chunk of keys begins */
    i32 parts; /* of the keys that have sums of their own */
    i32 scores_pitch, sums_pitch;
} block_params;

/* A block of rows of a projection. */
typedef struct product_arguments {
    project_arguments a;
    i64 from_at, to_at;
    i32 first, rows, pitch;
} product_arguments;

#endif
