/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoder and decoder layers inside: what block.c runs and block_check.c checks. */
#ifndef ATTEND_LAYERS_BLOCK_H
#define ATTEND_LAYERS_BLOCK_H

#include "layers/feedforward.h"
#include "layers/multihead.h"

/* The sub-layers in their order; CROSS only in a decoder. */
typedef enum part { SELF, CROSS, FEEDFORWARD, PARTS } part;

typedef struct block_norm {
    attend__parameter weight, bias;
} block_norm;

struct attend_block {
    attend__layer head;
    attend_multihead *self, *cross; /* cross NULL: an encoder layer */
    attend_feedforward *feedforward;
    block_norm norms[PARTS];
    attend_norm_kind norm;
    bool norm_first;
    double eps;
    int64_t width;
};

/* What a call launches: the arguments, and what it sees of their caches. */
typedef struct attend__block_call {
    attend_block_args args;
    attend__cache_use self, cross;
} attend__block_call;

extern const attend__fields attend__block_args_fields, attend__block_call_fields;
/* Checks call->args and counts what they append to their caches in; attend__block_undo takes it out
 * again. Changes nothing if it fails itself. */
attend_status attend__block_begin(const attend_block *block, attend__block_call *call);
void attend__block_undo(const attend_block *block, const attend__block_call *call);

/* What an attention of the block gets beside its rows. */
attend__multihead_call attend__block_self_call(const attend__block_call *call);
attend__multihead_call attend__block_cross_call(const attend__block_call *call);

#endif
