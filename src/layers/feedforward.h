/* SPDX-License-Identifier: Apache-2.0
 *
 * The feed-forward layer inside: its own entry points use it, and the blocks, whose last sub-layer
 * it is. */
#ifndef ATTEND_LAYERS_FEEDFORWARD_H
#define ATTEND_LAYERS_FEEDFORWARD_H

#include "layers/layer_common.h"

struct attend_feedforward {
    attend__layer head;
    int64_t width, hidden, width_out;
    attend_activation activation;
    attend_weights *w_1, *w_gate, *w_2; /* w_gate NULL: not gated */
    attend__parameter b_1, b_gate, b_2;
};

/* OVERFLOW if the intermediate results for these rows do not fit. */
attend_status attend__feedforward_scratch_bytes(const attend_feedforward *layer,
                                                const attend_tensor *x, size_t *bytes);
/* Takes resolved arguments. */
attend_status attend__feedforward_body(void *layer, const void *arguments,
                                       attend__sequence *sequence);

#endif
