/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings queries, keys and values into the order of attention_params.h, and lengths and offsets
 * into one table, so that the kernels behind them know one layout and one type. */
#include "operand.h"

/* The sample's row of the table; NULL where there is none. */
static __global const i64 *sample_of(const pack_params *p, __global const float *scratch, int b) {
    return p->table_at < 0 ? 0 : (__global const i64 *)scratch + p->table_at + TABLE_COLUMNS * b;
}

/* The row behind the last one that is wanted and that the sample has. */
static int end_of(const pack_params *p, __global const i64 *sample) {
    return sample ? min(p->end, (int)sample[TABLE_KEYS]) : p->end;
}

/* Queries and values: (column blocks, row, sample and head). */
__kernel WHOLE_VECTORS void pack_rows(const pack_params p, __global const uchar *x,
                                      __global const float *scales, __global const int *pages,
                                      __global float *scratch) {
    const int row = get_global_id(1), z = get_global_id(2), b = z / p.heads, h = z % p.heads;
    __global const i64 *const sample = sample_of(&p, scratch, b);
    if (row < p.begin || row >= end_of(&p, sample)) return;
    const operand_memory memory = {x, scales, pages};
    const operand_head head = {sample, b, h};
    const operand_row from = operand_find(&p.x, &memory, &head, row);
    __global float *const to =
        scratch + p.to + b * p.to_strides[0] + h * p.to_strides[1] + (i64)row * p.columns;
    for (int e = 16 * (int)get_global_id(0); e < p.columns; e += 16 * (int)get_global_size(0))
        vstore16(operand_part(&p.x, &memory, &from, e), 0, to + e);
}

/* Panels are made up to a multiple of 32 keys, which is how many a kernel reads at once. */
static int is_wanted(const pack_params *p, int panel, int end) {
    return 16 * panel >= p->begin / 32 * 32 && 16 * panel < (end + 31) / 32 * 32;
}

static __global float *panel_of(const pack_params *p, __global float *scratch,
                                __global const i64 *sample, int b, int h, int panel) {
    return scratch + p->to + b * p->to_strides[0] + h * p->to_strides[1] +
           (sample ? sample[TABLE_PANELS] : 0) + (i64)panel * p->columns * 16;
}

/* Keys, 16 by 16 elements: (blocks of the head, panel of 16 keys, sample and head). */
__kernel WHOLE_VECTORS void pack_panels(const pack_params p, __global const uchar *x,
                                        __global const float *scales, __global const int *pages,
                                        __global float *scratch) {
    const int panel = get_global_id(1), z = get_global_id(2), b = z / p.heads, h = z % p.heads;
    __global const i64 *const sample = sample_of(&p, scratch, b);
    const int end = end_of(&p, sample);
    if (!is_wanted(&p, panel, end)) return;
    const operand_memory memory = {x, scales, pages};
    __global float *const to = panel_of(&p, scratch, sample, b, h, panel);
    const operand_head head = {sample, b, h};
    const operand_keys keys = operand_keys_find(&p.x, &memory, &head, 16 * panel, p.begin, end);
    for (int d0 = 16 * (int)get_global_id(0); d0 < p.columns; d0 += 16 * (int)get_global_size(0)) {
        float block[256];
        operand_block(&p.x, &memory, &keys, d0, block);
        for (int d = 0; d < 16; d++)
            vstore16(vload16(d, block), d0 + d, to);
    }
}

/* The same where a private block would not stay in registers: (element of the head, panel, sample
 * and head). */
__kernel WHOLE_VECTORS void pack_elements(const pack_params p, __global const uchar *x,
                                          __global const float *scales, __global const int *pages,
                                          __global float *scratch) {
    const int d = get_global_id(0), panel = get_global_id(1), z = get_global_id(2);
    const int b = z / p.heads, h = z % p.heads;
    __global const i64 *const sample = sample_of(&p, scratch, b);
    const int end = end_of(&p, sample);
    if (d >= p.columns || !is_wanted(&p, panel, end)) return;
    const operand_memory memory = {x, scales, pages};
    const operand_head head = {sample, b, h};
    float lanes[16];
    for (int n = 0; n < 16; n++) {
        const int j = 16 * panel + n;
        lanes[n] = 0.0f;
        if (j < p.begin || j >= end || d >= p.x.size) continue;
        const operand_row row = operand_find(&p.x, &memory, &head, j);
        lanes[n] = operand_element(&p.x, &memory, &row, d);
    }
    vstore16(vload16(0, lanes), d, panel_of(&p, scratch, sample, b, h, panel));
}

/* ---- the table of samples -------------------------------------------------------------------- */

typedef struct segment {
    i64 first, count;
} segment;

/* Lengths that lay in a buffer were not checked by the host, hence the clamps. */
static segment segment_of(const length_source *s, __global const uchar *lengths, int b) {
    segment x = {0, s->most};
    if (!s->type) return x;
    const i64 at = s->at + b * s->stride, here = load_index(lengths, at, s->type);
    if (!s->packed) {
        x.count = clamp(here, (i64)0, (i64)s->most);
        return x;
    }
    x.first = clamp(here, (i64)0, s->rows);
    const i64 end = load_index(lengths, at + s->stride, s->type);
    x.count = clamp(end, x.first, min(s->rows, x.first + s->most)) - x.first;
    return x;
}

/* Panels of a packed sample begin 32 keys behind its first row, rounded down to 32, for each sample
 * before it: enough for all of them without a sum over their lengths. */
__kernel WHOLE_VECTORS void pack_table(const table_params p, __global const uchar *query_lengths,
                                       __global const uchar *key_lengths,
                                       __global const uchar *offsets, __global float *scratch) {
    const int b = get_global_id(0);
    if (b >= p.B) return;
    const i64 far = (i64)1 << 60; /* no key is near; sums do not overflow */
    const segment queries = segment_of(&p.queries, query_lengths, b);
    const segment keys = segment_of(&p.keys, key_lengths, b);
    i64 offset = p.bottom_right ? keys.count - queries.count : p.query_offset;
    if (p.offsets_type)
        offset += clamp(load_index(offsets, p.offsets_at + b * p.offsets_stride, p.offsets_type),
                        -far, far);
    __global i64 *const row = (__global i64 *)scratch + p.to + TABLE_COLUMNS * b;
    row[TABLE_QUERIES] = queries.count;
    row[TABLE_KEYS] = keys.count;
    row[TABLE_OFFSET] = offset;
    row[TABLE_QUERY_ROW] = queries.first;
    row[TABLE_KEY_ROW] = keys.first;
    row[TABLE_PANELS] = p.keys.packed ? (keys.first / 32 * 32 + 32 * (i64)b) * p.depth : 0;
}
