/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention where vectors are explicit and memory is cached: CPUs, and GPUs whose local
 * memory is plain memory. One work-item owns RQ rows of one key/value head and walks the keys in
 * chunks of 256: products with panels of keys, maximum, exponentials, and the sum over values, as
 * two loops of the same kind around FMAs with a scalar and a vector.
 *
 * Each chunk is summed on its own and then joined to the total, in the order of the keys, whether
 * one work-item walks all chunks or each has its own (`pieces`): the bits are the same, so short
 * queries over many keys can be spread over the device. An excluded key has the weight -0, which
 * adds nothing; only where that could have met a NaN or an infinity in V is the sum done again
 * without the excluded keys. */
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

#define CHUNK 256
#define EXCLUDED 0x80000000u /* the bits of -0 */

typedef struct part {
    float maximum[RQ], sum[RQ];
    float values[RQ * EC];
} part;

/* Products of RQ queries and the keys [from, until) of a chunk, both multiples of 32 from its
 * start. */
static void products(__global const float *const *queries, __global const float *panels, int from,
                     int until, float *s) {
    for (int j = from; j < until; j += 32) {
        __global const float *const left = panels + (i64)j * DP, *const right = left + 16 * DP;
        for (int d0 = 0; d0 < DP; d0 += 64) {
            float16 a[RQ], b[RQ];
            for (int r = 0; r < RQ; r++)
                a[r] = b[r] = (float16)(0.0f);
            const int d1 = d0 + 64 < DP ? d0 + 64 : DP;
            for (int d = d0; d < d1; d++) {
                const float16 x = vload16(d, left), y = vload16(d, right);
                for (int r = 0; r < RQ; r++) {
                    a[r] = FMA((float16)(queries[r][d]), x, a[r]);
                    b[r] = FMA((float16)(queries[r][d]), y, b[r]);
                }
            }
            for (int r = 0; r < RQ; r++) {
                float *const to = s + r * CHUNK + j;
                vstore16(d0 ? vload16(0, to) + a[r] : a[r], 0, to);
                vstore16(d0 ? vload16(1, to) + b[r] : b[r], 1, to);
            }
        }
    }
}

/* Scores of a row become weights relative to their maximum. */
static void weigh(const attention_params *p, const memories *m, const row_info *row, int j0,
                  int from, int until, float *s, float *maximum, float *sum) {
    float16 top = (float16)(-INFINITY), added = (float16)(0.0f);
    for (int j = from; j < until; j += 16) {
        const float16 x = masked_keys(p, m, row, j0 + j, vload16(0, s + j), STAGE_RAW);
        vstore16(x, 0, s + j);
        top = fmax(top, x);
    }
    *maximum = largest(top);
    const float16 base = (float16)(anchor(*maximum));
    for (int j = from; j < until; j += 16) {
        const float16 x = vload16(0, s + j);
        const float16 w =
            select(exponential16(x - base), (float16)(-0.0f), isequal(x, (float16)(-INFINITY)));
        vstore16(w, 0, s + j);
        added += w;
    }
    *sum = total(added);
}

/* Weights times values for 32 columns, in partials of 64 keys; `chosen`: without excluded keys. */
static void mix(const float *s, __global const float *values, i64 stride, int from, int until,
                int chosen, float *out) {
    float16 a[RQ], b[RQ];
    for (int r = 0; r < RQ; r++) {
        vstore16((float16)(0.0f), 0, out + r * EC);
        vstore16((float16)(0.0f), 1, out + r * EC);
    }
    for (int j0 = from / 64 * 64; j0 < until; j0 += 64) {
        for (int r = 0; r < RQ; r++)
            a[r] = b[r] = (float16)(0.0f);
        const int j1 = j0 + 64 < until ? j0 + 64 : until;
        for (int j = j0 < from ? from : j0; j < j1; j++) {
            const float16 x = vload16(0, values + j * stride), y = vload16(1, values + j * stride);
            for (int r = 0; r < RQ; r++) {
                const float w = s[r * CHUNK + j];
                if (chosen && as_uint(w) == EXCLUDED) continue;
                a[r] = FMA((float16)(w), x, a[r]);
                b[r] = FMA((float16)(w), y, b[r]);
            }
        }
        for (int r = 0; r < RQ; r++) {
            vstore16(vload16(0, out + r * EC) + a[r], 0, out + r * EC);
            vstore16(vload16(1, out + r * EC) + b[r], 1, out + r * EC);
        }
    }
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
        const float top = fmax(sum->maximum[r], added->maximum[r]), base = anchor(top);
        const float old = exponential(sum->maximum[r] - base);
        const float new = exponential(added->maximum[r] - base);
        sum->maximum[r] = top;
        sum->sum[r] = FMA(sum->sum[r], old, added->sum[r] * new);
        for (int e = 0; e < EC; e += 16) {
            float *const to = sum->values + r * EC + e;
            vstore16(FMA(vload16(0, to), (float16)(old),
                         vload16(0, added->values + r * EC + e) * new),
                     0, to);
        }
    }
}

static void clear(part *x) {
    for (int r = 0; r < RQ; r++) {
        x->maximum[r] = -INFINITY;
        x->sum[r] = 0.0f;
    }
    for (int e = 0; e < RQ * EC; e += 16)
        vstore16((float16)(0.0f), 0, x->values + e);
}

typedef struct span {
    int from, until; /* keys that any row of the block may see */
} span;

static span span_of(const row_info *rows) {
    span s = {0x7fffffff, 0};
    for (int r = 0; r < RQ; r++) {
        if (rows[r].first >= rows[r].end) continue;
        s.from = min(s.from, rows[r].first);
        s.until = max(s.until, rows[r].end);
    }
    return s;
}

/* One chunk on its own. */
static void chunk(const attention_params *p, const memories *m, const row_info *rows,
                  __global const float *const *queries, __global const float *keys,
                  __global const float *values, int j0, span s, part *result) {
    float scores[RQ * CHUNK];
    const int from = max(s.from - j0, 0) / 32 * 32;
    const int until = min((s.until - j0 + 31) / 32 * 32, CHUNK);
    products(queries, keys + (i64)j0 * DP, from, until, scores);
    for (int r = 0; r < RQ; r++)
        weigh(p, m, &rows[r], j0, from, until, scores + r * CHUNK, &result->maximum[r],
              &result->sum[r]);
    for (int e = 0; e < EC; e += 32)
        mix(scores, values + (i64)j0 * p->EP + e, p->EP, from, until, 0, result->values + e);
    if (finite(result->values, RQ * EC)) return;
    for (int e = 0; e < EC; e += 32)
        mix(scores, values + (i64)j0 * p->EP + e, p->EP, from, until, 1, result->values + e);
}

static void finish_row(const attention_params *p, const row_info *row, __global const float *sinks,
                       __global uchar *out, __global float *lse, __global float *scratch,
                       int column, float maximum, float sum, const float *values) {
    const float share = close_row(p, row, sinks, lse, scratch, column == 0, maximum, sum);
    for (int e = 0; e < EC && column + e < p->E; e += 16)
        store_columns(p, out_of(p, row), column + e, out, vload16(0, values + e) * share);
}

/* (block of RQ rows, piece of the keys, (sample and key/value head) x chunk of columns) */
__kernel void attention_rows(const attention_params p, __global const uchar *mask,
                             __global const uchar *bias, __global const uchar *key_mask,
                             __global const float *slopes, __global const float *sinks,
                             __global uchar *out, __global float *lse, __global float *scratch) {
    const memories m = {mask, bias, key_mask, slopes};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks;
    const int column = (int)get_global_id(2) % chunks * EC, piece = get_global_id(1);
    const int b = z / p.G, g = z % p.G, count = p.R * p.L;
    const int first = RQ * (int)get_global_id(0);
    if (first >= count) return;
    __global const i64 *const table =
        p.table_at < 0 ? 0 : (__global const i64 *)scratch + p.table_at;
    row_info rows[RQ];
    __global const float *queries[RQ];
    for (int r = 0; r < RQ; r++) {
        const int row = min(first + r, count - 1), h = g * p.R + row / p.L;
        rows[r] = row_make(&p, &m, table, b, h, row % p.L);
        queries[r] = scratch + p.queries_at + (((i64)b * p.H + h) * p.L + row % p.L) * DP;
    }
    __global const float *const keys = scratch + p.keys_at + (i64)z * p.SP * DP;
    __global const float *const values = scratch + p.values_at + (i64)z * p.SP * p.EP + column;
    const span s = span_of(rows);
    part sum, one;
    clear(&sum);
    for (int j0 = s.from / CHUNK * CHUNK; j0 < s.until; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != piece) continue;
        chunk(&p, &m, rows, queries, keys, values, j0, s, p.pieces > 1 ? &sum : &one);
        if (p.pieces == 1) join(&sum, &one);
    }
    for (int r = 0; r < RQ && first + r < count; r++) {
        if (p.pieces > 1)
            keep_piece(&p, scratch, (i64)z * count + first + r, piece, column, sum.maximum[r],
                       sum.sum[r], sum.values + r * EC);
        else
            finish_row(&p, &rows[r], sinks, out, lse, scratch, column, sum.maximum[r], sum.sum[r],
                       sum.values + r * EC);
    }
}
