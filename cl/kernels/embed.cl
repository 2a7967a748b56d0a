/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a table picked by id, scaled and added to x. Ids were not looked at by the host, so they
 * are clamped. Work-item (i, j): a chunk of columns of every j-th row. */
#include "stage_rows.h"

static i64 entry_of(__global const uchar *ids, const embed_arguments *a, i32 row) {
    const i32 outer = row / a->sizes[2], last = row - outer * a->sizes[2];
    if (a->ids_type == 0) return last + a->first;
    const i64 at = a->ids_offset + last * a->ids_strides[2] +
                   outer % a->sizes[1] * a->ids_strides[1] +
                   outer / a->sizes[1] * a->ids_strides[0];
    return load_index(ids, at, a->ids_type);
}

__kernel WHOLE_VECTORS void embed(__global const uchar *table, __global const uchar *ids,
                                  __global const uchar *x, __global uchar *out,
                                  const embed_arguments a) {
    const i32 begin = (i32)get_global_id(0) * a.chunk, end = min(begin + a.chunk, a.columns);
    for (i32 row = (i32)get_global_id(1); row < a.rows; row += (i32)get_global_size(1)) {
        const i64 entry = clamp(entry_of(ids, &a, row), (i64)0, (i64)a.entries - 1);
        const i64 table_at = a.table_offset + entry * a.table_stride;
        const i64 x_at = row_start(&a.x, a.sizes, row);
        const i64 out_at = row_start(&a.out, a.sizes, row);
        for (i32 n = begin; n < end; n += LANES) {
            const int count = end - n;
            lanes y = a.scale * load_lanes(table, table_at + n * a.table_step, a.table_step,
                                           a.table_type, count);
            if (a.x.type != 0) y += load_lanes(x, x_at + n * a.x.step, a.x.step, a.x.type, count);
            store_lanes(out, out_at + n * a.out.step, a.out.step, a.out.type, count, y);
        }
    }
}
