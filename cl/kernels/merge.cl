/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over parts of the keys joined into attention over all of them (attend_merging), in the
 * order of the parts. What a part without an allowed key brings is not used, whatever it holds. */
#include "exponential.h"
#include "stage_arguments.h"

/* (16 columns, query row, sample and head) */
__kernel WHOLE_VECTORS void merge(__global const uchar *parts, __global const float *part_lse,
                                  __global const float *sinks, __global uchar *out,
                                  __global float *lse, const merge_arguments a) {
    const i32 column = 16 * (i32)get_global_id(0), i = get_global_id(1), z = get_global_id(2);
    const i32 b = z / a.heads, h = z % a.heads;
    if (column >= max(a.columns, 1) || i >= a.rows) return;
    const i64 from =
        a.parts_at + b * a.parts_strides[1] + h * a.parts_strides[2] + i * a.parts_strides[3];
    const i64 weights = a.part_lse_at + b * a.part_lse_strides[1] + h * a.part_lse_strides[2] +
                        i * a.part_lse_strides[3];
    const float sink = sinks ? sinks[a.sink_at + h * a.sink_stride] : -INFINITY;
    float top = sink > -INFINITY ? sink : -INFINITY; /* a NaN comes through the sum */
    for (i32 n = 0; n < a.parts; n++)
        top = fmax(top, part_lse[weights + n * a.part_lse_strides[0]]);
    const float base = top == -INFINITY ? 0.0f : top;
    float sum = sink == -INFINITY ? 0.0f : exponential(sink - base);
    float16 values = (float16)(0.0f);
    for (i32 n = 0; n < a.parts; n++) {
        const float one = part_lse[weights + n * a.part_lse_strides[0]];
        if (one == -INFINITY) continue;
        const float w = exponential(one - base);
        sum += w;
        values = FMA(load_part(parts, from + n * a.parts_strides[0], a.parts_strides[4], column,
                               a.columns, a.type, 0.0f),
                     (float16)(w), values);
    }
    if (lse && column == 0)
        lse[a.lse_at + b * a.lse_strides[0] + h * a.lse_strides[1] + i * a.lse_strides[2]] =
            sum == 0.0f ? -INFINITY : top + log(sum);
    const i64 to = a.out_at + b * a.out_strides[0] + h * a.out_strides[1] + i * a.out_strides[2];
    store_part(out, to, a.out_strides[3], column, a.columns, a.out_type,
               sum == 0.0f ? (float16)(0.0f) : values / (float16)(sum));
}
