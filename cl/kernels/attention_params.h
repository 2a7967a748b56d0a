/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels of attention are told, by value. Strides and places (`_at`) of the caller's
 * tensors count elements of their type; places in scratch memory count floats (`table_at`: i64).
 *
 * Operands are float32 for all that follows, in scratch memory:
 *   queries [B][H][L][DP]            DP: D rounded up to 16, the rest 0
 *   keys    [B][G][SP / 16][DP][16]  panels of 16 keys; SP: S rounded up to 32, the rest 0
 *   values  [B][G][S][EP]            EP: E rounded up to whole chunks of columns, the rest 0
 * or, queries and values that have this type and width already, where the caller has them. Of
 * packed batches, without padding to L or S:
 *   queries [H][rows][DP]    keys [G][panels][DP][16]    values [G][rows][EP]
 * with the panels of each sample at a place of their own. Keys and values at or beyond a key length
 * or outside the key range are not read; what lies at their places is never used, but panels are
 * filled with 0 up to a multiple of 32 keys.
 *
 * Rows of one key/value head are counted through: row r of group g is query row r % L of head
 * g * R + r / L, R = H / G; all of them share its keys, which serves grouped heads and short
 * queries alike. L is the sample's own length where queries are packed. */
#ifndef ATTEND_CL_ATTENTION_PARAMS_H
#define ATTEND_CL_ATTENTION_PARAMS_H

#include "shared_types.h"

/* Stages of scores, as attend_scores_stage. */
#define STAGE_RAW 1
#define STAGE_SCALED 2
#define STAGE_SOFTCAPPED 3
#define STAGE_MASKED 4

/* The table of samples, [B][TABLE_COLUMNS] i64. */
#define TABLE_QUERIES 0   /* query length */
#define TABLE_KEYS 1      /* key length */
#define TABLE_OFFSET 2    /* of positions */
#define TABLE_QUERY_ROW 3 /* row of q, out and lse that is query 0; 0 unless packed */
#define TABLE_KEY_ROW 4   /* row of k and v that is key 0; 0 unless packed */
#define TABLE_PANELS 5    /* where the sample's panels begin, floats; 0 unless packed */
#define TABLE_COLUMNS 6

typedef struct attention_params {
    i64 mask_strides[4], mask_at;
    i64 bias_strides[4], bias_at;
    i64 key_mask_strides[2], key_mask_at;
    i64 slope_strides[2], slope_at;
    i64 sink_stride, sink_at;
    i64 out_strides[4], out_at;
    i64 lse_strides[3], lse_at;
    i64 row_strides[2]; /* numbers of rows in scratch: of a sample, of a head */
    i64 offset; /* of positions, where there is no table */
    i64 window_left, window_right;
    i64 query_strides[3], queries_at; /* [B][H][L], floats */
    i64 value_strides[3], values_at;  /* [B][G][S] */
    i64 key_strides[2], keys_at;      /* panels: of a sample, of a head */
    i64 table_at;                     /* of samples; -1 = none */
    i64 rows;                         /* numbered rows in all */
    i64 row_sums_at;                  /* [rows] of (maximum, sum), -1 = not wanted */
    i64 totals_at;  /* [rows][EP]: running sums of values, where they are in memory */
    i64 classes_at; /* of blocks, bytes; -1 = none */
    i64 class_strides[3]; /* of a sample, a head, a block of rows: bytes */
    i64 partial_at; /* split keys: [rows][pieces] of (maximum, sum), then of EP sums */
    i32 B, H, G, L, S, D, E, SP, EP, R;
    i32 key_begin, key_end; /* keys that may take part */
    i32 packed;             /* queries */
    i32 pieces;             /* parts of the keys; 1 = not split */
    i32 least, most;        /* query rows a key/value head of the samples that a kernel takes */
    i32 strips;             /* of a work-item of attention_lanes */
    i32 causal, mask_keys, bias_keys, bias_type, out_type;
    f32 scale, softcap;
} attention_params;

/* Rows of an operand as the caller has them: [B, heads, n, size], packed [1, heads, sum of n, size]
 * (then strides[0] is 0), or tokens in pages [P, heads, C, size]. */
typedef struct operand_source {
    i64 strides[4], at;
    i64 scale_strides[3], scales_at; /* of I8: a scale per row */
    i64 page_strides[2], pages_at;   /* of the table [B, W] of pages */
    i32 page_size, page_count;       /* C and P; C = 0: no pages */
    i32 first;                       /* column of the table of samples: row 0; -1 = none */
    i32 size, type;
    i32 unused;
} operand_source;

/* Keys and values that are read where they lie. */
typedef struct direct_params {
    operand_source k, v;
} direct_params;

/* Packing of one operand. */
typedef struct pack_params {
    operand_source x;
    i64 to, to_strides[2]; /* in scratch, floats: of a sample, of a head */
    i64 table_at;          /* of samples: keys end at their length; -1 = none */
    i32 heads;
    i32 rows;       /* that there are, at most */
    i32 columns;    /* of the result: DP or EP */
    i32 begin, end; /* rows that are wanted */
    i32 unused;
} pack_params;

/* Lengths [B], or with `packed` cumulative lengths [B + 1]. */
typedef struct length_source {
    i64 at, stride;
    i64 rows;   /* with `packed`: that the packed tensor has */
    i32 type;   /* 0 = not given: all have the most */
    i32 packed;
    i32 most;
    i32 unused;
} length_source;

/* Making the table of samples. */
typedef struct table_params {
    length_source queries, keys;
    i64 offsets_at, offsets_stride;
    i64 query_offset;
    i64 to; /* in scratch, i64 */
    i32 B;
    i32 offsets_type; /* 0 = not given */
    i32 bottom_right;
    i32 depth; /* DP */
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
