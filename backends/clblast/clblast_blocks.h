/* SPDX-License-Identifier: Apache-2.0
 *
 * How attention is cut into blocks, so that its scratch memory is bounded whatever L and S are, and
 * what of a block's matrices lies where. */
#ifndef ATTEND_CLBLAST_BLOCKS_H
#define ATTEND_CLBLAST_BLOCKS_H

#include "clblast_params.h"
#include "ocl_attention.h"

typedef struct clblast_attention_plan {
    ocl_attention_plan base; /* first: the operations shared with `opencl` take it for theirs */
    int clear, widen, weigh, take, store, finish; /* kernels, -1 = not used */
} clblast_attention_plan;

/* Rows of a plane are counted over the query heads that share its keys. The number of rows of a
 * block follows from one sample's sizes alone: a sample gives the same bits alone and in a batch.
 */
typedef struct clblast_blocks {
    int64_t all_planes, all_rows, keys; /* of the samples; keys: rounded up to 32 */
    int64_t planes, rows;               /* of a block, at most */
    int64_t parts; /* of the keys that have sums of their own; 1 = all in one */
    int64_t operand_columns, value_columns;           /* D and E, rounded up */
    int64_t operand_pitch, value_pitch, scores_pitch; /* all larger than what they hold */
} clblast_blocks;

clblast_blocks attend__clblast_blocks(const ocl_attention_sizes *n);

/* Bytes that blocks of any call up to these sizes need. */
size_t attend__clblast_blocks_bytes(attend_operation operation, const ocl_attention_sizes *n);

/* UNSUPPORTED where a matrix has 2^31 elements and more. */
attend_status attend__clblast_blocks_check(const attend_device *device,
                                           const ocl_attention_sizes *n);

/* Samples that go through blocks together; keys from `begin`, where a chunk of 256 begins. */
typedef struct clblast_samples {
    int64_t first, count;
    int64_t queries, begin, end;
} clblast_samples;

/* One call on its way through its blocks. Places in scratch in floats. */
typedef struct clblast_block_run {
    ocl_attention_run r;
    const clblast_attention_plan *plan;
    ocl_attention_sizes sizes; /* of the call */
    size_t scratch_used;       /* before the blocks */
    clblast_samples samples;
    clblast_blocks n;
    block_params p;
    int64_t keys_at, values_at, queries_at;
    cl_mem out, given; /* given: the caller's weights or scores */
    int64_t v_at;
} clblast_block_run;

void attend__clblast_blocks_start(clblast_block_run *b, ocl_run *run);
/* Takes scratch for the matrices of samples: of all with all their keys, or of the next ones with
 * queries, with the keys that they may use; false behind the last. */
void attend__clblast_all_samples(clblast_block_run *b);
bool attend__clblast_next_samples(clblast_block_run *b);
/* Products of the block's queries and keys; of its weights and values. */
void attend__clblast_scores(clblast_block_run *b);
void attend__clblast_mix(clblast_block_run *b);

#endif
