/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings queries, keys and values into the order of attention_params.h, and lengths and offsets
 * into one table, so that the kernels behind them know one layout and one type. */
#include "attention_params.h"
#include "elements.h"

static int rows_to_read(const pack_params *p, __global const float *scratch, int b) {
    if (p->table_at < 0) return p->n;
    return (int)((__global const i64 *)scratch)[p->table_at + 3 * b + 1];
}

/* Queries and values: (column blocks, row, sample and head). */
__kernel void pack_rows(const pack_params p, __global const uchar *x, __global float *scratch) {
    const int row = get_global_id(1), z = get_global_id(2), b = z / p.heads, h = z % p.heads;
    if (row >= p.rows) return;
    const int read = row < rows_to_read(&p, scratch, b);
    const i64 at = p.at + b * p.strides[0] + h * p.strides[1] + row * p.strides[2];
    __global float *const to = scratch + p.to + ((i64)z * p.rows + row) * p.columns;
    for (int e = 16 * (int)get_global_id(0); e < p.columns; e += 16 * (int)get_global_size(0)) {
        float16 values = (float16)(0.0f);
        if (read) values = load_part(x, at, p.strides[3], e, p.size, p.type, 0.0f);
        vstore16(values, 0, to + e);
    }
}

/* Keys, 16 by 16 elements: (blocks of the head, panel of 16 keys, sample and head). */
__kernel void pack_panels(const pack_params p, __global const uchar *x, __global float *scratch) {
    const int panel = get_global_id(1), z = get_global_id(2), b = z / p.heads, h = z % p.heads;
    if (panel * 16 >= p.rows) return;
    const int keys = rows_to_read(&p, scratch, b);
    const i64 at = p.at + b * p.strides[0] + h * p.strides[1];
    __global float *const to = scratch + p.to + ((i64)z * (p.rows / 16) + panel) * p.columns * 16;
    for (int d0 = 16 * (int)get_global_id(0); d0 < p.columns; d0 += 16 * (int)get_global_size(0)) {
        float block[256];
        for (int n = 0; n < 16; n++) {
            const int j = 16 * panel + n;
            float16 row = (float16)(0.0f);
            if (j < keys)
                row = load_part(x, at + j * p.strides[2], p.strides[3], d0, p.size, p.type, 0.0f);
            vstore16(row, n, block);
        }
        for (int d = 0; d < 16; d++)
            for (int n = 0; n < 16; n++)
                to[(d0 + d) * 16 + n] = block[n * 16 + d];
    }
}

/* The same where a private block would not stay in registers: (element of the head, panel, sample
 * and head). */
__kernel void pack_elements(const pack_params p, __global const uchar *x, __global float *scratch) {
    const int d = get_global_id(0), panel = get_global_id(1), z = get_global_id(2);
    const int b = z / p.heads, h = z % p.heads;
    if (d >= p.columns || panel * 16 >= p.rows) return;
    const int keys = d < p.size ? rows_to_read(&p, scratch, b) : 0;
    const i64 at = p.at + b * p.strides[0] + h * p.strides[1] + d * p.strides[3];
    float lanes[16];
    for (int n = 0; n < 16; n++) {
        const int j = 16 * panel + n;
        lanes[n] = j < keys ? load_element(x, at + j * p.strides[2], p.type) : 0.0f;
    }
    vstore16(vload16(0, lanes), 0,
             scratch + p.to + (((i64)z * (p.rows / 16) + panel) * p.columns + d) * 16);
}

/* ---- lengths --------------------------------------------------------------------------------- */

/* Lengths that lay in a buffer were not checked by the host, hence the clamp. */
static i64 length_of(__global const uchar *lengths, i64 at, int type, i64 most) {
    return type ? clamp(load_index(lengths, at, type), (i64)0, most) : most;
}

__kernel void pack_table(const table_params p, __global const uchar *query_lengths,
                         __global const uchar *key_lengths, __global const uchar *offsets,
                         __global float *scratch) {
    const int b = get_global_id(0);
    if (b >= p.B) return;
    const i64 far = (i64)1 << 60; /* no key is near; sums do not overflow */
    const i64 queries = length_of(query_lengths, p.query_lengths_at + b * p.query_lengths_stride,
                                  p.query_lengths_type, p.L);
    const i64 keys = length_of(key_lengths, p.key_lengths_at + b * p.key_lengths_stride,
                               p.key_lengths_type, p.S);
    i64 offset = p.bottom_right ? keys - queries : p.query_offset;
    if (p.offsets_type)
        offset += clamp(load_index(offsets, p.offsets_at + b * p.offsets_stride, p.offsets_type),
                        -far, far);
    __global i64 *const row = (__global i64 *)scratch + p.to + 3 * b;
    row[0] = queries;
    row[1] = keys;
    row[2] = offset;
}
