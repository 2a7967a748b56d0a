/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention around products that a library computes: operands in float32 blocks, the masked softmax
 * of a block of scores in place, and the last step of a block of sums.
 *
 * Excluded keys. Their weight is -0, which adds nothing to a sum, but -0 times NaN is NaN. So the
 * block of values holds 0 where V is not finite, and `finish` adds these elements, of allowed keys
 * alone. A product's bits then depend on nothing that an excluded key holds, which a select after
 * the product could not bring about: the order of a library's sums is not known here. */
#include "clblast_params.h"
#include "operand.h"
#include "score.h"

#ifndef GROUP
#define GROUP 1 /* work-items that share a row of the softmax */
#endif

/* ---- operands -------------------------------------------------------------------------------- */

__kernel void clear_flags(const widen_params p, __global float *scratch) {
    const int z = get_global_id(0);
    if (z < p.planes) ((__global int *)scratch)[p.flags_at + z] = 0;
}

/* (16 columns, row, plane) */
__kernel void widen(const widen_params p, __global const uchar *x, __global const float *scales,
                    __global const int *pages, __global float *scratch) {
    const int column = 16 * (int)get_global_id(0), y = get_global_id(1), plane = get_global_id(2);
    if (column >= p.pitch || y >= p.rows || plane >= p.planes) return;
    const int z = p.plane + plane, b = z / p.G, row = p.row + y;
    const int h = z % p.G * p.R + row / p.n, i = p.first + row % p.n;
    __global const i64 *const sample =
        p.table_at < 0 ? 0 : (__global const i64 *)scratch + p.table_at + TABLE_COLUMNS * b;
    const int end = p.limit < 0 ? p.end : min(p.end, (int)sample[p.limit]);
    float16 values = (float16)(0.0f);
    if (i >= p.begin && i < end) {
        const operand_memory memory = {x, scales, pages};
        const operand_head head = {sample, b, h};
        const operand_row from = operand_find(&p.x, &memory, &head, i);
        values = operand_part(&p.x, &memory, &from, column);
    }
    if (p.flags_at >= 0 && !all(isfinite(values))) {
        values = select((float16)(0.0f), values, isfinite(values));
        atomic_or((volatile __global int *)scratch + p.flags_at + plane, 1);
    }
    vstore16(values, 0, scratch + p.to + ((i64)plane * p.rows + y) * p.pitch + column);
}

/* ---- blocks of scores ------------------------------------------------------------------------ */

static row_info block_row(const block_params *p, const inputs *in, int plane, int y) {
    const int z = p->plane + plane, row = p->row + y;
    return row_make(in, z / p->a.G, z % p->a.G * p->a.R + row / p->a.L, row % p->a.L);
}

/* Where the score of key 0 would be. */
static i64 scores_of(const block_params *p, int plane, int y) {
    return p->scores_at + ((i64)plane * p->rows + y) * p->scores_pitch - p->first;
}

/* Where the row lies in the caller's tensor. */
static i64 place_of_row(const block_params *p, const row_info *r) {
    return p->at + r->b * p->strides[0] + r->h * p->strides[1] + r->i * p->strides[2];
}

/* (row x GROUP, 1, plane): products become weights, -0 for excluded keys and beyond S. */
__kernel void weigh(const block_params p, __global const uchar *mask, __global const uchar *bias,
                    __global const uchar *key_mask, __global const float *slopes,
                    __global const float *sinks, __global float *lse, __global float *scratch) {
#if GROUP > 1
    __local float shared[GROUP];
#endif
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, slopes, scratch);
    const int mine = get_global_id(0) % GROUP, y = get_global_id(0) / GROUP;
    /* no return before a barrier; without rows, when a plan is rehearsed, the first one */
    const int plane = get_global_id(2), row = clamp(y, 0, max(p.rows - 1, 0));
    const row_info r = block_row(&p, &in, plane, row);
    __global float *const s = scratch + scores_of(&p, plane, row);
    /* the keys of a work-item are the same wherever a block begins */
    const int from = p.first + ((16 * mine - p.first) & (16 * GROUP - 1));
    float16 tops = (float16)(-INFINITY);
    for (int j0 = from; j0 < p.a.SP && y < p.rows; j0 += 16 * GROUP) {
        float16 x = (float16)(-INFINITY);
        if (j0 + 16 > r.first && j0 < r.end)
            x = masked_keys(&in, &r, j0, vload16(0, s + j0), STAGE_RAW);
        vstore16(x, 0, s + j0);
        tops = fmax(tops, x);
    }
    float top = largest(tops);
#if GROUP > 1
    shared[mine] = top;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < GROUP; n++)
        top = fmax(top, shared[n]);
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    const float sink = sinks && r.live ? sinks[p.a.sink_at + r.h * p.a.sink_stride] : -INFINITY;
    const float base = anchor(top);
    float16 sums = (float16)(0.0f);
    for (int j0 = from; j0 < p.a.SP && y < p.rows; j0 += 16 * GROUP) {
        const float16 x = vload16(0, s + j0);
        const float16 w =
            select(exponential16(x - base), (float16)(-0.0f), isequal(x, (float16)(-INFINITY)));
        vstore16(w, 0, s + j0);
        sums += w;
    }
    float sum = total(sums);
#if GROUP > 1
    shared[mine] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    sum = 0.0f;
    for (int n = 0; n < GROUP; n++)
        sum += shared[n];
#endif
    if (y >= p.rows) return;
    /* weights count from the highest key: below a high sink all of them would be 0 */
    float share = 1.0f;
    if (sink != -INFINITY) {
        const float keys = top;
        top = sink > top ? sink : top;
        const float factor = exponential(keys - anchor(top));
        sum = FMA(sum, factor, exponential(sink - anchor(top)));
        share = factor / sum;
    }
    for (int j0 = from; j0 < p.a.SP; j0 += 16 * GROUP) {
        const float16 w = vload16(0, s + j0);
        const float16 weight = sink == -INFINITY ? w / (float16)(sum) : w * share;
        vstore16(select(weight, w, as_uint16(w) == EXCLUDED), 0, s + j0);
    }
    if (mine != 0) return;
    if (p.a.packed && !r.live) return; /* such a row has no number and no place */
    if (p.a.row_sums_at >= 0) {
        __global float *const to = scratch + p.a.row_sums_at + 2 * r.number;
        to[0] = anchor(top);
        to[1] = sum;
    }
    if (lse)
        lse[p.a.lse_at + r.b * p.a.lse_strides[0] + r.h * p.a.lse_strides[1] +
            r.row * p.a.lse_strides[2]] = sum == 0.0f ? -INFINITY : top + log(sum);
}

/* (16 keys, row, plane): the caller's weights into the block, -0 for excluded keys and beyond S. */
__kernel void take_weights(const block_params p, __global const uchar *mask,
                           __global const uchar *bias, __global const uchar *key_mask,
                           __global const uchar *weights, __global float *scratch) {
    const int j0 = p.first + 16 * (int)get_global_id(0);
    const int y = get_global_id(1), plane = get_global_id(2);
    if (j0 >= p.a.SP || y >= p.rows || plane >= p.planes) return;
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, 0, scratch);
    const row_info r = block_row(&p, &in, plane, y);
    float16 w = (float16)(-0.0f);
    if (j0 + 16 > r.first && j0 < r.end) {
        const float16 b = bias ? bias_of(&in, &r, j0) : (float16)(0.0f);
        w = select(w,
                   load_part(weights, place_of_row(&p, &r), p.strides[3], j0, r.end, p.type, 0.0f),
                   allowed_keys(&in, &r, j0, b));
    }
    vstore16(w, 0, scratch + scores_of(&p, plane, y) + j0);
}

/* (16 keys, row, plane): products into the caller's scores, at stage p.stage. */
__kernel void store_scores(const block_params p, __global const uchar *mask,
                           __global const uchar *bias, __global const uchar *key_mask,
                           __global const float *slopes, __global uchar *scores,
                           __global float *scratch) {
    const int j0 = 16 * (int)get_global_id(0), y = get_global_id(1), plane = get_global_id(2);
    if (j0 >= p.a.S || y >= p.rows || plane >= p.planes) return;
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, slopes, scratch);
    const row_info r = block_row(&p, &in, plane, y);
    float16 x = vload16(0, scratch + scores_of(&p, plane, y) + j0);
    if (p.stage == STAGE_MASKED) {
        x = masked_keys(&in, &r, j0, x, STAGE_RAW);
    } else {
        const int16 j = j0 + LANES, live = (j >= r.begin) & (j < (r.live ? r.keys : 0));
        x = advance_keys(&in, &r, j0, x, (float16)(0.0f), STAGE_RAW, p.stage);
        x = select((float16)(-INFINITY), x, live);
    }
    if (p.a.packed) x = select((float16)(0.0f), x, j0 + LANES < (r.live ? r.length : 0));
    store_part(scores, place_of_row(&p, &r), p.strides[3], j0, p.a.S, p.type, x);
}

/* ---- the end of a block ---------------------------------------------------------------------- */

/* What elements of V that are not finite bring, of allowed keys. */
static float16 not_finite(const block_params *p, const inputs *in, const row_info *r,
                          const operand_memory *v, __global const float *weights, int column) {
    const operand_head head = {sample_of(in, r->b), r->b, r->h / p->a.R};
    float16 sum = (float16)(0.0f);
    for (int j = r->first; j < r->end; j++) {
        if (as_uint(weights[j]) == EXCLUDED) continue;
        const operand_row row = operand_find(&p->v, v, &head, j);
        const float16 x = operand_part(&p->v, v, &row, column);
        sum += select(x * weights[j], (float16)(0.0f), isfinite(x));
    }
    return sum;
}

/* (16 columns, row, plane) */
__kernel void finish(const block_params p, __global const uchar *v, __global const float *scales,
                     __global const int *pages, __global uchar *out, __global float *scratch) {
    const int column = 16 * (int)get_global_id(0), y = get_global_id(1), plane = get_global_id(2);
    if (column >= p.a.E || y >= p.rows || plane >= p.planes) return;
    const inputs in = inputs_make(&p.a, 0, 0, 0, 0, scratch);
    const row_info r = block_row(&p, &in, plane, y);
    if (p.a.packed && !r.live) return;
    float16 x = (float16)(0.0f);
    for (int part = 0; part < p.parts && p.a.SP > p.first; part++)
        x += vload16(0, scratch + p.sums_at + column +
                            (((i64)plane * p.parts + part) * p.rows + y) * p.sums_pitch);
    if (((__global const int *)scratch)[p.flags_at + plane]) {
        const operand_memory memory = {v, scales, pages};
        const float16 more =
            not_finite(&p, &in, &r, &memory, scratch + scores_of(&p, plane, y), column);
        x = select(x + more, x, isequal(more, (float16)(0.0f))); /* a -0 stays one */
    }
    store_part(out,
             p.a.out_at + r.b * p.a.out_strides[0] + r.h * p.a.out_strides[1] +
                 r.row * p.a.out_strides[2],
             p.a.out_strides[3], column, p.a.E, p.a.out_type, x);
}
