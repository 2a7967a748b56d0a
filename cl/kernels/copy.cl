/* SPDX-License-Identifier: Apache-2.0
 *
 * out = x for any strides, and between floating-point types. Elements of one and the same type are
 * moved as bits: a NaN keeps its payload. Work-item (i, j): a chunk of the inner dimension of every
 * j-th row of the others. */
#include "stage_rows.h"

#define DEFINE_MOVE(name, type)                                                                    \
    static void name(__global const uchar *x, i64 from, i64 x_step, __global uchar *out, i64 to,   \
                     i64 out_step, i32 count) {                                                    \
        for (i32 n = 0; n < count; n++)                                                            \
            ((__global type *)out)[to + n * out_step] =                                            \
                ((__global const type *)x)[from + n * x_step];                                     \
    }
DEFINE_MOVE(move_1, uchar)
DEFINE_MOVE(move_2, ushort)
DEFINE_MOVE(move_4, uint)
DEFINE_MOVE(move_8, ulong)

/* Words of 64 bytes, from and to anywhere; `count` counts bytes. Returns how many were moved. */
static i32 move_words(__global const uchar *x, __global uchar *out, i32 count) {
    i32 n = 0;
#if LANES > 1
    for (; n + 64 <= count; n += 64)
        vstore16(vload16(0, (__global const uint *)(x + n)), 0, (__global uint *)(out + n));
#endif
    return n;
}

static void move(__global const uchar *x, i64 from, __global uchar *out, i64 to, i32 count,
                 const copy_arguments *a) {
    const i64 x_step = a->x_strides[5], out_step = a->out_strides[5];
    const int bytes = a->bytes;
    if (x_step == 1 && out_step == 1 && bytes >= 4) {
        const i32 moved = move_words(x + from * bytes, out + to * bytes, count * bytes) / bytes;
        from += moved;
        to += moved;
        count -= moved;
    }
    if (bytes == 1)
        move_1(x, from, x_step, out, to, out_step, count);
    else if (bytes == 2)
        move_2(x, from, x_step, out, to, out_step, count);
    else if (bytes == 4)
        move_4(x, from, x_step, out, to, out_step, count);
    else
        move_8(x, from, x_step, out, to, out_step, count);
}

__kernel WHOLE_VECTORS void copy(__global const uchar *x, __global uchar *out,
                                 const copy_arguments a) {
    const i32 begin = (i32)get_global_id(0) * a.chunk, end = min(begin + a.chunk, a.sizes[5]);
    const i64 x_step = a.x_strides[5], out_step = a.out_strides[5];
    if (begin >= end) return;
    for (i64 row = get_global_id(1); row < a.rows; row += get_global_size(1)) {
        i64 from = a.x_offset + begin * x_step, to = a.out_offset + begin * out_step, rest = row;
        for (int d = 4; d >= 0 && rest > 0; d--) {
            const i64 outer = rest <= INT_MAX ? (int)rest / a.sizes[d] : rest / a.sizes[d];
            const i64 i = rest - outer * a.sizes[d];
            from += i * a.x_strides[d];
            to += i * a.out_strides[d];
            rest = outer;
        }
        if (a.bytes != 0) {
            move(x, from, out, to, end - begin, &a);
            continue;
        }
        for (i32 n = 0; n < end - begin; n += LANES) {
            const int count = end - begin - n;
            store_lanes(out, to + n * out_step, out_step, a.out_type, count,
                        load_lanes(x, from + n * x_step, x_step, a.x_type, count));
        }
    }
}
