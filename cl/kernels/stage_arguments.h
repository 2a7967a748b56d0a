/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels of the operations around attention are told: one structure each, passed by
 * value, filled in cl/operations. Offsets, strides and steps count elements. */
#ifndef ATTEND_CL_STAGE_ARGUMENTS_H
#define ATTEND_CL_STAGE_ARGUMENTS_H

#include "shared_types.h"

/* A tensor [.., N] as numbered rows; its leading sizes, right-aligned, are the call's. */
typedef struct row_tensor {
    i64 offset;     /* of its first element */
    i64 strides[3]; /* of the leading dimensions */
    i64 step;       /* along a row */
    i32 type;       /* 0: not given */
    i32 even;       /* row i begins at offset + i * strides[2] */
} row_tensor;

/* out = activation(x) * multiplier + residual */
typedef struct activate_arguments {
    row_tensor x, multiplier, residual, out;
    i32 sizes[3];
    i32 rows, columns;
    i32 chunk; /* columns of one work-item */
    i32 activation;
} activate_arguments;

typedef struct norm_arguments {
    row_tensor x, residual, out, sum;
    i64 weight_offset, weight_step, bias_offset, bias_step;
    i32 sizes[3];
    i32 rows, columns;
    i32 weight_type, bias_type; /* 0: not given */
    i32 centred;                /* layer norm */
    f32 eps;
} norm_arguments;

typedef struct rope_arguments {
    row_tensor x, out;
    i64 cos_offset, cos_strides[2], cos_step; /* strides: of the batch, of the table's row */
    i64 sin_offset, sin_strides[2], sin_step;
    i64 ids_offset, ids_strides[2];
    i64 offsets_at, offsets_stride; /* of positions, one for each sample */
    i64 position;                   /* of row 0 where there are no ids */
    i32 sizes[3];  /* B, H, L */
    i32 positions; /* rows of a table of rank 2 */
    i32 rows, columns, pairs;
    i32 table_type, ids_type; /* ids_type 0: not given */
    i32 offsets_type;         /* 0: not given */
    i32 interleaved;
    i32 own_rows; /* tables of rank 3 */
} rope_arguments;

/* Appending k or v. */
typedef struct append_arguments {
    i64 x_strides[4], x_at;
    i64 to_strides[4], to_at; /* pages [P, G, C, columns] */
    i64 scale_strides[3], scales_at;
    i64 cos_strides[2], cos_at, sin_strides[2], sin_at;
    i64 counts_at, counts_stride; /* [B], or with `packed` cumulative [B + 1] */
    i64 starts_at, starts_stride;
    i64 table_strides[2], table_at;
    i64 page_count, page_size;
    i64 entries;   /* pages of a sample */
    i64 positions; /* rows of the tables of cosines and sines */
    i32 samples, heads, rows, columns;
    i32 pairs; /* 0: not turned */
    i32 interleaved, packed;
    i32 x_type, to_type, counts_type, starts_type;
    i32 unused;
} append_arguments;

typedef struct merge_arguments {
    i64 parts_strides[5], parts_at;
    i64 part_lse_strides[4], part_lse_at;
    i64 out_strides[4], out_at;
    i64 lse_strides[3], lse_at;
    i64 sink_stride, sink_at;
    i32 parts, heads, rows, columns;
    i32 type, out_type;
} merge_arguments;

typedef struct embed_arguments {
    row_tensor x, out;
    i64 table_offset, table_stride, table_step;
    i64 ids_offset, ids_strides[3];
    i64 first; /* id of row 0 where there are no ids */
    i32 sizes[3];
    i32 entries; /* of the table */
    i32 rows, columns, chunk;
    i32 table_type, ids_type;
    f32 scale;
} embed_arguments;

/* Dimensions in the order of the output's strides; the last is the inner one. */
typedef struct copy_arguments {
    i64 x_offset, out_offset;
    i64 x_strides[6], out_strides[6];
    i64 rows; /* product of the first five sizes */
    i32 sizes[6];
    i32 chunk;            /* elements of the inner dimension of one work-item */
    i32 bytes;            /* of an element that is moved as it is, 0: convert */
    i32 x_type, out_type; /* for converting */
} copy_arguments;

/* out = activation(x W^T + bias) * multiplier + residual; W in panels, see project_pack.cl. */
typedef struct project_arguments {
    row_tensor x, multiplier, residual, out;
    i64 panels_offset;
    i64 bias_offset, bias_step;
    i32 sizes[3];
    i32 rows, columns, depth;
    i32 bias_type; /* 0: not given */
    i32 activation;
    i32 rows_at_once; /* of one work-item */
} project_arguments;

typedef struct pack_arguments {
    i64 w_offset, w_strides[2];
    i64 panels_offset;
    i32 columns, depth;
} pack_arguments;

/* Outputs in a panel of weights. */
#define PANEL 32
/* Products along K that are summed before they are added to the total: sums of equal terms stay
 * within the bound of docs/numerics.md. */
#define PARTIAL 64

#endif
