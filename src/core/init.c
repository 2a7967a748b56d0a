/* SPDX-License-Identifier: Apache-2.0
 *
 * Defaults of every description: what the headers call default, everything else off. The caller may
 * have been built against an older header (a shorter structure) or a newer one (members this
 * library does not know: they become 0). */
#include "attend/attend.h"

#include <string.h>

/* `defaults` is a whole structure of `known` bytes; its first member, the size, is set here. */
static void fill(void *target, size_t size, const void *defaults, size_t known) {
    if (target == NULL || size < sizeof size) return;
    memcpy(target, defaults, size < known ? size : known);
    if (size > known) memset((char *)target + known, 0, size - known);
    memcpy(target, &size, sizeof size);
}

#define INIT(function, type, ...)                                                                  \
    void function(void *target, size_t size) {                                                     \
        const type defaults = {__VA_ARGS__};                                                       \
        fill(target, size, &defaults, sizeof defaults);                                            \
    }

INIT(attend_attention_init, attend_attention, .window_left = -1, .window_right = -1,
     .scores_stage = ATTEND_SCORES_MASKED)
INIT(attend_t5_bias_init, attend_t5_bias, .buckets = 32, .max_distance = 128, .bidirectional = 1)
INIT(attend_projection_init, attend_projection, 0)
INIT(attend_copy_init, attend_copy, 0)
INIT(attend_norm_init, attend_norm, .kind = ATTEND_LAYER_NORM, .eps = 1e-5)
INIT(attend_elementwise_init, attend_elementwise, 0)
INIT(attend_rope_init, attend_rope, 0)
INIT(attend_embedding_init, attend_embedding, .scale = 1.0)
INIT(attend_merging_init, attend_merging, 0)
INIT(attend_append_init, attend_append, 0)
INIT(attend_cache_view_init, attend_cache_view, 0)
INIT(attend_cache_desc_init, attend_cache_desc, 0)
INIT(attend_multihead_desc_init, attend_multihead_desc, .window_left = -1, .window_right = -1)
INIT(attend_multihead_args_init, attend_multihead_args, 0)
INIT(attend_feedforward_desc_init, attend_feedforward_desc, .activation = ATTEND_RELU)
INIT(attend_feedforward_args_init, attend_feedforward_args, 0)
INIT(attend_block_desc_init, attend_block_desc, .norm = ATTEND_LAYER_NORM, .eps = 1e-5)
INIT(attend_block_args_init, attend_block_args, 0)
