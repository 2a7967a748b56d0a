/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x) * multiplier + residual. Work-item (i, j): a chunk of columns of every
 * j-th row. All that is read of an element is read before it is written: `out` may be any input. */
#include "activation.h"

__kernel WHOLE_VECTORS void activate(__global const uchar *x, __global const uchar *multiplier,
                                     __global const uchar *residual, __global uchar *out,
                                     const activate_arguments a) {
    const i32 begin = (i32)get_global_id(0) * a.chunk, end = min(begin + a.chunk, a.columns);
    for (i32 row = (i32)get_global_id(1); row < a.rows; row += (i32)get_global_size(1)) {
        const i64 x_at = row_start(&a.x, a.sizes, row);
        const i64 multiplier_at = row_start(&a.multiplier, a.sizes, row);
        const i64 residual_at = row_start(&a.residual, a.sizes, row);
        const i64 out_at = row_start(&a.out, a.sizes, row);
        for (i32 n = begin; n < end; n += LANES) {
            const int count = end - n;
            lanes y = activated(a.activation,
                                load_lanes(x, x_at + n * a.x.step, a.x.step, a.x.type, count));
            if (a.multiplier.type != 0)
                y *= load_lanes(multiplier, multiplier_at + n * a.multiplier.step,
                                a.multiplier.step, a.multiplier.type, count);
            if (a.residual.type != 0)
                y += load_lanes(residual, residual_at + n * a.residual.step, a.residual.step,
                                a.residual.type, count);
            store_lanes(out, out_at + n * a.out.step, a.out.step, a.out.type, count, y);
        }
    }
}
