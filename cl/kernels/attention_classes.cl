/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is to do in each block of BQ rows and BK keys where masks or a bias exclude keys: one
 * byte that attention_tile reads instead of testing every key. One work-group to a block of rows
 * and SPAN blocks of keys; heads that share their mask share the bytes. */
#ifndef BQ
#define BQ 32
#endif
#ifndef BK
#define BK 32
#endif
#include "tile_rows.h"

#define SPAN 8
#define ITEMS 64

/* What some row and key of the block say: 1 there is an allowed key, 2 an excluded one. */
static int seen(const inputs *in, __local const row_line *lines, i64 key_mask_at, int j, int item) {
    int found = 0;
    for (int n = item; n < BQ * BK && found != 3; n += ITEMS) {
        const row_info row = row_of(lines + n / BK, key_mask_at);
        found |= allowed_key(in, &row, j + n % BK) ? 1 : 2;
    }
    return found;
}

/* (block of rows, SPAN blocks of keys, sample, or sample and key/value head), in groups of ITEMS */
__kernel void attention_classes(const attention_params p, __global const uchar *mask,
                                __global const uchar *bias, __global const uchar *key_mask,
                                __global float *scratch, __local i64 *local_memory) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, 0, scratch);
    const int heads = p.class_strides[1] ? p.G : 1, plane = get_global_id(2);
    const int b = plane / heads, g = plane % heads, item = get_local_id(0);
    const int block = get_group_id(0);
    __local row_line *const lines = (__local row_line *)local_memory;
    volatile __local int *const found = (volatile __local int *)(lines + BQ);
    lines_make(&in, b * p.G + g, BQ * block, item, ITEMS, lines);
    __global uchar *const to = (__global uchar *)(scratch + p.classes_at) +
                               b * p.class_strides[0] + g * p.class_strides[1] +
                               block * p.class_strides[2];
    const i64 key_mask_at = p.key_mask_at + b * p.key_mask_strides[0];
    for (int n = 0; n < SPAN; n++) {
        const int k = GROUP_DOWN * SPAN + n;
        if (item == 0) *found = 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k < p.class_strides[2]) atomic_or(found, seen(&in, lines, key_mask_at, k * BK, item));
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item == 0 && k < p.class_strides[2])
            to[k] = *found == 1 ? BLOCK_OPEN : *found == 3 ? BLOCK_MIXED : BLOCK_CLOSED;
    }
}
