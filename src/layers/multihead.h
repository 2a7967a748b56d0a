/* SPDX-License-Identifier: Apache-2.0
 *
 * The multi-head layer inside: its own entry points use it, and the blocks, whose sub-layers it is.
 */
#ifndef ATTEND_LAYERS_MULTIHEAD_H
#define ATTEND_LAYERS_MULTIHEAD_H

#include "core/kv_cache.h"
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

/* What a call launches: the arguments, and what it sees of their cache once its tokens are counted
 * in; use.k is not given without a cache. */
typedef struct attend__multihead_call {
    attend_multihead_args args;
    attend__cache_use use;
} attend__multihead_call;

/* Checks a description on its own and writes the derived sizes and the type into `layer`. */
attend_status attend__multihead_check_desc(const attend_multihead_desc *description,
                                           struct attend_multihead *layer);
/* The tensors of a call by themselves. Of packed rows only those of samples are left. */
attend_status attend__multihead_check_args(struct attend_multihead *layer,
                                           attend_multihead_args *args);
/* What the attention inside and its scratch decide: masks, lengths, positions, side outputs. Reads
 * sizes and type of x_q and x_kv, nothing else of them. Takes what call->args appends to its cache
 * into it and fills call->use; a later failure needs attend__multihead_undo. Changes nothing if it
 * fails itself. */
attend_status attend__multihead_begin(const attend_multihead *layer, attend__multihead_call *call);
void attend__multihead_undo(const attend__multihead_call *call);

/* Size of a dimension of a call: of its rows, which packed are those of all samples, and S of the
 * keys that it projects. */
typedef struct attend__multihead_lengths {
    int64_t batch, queries, keys;
} attend__multihead_lengths;
static inline attend__multihead_lengths
attend__multihead_lengths_of(const attend_multihead_args *args) {
    const attend_tensor *keys = attend__given(&args->x_kv) ? &args->x_kv : &args->x_q;
    return (attend__multihead_lengths){args->x_q.sizes[0], args->x_q.sizes[1],
                                       args->cache_only ? 0 : keys->sizes[1]};
}
attend_status attend__multihead_scratch_bytes(const attend_multihead *layer, attend_type type,
                                              const attend__multihead_lengths *lengths,
                                              size_t *bytes);

/* The options of the layer and of the call as an attention without its q and out, and without k and
 * v where these do not come from a cache. */
attend_attention attend__multihead_attention(const struct attend_multihead *layer,
                                             const attend__multihead_call *call);
/* For attend__layer_plan (multihead_plans.c). */
attend_status attend__multihead_plans(void *layer);
/* Takes a resolved attend__multihead_call. */
attend_status attend__multihead_body(void *layer, const void *arguments,
                                     attend__sequence *sequence);

#endif
