/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for CPUs, where query rows are many. A work-item owns a few strips of up to
 * ROWS query rows of one key/value head, row n in lane n, and walks the keys in chunks of CHUNK. An
 * FMA takes one element of a key or value, in all lanes, and 16 elements of queries or weights:
 * keys and values are read where the caller has them, or from copies as float32 that serve all
 * strips, and the maximum, the exponentials and the sum are whole vectors.
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
#ifndef MOST_VECTORS
#define MOST_VECTORS 3 /* of 16 rows in a strip: the sums of 3 stay in 32 registers */
#endif
#ifndef MOST_STRIPS
#define MOST_STRIPS 4
#endif
#define ROWS (16 * MOST_VECTORS)
#include "attention_finish.h"
#include "key_block.h"

/* [n][row]: loads and stores of float16 are one instruction where vstore16 of PoCL is four. */
typedef float16 lanes[MOST_VECTORS];

typedef struct strip {
    lanes queries[DP], values[EC]; /* [element][row] */
    lanes maximum, sum;
    int16 first[MOST_VECTORS], end[MOST_VECTORS]; /* keys that position and length allow each row */
    row_info rows[ROWS];
    int vectors;             /* that rows are in */
    int from, until;         /* keys that some row may see */
    int all_from, all_until; /* keys that every row may see */
} strip;

/* ---- queries --------------------------------------------------------------------------------- */

/* Queries of a strip, [element][row]; beyond the last row it is repeated. Row by row first, as
 * they lie, since their lines come from far. */
static void take_queries(strip *t, const inputs *in, __global const float *queries) {
    for (int v = 0; v < t->vectors; v++) {
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

/* Vectors of the next strip where this many rows are left: two strips of 32 rows take less time
 * than one of 48 and one of 16, which a chunk of keys serves badly. */
static int vectors_for(int left) {
    return min(left > 64 || (left > 32 && left <= 48) ? 3 : 2, MOST_VECTORS);
}

/* Rows from `first` on and before `until` of key/value head z, as many as there are vectors for. */
static void strip_make(strip *t, const inputs *in, __global const float *queries, int z, int first,
                       int until) {
    const attention_params *const p = in->p;
    const int b = z / p->G, g = z % p->G, length = rows_of(in, b);
    int begins[ROWS], ends[ROWS];
    row_info row = row_make(in, b, g * p->R + first / length, first % length);
    t->vectors = vectors_for(until - first);
    t->from = t->all_until = 0x7fffffff;
    t->until = t->all_from = 0;
    for (int r = 0; r < 16 * t->vectors; r++) {
        if (r > 0 && first + r < until)
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
    for (int v = 0; v < t->vectors; v++) {
        t->first[v] = vload16(v, begins);
        t->end[v] = vload16(v, ends);
        t->maximum[v] = (float16)(-INFINITY);
        t->sum[v] = (float16)(0.0f);
    }
    for (int e = 0; e < EC; e++)
        for (int v = 0; v < t->vectors; v++)
            t->values[e][v] = (float16)(0.0f);
    take_queries(t, in, queries);
}

/* ---- one chunk ------------------------------------------------------------------------------- */

/* Keys [from, until) of the chunk at j0; `some`: not every row may see all of them. */
typedef struct span {
    int j0, from, until, some;
} span;

/* -inf where position or length exclude a key. */
static void limit(const strip *t, int j0, int from, int until, lanes *s) {
    for (int j = from; j < until; j++)
        for (int v = 0; v < t->vectors; v++)
            s[j][v] = select((float16)(-INFINITY), s[j][v],
                             ((int16)(j0 + j) >= t->first[v]) & ((int16)(j0 + j) < t->end[v]));
}

static void limit_all(const strip *t, span keys, lanes *s) {
    limit(t, keys.j0, keys.from, min(keys.until, t->all_from - keys.j0), s);
    limit(t, keys.j0, max(keys.from, t->all_until - keys.j0), keys.until, s);
}

/* The whole way from products to masked scores, a row at a time. */
static void advance(const strip *t, const inputs *in, span keys, lanes *s) {
    for (int j = keys.from; j < keys.until; j += 16)
        for (int v = 0; v < t->vectors; v++) {
            float16 r[16];
            for (int n = 0; n < 16; n++)
                r[n] = s[j + n][v];
            transpose16(r);
            for (int n = 0; n < 16; n++)
                r[n] = masked_keys(in, &t->rows[16 * v + n], keys.j0 + j, r[n], STAGE_RAW);
            transpose16(r);
            for (int n = 0; n < 16; n++)
                s[j + n][v] = r[n];
        }
}

static void largest_of(const strip *t, span keys, const lanes *s, float16 *top) {
    for (int v = 0; v < t->vectors; v++) {
        float16 most = (float16)(-INFINITY);
        for (int j = keys.from; j < keys.until; j++)
            most = LARGER(s[j][v], most);
        top[v] = most;
    }
}

static float value_at(const rows_of_chunk *v, int j, int e) {
    return j >= v->direct && j < v->direct_until ? v->there[j * v->pitch + e]
                                                 : v->copied[j * EC + e];
}

/* The sum of column e in vector v, of allowed keys alone. */
static float16 chosen(const rows_of_chunk *x, int e, const lanes *s, span keys, int v) {
    float16 sum = (float16)(0.0f);
    for (int j = keys.from; j < keys.until; j++) {
        const float16 w = s[j][v];
        const float16 more = FMA((float16)(value_at(x, j, e)), w, sum);
        sum = select(more, sum, as_uint16(w) == EXCLUDED);
    }
    return sum;
}

#if MOST_VECTORS == 1
#define VECTORS 1
#include "lane_chunk.h"
#undef VECTORS
#else
#define VECTORS 2
#include "lane_chunk.h"
#undef VECTORS
#endif
#if MOST_VECTORS > 2
#define VECTORS 3
#include "lane_chunk.h"
#undef VECTORS
#endif

static void chunk(strip *t, const inputs *in, const block *x, int j0, int dense, ahead *next) {
    span keys = {j0, max(x->from, max(t->from - j0, 0) / 16 * 16),
                 min(x->until, (t->until - j0 + 15) / 16 * 16), dense};
    if (keys.from >= keys.until) return;
    keys.some |= j0 + keys.from < t->all_from || j0 + keys.until > t->all_until;
#if MOST_VECTORS > 2
    if (t->vectors == 3) chunk_3(t, in, x, keys, dense, next);
#endif
#if MOST_VECTORS > 1
    if (t->vectors == 2) chunk_2(t, in, x, keys, dense, next);
#else
    chunk_1(t, in, x, keys, dense, next);
#endif
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
    const int last = min(first + own, count);
    int used = 0;
    for (int row = first; row < last; used++) {
        strip_make(&strips[used], &in, queries, z, row, last);
        keys.begin = min(keys.begin, strips[used].from);
        keys.end = max(keys.end, strips[used].until);
        row += 16 * strips[used].vectors;
    }
    const source values_of_head = {&d.v, {v, v_scales, pages}, head, keys.begin, keys.end};
    const int dense = mask || bias || key_mask || slopes || p.softcap > 0.0f;
    for (int j0 = keys.begin / CHUNK * CHUNK; j0 < keys.end; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != at.piece) continue;
        next.rows = (8 + used - 1) / used;
        block_make(&x, &keys, &values_of_head, j0, at.column);
        if (j0 + CHUNK >= keys.end && set == sets - 1)
            ahead_of_head(&next, &in, &keys, &values_of_head, at.column);
        else
            ahead_of_chunk(&next, &keys, &values_of_head, j0 + CHUNK, at.column);
        for (int n = 0; n < used; n++)
            chunk(&strips[n], &in, &x, j0, dense, &next);
    }
    for (int n = 0, row = first; n < used; n++) {
        finish(&strips[n], &p, &to, at, min(last - row, 16 * strips[n].vectors));
        row += 16 * strips[n].vectors;
    }
}
