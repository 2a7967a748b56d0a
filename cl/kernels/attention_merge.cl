/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins the pieces of rows whose keys were split, in the order of the keys and by the arithmetic
 * with which one work-item joins the chunks it walks. */
#define EC 16
#include "attention_finish.h"

/* (16 columns, row of a key/value head, sample and key/value head) */
__kernel WHOLE_VECTORS void attention_merge(const attention_params p, __global const float *sinks,
                                            __global uchar *out, __global float *lse,
                                            __global float *scratch) {
    const int column = 16 * (int)get_global_id(0), row = get_global_id(1), z = get_global_id(2);
    const inputs in = inputs_make(&p, 0, 0, 0, 0, scratch);
    const int b = z / p.G, length = rows_of(&in, b);
    if (column >= p.EP || row >= p.R * length || b >= p.B) return;
    const results to = {sinks, out, lse, scratch};
    const row_info info = row_make(&in, b, z % p.G * p.R + row / length, row % length);
    mass m = {-INFINITY, 0.0f};
    float16 values = (float16)(0.0f);
    for (int piece = 0; piece < p.pieces; piece++) {
        __global const float *const head = piece_head(&p, scratch, info.number, piece);
        const float top = fmax(m.maximum, head[0]), base = anchor(top);
        const float old = exponential(m.maximum - base), new = exponential(head[0] - base);
        m.maximum = top;
        m.sum = FMA(m.sum, old, head[1] * new);
        values = FMA(values, (float16)(old),
                     vload16(0, piece_values(&p, scratch, info.number, piece) + column) * new);
    }
    const float share = close_row(&p, &info, &to, column == 0, m);
    if (column < p.E) store_columns(&p, out_of(&p, &info), column, out, values * share);
}
