/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed arguments of layers for the tests of what they give and of what is refused. */
#ifndef PACKED_DATA_H
#define PACKED_DATA_H

#include "layer_data.h"

/* Samples of 4, 0, 7, 1 and 11 queries, and of 3, 5, 0, 2 and 9 keys; rows behind the last. */
enum { SAMPLES = 5, QUERIES = 23, KEYS = 19, BEHIND = 2, LONGEST = 11, MOST_KEYS = 9 };
extern const int32_t cu_queries[SAMPLES + 1];
extern const int64_t cu_keys[SAMPLES + 1];

attend_tensor lengths_of_queries(void);
attend_tensor lengths_of_keys(void);
attend_multihead_args packed_args(attend_type type);
void pack_decoder(decoder *d, bool norm_first);
/* A buffer with the values of `t`. */
attend_tensor in_buffer(attend_context *context, const attend_tensor *t, attend_buffer **buffer);

#endif
