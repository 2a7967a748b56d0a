/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for CPUs, where query rows are many. A work-item owns a few strips of ROWS query
 * rows of one key/value head, row n in lane n, and walks the keys in chunks of CHUNK. An FMA
 * takes one element of a key or value, in all lanes, and ROWS elements of queries or weights: keys
 * and values are read where the caller has them, or from copies as float32 that serve all strips,
 * and the maximum, the exponentials and the sum are whole vectors.
 *
 * Each chunk is summed on its own and joined to the total in the order of the keys, whether one
 * work-item walks all chunks or each has its own (`pieces`): the bits are the same. An excluded key
 * weighs -0, which adds nothing; only where that could have met a NaN or an infinity in V are the
 * sums done again without the excluded keys. */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-item sums */
#endif
#ifndef VECTORS
#define VECTORS 3 /* of 16 rows, at most 3: their sums stay in 32 registers */
#endif
#ifndef MOST_STRIPS
#define MOST_STRIPS 4
#endif
#define ROWS (16 * VECTORS)
#define AT_ONCE (VECTORS == 1 ? 16 : 8) /* keys, or columns of values, of one pass */
#include "attention_finish.h"
#include "key_block.h"

/* [n][16 VECTORS]: loads and stores of float16 are one instruction where vstore16 of PoCL is four.
 */
typedef float16 lanes[VECTORS];

typedef struct strip {
    lanes queries[DP], values[EC]; /* [element][row] */
    lanes maximum, sum;
    int16 first[VECTORS], end[VECTORS]; /* keys that position and length allow each row */
    row_info rows[ROWS];
    int from, until;         /* keys that some row may see */
    int all_from, all_until; /* keys that every row may see */
} strip;

/* ---- queries --------------------------------------------------------------------------------- */

/* Queries of a strip, [element][row]; beyond the last row it is repeated. Row by row first, as
 * they lie, since their lines come from far. */
static void take_queries(strip *t, const inputs *in, __global const float *queries) {
    for (int v = 0; v < VECTORS; v++) {
        float16 rows[16][DP / 16];
        for (int n = 0; n < 16; n++) {
            const row_info *const row = &t->rows[16 * v + n];
            __global const float *const from = queries + query_of(in, row->b, row->h, row->i);
            for (int d = 0; d < DP / 16; d++)
                rows[n][d] = vload16(d, from);
        }
        for (int d = 0; d < DP / 16; d++) {
            float16 r[16];
            for (int n = 0; n < 16; n++)
                r[n] = rows[n][d];
            transpose16(r);
            for (int n = 0; n < 16; n++)
                t->queries[16 * d + n][v] = r[n];
        }
    }
}

static void queries_ahead(__global const float *row) {
    for (int d = 0; d < DP; d += 16)
        PREFETCH((ulong)(row + d));
}

/* The row after r of the same head. */
static row_info row_next(const attention_params *p, row_info r) {
    r.i++;
    r.row++;
    r.number++;
    r.place++;
    r.mask_at += p->mask_strides[2];
    r.bias_at += p->bias_strides[2];
    row_limit(p, &r);
    return r;
}

/* Rows first .. first + ROWS - 1 of key/value head z. */
static void strip_make(strip *t, const inputs *in, __global const float *queries, int z,
                       int first) {
    const attention_params *const p = in->p;
    const int b = z / p->G, g = z % p->G, length = rows_of(in, b), count = p->R * length;
    int begins[ROWS], ends[ROWS];
    row_info row = row_make(in, b, g * p->R + first / length, first % length);
    t->from = t->all_until = 0x7fffffff;
    t->until = t->all_from = 0;
    for (int r = 0; r < ROWS; r++) {
        if (r > 0 && first + r < count)
            row = row.i + 1 < length ? row_next(p, row) : row_make(in, b, row.h + 1, 0);
        t->rows[r] = row;
        queries_ahead(queries + query_of(in, b, row.h, row.i));
        begins[r] = t->rows[r].first;
        ends[r] = t->rows[r].end;
        t->all_from = max(t->all_from, begins[r]);
        t->all_until = min(t->all_until, ends[r]);
        if (begins[r] >= ends[r]) continue;
        t->from = min(t->from, begins[r]);
        t->until = max(t->until, ends[r]);
    }
    for (int v = 0; v < VECTORS; v++) {
        t->first[v] = vload16(v, begins);
        t->end[v] = vload16(v, ends);
        t->maximum[v] = (float16)(-INFINITY);
        t->sum[v] = (float16)(0.0f);
    }
    for (int e = 0; e < EC * VECTORS; e++)
        t->values[e / VECTORS][e % VECTORS] = (float16)(0.0f);
    take_queries(t, in, queries);
}

/* ---- one chunk ------------------------------------------------------------------------------- */

/* sum[n] += sum over i of left[i * step + n * pitch], in all lanes, times right[i]. A copy of the
 * sums stays in registers. */
#define DEFINE_MULTIPLY(name, left_type)                                                           \
    static void name(left_type left, i64 step, i64 pitch, const lanes *right, int count,           \
                     lanes sum[AT_ONCE]) {                                                         \
        lanes own[AT_ONCE];                                                                        \
        _Pragma("unroll") for (int n = 0; n < AT_ONCE * VECTORS; n++)                              \
            own[n / VECTORS][n % VECTORS] = sum[n / VECTORS][n % VECTORS];                         \
        for (int i = 0; i < count; i++) {                                                          \
            _Pragma("unroll") for (int n = 0; n < AT_ONCE; n++) {                                  \
                const float16 x = (float16)(left[i * step + n * pitch]);                           \
                _Pragma("unroll") for (int v = 0; v < VECTORS; v++) own[n][v] =                    \
                    FMA(x, right[i][v], own[n][v]);                                                \
            }                                                                                      \
        }                                                                                          \
        _Pragma("unroll") for (int n = 0; n < AT_ONCE * VECTORS; n++)                              \
            sum[n / VECTORS][n % VECTORS] = own[n / VECTORS][n % VECTORS];                         \
    }
DEFINE_MULTIPLY(multiply_copied, const float *)
DEFINE_MULTIPLY(multiply_there, __global const float *)

static void zero(lanes sum[AT_ONCE]) {
#pragma unroll
    for (int n = 0; n < AT_ONCE * VECTORS; n++)
        sum[n / VECTORS][n % VECTORS] = (float16)(0.0f);
}

/* Keys of a chunk; `some`: not every row may see all of them. */
typedef struct span {
    int from, until, some;
} span;

/* Scores of the chunk, [key][row], times `factor`, and the largest of each row. */
static void products(const strip *t, const block *x, span keys, float factor, lanes *s,
                     float16 *top, ahead *next) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        top[v] = (float16)(-INFINITY);
    for (int j = keys.from; j < keys.until; j += AT_ONCE) {
        lanes sum[AT_ONCE];
        look_ahead(next, 0);
        look_ahead(next, 1);
        look_ahead(next, 0);
        zero(sum);
        if (j >= x->k.direct && j < x->k.direct_until)
            multiply_there(x->k.there + j * x->k.pitch, 1, x->k.pitch, t->queries, DP, sum);
        else
            multiply_copied(x->k.copied + j * DP, 1, DP, t->queries, DP, sum);
#pragma unroll
        for (int n = 0; n < AT_ONCE * VECTORS; n++) {
            const float16 x = sum[n / VECTORS][n % VECTORS] * factor;
            s[j + n / VECTORS][n % VECTORS] = x;
            top[n % VECTORS] = LARGER(x, top[n % VECTORS]);
        }
    }
}

/* -inf where position or length exclude a key. */
static void limit(const strip *t, int j0, int from, int until, lanes *s) {
    for (int j = from; j < until; j++)
        for (int v = 0; v < VECTORS; v++)
            s[j][v] = select((float16)(-INFINITY), s[j][v],
                             ((int16)(j0 + j) >= t->first[v]) & ((int16)(j0 + j) < t->end[v]));
}

/* The whole way from products to masked scores, a row at a time. */
static void advance(const strip *t, const inputs *in, int j0, int from, int until, lanes *s) {
    for (int j = from; j < until; j += 16)
        for (int v = 0; v < VECTORS; v++) {
            float16 r[16];
            for (int n = 0; n < 16; n++)
                r[n] = s[j + n][v];
            transpose16(r);
            for (int n = 0; n < 16; n++)
                r[n] = masked_keys(in, &t->rows[16 * v + n], j0 + j, r[n], STAGE_RAW);
            transpose16(r);
            for (int n = 0; n < 16; n++)
                s[j + n][v] = r[n];
        }
}

static void largest_of(int from, int until, const lanes *s, float16 *top) {
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
        top[v] = (float16)(-INFINITY);
    for (int j = from; j < until; j++)
#pragma unroll
        for (int v = 0; v < VECTORS; v++)
            top[v] = LARGER(s[j][v], top[v]);
}

/* Scores become weights relative to their row's largest; `some`: keys may be excluded. */
static void weigh(int from, int until, int some, lanes *s, const float16 *top, float16 *sum) {
    float16 base[VECTORS];
#pragma unroll
    for (int v = 0; v < VECTORS; v++) {
        base[v] = anchors(top[v]);
        sum[v] = (float16)(0.0f);
    }
    if (!some)
        for (int j = from; j < until; j++)
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                s[j][v] = exponential16(s[j][v] - base[v]);
                sum[v] += s[j][v];
            }
    else
        for (int j = from; j < until; j++)
#pragma unroll
            for (int v = 0; v < VECTORS; v++) {
                const float16 w = exponential16(s[j][v] - base[v]);
                s[j][v] = select(w, (float16)(-0.0f), isequal(s[j][v], (float16)(-INFINITY)));
                sum[v] += s[j][v];
            }
}

static float value_at(const rows_of_chunk *v, int j, int e) {
    return j >= v->direct && j < v->direct_until ? v->there[j * v->pitch + e]
                                                 : v->copied[j * EC + e];
}

/* Sums of AT_ONCE columns from e on, of allowed keys alone. */
static void multiply_chosen(const rows_of_chunk *x, int e, const lanes *s, int from, int until,
                            lanes sum[AT_ONCE]) {
    for (int n = 0; n < AT_ONCE; n++)
        for (int v = 0; v < VECTORS; v++) {
            sum[n][v] = (float16)(0.0f);
            for (int j = from; j < until; j++) {
                const float16 w = s[j][v];
                const float16 more = FMA((float16)(value_at(x, j, e + n)), w, sum[n][v]);
                sum[n][v] = select(more, sum[n][v], as_uint16(w) == EXCLUDED);
            }
        }
}

static int finite(lanes sum[AT_ONCE]) {
    float16 zero = (float16)(0.0f);
    for (int n = 0; n < AT_ONCE * VECTORS; n++)
        zero = FMA(sum[n / VECTORS][n % VECTORS], (float16)(0.0f), zero);
    return all(isequal(zero, (float16)(0.0f)));
}

/* values = values * old + (weights times V of the chunk) * new. */
static void add_values(strip *t, const block *x, const lanes *s, span keys, const float16 *old,
                       const float16 *new, ahead *next) {
    const int from = keys.from, until = keys.until;
    lanes sum[AT_ONCE];
    const int first = clamp(x->v.direct, from, until),
              last = clamp(x->v.direct_until, first, until);
    for (int e = 0; e < EC; e += AT_ONCE) {
        look_ahead(next, 1);
        zero(sum);
        multiply_copied(x->v.copied + from * EC + e, EC, 1, s + from, first - from, sum);
        multiply_there(x->v.there + first * x->v.pitch + e, x->v.pitch, 1, s + first, last - first,
                       sum);
        multiply_copied(x->v.copied + last * EC + e, EC, 1, s + last, until - last, sum);
        if (keys.some && !finite(sum)) multiply_chosen(&x->v, e, s, from, until, sum);
#pragma unroll
        for (int n = 0; n < AT_ONCE * VECTORS; n++) {
            float16 *const to = &t->values[e + n / VECTORS][n % VECTORS];
            *to = FMA(*to, old[n % VECTORS], sum[n / VECTORS][n % VECTORS] * new[n % VECTORS]);
        }
    }
}

static void chunk(strip *t, const inputs *in, const block *x, int j0, int dense, ahead *next) {
    lanes s[CHUNK], top, sum, old, new;
    const int from = max(x->from, max(t->from - j0, 0) / 16 * 16);
    const int until = min(x->until, (t->until - j0 + 15) / 16 * 16);
    if (from >= until) return;
    const int some = dense || j0 + from < t->all_from || j0 + until > t->all_until;
    const span keys = {from, until, some};
    products(t, x, keys, dense ? 1.0f : in->p->scale, s, top, next);
    if (dense)
        advance(t, in, j0, from, until, s);
    else if (some)
        limit(t, j0, from, until, s);
    if (some) largest_of(from, until, s, top);
    weigh(from, until, some, s, top, sum);
    for (int v = 0; v < VECTORS; v++) {
        const float16 largest = LARGER(top[v], t->maximum[v]);
        const float16 base = anchors(largest);
        old[v] = exponential16(t->maximum[v] - base);
        new[v] = exponential16(top[v] - base);
        t->maximum[v] = largest;
        t->sum[v] = FMA(t->sum[v], old[v], sum[v] * new[v]);
    }
    add_values(t, x, s, keys, old, new, next);
}

/* ---- all of it ------------------------------------------------------------------------------- */

typedef struct place {
    int piece, column;
} place;

static void finish(strip *t, const attention_params *p, const results *to, place at, int count) {
    float16 rows[16 * EC / 16];
    const float *const maxima = (const float *)t->maximum, *const sums = (const float *)t->sum;
    for (int r = 0; r < count; r++) {
        const row_info *const row = &t->rows[r];
        const float *const values = (const float *)(rows + r % 16 * (EC / 16));
        if (r % 16 == 0)
            for (int e = 0; e < EC; e += 16) {
                float16 x[16];
                for (int n = 0; n < 16; n++)
                    x[n] = t->values[e + n][r / 16];
                transpose16(x);
                for (int n = 0; n < 16; n++)
                    rows[(n * EC + e) / 16] = x[n];
            }
        const mass m = {maxima[r], sums[r]};
        if (p->pieces > 1)
            keep_piece(p, to->scratch, row->number, at.piece, at.column, m, values);
        else
            finish_row(p, row, to, at.column, m, values);
    }
}

static void ahead_of_chunk(ahead *next, const source *k, const source *v, int j0, int column) {
    ahead_make(next, 0, k, j0, 0, DP);
    ahead_make(next, 1, v, j0, column, EC);
}

/* The first chunk of the next head, which the same thread often takes next, where samples are
 * alike: it has the key that this asks for. */
static void ahead_of_head(ahead *next, const inputs *in, const source *k, const source *v,
                          int column) {
    const int z = k->head.b * in->p->G + k->head.h + 1, b = z / in->p->G;
    source keys = *k, values = *v;
    keys.head = values.head = (operand_head){0, b, z % in->p->G};
    if (b >= in->p->B || in->table) keys.end = values.end = 0;
    ahead_of_chunk(next, &keys, &values, 0, column);
}

/* (set of strips, piece of the keys, (sample and key/value head) x chunk of columns) */
__kernel WHOLE_VECTORS void
attention_lanes(const attention_params p, __global const uchar *mask, __global const uchar *bias,
                __global const uchar *key_mask, __global const float *slopes,
                __global const float *queries, __global const float *values,
                __global const float *sinks, __global uchar *out, __global float *lse,
                __global float *scratch DIRECT_ARGUMENTS) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks, b = z / p.G;
    const place at = {get_global_id(1), (int)get_global_id(2) % chunks * EC};
    const int count = p.R * rows_of(&in, b), own = ROWS * p.strips;
    /* Drivers hand out neighbours, and late rows have more keys where the call is causal. */
    const int set = get_global_id(0), sets = get_global_size(0);
    const int first = own * (set % 2 ? sets - 1 - set / 2 : set / 2);
    if (first >= count || !is_mine(&in, b)) return;
    strip strips[MOST_STRIPS];
    block x;
    ahead next;
    const operand_head head = {sample_of(&in, b), b, z % p.G};
    source keys = {&d.k, {k, k_scales, pages}, head, 0x7fffffff, 0};
    int used = 0;
    for (; used < p.strips && first + used * ROWS < count; used++) {
        strip_make(&strips[used], &in, queries, z, first + used * ROWS);
        keys.begin = min(keys.begin, strips[used].from);
        keys.end = max(keys.end, strips[used].until);
    }
    const source values_of_head = {&d.v, {v, v_scales, pages}, head, keys.begin, keys.end};
    const int dense = mask || bias || key_mask || slopes || p.softcap > 0.0f;
    for (int j0 = keys.begin / CHUNK * CHUNK; j0 < keys.end; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != at.piece) continue;
        block_make(&x, &keys, &values_of_head, j0, at.column);
        if (j0 + CHUNK >= keys.end && set == sets - 1)
            ahead_of_head(&next, &in, &keys, &values_of_head, at.column);
        else
            ahead_of_chunk(&next, &keys, &values_of_head, j0 + CHUNK, at.column);
        for (int n = 0; n < used; n++)
            chunk(&strips[n], &in, &x, j0, dense, &next);
    }
    for (int n = 0; n < used; n++)
        finish(&strips[n], &p, &to, at, min(count - first - n * ROWS, ROWS));
}
