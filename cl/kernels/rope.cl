/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions: pairs of a head's first elements turn by the angle of their position, the
 * rest is copied. Work-item (i, j): every i-th group of LANES pairs of every j-th row. A pair is
 * read before it is written, by one work-item: `out` may be x. Ids and offsets are clamped,
 * because the host did not look at them where they lie in buffers. */
#include "stage_rows.h"

static i64 position_of(__global const uchar *ids, __global const uchar *offsets,
                       const rope_arguments *a, i32 b, i32 i) {
    if (a->own_rows) return i;
    i64 position = i + a->position;
    if (a->offsets_type != 0)
        position +=
            clamp(load_index(offsets, a->offsets_at + b * a->offsets_stride, a->offsets_type),
                  (i64)0, (i64)a->positions);
    if (a->ids_type != 0)
        position = load_index(ids, a->ids_offset + b * a->ids_strides[0] + i * a->ids_strides[1],
                              a->ids_type);
    return clamp(position, (i64)0, (i64)a->positions - 1);
}

__kernel WHOLE_VECTORS void rope(__global const uchar *x, __global const uchar *cosines,
                                 __global const uchar *sines, __global const uchar *ids,
                                 __global const uchar *offsets, __global uchar *out,
                                 const rope_arguments a) {
    const i64 apart = a.interleaved ? 1 : a.pairs, every = a.interleaved ? 2 : 1;
    const i32 first = (i32)get_global_id(0) * LANES, next = (i32)get_global_size(0) * LANES;
    for (i32 row = (i32)get_global_id(1); row < a.rows; row += (i32)get_global_size(1)) {
        const i32 i = row % a.sizes[2], b = row / a.sizes[2] / a.sizes[1];
        const i64 position = position_of(ids, offsets, &a, b, i);
        const i64 cos_at = a.cos_offset + b * a.cos_strides[0] + position * a.cos_strides[1];
        const i64 sin_at = a.sin_offset + b * a.sin_strides[0] + position * a.sin_strides[1];
        const i64 from = row_start(&a.x, a.sizes, row), to = row_start(&a.out, a.sizes, row);
        for (i32 r = first; r < a.pairs; r += next) {
            const int count = a.pairs - r;
            const lanes c =
                load_lanes(cosines, cos_at + r * a.cos_step, a.cos_step, a.table_type, count);
            const lanes s =
                load_lanes(sines, sin_at + r * a.sin_step, a.sin_step, a.table_type, count);
            const i64 one = r * every, two = one + apart;
            const i64 x_step = a.x.step * every, out_step = a.out.step * every;
            const lanes x1 = load_lanes(x, from + one * a.x.step, x_step, a.x.type, count);
            const lanes x2 = load_lanes(x, from + two * a.x.step, x_step, a.x.type, count);
            store_lanes(out, to + one * a.out.step, out_step, a.out.type, count, c * x1 - s * x2);
            store_lanes(out, to + two * a.out.step, out_step, a.out.type, count, s * x1 + c * x2);
        }
        for (i32 n = 2 * a.pairs + first; n < a.columns; n += next) {
            const int count = a.columns - n;
            store_lanes(out, to + n * a.out.step, a.out.step, a.out.type, count,
                        load_lanes(x, from + n * a.x.step, a.x.step, a.x.type, count));
        }
    }
}
