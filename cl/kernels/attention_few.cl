/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for CPUs where query rows are few, which reading keys and values bounds: a
 * work-item owns RQ rows of one key/value head, 16 keys stand in the lanes of a vector for all of
 * its rows, and each row of values is read once for all of them.
 *
 * Chunks are summed on their own and joined in the order of the keys, and excluded keys weigh -0,
 * as in attention_lanes.cl. */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-item sums */
#endif
#ifndef RQ
#define RQ 8 /* query rows of a work-item */
#endif
#include "attention_finish.h"
#include "key_source.h"

typedef struct part {
    mass rows[RQ];
    float16 values[RQ][EC / 16];
} part;

/* RQ rows and the operands of their head. */
typedef struct block {
    row_info rows[RQ];
    __global const float *queries[RQ];
    source k, v;
    int column;
} block;

/* Products of RQ queries and keys j .. j + 15. */
static void products(const block *x, int j, ahead *next, float16 sum[RQ]) {
    float16 rows[16][DP / 16];
    operand_keys together;
    const int vectors = keys_lie_together(x->k.x);
    if (vectors)
        together = operand_keys_find(x->k.x, &x->k.memory, &x->k.head, j, x->k.begin, x->k.end);
    else
        for (int n = 0; n < 16; n++) {
            look_ahead_row(next, 0);
            copy_row(&x->k, j + n, 0, DP, rows[n]);
        }
#pragma unroll
    for (int r = 0; r < RQ; r++)
        sum[r] = (float16)(0.0f);
    for (int d0 = 0; d0 < DP; d0 += 16) {
        float16 keys[16];
        if (vectors) {
            operand_columns(x->k.x, &x->k.memory, &together, d0, keys);
        } else {
#pragma unroll
            for (int n = 0; n < 16; n++)
                keys[n] = rows[n][d0 / 16];
            transpose16(keys);
        }
#pragma unroll
        for (int d = 0; d < 16; d++)
#pragma unroll
            for (int r = 0; r < RQ; r++)
                sum[r] = FMA((float16)(x->queries[r][d0 + d]), keys[d], sum[r]);
    }
}

/* Masked scores of a row become weights relative to their maximum. */
static mass weigh(int from, int until, float16 *s) {
    float16 top = (float16)(-INFINITY), added = (float16)(0.0f);
    for (int n = from; n < until; n++)
        top = LARGER(s[n], top);
    const float maximum = largest(top);
    const float16 base = (float16)(anchor(maximum));
    for (int n = from; n < until; n++) {
        const float16 w = exponential16(s[n] - base);
        s[n] = select(w, (float16)(-0.0f), isequal(s[n], (float16)(-INFINITY)));
        added += s[n];
    }
    return (mass){maximum, total(added)};
}

/* Weights times values of the keys [from, until) of the chunk at j0. */
static void add_values(const block *x, float16 s[RQ][CHUNK / 16], int j0, int from, int until,
                       ahead *next, float16 sum[RQ][EC / 16]) {
    for (int r = 0; r < RQ; r++)
        for (int e = 0; e < EC / 16; e++)
            sum[r][e] = (float16)(0.0f);
    for (int j = from; j < until; j += 4) {
        float16 rows[4][EC / 16];
        for (int n = 0; n < 4; n++) {
            look_ahead_row(next, 1);
            copy_row(&x->v, j0 + j + n, x->column, EC, rows[n]);
        }
        for (int r = 0; r < RQ; r++) {
            const float *const w = (const float *)s[r] + j;
            for (int e = 0; e < EC / 16; e++) {
                float16 a = sum[r][e];
#pragma unroll
                for (int n = 0; n < 4; n++)
                    a = FMA((float16)(w[n]), rows[n][e], a);
                sum[r][e] = a;
            }
        }
    }
}

/* The same for one row, without the excluded keys. */
static void add_chosen(const block *x, const float *w, int j0, int from, int until,
                       float16 sum[EC / 16]) {
    for (int e = 0; e < EC / 16; e++)
        sum[e] = (float16)(0.0f);
    for (int j = from; j < until; j++) {
        float16 row[EC / 16];
        if (as_uint(w[j]) == EXCLUDED) continue;
        copy_row(&x->v, j0 + j, x->column, EC, row);
        for (int e = 0; e < EC / 16; e++)
            sum[e] = FMA((float16)(w[j]), row[e], sum[e]);
    }
}

static int finite(const float16 *sum) {
    int good = 1;
    for (int e = 0; e < EC / 16; e++)
        good = good && all(isfinite(sum[e]));
    return good;
}

/* The chunk that begins at key j0, on its own. */
static void chunk(const inputs *in, const block *x, int j0, ahead *next, part *result) {
    float16 s[RQ][CHUNK / 16];
    const int first = max(x->k.begin - j0, 0), last = min(x->k.end - j0, CHUNK);
    const int from = first / 16, until = (last + 15) / 16;
    for (int n = from; n < until; n++) {
        float16 sum[RQ];
        products(x, j0 + 16 * n, next, sum);
        for (int r = 0; r < RQ; r++)
            s[r][n] = masked_keys(in, &x->rows[r], j0 + 16 * n, sum[r], STAGE_RAW);
    }
    for (int r = 0; r < RQ; r++)
        result->rows[r] = weigh(from, until, s[r]);
    add_values(x, s, j0, 16 * from, 16 * until, next, result->values);
    for (int r = 0; r < RQ; r++)
        if (!finite(result->values[r]))
            add_chosen(x, (const float *)s[r], j0, 16 * from, 16 * until, result->values[r]);
}

/* total += added, by the rules of the online softmax. */
static void join(part *sum, const part *added) {
    for (int r = 0; r < RQ; r++) {
        mass *const m = &sum->rows[r];
        const mass one = added->rows[r];
        const float top = fmax(m->maximum, one.maximum), base = anchor(top);
        const float old = exponential(m->maximum - base), new = exponential(one.maximum - base);
        m->maximum = top;
        m->sum = FMA(m->sum, old, one.sum * new);
        for (int e = 0; e < EC / 16; e++)
            sum->values[r][e] = FMA(sum->values[r][e], (float16)(old), added->values[r][e] * new);
    }
}

static void clear(part *x) {
    for (int r = 0; r < RQ; r++) {
        x->rows[r] = (mass){-INFINITY, 0.0f};
        for (int e = 0; e < EC / 16; e++)
            x->values[r][e] = (float16)(0.0f);
    }
}

/* Rows first .. first + RQ - 1 of key/value head z; beyond the last one it is repeated. */
static void block_rows(block *x, const inputs *in, __global const float *queries, int z,
                       int first) {
    const attention_params *const p = in->p;
    const int b = z / p->G, g = z % p->G, length = rows_of(in, b), count = p->R * length;
    x->k.begin = 0x7fffffff;
    x->k.end = 0;
    for (int r = 0; r < RQ; r++) {
        const int row = min(first + r, count - 1), h = g * p->R + row / length;
        x->rows[r] = row_make(in, b, h, row % length);
        x->queries[r] = queries + query_of(in, b, h, row % length);
        if (x->rows[r].first >= x->rows[r].end) continue;
        x->k.begin = min(x->k.begin, x->rows[r].first);
        x->k.end = max(x->k.end, x->rows[r].end);
    }
}

/* (block of RQ rows, piece of the keys, (sample and key/value head) x chunk of columns) */
__kernel WHOLE_VECTORS void
attention_few(const attention_params p, __global const uchar *mask, __global const uchar *bias,
              __global const uchar *key_mask, __global const float *slopes,
              __global const float *queries, __global const float *values,
              __global const float *sinks, __global uchar *out, __global float *lse,
              __global float *scratch DIRECT_ARGUMENTS) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks, b = z / p.G;
    const int column = (int)get_global_id(2) % chunks * EC, piece = get_global_id(1);
    const int count = p.R * rows_of(&in, b), first = RQ * (int)get_global_id(0);
    if (first >= count || !is_mine(&in, b)) return;
    const operand_head head = {sample_of(&in, b), b, z % p.G};
    block x;
    x.k = (source){&d.k, {k, k_scales, pages}, head, 0, 0};
    x.v = (source){&d.v, {v, v_scales, pages}, head, 0, 0};
    x.column = column;
    block_rows(&x, &in, queries, z, first);
    x.v.begin = x.k.begin;
    x.v.end = x.k.end;
    part sum, one;
    ahead next;
    clear(&sum);
    for (int j0 = x.k.begin / CHUNK * CHUNK; j0 < x.k.end; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != piece) continue;
        ahead_make(&next, 0, &x.k, j0 + CHUNK, 0, DP);
        ahead_make(&next, 1, &x.v, j0 + CHUNK, column, EC);
        chunk(&in, &x, j0, &next, p.pieces > 1 ? &sum : &one);
        if (p.pieces == 1) join(&sum, &one);
    }
    for (int r = 0; r < RQ && first + r < count; r++) {
        if (p.pieces > 1)
            keep_piece(&p, scratch, x.rows[r].number, piece, column, sum.rows[r],
                       (const float *)sum.values[r]);
        else
            finish_row(&p, &x.rows[r], &to, column, sum.rows[r], (const float *)sum.values[r]);
    }
}
