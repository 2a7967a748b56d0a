/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels of attention are told, by value. Strides and places (`_at`) of the caller's
 * tensors count elements of their type; places in scratch memory count floats (`table_at`: i64).
 *
 * Operands are float32 for all that follows, in scratch memory:
 *   queries [B][H][L][DP]            DP: D rounded up to 16, the rest 0
 *   keys    [B][G][SP / 16][DP][16]  panels of 16 keys; SP: S rounded up to 32, the rest 0
 *   values  [B][G][S][EP]            EP: E rounded up to whole chunks of columns, the rest 0
 * or, queries and values that have this type and width already, where the caller has them. Keys and
 * values at or beyond a key length are not read; their places hold 0.
 *
 * Rows of one key/value head are counted through: row r of group g is query row r % L of head
 * g * R + r / L, R = H / G; all of them share its keys, which serves grouped heads and short
 * queries alike. */
#ifndef ATTEND_CL_ATTENTION_PARAMS_H
#define ATTEND_CL_ATTENTION_PARAMS_H

#include "shared_types.h"

/* Stages of scores, as attend_scores_stage. */
#define STAGE_RAW 1
#define STAGE_SCALED 2
#define STAGE_SOFTCAPPED 3
#define STAGE_MASKED 4

typedef struct attention_params {
    i64 mask_strides[4], mask_at;
    i64 bias_strides[4], bias_at;
    i64 key_mask_strides[2], key_mask_at;
    i64 slope_strides[2], slope_at;
    i64 sink_stride, sink_at;
    i64 out_strides[4], out_at;
    i64 lse_strides[3], lse_at;
    i64 offset; /* of positions, where there is no table */
    i64 window_left, window_right;
    i64 query_strides[3], queries_at; /* [B][H][L], floats */
    i64 value_strides[3], values_at;  /* [B][G][S] */
    i64 keys_at;
    i64 table_at;     /* [B][3]: query length, key length, offset; -1 = none */
    i64 row_sums_at;  /* [B][H][L] of (maximum, sum), -1 = not wanted */
    i64 totals_at;    /* [B * G][rows][EP]: running sums of values, where they are in memory */
    i64 partial_at;   /* split keys: [B * G][rows][pieces] of (maximum, sum), then of EP sums */
    i32 B, H, G, L, S, D, E, SP, EP, R;
    i32 pieces; /* parts of the keys; 1 = not split */
    i32 causal, mask_keys, bias_keys, bias_type, out_type;
    f32 scale, softcap;
} attention_params;

/* Packing of one operand. */
typedef struct pack_params {
    i64 strides[4], at; /* of the tensor [B, heads, n, size] */
    i64 to;             /* in scratch, floats */
    i64 table_at;       /* -1 = none */
    i32 heads, n, size, type;
    i32 rows;    /* of the result: n, or SP */
    i32 columns; /* of the result: DP or EP */
} pack_params;

/* Making the table of lengths and offsets. */
typedef struct table_params {
    i64 query_lengths_at, query_lengths_stride, key_lengths_at, key_lengths_stride;
    i64 offsets_at, offsets_stride;
    i64 query_offset;
    i64 to; /* in scratch, i64 */
    i32 B, L, S;
    i32 query_lengths_type, key_lengths_type, offsets_type; /* 0 = not given */
    i32 bottom_right;
} table_params;

/* Steps and side outputs. */
typedef struct steps_params {
    attention_params a;
    i64 from_strides[4], from_at; /* scores or weights that are read */
    i64 to_strides[4], to_at;     /* [B, H, L, S], or with `mean` [B, -, L, S] */
    i32 from_type;                /* 0: scores are products of queries and keys in scratch */
    i32 from_stage, to_stage;
    i32 to_type;
    i32 weights; /* 1: weights are written, else scores */
    i32 mean;    /* 1: the mean over the heads is written */
    i32 padded;  /* DP */
} steps_params;

#endif
