/* SPDX-License-Identifier: Apache-2.0
 *
 * The scores of a chunk of keys, as attention_decode's work-group computes them: each work-item has
 * a share of the products of all rows with 4 keys, an eighth of the head size; the shares of 8
 * neighbours are added up, in registers where they are of one sub-group. */
#ifndef ATTEND_CL_DECODE_SCORES_H
#define ATTEND_CL_DECODE_SCORES_H

#ifndef K_TYPE
#define K_TYPE TYPE_F32 /* of keys; of values V_TYPE */
#define V_TYPE TYPE_F32
#endif

#include "attention_decode.h"
#include "operand.h"
#include "subgroup.h"
#include "tile_rows.h"

#define CHUNK DECODE_CHUNK
#define ITEMS DECODE_ITEMS
#define LANES_OF_KEY 8
#define OWN 4   /* keys of a work-item at once */
#define KEYS 32 /* of the work-group */
#define SHARES NEIGHBOURS /* of a row: of its most and its sum */

/* Local memory, in floats. */
#define QUERIES(work) (work)
#define WEIGHTS(work) ((work) + RQ * DP)
#define SUMS(work) (WEIGHTS(work) + RQ * CHUNK)
#define SHARES_OF(work) (SUMS(work) + RQ * DECODE_SUMS)
#define LINES(work) ((__local row_line *)(SHARES_OF(work) + RQ * 2 * SHARES))
#define EXCHANGE(work) ((work) + DECODE_FLOATS(RQ, DP))

/* The rows of a group and the operands of their head. */
typedef struct few {
    operand_source k, v;
    operand_memory k_memory, v_memory;
    operand_head head;
    int z, first, count; /* plane, first row, rows in all */
    int column, item;
    int from, until; /* keys that any of the rows may see */
    i64 key_mask_at;
} few;

/* 4 elements that lie together, of I8 without their scale. */
static float4 four_at(const operand_source *x, const operand_memory *m, i64 at) {
    if (x->type == TYPE_F32) return vload4(0, (__global const float *)m->rows + at);
    if (x->type == TYPE_F16) return vload_half4(0, (__global const half *)m->rows + at);
    if (x->type == TYPE_BF16)
        return as_float4(convert_uint4(vload4(0, (__global const ushort *)m->rows + at)) << 16);
    return convert_float4(vload4(0, (__global const char *)m->rows + at));
}

/* 4 neighbours of a row, 0 beyond its end. */
static float4 quad_at(const operand_source *x, const operand_memory *m, const operand_row *row,
                      int from) {
    if (x->strides[3] != 1 || from + 4 > x->size) {
        float4 v = (float4)(0.0f);
        if (from < x->size) v.x = operand_element(x, m, row, from);
        if (from + 1 < x->size) v.y = operand_element(x, m, row, from + 1);
        if (from + 2 < x->size) v.z = operand_element(x, m, row, from + 2);
        if (from + 3 < x->size) v.w = operand_element(x, m, row, from + 3);
        return v;
    }
    return four_at(x, m, row->at + from) * row->scale;
}

/* ---- products -------------------------------------------------------------------------------- */

/* The type as the compiler knows it, so that no load waits behind a test of it. */
static operand_source keys_of(const few *t) {
    operand_source x = t->k;
    x.type = K_TYPE;
    return x;
}

/* The work-item's key number i of KEYS. */
static int own_key(const few *t, int i) {
    const int group = t->item / LANES_OF_KEY;
    return keys_lie_together(&t->k) ? OWN * group + i : group + KEYS / OWN * i;
}

#define STEP (4 * LANES_OF_KEY) /* elements of a key that its lanes read at once */
/* Such steps that are read before they are used, where rows leave registers for two. */
#define AHEAD (RQ > 2 || DP % (2 * STEP) ? 1 : 2)

/* Of keys that lie together: each element of 4 keys is one vector. Keys that may not be read give
 * anything. */
static void share_together(const few *t, __local float *work, int j, float v[RQ * OWN]) {
    const int lane = t->item % LANES_OF_KEY, key = j + own_key(t, 0);
    const operand_source x = keys_of(t);
    const operand_memory *const m = &t->k_memory;
    const int whole = x.size == DP;
    float4 sum[RQ];
    for (int r = 0; r < RQ; r++)
        sum[r] = (float4)(0.0f);
    if (key + OWN > t->from && key < t->until) {
        const operand_row row = operand_find(&x, m, &t->head, key);
        float4 scales = (float4)(1.0f);
        if (x.type == TYPE_I8) scales = vload4(0, m->scales + row.scale_at);
        for (int d = 4 * lane; d < DP; d += AHEAD * STEP) {
            float4 k[AHEAD * 4];
            if (whole) {
#pragma unroll
                for (int n = 0; n < AHEAD * 4; n++) {
                    const int from = d + n / 4 * STEP + n % 4;
                    k[n] = scales * four_at(&x, m, row.at + from * x.strides[3]);
                }
            } else {
#pragma unroll
                for (int n = 0; n < AHEAD * 4; n++) {
                    const int from = d + n / 4 * STEP + n % 4;
                    k[n] = (float4)(0.0f);
                    if (from < x.size) k[n] = scales * four_at(&x, m, row.at + from * x.strides[3]);
                }
            }
#pragma unroll
            for (int n = 0; n < AHEAD; n++)
#pragma unroll
                for (int r = 0; r < RQ; r++) {
                    const float4 q =
                        *(__local const float4 *)(QUERIES(work) + r * DP + d + n * STEP);
                    sum[r] = FMA((float4)(q.x), k[4 * n], sum[r]);
                    sum[r] = FMA((float4)(q.y), k[4 * n + 1], sum[r]);
                    sum[r] = FMA((float4)(q.z), k[4 * n + 2], sum[r]);
                    sum[r] = FMA((float4)(q.w), k[4 * n + 3], sum[r]);
                }
        }
    }
    for (int r = 0; r < RQ; r++)
        vstore4(sum[r], r, v);
}

/* Of the others: the elements of a key are vectors where they lie together. In place of keys that
 * may not be read stands the nearest one that may: without a branch all are asked for at once.
 * (Oclgrind takes scalar bounds of a vector for bounds of its first element.) */
static void share_apart(const few *t, __local float *work, int j, float v[RQ * OWN]) {
    const int lane = t->item % LANES_OF_KEY, first = j + own_key(t, 0), apart = KEYS / OWN;
    const operand_source x = keys_of(t);
    const operand_memory *const m = &t->k_memory;
    const int whole = x.size == DP && x.strides[3] == 1;
    operand_row rows[OWN];
    operand_find_4(&x, m, &t->head,
                   clamp((int4)(first) + (int4)(0, 1, 2, 3) * apart, (int4)(t->from),
                         (int4)(t->until - 1)),
                   rows);
#pragma unroll
    for (int n = 0; n < RQ * OWN; n++)
        v[n] = 0.0f;
    for (int d = 4 * lane; d < DP; d += AHEAD * STEP) {
        float4 k[OWN * AHEAD];
        if (whole) {
#pragma unroll
            for (int n = 0; n < OWN * AHEAD; n++)
                k[n] = four_at(&x, m, rows[n % OWN].at + d + n / OWN * STEP) *
                       rows[n % OWN].scale;
        } else {
#pragma unroll
            for (int n = 0; n < OWN * AHEAD; n++)
                k[n] = quad_at(&x, m, &rows[n % OWN], d + n / OWN * STEP);
        }
#pragma unroll
        for (int n = 0; n < RQ * AHEAD; n++) {
            const int r = n % RQ, step = n / RQ;
            const float4 q = *(__local const float4 *)(QUERIES(work) + r * DP + d + step * STEP);
#pragma unroll
            for (int i = 0; i < OWN; i++) {
                const float4 key = k[step * OWN + i];
                const float sum = v[r * OWN + i];
                v[r * OWN + i] =
                    FMA(q.w, key.w, FMA(q.z, key.z, FMA(q.y, key.y, FMA(q.x, key.x, sum))));
            }
        }
    }
}

/* A work-item's share of the products of all rows with its keys of those from j on, [RQ][OWN]; 8
 * neighbours have the same keys. */
static void share_products(const few *t, __local float *work, int j, float v[RQ * OWN]) {
    if (keys_lie_together(&t->k))
        share_together(t, work, j, v);
    else
        share_apart(t, work, j, v);
}

/* ---- sums of shares -------------------------------------------------------------------------- */

#define LEFT (RQ > 1 ? RQ / 2 : 1) /* products of all rows and KEYS keys that a work-item adds up */

#ifdef USE_SUBGROUPS
/* The place of the work-item's number i of them, r * CHUNK + key; -1: there is none. */
static int own_product(const few *t, int i) {
    const int n = (t->item & 1) * (RQ * OWN / 2) + (t->item / 2 & 1) * (RQ * OWN / 4) +
                  (t->item / 4 & 1) * (RQ * OWN / 8) + i;
    const int mine = RQ > 1 || !(t->item & 4); /* of one row a pair has a product together */
    return mine ? n / OWN * CHUNK + own_key(t, n % OWN) : -1;
}

/* Adds the half of v that the neighbour keeps to the neighbour's, and gets the other one's. */
static void fold(const few *t, __local float *work, int half_of, int mask, float v[RQ * OWN]) {
    const int upper = (t->item & mask) != 0;
    NEIGHBOUR_UNROLL
    for (int i = 0; i < half_of; i++) {
        const float low = v[i], high = v[half_of + i]; /* a choice of addresses needs an array */
        const float given = upper ? low : high, kept = upper ? high : low;
        v[i] = kept + neighbour_value(given, mask, EXCHANGE(work));
    }
}

/* From the shares of 8 neighbours to the products, of which each gets its own eighth. */
static void add_shares(const few *t, __local float *work, float v[RQ * OWN]) {
    fold(t, work, RQ * OWN / 2, 1, v);
    fold(t, work, RQ * OWN / 4, 2, v);
#if RQ > 1
    fold(t, work, RQ * OWN / 8, 4, v);
#else
    v[0] += neighbour_value(v[0], 4, EXCHANGE(work));
#endif
}
#else
static int own_product(const few *t, int i) {
    const int n = t->item + i * ITEMS;
    return n < RQ * KEYS ? n / KEYS * CHUNK + n % KEYS : -1;
}

/* A neighbour's share of a product at `place`; the keys of each in an order that spares banks. */
static __local float *share_at(__local float *work, int lane, int place) {
    return SUMS(work) + (place / CHUNK * LANES_OF_KEY + lane) * KEYS + (place % CHUNK ^ 4 * lane);
}

static void add_shares(const few *t, __local float *work, float v[RQ * OWN]) {
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < RQ * OWN; n++)
        *share_at(work, t->item % LANES_OF_KEY, n / OWN * CHUNK + own_key(t, n % OWN)) = v[n];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < LEFT; i++) {
        const int place = max(own_product(t, i), 0);
        float shares[LANES_OF_KEY];
        for (int lane = 0; lane < LANES_OF_KEY; lane++)
            shares[lane] = *share_at(work, lane, place);
        v[i] = sum_8(vload8(0, shares));
    }
}
#endif

/* ---- scores ---------------------------------------------------------------------------------- */

/* The product of a row and key k of the chunk at key j0 becomes a masked score. */
static void put_score(const inputs *in, const few *t, __local float *work, int j0, int place) {
    const int j = j0 + place % CHUNK;
    const row_info row = row_of(LINES(work) + place / CHUNK, t->key_mask_at);
    __local float *const s = WEIGHTS(work) + place;
    *s = allowed_key(in, &row, j) ? advance_key(in, &row, j, *s, STAGE_RAW, STAGE_MASKED)
                                  : -INFINITY;
}

/* Masked scores of the chunk at key j0, [RQ][CHUNK]. Products first: what a score asks for would
 * take the registers that they need. */
static void scores(const inputs *in, const few *t, __local float *work, int j0) {
    for (int k = 0; k < CHUNK; k += KEYS) {
        float v[RQ * OWN];
        share_products(t, work, j0 + k, v);
        add_shares(t, work, v);
#pragma unroll
        for (int i = 0; i < LEFT; i++)
            if (own_product(t, i) >= 0) WEIGHTS(work)[k + own_product(t, i)] = v[i];
    }
#pragma unroll 1
    for (int n = 0; n < LEFT * (CHUNK / KEYS); n++) {
        const int place = own_product(t, n % LEFT);
        if (place >= 0) put_score(in, t, work, j0, n / LEFT * KEYS + place);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

#endif
