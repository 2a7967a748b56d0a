/* SPDX-License-Identifier: Apache-2.0
 *
 * Joins the pieces of rows whose keys were split, in the order of the keys and by the arithmetic
 * with which one work-item joins the chunks it walks. Some pieces are read before any is joined:
 * one after the other, each would wait for memory. COLUMNS of a work-item: 16, which is a vector of
 * a CPU, or 4, with which a GPU has more of them for the few rows there are. */
#define EC 16
#include "attention_finish.h"

#ifndef COLUMNS
#define COLUMNS 16
#endif
#if COLUMNS == 16
typedef float16 columns;
#define LOAD(from) vload16(0, from)
#define STORE store_columns
#define AHEAD 4
#else
typedef float4 columns;
#define LOAD(from) vload4(0, from)
#define STORE store_four
#define AHEAD 8
#endif

/* `head`: maximum and sum of a piece. */
static void join(mass *m, columns *values, float2 head, columns part) {
    const float top = fmax(m->maximum, head.x), base = anchor(top);
    const float old = exponential(m->maximum - base), new = exponential(head.x - base);
    m->maximum = top;
    m->sum = FMA(m->sum, old, head.y * new);
    *values = FMA(*values, (columns)(old), part * new);
}

/* (COLUMNS columns, row of a key/value head, sample and key/value head) */
__kernel WHOLE_VECTORS void attention_merge(const attention_params p, __global const float *sinks,
                                            __global uchar *out, __global float *lse,
                                            __global float *scratch) {
    const int column = COLUMNS * (int)get_global_id(0);
    const int row = get_global_id(1), z = get_global_id(2);
    const inputs in = inputs_make(&p, 0, 0, 0, 0, scratch);
    const int b = z / p.G, length = rows_of(&in, b);
    if (column >= p.EP || row >= p.R * length || b >= p.B) return;
    const results to = {sinks, out, lse, scratch};
    const row_info info = row_make(&in, b, z % p.G * p.R + row / length, row % length);
    mass m = {-INFINITY, 0.0f};
    columns values = (columns)(0.0f);
    int piece = 0;
    for (; piece + AHEAD <= p.pieces; piece += AHEAD) {
        float2 heads[AHEAD];
        columns parts[AHEAD];
#pragma unroll
        for (int n = 0; n < AHEAD; n++) {
            heads[n] = vload2(0, piece_head(&p, scratch, info.number, piece + n));
            parts[n] = LOAD(piece_values(&p, scratch, info.number, piece + n) + column);
        }
#pragma unroll
        for (int n = 0; n < AHEAD; n++)
            join(&m, &values, heads[n], parts[n]);
    }
    for (; piece < p.pieces; piece++)
        join(&m, &values, vload2(0, piece_head(&p, scratch, info.number, piece)),
             LOAD(piece_values(&p, scratch, info.number, piece) + column));
    const float2 share = close_row(&p, &info, &to, column == 0, m);
    if (column < p.E) STORE(&p, out_of(&p, &info), column, out, values * share.x * share.y);
}
