/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores, weights and their mean as tensors, the softmax of scores that are given, and the mix of
 * weights that are given: side outputs of attention, and its three steps on their own. Weights come
 * from maximum and sum of their row, so that asking for them touches nothing of the fused kernels.
 * (Log-sum-exp alone would not do: beside a large maximum it has no room for the logarithm.) */
#include "score.h"

#ifndef GROUP
#define GROUP 1 /* work-items that share a row of the softmax */
#endif

/* Where scores come from. */
typedef struct sources {
    __global const uchar *from;
    __global const float *queries, *scratch;
} sources;

/* Scores of 16 keys at p->from_stage; keys at or beyond the key length are not read. */
static float16 given_scores(const steps_params *p, const inputs *in, const sources *s,
                            const row_info *r, int j0) {
    if (j0 >= r->keys || j0 + 16 <= r->begin) return (float16)(-INFINITY);
    if (p->from_type) {
        const i64 at = p->from_at + r->b * p->from_strides[0] + r->h * p->from_strides[1] +
                       r->i * p->from_strides[2];
        return load_part(s->from, at, p->from_strides[3], j0, r->keys, p->from_type, -INFINITY);
    }
    return dot_panel(s->queries + query_of(in, r->b, r->h, r->i),
                     s->scratch + panels_of(in, r->b, r->h / p->a.R) + (i64)j0 * p->padded,
                     p->padded);
}

/* Masked scores of 16 keys. The options exclude at every stage, as does a given score of -inf. */
static float16 full_scores(const steps_params *p, const inputs *in, const sources *from,
                           const row_info *r, int j0) {
    return masked_keys(in, r, j0, given_scores(p, in, from, r, j0), p->from_stage);
}

/* Scores before MASKED hold every key of the key range below the key length, excluded or not. */
static float16 early_scores(const steps_params *p, const inputs *in, const sources *from,
                            const row_info *r, int j0) {
    const int16 j = j0 + LANES, live = (j >= r->begin) & (j < (r->live ? r->keys : 0));
    const float16 s = advance_keys(in, r, j0, given_scores(p, in, from, r, j0), (float16)(0.0f),
                                   p->from_stage, p->to_stage);
    return select((float16)(-INFINITY), s, live);
}

/* `row`: maximum and sum. A sum of NaN makes the weight of each allowed key one, also of a score of
 * -inf, which is an excluded key's everywhere else. */
static float16 weights_of(const inputs *in, const row_info *r, int j0, float16 s,
                          __global const float *row) {
    if (isnan(row[1])) {
        const float16 bias = in->bias ? bias_of(in, r, j0) : (float16)(0.0f);
        return select((float16)(0.0f), (float16)(NAN), allowed_keys(in, r, j0, bias));
    }
    return select(exponential16(s - row[0]) / (float16)(row[1]), (float16)(0.0f),
                  isequal(s, (float16)(-INFINITY)));
}

/* (16 keys, query row, sample and head; with `mean` sample) */
__kernel WHOLE_VECTORS void
attention_side(const steps_params p, __global const uchar *mask, __global const uchar *bias,
               __global const uchar *key_mask, __global const float *slopes,
               __global const float *queries, __global const uchar *from, __global uchar *to,
               __global float *scratch) {
    const int j0 = 16 * (int)get_global_id(0), i = get_global_id(1), z = get_global_id(2);
    if (j0 >= p.a.S || i >= p.a.L) return;
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, slopes, scratch);
    const sources src = {from, queries, scratch};
    const int heads = p.mean ? p.a.H : 1, b = p.mean ? z : z / p.a.H;
    if (b >= p.a.B) return;
    float16 sum = (float16)(0.0f);
    for (int n = 0; n < heads; n++) {
        const int h = p.mean ? n : z % p.a.H;
        const row_info r = row_make(&in, b, h, i);
        if (p.a.packed && !r.live) continue; /* such a row has no number */
        float16 x;
        if (!p.weights && p.to_stage < STAGE_MASKED)
            x = early_scores(&p, &in, &src, &r, j0);
        else
            x = full_scores(&p, &in, &src, &r, j0);
        if (p.weights) x = weights_of(&in, &r, j0, x, scratch + p.a.row_sums_at + 2 * r.number);
        if (p.a.packed) x = select((float16)(0.0f), x, j0 + LANES < r.length);
        sum = p.mean ? sum + x : x;
    }
    if (p.mean) sum /= (float16)((float)p.a.H);
    const i64 at = p.to_at + b * p.to_strides[0] + (p.mean ? 0 : z % p.a.H * p.to_strides[1]) +
                   i * p.to_strides[2];
    store_part(to, at, p.to_strides[3], j0, p.a.S, p.to_type, sum);
}

/* ---- the softmax of given scores ------------------------------------------------------------- */

/* (row x GROUP, 1, sample and head): maximum and sum of each row into scratch, log-sum-exp where
 * asked for. */
__kernel WHOLE_VECTORS void attention_lse(const steps_params p, __global const uchar *mask,
                                          __global const uchar *bias,
                                          __global const uchar *key_mask,
                                          __global const float *slopes, __global const float *sinks,
                                          __global const uchar *from, __global float *lse,
                                          __global float *scratch) {
#if GROUP > 1
    __local float shared[GROUP];
#endif
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, slopes, scratch);
    const int mine = get_global_id(0) % GROUP, i = get_global_id(0) / GROUP, z = get_global_id(2);
    const int row = min(i, p.a.L - 1); /* no return before a barrier */
    const row_info r = row_make(&in, z / p.a.H, z % p.a.H, row);
    const sources src = {from, 0, scratch};
    float16 tops = (float16)(-INFINITY);
    for (int j0 = 16 * mine; j0 < r.keys; j0 += 16 * GROUP)
        tops = fmax(tops, full_scores(&p, &in, &src, &r, j0));
    float top = largest(tops);
#if GROUP > 1
    shared[mine] = top;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < GROUP; n++)
        top = fmax(top, shared[n]);
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    const float sink = sinks && r.live ? sinks[p.a.sink_at + r.h * p.a.sink_stride] : -INFINITY;
    top = sink > top ? sink : top;
    const float base = anchor(top);
    float16 sums = (float16)(0.0f);
    for (int j0 = 16 * mine; j0 < r.keys; j0 += 16 * GROUP) {
        const float16 s = full_scores(&p, &in, &src, &r, j0);
        sums += select(exponential16(s - base), (float16)(0.0f), isequal(s, (float16)(-INFINITY)));
    }
    float sum = total(sums);
#if GROUP > 1
    shared[mine] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    sum = 0.0f;
    for (int n = 0; n < GROUP; n++)
        sum += shared[n];
#endif
    if (mine != 0 || i >= p.a.L || (p.a.packed && !r.live)) return;
    if (sink != -INFINITY) sum += exponential(sink - base);
    const float value = sum == 0.0f ? -INFINITY : top + log(sum);
    scratch[p.a.row_sums_at + 2 * r.number] = base;
    scratch[p.a.row_sums_at + 2 * r.number + 1] = sum;
    if (lse)
        lse[p.a.lse_at + r.b * p.a.lse_strides[0] + r.h * p.a.lse_strides[1] +
            r.row * p.a.lse_strides[2]] = value;
}

/* ---- weights times values -------------------------------------------------------------------- */

/* (16 columns, query row, sample and head): only allowed keys take part. */
__kernel WHOLE_VECTORS void attention_mix(const steps_params p, __global const uchar *mask,
                                          __global const uchar *bias,
                                          __global const uchar *key_mask,
                                          __global const uchar *from, __global const float *values,
                                          __global uchar *out, __global float *scratch) {
    const int column = 16 * (int)get_global_id(0), i = get_global_id(1), z = get_global_id(2);
    if (column >= p.a.E || i >= p.a.L) return;
    const inputs in = inputs_make(&p.a, mask, bias, key_mask, 0, scratch);
    const row_info r = row_make(&in, z / p.a.H, z % p.a.H, i);
    if (p.a.packed && !r.live) return;
    const i64 at =
        p.from_at + r.b * p.from_strides[0] + r.h * p.from_strides[1] + i * p.from_strides[2];
    __global const float *const rows = values + values_of(&in, r.b, r.h / p.a.R) + column;
    float16 sum = (float16)(0.0f);
    for (int j0 = r.first; j0 < r.end; j0 += 64) {
        float16 partial = (float16)(0.0f);
        for (int j = j0; j < min(j0 + 64, r.end); j++) {
            if (!allowed_key(&in, &r, j)) continue;
            const float w = load_element(from, at + j * p.from_strides[3], p.from_type);
            partial = FMA((float16)(w), vload16(0, rows + j * p.a.value_strides[2]), partial);
        }
        sum += partial;
    }
    const i64 to = p.a.out_at + r.b * p.a.out_strides[0] + r.h * p.a.out_strides[1] +
                   r.row * p.a.out_strides[2];
    store_part(out, to, p.a.out_strides[3], column, p.a.E, p.a.out_type, sum);
}
