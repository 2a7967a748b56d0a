/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of attention_decode's work-group and of its local memory, for the kernel and for the host
 * that hands that memory in. In floats: queries, scores that become weights, shares of sums, and
 * shares of maxima and sums, lines of rows. `rows`: of a group; `depth`: DP. */
#ifndef ATTEND_CL_ATTENTION_DECODE_H
#define ATTEND_CL_ATTENTION_DECODE_H

#include "attention_tile.h"

#define DECODE_CHUNK 256 /* keys that are summed on their own */
#define DECODE_ITEMS 64
#define DECODE_SUMS 256 /* of a row: 4 of each work-item */
#define DECODE_FLOATS(rows, depth)                                                                 \
    ((rows) * ((depth) + DECODE_CHUNK + DECODE_SUMS + 2 * 16 + LINE_FLOATS))

#endif
