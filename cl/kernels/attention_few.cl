/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for CPUs where query rows are few, which reading keys and values bounds: a
 * work-item owns RQ rows of one key/value head, and each key and each row of values is read once
 * for all of them, where the caller has it, 16 elements in the lanes of a vector.
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
#define KEYS (16 / RQ) /* of a pass: 16 products stay in registers */
#if RQ == 1
typedef float16 few_keys;
#elif RQ == 2
typedef float8 few_keys;
#elif RQ == 4
typedef float4 few_keys;
#else
typedef float2 few_keys;
#endif
#define TILE (RQ > 4 ? 2 : RQ > 2 ? 4 : 8) /* vectors of columns whose sums stay in registers */
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

/* ---- products of queries and keys ------------------------------------------------------------ */

/* 16 rows of floats where the caller has them, and at `next` those that will be wanted a chunk
 * later, as far apart. */
typedef struct rows_there {
    __global const float *first;
    i64 pitch;
    ulong next;
} rows_there;

/* From key j on, a multiple of 16; `first` is NULL where they cannot be read as they lie. */
static rows_there rows_find(const source *o, int j, int column, int columns, const ahead *a,
                            int n) {
    const operand_source *const x = o->x;
    rows_there r = {0, x->strides[2], 0};
    if (x->type != TYPE_F32 || x->strides[3] != 1 || column + columns > x->size ||
        x->page_size % 16 != 0 || j < o->begin || j + 16 > o->end)
        return r;
    const operand_row row = operand_find(x, &o->memory, &o->head, j);
    r.first = (__global const float *)o->memory.rows + row.at + column;
    r.next =
        j % CHUNK + 16 > a->end[n] ? (ulong)r.first : a->at[n] + (ulong)(j % CHUNK * a->pitch[n]);
    return r;
}

/* Four rounds, since compilers leave a loop whose count halves as it is. sums_along: lane n is the
 * sum of the lanes of sum[n]; sums_across: the sum of lane n of all, in the same order. */
static float16 zip_sum(float16 a, float16 b) {
    return zip_low(a, b) + zip_high(a, b);
}
#define SUM_ROUND(apart, ADD)                                                                      \
    _Pragma("unroll") for (int i = 0; i < apart; i++) sum[i] = ADD(sum[i], sum[i + apart]);
#define DEFINE_SUMS(name, ADD)                                                                     \
    static float16 name(float16 sum[16]) {                                                         \
        SUM_ROUND(8, ADD)                                                                          \
        SUM_ROUND(4, ADD)                                                                          \
        SUM_ROUND(2, ADD)                                                                          \
        SUM_ROUND(1, ADD)                                                                          \
        return sum[0];                                                                             \
    }
#define PLAIN_SUM(a, b) ((a) + (b))
DEFINE_SUMS(sums_along, zip_sum)
DEFINE_SUMS(sums_across, PLAIN_SUM)

/* KEYS keys from number pass * KEYS on, times the queries: [row][key]. Element d of a product is
 * summed with every 16th before and after it, and these 16 sums in the end, whichever way the keys
 * lie. */
#define ROW_THERE(n, e) vload16(e, rows->first + rows->pitch * (n))
#define ROW_COPIED(n, e) rows[n][e]
#define AHEAD(n, e) PREFETCH(rows->next + (ulong)(rows->pitch * (n) + 16 * (e)) * 4)
#define NOTHING(n, e)
#define DEFINE_PRODUCTS(name, rows_type, LOAD, NEXT)                                               \
    static float16 name(const block *x, rows_type rows, int pass) {                                \
        float16 sum[16];                                                                           \
        _Pragma("unroll") for (int i = 0; i < 16; i++) sum[i] = (float16)(0.0f);                   \
        for (int d = 0; d < DP / 16; d++) {                                                        \
            float16 query[RQ];                                                                     \
            _Pragma("unroll") for (int r = 0; r < RQ; r++) query[r] = vload16(d, x->queries[r]);   \
            _Pragma("unroll") for (int n = 0; n < KEYS; n++) {                                     \
                const float16 key = LOAD(n + pass * KEYS, d);                                      \
                NEXT(n + pass * KEYS, d);                                                          \
                _Pragma("unroll") for (int r = 0; r < RQ; r++) sum[r * KEYS + n] =                 \
                    FMA(query[r], key, sum[r * KEYS + n]);                                         \
            }                                                                                      \
        }                                                                                          \
        return sums_along(sum);                                                                    \
    }
typedef float16 key_row[DP / 16];
DEFINE_PRODUCTS(products_there, const rows_there *, ROW_THERE, AHEAD)
DEFINE_PRODUCTS(products_copied, const key_row *, ROW_COPIED, NOTHING)

/* A query and 16 keys; keys[d]: element d of them. */
static float16 products_together(__global const float *query, const float16 keys[DP]) {
    float16 sum[16];
#pragma unroll
    for (int d = 0; d < 16; d++)
        sum[d] = (float16)(0.0f);
    for (int d0 = 0; d0 < DP; d0 += 16) {
#pragma unroll
        for (int d = 0; d < 16; d++)
            sum[d] = FMA((float16)(query[d0 + d]), keys[d0 + d], sum[d]);
    }
    return sums_across(sum);
}

/* Products of RQ queries and keys j .. j + 15 become s[..][n]. */
static void products(const block *x, int j, ahead *next, float16 s[RQ][CHUNK / 16], int n) {
    key_row copy[16];
    if (keys_lie_together(x->k.x)) {
        const operand_keys keys =
            operand_keys_find(x->k.x, &x->k.memory, &x->k.head, j, x->k.begin, x->k.end);
        for (int d = 0; d < DP; d += 16)
            operand_columns(x->k.x, &x->k.memory, &keys, d, copy[0] + d);
        for (int r = 0; r < RQ; r++)
            s[r][n] = products_together(x->queries[r], copy[0]);
        return;
    }
    const rows_there there = rows_find(&x->k, j, 0, DP, next, 0);
    for (int i = 0; !there.first && i < 16; i++) {
        look_ahead_row(next, 0);
        copy_row(&x->k, j + i, 0, DP, copy[i]);
    }
    for (int pass = 0; pass < RQ; pass++) {
        const float16 some =
            there.first ? products_there(x, &there, pass) : products_copied(x, copy, pass);
        for (int r = 0; r < RQ; r++)
            ((few_keys *)&s[r][n])[pass] = ((const few_keys *)&some)[r];
    }
}

/* ---- weights and values ---------------------------------------------------------------------- */

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

/* sum[r][e] += s[r][n] times element e of row n, for 16 rows and `tile` vectors of elements. */
#define DEFINE_ADD(name, tile, rows_type, LOAD, NEXT)                                              \
    static void name(const float *s, rows_type rows, int e, float16 sum[RQ][EC / 16]) {            \
        float16 own[RQ][tile];                                                                     \
        _Pragma("unroll") for (int i = 0; i < RQ * tile; i++) own[i / tile][i % tile] =            \
            sum[i / tile][e + i % tile];                                                           \
        for (int n = 0; n < 16; n++) {                                                             \
            float16 row[tile];                                                                     \
            _Pragma("unroll") for (int v = 0; v < tile; v++) {                                     \
                row[v] = LOAD(n, e + v);                                                           \
                NEXT(n, e + v);                                                                    \
            }                                                                                      \
            _Pragma("unroll") for (int i = 0; i < RQ * tile; i++) own[i / tile][i % tile] =        \
                FMA((float16)(s[i / tile * CHUNK + n]), row[i % tile], own[i / tile][i % tile]);   \
        }                                                                                          \
        _Pragma("unroll") for (int i = 0; i < RQ * tile; i++) sum[i / tile][e + i % tile] =        \
            own[i / tile][i % tile];                                                               \
    }
DEFINE_ADD(add_there, TILE, const rows_there *, ROW_THERE, AHEAD)
DEFINE_ADD(add_two_there, 2, const rows_there *, ROW_THERE, AHEAD)
typedef float16 value_row[EC / 16];
DEFINE_ADD(add_copied, TILE, const value_row *, ROW_COPIED, NOTHING)
DEFINE_ADD(add_two_copied, 2, const value_row *, ROW_COPIED, NOTHING)

/* Weights times values of the keys [from, until) of the chunk at j0, both multiples of 16. */
static void add_values(const block *x, float16 s[RQ][CHUNK / 16], int j0, int from, int until,
                       ahead *next, float16 sum[RQ][EC / 16]) {
    value_row copy[16];
    for (int r = 0; r < RQ; r++)
        for (int e = 0; e < EC / 16; e++)
            sum[r][e] = (float16)(0.0f);
    for (int j = from; j < until; j += 16) {
        const float *const weights = (const float *)s + j;
        const rows_there there = rows_find(&x->v, j0 + j, x->column, EC, next, 1);
        int e = 0;
        if (there.first) {
            for (; e + TILE <= EC / 16; e += TILE)
                add_there(weights, &there, e, sum);
            for (; e < EC / 16; e += 2)
                add_two_there(weights, &there, e, sum);
            continue;
        }
        for (int n = 0; n < 16; n++) {
            look_ahead_row(next, 1);
            copy_row(&x->v, j0 + j + n, x->column, EC, copy[n]);
        }
        for (; e + TILE <= EC / 16; e += TILE)
            add_copied(weights, copy, e, sum);
        for (; e < EC / 16; e += 2)
            add_two_copied(weights, copy, e, sum);
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
    for (int n = from; n < until; n++)
        products(x, j0 + 16 * n, next, s, n);
    for (int r = 0; r < RQ; r++) {
        for (int n = from; n < until; n++)
            s[r][n] = masked_keys(in, &x->rows[r], j0 + 16 * n, s[r][n], STAGE_RAW);
        result->rows[r] = weigh(from, until, s[r]);
    }
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
