/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention where vectors are explicit and memory is cached: CPUs, and GPUs whose local
 * memory is plain memory. One work-item owns RQ rows of one key/value head and walks the keys in
 * chunks of 128: products with panels of keys, maximum, exponentials, and the sum over values, as
 * two loops of the same kind around FMAs with a scalar and a vector.
 *
 * Each chunk is summed on its own and then joined to the total, in the order of the keys, whether
 * one work-item walks all chunks or each has its own (`pieces`): the bits are the same, so short
 * queries over many keys can be spread over the device. An excluded key has the weight -0, which
 * adds nothing; only where that could have met a NaN or an infinity in V is the sum done again
 * without the excluded keys.
 */
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

#ifndef CHUNK
#define CHUNK 128 /* keys that are summed on their own */
#endif

typedef struct part {
    mass rows[RQ];
    float values[RQ * EC];
} part;

/* RQ rows and the operands of their head. */
typedef struct block {
    row_info rows[RQ];
    __global const float *queries[RQ];
    int from, until; /* keys that any of the rows may see */
    __global const float *keys, *values;
} block;

/* Values of the chunk, and how far apart their rows are. */
typedef struct value_rows {
    __global const float *first;
    i64 pitch;
} value_rows;

static float16 value_at(const value_rows *v, int j, int e) {
    return vload16(0, v->first + j * v->pitch + e);
}

/* ---- one chunk ------------------------------------------------------------------------------- */

/* Products of RQ queries and 32 keys, for each row CHUNK apart. */
static void products(__global const float *const *queries, __global const float *left, float *s) {
    __global const float *const right = left + 16 * DP;
    for (int d0 = 0; d0 < DP; d0 += 64) {
        float16 a[RQ], b[RQ];
#pragma unroll
        for (int r = 0; r < RQ; r++)
            a[r] = b[r] = (float16)(0.0f);
        const int d1 = d0 + 64 < DP ? d0 + 64 : DP;
        for (int d = d0; d < d1; d++) {
            const float16 x = vload16(d, left), y = vload16(d, right);
#pragma unroll
            for (int r = 0; r < RQ; r++) {
                a[r] = FMA((float16)(queries[r][d]), x, a[r]);
                b[r] = FMA((float16)(queries[r][d]), y, b[r]);
            }
        }
#pragma unroll
        for (int r = 0; r < RQ; r++) {
            float *const to = s + r * CHUNK;
            vstore16(d0 ? vload16(0, to) + a[r] : a[r], 0, to);
            vstore16(d0 ? vload16(1, to) + b[r] : b[r], 1, to);
        }
    }
}

/* Scores of a row become weights relative to their maximum. */
static mass weigh(const inputs *in, const row_info *row, int j0, int from, int until, float *s) {
    float16 top = (float16)(-INFINITY), added = (float16)(0.0f);
    for (int j = from; j < until; j += 16) {
        const float16 x = masked_keys(in, row, j0 + j, vload16(0, s + j), STAGE_RAW);
        vstore16(x, 0, s + j);
        top = fmax(top, x);
    }
    const float maximum = largest(top);
    const float16 base = (float16)(anchor(maximum));
    for (int j = from; j < until; j += 16) {
        const float16 x = vload16(0, s + j);
        const float16 w =
            select(exponential16(x - base), (float16)(-0.0f), isequal(x, (float16)(-INFINITY)));
        vstore16(w, 0, s + j);
        added += w;
    }
    return (mass){maximum, total(added)};
}

/* Weights times values for 32 columns from e on, in partials of 64 keys. */
static void add_values(const float *s, const value_rows *values, int e, int from, int until,
                       float *out) {
    float16 a[RQ], b[RQ];
    for (int r = 0; r < RQ; r++) {
        vstore16((float16)(0.0f), 0, out + r * EC);
        vstore16((float16)(0.0f), 1, out + r * EC);
    }
    for (int j0 = from / 64 * 64; j0 < until; j0 += 64) {
#pragma unroll
        for (int r = 0; r < RQ; r++)
            a[r] = b[r] = (float16)(0.0f);
        const int j1 = j0 + 64 < until ? j0 + 64 : until;
        for (int j = j0 < from ? from : j0; j < j1; j++) {
            const float16 x = value_at(values, j, e), y = value_at(values, j, e + 16);
#pragma unroll
            for (int r = 0; r < RQ; r++) {
                a[r] = FMA((float16)(s[r * CHUNK + j]), x, a[r]);
                b[r] = FMA((float16)(s[r * CHUNK + j]), y, b[r]);
            }
        }
#pragma unroll
        for (int r = 0; r < RQ; r++) {
            vstore16(vload16(0, out + r * EC) + a[r], 0, out + r * EC);
            vstore16(vload16(1, out + r * EC) + b[r], 1, out + r * EC);
        }
    }
}

/* The same for one row and 16 columns, without the excluded keys. */
static void add_chosen(const float *s, const value_rows *values, int e, int from, int until,
                       float *out) {
    float16 sum = (float16)(0.0f);
    for (int j0 = from / 64 * 64; j0 < until; j0 += 64) {
        float16 a = (float16)(0.0f);
        for (int j = max(j0, from); j < min(j0 + 64, until); j++)
            if (as_uint(s[j]) != EXCLUDED) a = FMA((float16)(s[j]), value_at(values, j, e), a);
        sum += a;
    }
    vstore16(sum, 0, out);
}

static int finite(const float *values, int count) {
    int good = 1;
    for (int e = 0; e < count; e += 16)
        good = good && all(isfinite(vload16(0, values + e)));
    return good;
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
        for (int e = 0; e < EC; e += 16) {
            float *const to = sum->values + r * EC + e;
            vstore16(
                FMA(vload16(0, to), (float16)(old), vload16(0, added->values + r * EC + e) * new),
                0, to);
        }
    }
}

static void clear(part *x) {
    for (int r = 0; r < RQ; r++)
        x->rows[r] = (mass){-INFINITY, 0.0f};
    for (int e = 0; e < RQ * EC; e += 16)
        vstore16((float16)(0.0f), 0, x->values + e);
}

/* Rows first .. first + RQ - 1 of key/value head z; beyond the last one it is repeated. */
static block block_make(const inputs *in, __global const float *queries, int z, int first) {
    const attention_params *const p = in->p;
    const int b = z / p->G, g = z % p->G, length = rows_of(in, b), count = p->R * length;
    block x = {.from = 0x7fffffff, .until = 0};
    for (int r = 0; r < RQ; r++) {
        const int row = min(first + r, count - 1), h = g * p->R + row / length;
        x.rows[r] = row_make(in, b, h, row % length);
        x.queries[r] = queries + query_of(in, b, h, row % length);
        if (x.rows[r].first >= x.rows[r].end) continue;
        x.from = min(x.from, x.rows[r].first);
        x.until = max(x.until, x.rows[r].end);
    }
    return x;
}

/* The chunk that begins at key j0, on its own. */
static void chunk(const inputs *in, const block *x, int j0, part *result) {
    float scores[RQ * CHUNK];
    const int first = max(x->from - j0, 0), last = min(x->until - j0, CHUNK);
    const int from = first / 32 * 32, until = (last + 31) / 32 * 32;
    const i64 pitch = in->p->value_strides[2];
    const value_rows values = {x->values + j0 * pitch, pitch};
    for (int j = from; j < until; j += 32)
        products(x->queries, x->keys + (i64)(j0 + j) * DP, scores + j);
    for (int r = 0; r < RQ; r++)
        result->rows[r] = weigh(in, &x->rows[r], j0, from, until, scores + r * CHUNK);
    for (int e = 0; e < EC; e += 32)
        add_values(scores, &values, e, first, last, result->values + e);
    if (finite(result->values, RQ * EC)) return;
    for (int r = 0; r < RQ; r++)
        for (int e = 0; e < EC; e += 16)
            add_chosen(scores + r * CHUNK, &values, e, first, last, result->values + r * EC + e);
}

/* (block of RQ rows, piece of the keys, (sample and key/value head) x chunk of columns) */
__kernel WHOLE_VECTORS void
attention_rows(const attention_params p, __global const uchar *mask, __global const uchar *bias,
               __global const uchar *key_mask, __global const float *slopes,
               __global const float *queries, __global const float *values,
               __global const float *sinks, __global uchar *out, __global float *lse,
               __global float *scratch) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks;
    const int column = (int)get_global_id(2) % chunks * EC, piece = get_global_id(1);
    const int count = p.R * rows_of(&in, z / p.G), first = RQ * (int)get_global_id(0);
    if (first >= count || z / p.G >= p.B) return;
    block x = block_make(&in, queries, z, first);
    x.keys = scratch + panels_of(&in, z / p.G, z % p.G);
    x.values = values + values_of(&in, z / p.G, z % p.G) + column;
    part sum, one;
    clear(&sum);
    for (int j0 = x.from / CHUNK * CHUNK; j0 < x.until; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != piece) continue;
        chunk(&in, &x, j0, p.pieces > 1 ? &sum : &one);
        if (p.pieces == 1) join(&sum, &one);
    }
    for (int r = 0; r < RQ && first + r < count; r++) {
        if (p.pieces > 1)
            keep_piece(&p, scratch, x.rows[r].number, piece, column, sum.rows[r],
                       sum.values + r * EC);
        else
            finish_row(&p, &x.rows[r], &to, column, sum.rows[r], sum.values + r * EC);
    }
}
