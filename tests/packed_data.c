/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed arguments of layers; see the header. */
#include "packed_data.h"

#include <string.h>

const int32_t cu_queries[SAMPLES + 1] = {0, 4, 4, 11, 12, 23};
const int64_t cu_keys[SAMPLES + 1] = {0, 3, 8, 8, 10, 19};

attend_tensor lengths_of_queries(void) {
    return attend_tensor_1d((void *)(uintptr_t)cu_queries, ATTEND_I32, SAMPLES + 1);
}

attend_tensor lengths_of_keys(void) {
    return attend_tensor_1d((void *)(uintptr_t)cu_keys, ATTEND_I64, SAMPLES + 1);
}

attend_multihead_args packed_args(attend_type type) {
    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = RANDOM(type, 1, 1, QUERIES + BEHIND, M);
    x.residual = RANDOM(type, 1, 1, QUERIES + BEHIND, M);
    x.out = EMPTY(type, 1, QUERIES + BEHIND, M);
    x.lse = EMPTY(ATTEND_F32, 1, H, QUERIES + BEHIND);
    x.weights_mean = EMPTY(ATTEND_F32, SAMPLES, LONGEST, LONGEST);
    x.key_mask = random_mask(SAMPLES, LONGEST);
    x.cu_query_lengths = lengths_of_queries();
    return x;
}

void pack_decoder(decoder *d, bool norm_first) {
    fill_decoder(d, norm_first);
    d->args = attend_block_args_default();
    d->args.x = RANDOM(ATTEND_F32, 1, 1, QUERIES + BEHIND, M);
    d->args.memory = RANDOM(ATTEND_F32, 1, 1, KEYS, W);
    d->args.out = EMPTY(ATTEND_F32, 1, QUERIES + BEHIND, M);
    d->args.cu_query_lengths = lengths_of_queries();
    d->args.memory_cu_key_lengths = lengths_of_keys();
}

attend_tensor in_buffer(attend_context *context, const attend_tensor *t, attend_buffer **buffer) {
    succeeds(attend_buffer_create(context, bytes_of(t), buffer));
    succeeds(attend_buffer_write(*buffer, 0, t->data, bytes_of(t)));
    return attend_tensor_in(*buffer, 0, t->type, t->rank, t->sizes, NULL);
}
