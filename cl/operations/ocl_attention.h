/* SPDX-License-Identifier: Apache-2.0
 *
 * What attention and its steps share on the host side: sizes, the fields of attention_params, the
 * packing of operands, and the launches of each kernel. `clblast` composes its attention of the
 * same parts. */
#ifndef ATTEND_CL_OPERATIONS_OCL_ATTENTION_H
#define ATTEND_CL_OPERATIONS_OCL_ATTENTION_H

#include "attention_params.h"
#include "ocl.h"
#include "ocl_matrix.h"
#include "ocl_subgroup.h"

typedef struct ocl_attention_sizes {
    int64_t B, H, G, L, S, D, E;
    int64_t query_rows, key_rows; /* of a head, over all samples */
    bool packed_queries, packed_keys;
} ocl_attention_sizes;

/* A tile of attention_tile: query rows and keys of a work-group, rows of a work-item, whether the
 * queries stay in local memory; whether it is a candidate of the tuner: this one or none. */
typedef struct ocl_tile {
    int rows, keys, own;
    bool staged, fixed;
} ocl_tile;

/* Kernels of a plan by their number, -1 = not used. DP, EC, EP: see attention_params.h. */
typedef struct ocl_attention_plan {
    attend_device_plan plan;
    int table, pack_rows, pack_panels, fused, merge, side, lse, mix;
    int direct;      /* reads keys and values where they lie; `fused` may be missing then */
    int direct_rows; /* of one of its work-groups */
    int token;       /* as `direct`, for runs that have no more rows than its work-items */
    int token_rows;  /* of a work-item */
    int lanes;       /* reads them where they lie, too, for many rows */
    int lane_rows;   /* of a strip */
    int most_strips; /* of a work-item */
    int fused_rows;  /* of a work-item of `fused`, or of its group */
    int classes;     /* of blocks under masks */
    ocl_tile tile;
    ocl_matrix_use matrix; /* the unit that makes the products of `fused`' tile */
    ocl_subgroups fused_subgroups, direct_subgroups; /* of `fused` as a tile, and of decoding */
    size_t fused_items, fused_bytes, direct_bytes;   /* of a work-group; bytes of local memory */
    int DP, EC, EP;
    int64_t query_rows,
        key_rows;         /* of a head, that scratch memory is for; 0: any that are planned */
    size_t partial_bytes; /* room for pieces of split keys */
} ocl_attention_plan;

/* One description on its way: what the kernels are told, and the memory of what they are given. */
typedef struct ocl_attention_run {
    ocl_run *run;
    const ocl_attention_plan *plan;
    const attend_attention *a;
    attention_params p;
    cl_mem mask, bias, key_mask, slopes, sinks, lse;
    cl_mem queries, values; /* scratch, or the caller's */
    cl_mem pages;           /* NULL: keys and values do not lie in pages */
    attend_tensor page_table;
} ocl_attention_run;

/* An operand as the caller has it, for kernels that use operand.h. */
typedef struct ocl_operand {
    operand_source x;
    cl_mem memory, scales, pages;
} ocl_operand;

ocl_attention_sizes attend__ocl_attention_sizes(attend_operation operation,
                                                const attend_attention *a);
/* UNSUPPORTED for sizes beyond the kernels' 32-bit indices. */
attend_status attend__ocl_attention_check(const attend_device *device,
                                          const ocl_attention_sizes *n);

/* Starts a run: parameters, masks, small arrays; enqueues the table of samples where lengths or
 * offsets are used. */
void attend__ocl_attention_start(ocl_attention_run *r, ocl_run *run, const attend_attention *a);
/* Each packs one operand into scratch; queries and values only where they are not float32 of the
 * padded width already. */
void attend__ocl_pack_queries(ocl_attention_run *r);
void attend__ocl_pack_keys(ocl_attention_run *r);
void attend__ocl_pack_values(ocl_attention_run *r);
ocl_operand attend__ocl_queries_of(const ocl_attention_run *r);
ocl_operand attend__ocl_keys_of(const ocl_attention_run *r);
ocl_operand attend__ocl_values_of(const ocl_attention_run *r);
/* Three arguments: rows, scales, pages. */
void attend__ocl_push_operand(ocl_launch *launch, const ocl_operand *o);

/* Scratch bytes of each, for plans. */
int64_t attend__ocl_panel_keys(const ocl_attention_sizes *n);
size_t attend__ocl_table_bytes(const ocl_attention_sizes *n);
size_t attend__ocl_queries_bytes(const ocl_attention_sizes *n, int DP);
size_t attend__ocl_keys_bytes(const ocl_attention_sizes *n, int DP);
size_t attend__ocl_values_bytes(const ocl_attention_sizes *n, int EP);
size_t attend__ocl_sums_bytes(const ocl_attention_sizes *n);

/* Fills where a tensor [B, H, L, E] that is written lies, and gives its memory. */
cl_mem attend__ocl_attention_out(ocl_run *run, const attend_tensor *out, attention_params *p);

/* Side outputs and steps. `from`: scores that are given at a->scores_stage, or NULL: products of
 * the packed queries and keys. */
void attend__ocl_side_scores(ocl_attention_run *r);
void attend__ocl_side_weights(ocl_attention_run *r, const attend_tensor *from, bool mean);
void attend__ocl_softmax_lse(ocl_attention_run *r, const attend_tensor *from);

/* Kernels of the table and of packing, and room for small arrays: for any plan of the family. */
void attend__ocl_attention_kernels(attend_device *device, ocl_attention_plan *p,
                                   const ocl_attention_sizes *n, const attend_attention *largest,
                                   attend_status *status);
void attend__ocl_side_kernels(attend_device *device, ocl_attention_plan *p, attend_status *status);

#endif
