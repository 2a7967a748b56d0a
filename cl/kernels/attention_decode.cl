/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for GPUs where query rows are few, which reading keys and values bounds: a
 * work-group of 64 takes RQ rows of one key/value head, all heads of a group where they fit, and
 * reads each key and value once for all, where the caller has it. 8 work-items share 4 keys, then
 * each has 4 columns of every n-th value. What they sum is added in a fixed order, by neighbours of
 * a sub-group in registers where there are such (subgroup.h), with the same bits.
 *
 * Chunks of 256 keys are summed on their own and joined in the order of the keys, so that rows have
 * the same bits with and without split keys, and whatever RQ is. Excluded keys weigh -0, and are
 * left out where a sum over values is not finite.
 *
 * Registers by ptxas for compute capability 8.0, keys and values of float16:
 *
 *   RQ  DP   local bytes   registers
 *   8   128  21952         254
 *   4   256  13024         239 */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-group sums, at most 256 */
#endif
#ifndef RQ
#define RQ 4 /* query rows of a work-group */
#endif
#define DIRECT
#define BQ RQ
#include "decode_scores.h"

#include "attention_finish.h"

#define QUADS (EC / 4)
#define BANDS (ITEMS / QUADS) /* of keys, one after the other: BANDS apart */

/* ---- weights and sums ------------------------------------------------------------------------ */

/* The most of a row from its shares, of which n counts through those of all rows; then its sum, and
 * both for all work-items. Nothing is known of an n beyond the last. */
#ifdef USE_SUBGROUPS
static float row_most(__local float *work, int n, float top) {
    return neighbours_most(top, SHARES, EXCHANGE(work));
}
static void put_mass(__local float *work, int n, float top, float sum) {
    sum = neighbours_sum(sum, SHARES, EXCHANGE(work));
    if (n < RQ * SHARES && n % SHARES == 0) {
        SHARES_OF(work)[n / SHARES] = top;
        SHARES_OF(work)[RQ + n / SHARES] = sum;
    }
}
static mass row_mass(__local const float *work, int r) {
    return (mass){SHARES_OF(work)[r], SHARES_OF(work)[RQ + r]};
}
#else
static float most_of(__local const float *shares) {
    const float16 x = vload16(0, shares);
    const float8 a = fmax(x.even, x.odd);
    const float4 b = fmax(a.even, a.odd);
    return fmax(fmax(b.x, b.y), fmax(b.z, b.w));
}
static float row_most(__local float *work, int n, float top) {
    if (n < RQ * SHARES) SHARES_OF(work)[n] = top;
    barrier(CLK_LOCAL_MEM_FENCE);
    return most_of(SHARES_OF(work) + min(n / SHARES, RQ - 1) * SHARES);
}
static void put_mass(__local float *work, int n, float top, float sum) {
    if (n < RQ * SHARES) SHARES_OF(work)[RQ * SHARES + n] = sum;
}
static mass row_mass(__local const float *work, int r) {
    __local const float *const maxima = SHARES_OF(work) + r * SHARES;
    return (mass){most_of(maxima), sum_16(vload16(0, maxima + RQ * SHARES))};
}
#endif

/* Scores become weights; maxima and sums of the rows, by 16 shares of each: share i has the keys i,
 * i + 16, .. */
static void weigh(const few *t, __local float *work, mass m[RQ]) {
    for (int from = 0; from < RQ * SHARES; from += ITEMS) {
        const int n = from + t->item, end = n < RQ * SHARES ? CHUNK : 0;
        __local float *const s = WEIGHTS(work) + n / SHARES * CHUNK + n % SHARES;
        float top = -INFINITY, sum = 0.0f;
        for (int k = 0; k < end; k += SHARES)
            top = fmax(top, s[k]);
        top = row_most(work, n, top);
        const float base = anchor(top);
        for (int k = 0; k < end; k += SHARES) {
            s[k] = s[k] == -INFINITY ? -0.0f : exponential(s[k] - base);
            sum += s[k];
        }
        put_mass(work, n, top, sum);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = 0; r < RQ; r++)
        m[r] = row_mass(work, r);
}

static operand_source values_of_type(const few *t) {
    operand_source x = t->v;
    x.type = V_TYPE;
    return x;
}

static float4 value_at(const few *t, int j, int column) {
    const operand_source source = values_of_type(t);
    const operand_row row = operand_find(&source, &t->v_memory, &t->head, j);
    return quad_at(&source, &t->v_memory, &row, t->column + column);
}

/* Of 4 keys from j on, BANDS apart. */
static void values_at(const few *t, int j, int column, float4 x[4]) {
    const int from = t->column + column;
    const operand_source source = values_of_type(t);
    operand_row rows[4];
    operand_find_4(&source, &t->v_memory, &t->head, (int4)(j) + (int4)(0, 1, 2, 3) * BANDS, rows);
    if (source.strides[3] == 1 && from + 4 <= source.size) {
#pragma unroll
        for (int n = 0; n < 4; n++)
            x[n] = four_at(&source, &t->v_memory, rows[n].at + from) * rows[n].scale;
    } else {
#pragma unroll
        for (int n = 0; n < 4; n++)
            x[n] = quad_at(&source, &t->v_memory, &rows[n], from);
    }
}

/* Weights times values of every BANDS-th key, 4 columns of all rows; then those of the bands lie in
 * local memory, [RQ][BANDS][EC]. */
static void share_values(const few *t, __local float *work, int j0) {
    const int quad = t->item % QUADS, band = t->item / QUADS;
    const int first = max(t->from - j0, 0), end = min(t->until - j0, CHUNK);
    float4 a[RQ];
    if (band >= BANDS) return;
    for (int r = 0; r < RQ; r++)
        a[r] = (float4)(0.0f);
    int k = band + max(first - band + BANDS - 1, 0) / BANDS * BANDS;
    for (; k + 3 * BANDS < end; k += 4 * BANDS) {
        float4 v[4];
        values_at(t, j0 + k, 4 * quad, v);
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int r = 0; r < RQ; r++)
                a[r] = FMA((float4)(WEIGHTS(work)[r * CHUNK + k + n * BANDS]), v[n], a[r]);
    }
    for (; k < end; k += BANDS) {
        const float4 v = value_at(t, j0 + k, 4 * quad);
#pragma unroll
        for (int r = 0; r < RQ; r++)
            a[r] = FMA((float4)(WEIGHTS(work)[r * CHUNK + k]), v, a[r]);
    }
    for (int r = 0; r < RQ; r++) {
        if (!all(isfinite(a[r]))) {
            a[r] = (float4)(0.0f);
            for (k = band; k < end; k += BANDS) {
                const float w = WEIGHTS(work)[r * CHUNK + k];
                if (k >= first && as_uint(w) != EXCLUDED)
                    a[r] = FMA((float4)(w), value_at(t, j0 + k, 4 * quad), a[r]);
            }
        }
        vstore4(a[r], (r * BANDS + band) * QUADS + quad, SUMS(work));
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Elements n of [RQ][QUADS] of what the bands summed. */
static float4 sum_of_bands(__local float *work, int n) {
    float4 sum = (float4)(0.0f);
    for (int band = 0; band < BANDS; band++)
        sum += vload4((n / QUADS * BANDS + band) * QUADS + n % QUADS, SUMS(work));
    return sum;
}

/* Joins this chunk to the totals of earlier ones in memory; the work-item that does it for an
 * element does it for all chunks. */
static void join(const inputs *in, const few *t, __local float *work, __global float *totals,
                 const mass *m, const mass *added, int alone) {
    for (int n = t->item; n < RQ * QUADS; n += ITEMS) {
        const int r = n / QUADS;
        if (t->first + r >= t->count) continue;
        __global float *const to =
            totals + LINES(work)[r].number * in->p->EP + t->column + n % QUADS * 4;
        const float base = anchor(fmax(m[r].maximum, added[r].maximum));
        const float old = exponential(m[r].maximum - base),
                    new = exponential(added[r].maximum - base);
        const float4 sum = sum_of_bands(work, n);
        vstore4(alone ? sum : FMA(vload4(0, to), (float4)(old), sum * new), 0, to);
    }
}

static mass join_mass(mass m, mass added) {
    const float top = fmax(m.maximum, added.maximum), base = anchor(top);
    const float old = exponential(m.maximum - base), new = exponential(added.maximum - base);
    return (mass){top, FMA(m.sum, old, added.sum * new)};
}

/* 4 columns of row r: to its piece, or to the caller. */
static void finish(const inputs *in, const few *t, const results *to, int r, int quad, mass m,
                   float4 sum) {
    const attention_params *const p = in->p;
    const row_info row = row_at(in, t->z, t->first + r);
    const int column = t->column + 4 * quad, piece = GROUP_DOWN;
    if (p->pieces > 1) {
        if (column == 0) {
            piece_head(p, to->scratch, row.number, piece)[0] = m.maximum;
            piece_head(p, to->scratch, row.number, piece)[1] = m.sum;
        }
        vstore4(sum, 0, piece_values(p, to->scratch, row.number, piece) + column);
        return;
    }
    const float2 share = close_row(p, &row, to, column == 0, m);
    store_four(p, out_of(p, &row), column, to->out, sum * share.x * share.y);
}

/* (block of RQ rows, piece of the keys, (sample and key/value head) x chunk of columns), in groups
 * of 64 x 1 x 1 */
__kernel void attention_decode(const attention_params p, __global const uchar *mask,
                               __global const uchar *bias, __global const uchar *key_mask,
                               __global const float *slopes, __global const float *queries,
                               __global const float *values, __global const float *sinks,
                               __global uchar *out, __global float *lse, __global float *scratch,
                               __local float4 *local_memory DIRECT_ARGUMENTS) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks, b = z / p.G;
    __local float *const work = (__local float *)local_memory;
    few t = {.k = d.k, .v = d.v, .z = z, .item = neighbour_item()};
    t.k_memory = (operand_memory){k, k_scales, pages};
    t.v_memory = (operand_memory){v, v_scales, pages};
    t.head = (operand_head){sample_of(&in, b), b, z % p.G};
    t.column = (int)get_global_id(2) % chunks * EC;
    t.first = RQ * (int)get_group_id(0);
    t.count = is_mine(&in, b) ? p.R * rows_of(&in, b) : 0;
    t.key_mask_at = p.key_mask_at + b * p.key_mask_strides[0];
    lines_make(&in, z, t.first, t.item, ITEMS, LINES(work));
    barrier(CLK_LOCAL_MEM_FENCE);
    const key_range range = range_of(LINES(work));
    t.from = range.from;
    t.until = t.count > 0 ? range.until : 0;
    for (int n = t.item; n < RQ * DP; n += ITEMS)
        if (t.until > 0) QUERIES(work)[n] = queries[LINES(work)[n / DP].query_at + n % DP];
    mass m[RQ], one[RQ];
    for (int r = 0; r < RQ; r++)
        m[r] = one[r] = (mass){-INFINITY, 0.0f};
    barrier(CLK_LOCAL_MEM_FENCE);
    const chunk_range keys = chunks_of(&p, t.from, t.until);
    const int in_memory = keys.last > keys.first + CHUNK;
    for (int j0 = keys.first; j0 < keys.last; j0 += CHUNK) {
        scores(&in, &t, work, j0);
        weigh(&t, work, one);
        share_values(&t, work, j0);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int alone = j0 == keys.first;
        if (in_memory) join(&in, &t, work, scratch + p.totals_at, m, one, alone);
        for (int r = 0; r < RQ; r++)
            m[r] = alone ? one[r] : join_mass(m[r], one[r]);
    }
    for (int n = t.item; n < RQ * QUADS; n += ITEMS) {
        const int r = n / QUADS;
        if (t.first + r >= t.count) continue;
        float4 sum = keys.first < keys.last ? sum_of_bands(work, n) : (float4)(0.0f);
        if (in_memory)
            sum = vload4(n % QUADS,
                         scratch + p.totals_at + LINES(work)[r].number * p.EP + t.column);
        finish(&in, &t, &to, r, n % QUADS, m[r], sum);
    }
}
