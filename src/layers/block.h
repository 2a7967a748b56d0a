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

extern const attend__fields attend__block_args_fields;
attend_status attend__block_check_args(const attend_block *block, const attend_block_args *args);

/* What an attention of the block gets beside its rows. */
attend_multihead_args attend__block_self_args(const attend_block_args *args);
attend_multihead_args attend__block_cross_args(const attend_block_args *args);

#endif
