/* SPDX-License-Identifier: Apache-2.0
 *
 * The multi-head layer inside: its own entry points use it, and the blocks, whose sub-layers it is.
 */
#ifndef ATTEND_LAYERS_MULTIHEAD_H
#define ATTEND_LAYERS_MULTIHEAD_H

#include "layers/layer_common.h"

struct attend_multihead {
    attend__layer head;
    attend_multihead_desc options; /* its tensors tell sizes only: their memory was the caller's */
    int64_t kv_heads, head_size, value_size;
    int64_t width_q, width_k, width_v, width_out;
    attend_weights *w_q, *w_k, *w_v, *w_o; /* w_o NULL: the merged heads are the result */
    attend__parameter b_q, b_k, b_v, b_o;
    attend__parameter rope_cos, rope_sin, alibi_slopes, sinks;
};

extern const attend__fields attend__multihead_desc_fields, attend__multihead_args_fields;

/* Checks a description on its own and writes the derived sizes and the type into `layer`. */
attend_status attend__multihead_check_desc(const attend_multihead_desc *description,
                                           struct attend_multihead *layer);
attend_status attend__multihead_check_args(struct attend_multihead *layer,
                                           const attend_multihead_args *args);
/* The part of it that the attention inside and its scratch decide: masks, lengths, positions, side
 * outputs. Reads sizes and type of x_q and x_kv, nothing else of them. */
attend_status attend__multihead_check_attention(attend_multihead *layer,
                                                const attend_multihead_args *args);

/* B, L and S of a call. */
typedef struct attend__multihead_lengths {
    int64_t batch, queries, keys;
} attend__multihead_lengths;
static inline attend__multihead_lengths
attend__multihead_lengths_of(const attend_multihead_args *args) {
    const attend_tensor *keys = attend__given(&args->x_kv) ? &args->x_kv : &args->x_q;
    return (attend__multihead_lengths){args->x_q.sizes[0], args->x_q.sizes[1], keys->sizes[1]};
}
attend_status attend__multihead_scratch_bytes(const attend_multihead *layer, attend_type type,
                                              const attend__multihead_lengths *lengths,
                                              size_t *bytes);

/* The options of the layer and of the call as an attention without its q, k, v and out. */
attend_attention attend__multihead_attention(const struct attend_multihead *layer,
                                             const attend_multihead_args *args);
/* Takes resolved arguments. */
attend_status attend__multihead_body(void *layer, const void *arguments,
                                     attend__sequence *sequence);

#endif
