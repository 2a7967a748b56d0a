/* SPDX-License-Identifier: Apache-2.0
 *
 * One block of BQ query rows and BK keys, as attention_tile's work-group computes it: products,
 * scores, weights, and what they add to the sums over values. */
#ifndef ATTEND_CL_TILE_BLOCK_H
#define ATTEND_CL_TILE_BLOCK_H

#include "attention_finish.h"
#include "subgroup.h"
#include "tile_rows.h"

#ifdef USE_HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half4 narrow4;
#define NARROW(x) convert_half4(x)
#define WIDE(x) convert_float4(x)
#define narrow half
#else
typedef float4 narrow4;
#define NARROW(x) (x)
#define WIDE(x) (x)
#define narrow float
#endif

#define CHUNK TILE_CHUNK
#ifdef MATRIX_TYPE /* queries and keys are elements of it, two in a word */
#define SLICE MATRIX_SLICE(DP)
#define QUERY_FLOATS MATRIX_QUERY(DEPTH)
#define ROW_WEIGHTS MATRIX_WEIGHTS(BK)
#define SLICE_ROOM MATRIX_SLICE_FLOATS(BK, EC)
#define BAND MATRIX_BAND(EC)
#else
#define SLICE TILE_SLICE
#define QUERY_FLOATS DEPTH
#define ROW_WEIGHTS BK
#define SLICE_ROOM SLICE_FLOATS(BK)
#define BAND (EC > 128 ? 4 : EC > 64 ? 8 : EC > 32 ? 16 : 32) /* keys: BAND_FLOATS in all */
#endif
#define PARTIAL 64         /* of the head size, summed on its own */
#define X (BK / TILE_KEYS) /* work-items beside each other */
#define ITEMS (X * (BQ / MQ))
#define CN (EC / X) /* columns of a work-item */
#define DEPTH (STAGED ? DP : SLICE)

/* Columns of a work-item come in vectors as wide as their number allows. */
#if CN % 4 == 0
#define WIDTH 4
typedef float4 columns;
#define LOAD(from) vload4(0, from)
#define STORE(x, to) vstore4(x, 0, to)
#define LOAD_NARROW(from) WIDE(*(__local const narrow4 *)(from))
#elif CN % 2 == 0
#define WIDTH 2
typedef float2 columns;
#define LOAD(from) vload2(0, from)
#define STORE(x, to) vstore2(x, 0, to)
#define LOAD_NARROW(from) ((float2)((from)[0], (from)[1]))
#else
#define WIDTH 1
typedef float columns;
#define LOAD(from) (*(from))
#define STORE(x, to) (*(to) = (x))
#define LOAD_NARROW(from) ((float)*(from))
#endif
#define VECTORS (CN / WIDTH)
#define COLUMN(t, c) ((t)->x * WIDTH + (c)*WIDTH * X) /* the first one of vector c */

/* Local memory. The weights of a key are quads of rows, in an order that turns with the key, so
 * that neighbours who write a key each meet different banks. */
#define LINES ((__local row_line *)work)
#define QUERIES(work) ((work) + QUERIES_AT(BQ, ROW_WEIGHTS))
#define SLICES(work) ((work) + SLICE_AT(BQ, ROW_WEIGHTS, QUERY_FLOATS))
#define FLAG(work)                                                                                 \
    ((volatile __local int *)((work) + FLAG_AT(BQ, ROW_WEIGHTS, QUERY_FLOATS, SLICE_ROOM)))
#define NOT_FINITE 1 /* values of a block; what other bits say, see tile_matrix.h */
#define WEIGHTS(work) ((__local narrow4 *)((work) + WEIGHTS_AT(BQ)))
#define QUAD(key, quad) ((key) * (BQ / 4) + ((quad) ^ ((key) / 4 & 7)))

/* What a work-item knows. */
typedef struct tile {
    __global const float *queries;
    __global const float4 *keys;
    __global const float *values;
    __global const uchar *classes; /* of the blocks of keys; 0: see `range` */
    i64 pitch, key_mask_at;
    key_range range;
    int item, x, y;
    int z, first; /* plane, first row */
} tile;

/* Of the block that begins at key j. */
static int class_of(const tile *t, int j) {
    if (t->classes) return t->classes[j / BK];
    return j >= t->range.all_from && j + BK <= t->range.all_until ? BLOCK_OPEN : BLOCK_MIXED;
}

/* The first block from key j on that some row may see. */
static int next_block(const tile *t, int j, int end) {
    while (j < end && class_of(t, j) == BLOCK_CLOSED)
        j += BK;
    return j;
}

/* ---- one block ------------------------------------------------------------------------------- */

#ifdef MATRIX_TYPE
#include "tile_matrix.h"
#else
/* Elements d0 .. d0 + DEPTH - 1 of the rows, [DEPTH][BQ]. */
static void stage_queries(const tile *t, __local float *work, int d0) {
    for (int n = t->item; n < BQ * (DEPTH / 4); n += ITEMS) {
        const int d = n / BQ * 4;
        const float4 q = vload4(0, t->queries + LINES[n % BQ].query_at + d0 + d);
        __local float *const to = QUERIES(work) + d * BQ + n % BQ;
        to[0] = q.x;
        to[BQ] = q.y;
        to[2 * BQ] = q.z;
        to[3 * BQ] = q.w;
    }
}

/* Elements d0 .. d0 + SLICE - 1 of the keys, [SLICE][BK] and padding; what lies beyond the last
 * panel that some row may see is never used. */
static void stage_keys(const tile *t, __local float *work, int j, int d0) {
    __local float4 *const to = (__local float4 *)SLICES(work);
    const int last = (t->range.until - 1) / 16;
    for (int n = t->item; n < SLICE * BK / 4; n += ITEMS) {
        const int panel = n / (SLICE * 4), in_panel = n % (SLICE * 4);
        to[in_panel / 4 * (SLICE_PITCH(BK) / 4) + panel * 4 + in_panel % 4] =
            t->keys[(i64)min(j / 16 + panel, last) * DP * 4 + d0 * 4 + in_panel];
    }
}

/* The step of the products: MQ rows x 4 keys, along the slice that lies in local memory. `from`:
 * where it begins among the staged queries. */
static void multiply_slice(const tile *t, __local float *work, int from, float4 s[MQ]) {
    __local const float4 *const queries =
        (__local const float4 *)(QUERIES(work) + from * BQ) + t->y * (MQ / 4);
    __local const float4 *const keys = (__local const float4 *)SLICES(work) + t->x;
#pragma unroll 4
    for (int d = 0; d < SLICE; d++) {
        const float4 k = keys[d * (SLICE_PITCH(BK) / 4)];
#pragma unroll
        for (int r = 0; r < MQ; r += 4) {
            const float4 q = queries[d * (BQ / 4) + r / 4];
            s[r] = FMA((float4)(q.x), k, s[r]);
            s[r + 1] = FMA((float4)(q.y), k, s[r + 1]);
            s[r + 2] = FMA((float4)(q.z), k, s[r + 2]);
            s[r + 3] = FMA((float4)(q.w), k, s[r + 3]);
        }
    }
}

/* Products of MQ rows and 4 keys of the block that begins at key j, in partials. */
static void products(const tile *t, __local float *work, int j, float4 s[MQ]) {
#if DP > PARTIAL
    float4 part[MQ];
#else
#define part s
#endif
#pragma unroll
    for (int r = 0; r < MQ; r++)
        s[r] = part[r] = (float4)(0.0f);
    for (int d0 = 0; d0 < DP; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (!STAGED) stage_queries(t, work, d0);
        stage_keys(t, work, j, d0);
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply_slice(t, work, STAGED ? d0 : 0, part);
#if DP > PARTIAL
        if ((d0 + SLICE) % PARTIAL != 0 && d0 + SLICE < DP) continue;
#pragma unroll
        for (int r = 0; r < MQ; r++) {
            s[r] += part[r];
            part[r] = (float4)(0.0f);
        }
#endif
    }
#undef part
}

/* Weights of MQ rows and 4 keys. */
static void store_weights(const tile *t, __local float *work, const float4 s[MQ],
                          const float old[MQ]) {
    __local narrow4 *const weights = WEIGHTS(work);
    const int quad = t->y * (MQ / 4), key = t->x * TILE_KEYS;
#pragma unroll
    for (int r = 0; r < MQ; r += 4) {
        const float4 a = s[r], b = s[r + 1], c = s[r + 2], d = s[r + 3];
        weights[QUAD(key, quad + r / 4)] = NARROW((float4)(a.x, b.x, c.x, d.x));
        weights[QUAD(key + 1, quad + r / 4)] = NARROW((float4)(a.y, b.y, c.y, d.y));
        weights[QUAD(key + 2, quad + r / 4)] = NARROW((float4)(a.z, b.z, c.z, d.z));
        weights[QUAD(key + 3, quad + r / 4)] = NARROW((float4)(a.w, b.w, c.w, d.w));
    }
}
#endif

/* Whether products become scores by the scale alone, where all rows may see the keys. */
static int only_scaled(const inputs *in) {
    return in->p->softcap <= 0.0f && !in->bias && !in->slopes;
}

static float score_of(const inputs *in, const row_info *row, int j, int open, float s) {
    return open || allowed_key(in, row, j) ? advance_key(in, row, j, s, STAGE_RAW, STAGE_MASKED)
                                           : -INFINITY;
}

/* Products of row r and 4 keys from j on become scores; `open`: all rows may see them. By value:
 * what a call takes the address of lies in memory. */
static float4 scores_of(const inputs *in, const tile *t, __local float *work, int j, int r,
                        int open, float4 s) {
    const row_info row = row_of(LINES + t->y * MQ + r, t->key_mask_at);
    s.x = score_of(in, &row, j, open, s.x);
    s.y = score_of(in, &row, j + 1, open, s.y);
    s.z = score_of(in, &row, j + 2, open, s.z);
    s.w = score_of(in, &row, j + 3, open, s.w);
    return s;
}

static float most_of(float4 x) {
    return fmax(fmax(x.x, x.y), fmax(x.z, x.w));
}

/* Of the rows' scores in this block. With sub-groups no barrier is needed: those of the products
 * lie between the last use of the flag and of the weights and the next. */
static void row_maxima(const tile *t, __local float *work, const float4 s[MQ], float most[MQ]) {
#if !defined(USE_SUBGROUPS) || defined(SUBGROUP_EMULATED)
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    if (t->item == 0) *FLAG(work) = 0;
#ifdef USE_SUBGROUPS
    NEIGHBOUR_UNROLL
    for (int r = 0; r < MQ; r++)
        most[r] = neighbours_most(most_of(s[r]), X, SLICES(work));
#else
    __local float *const maxima = SLICES(work);
#pragma unroll
    for (int r = 0; r < MQ; r++)
        maxima[(t->y * MQ + r) * X + t->x] = most_of(s[r]);
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int r = 0; r < MQ; r++) {
        __local const float4 *const of_row = (__local const float4 *)(maxima + (t->y * MQ + r) * X);
        float4 all = of_row[0];
        for (int n = 1; n < X / 4; n++)
            all = fmax(all, of_row[n]);
        most[r] = most_of(all);
    }
#endif
}

/* Scores become weights in local memory, maxima and this work-item's share of the sums go on.
 * Returns in `old` what earlier sums are multiplied with. */
static void weigh(const tile *t, __local float *work, float4 s[MQ], mass m[MQ], float old[MQ]) {
    float most[MQ];
    row_maxima(t, work, s, most);
#pragma unroll
    for (int r = 0; r < MQ; r++) {
        const float top = fmax(m[r].maximum, most[r]);
        const float base = anchor(top);
        old[r] = exponential(m[r].maximum - base);
        m[r].maximum = top;
        const float4 w = exponential4(s[r] - base);
        s[r] = WIDE(NARROW(select(w, (float4)(-0.0f), isequal(s[r], (float4)(-INFINITY)))));
        m[r].sum = FMA(m[r].sum, old[r], (s[r].x + s[r].y) + (s[r].z + s[r].w));
    }
    store_weights(t, work, s, old);
}

#ifndef MATRIX_TYPE
/* BAND values from key j on, [BAND][EC], and whether one of the block is not finite. */
static void stage_values(const tile *t, __local float *work, int j) {
    __local narrow4 *const to = (__local narrow4 *)SLICES(work);
    for (int n = t->item; n < BAND * (EC / 4); n += ITEMS) {
        const int key = clamp(j + n / (EC / 4), t->range.from, t->range.until - 1);
        const float4 v = vload4(n % (EC / 4), t->values + key * t->pitch);
        if (!all(isfinite(v))) atomic_or(FLAG(work), NOT_FINITE);
        to[n] = NARROW(v);
    }
}

/* The step of the sums over values: MQ rows x CN columns, along the band in local memory, which
 * begins at key k of the block. */
static void add_band(const tile *t, __local float *work, int k, columns o[MQ][VECTORS]) {
    __local const narrow *const values = (__local const narrow *)SLICES(work);
#pragma unroll 4
    for (int n = 0; n < BAND; n++) {
        columns v[VECTORS];
#pragma unroll
        for (int c = 0; c < VECTORS; c++)
            v[c] = LOAD_NARROW(values + n * EC + COLUMN(t, c));
#pragma unroll
        for (int r = 0; r < MQ; r += 4) {
            const float4 w = WIDE(WEIGHTS(work)[QUAD(k + n, t->y * (MQ / 4) + r / 4)]);
#pragma unroll
            for (int c = 0; c < VECTORS; c++) {
                o[r][c] = FMA((columns)(w.x), v[c], o[r][c]);
                o[r + 1][c] = FMA((columns)(w.y), v[c], o[r + 1][c]);
                o[r + 2][c] = FMA((columns)(w.z), v[c], o[r + 2][c]);
                o[r + 3][c] = FMA((columns)(w.w), v[c], o[r + 3][c]);
            }
        }
    }
}

/* The same without excluded keys, whose values may be anything. */
static void add_chosen(const tile *t, __local float *work, int k, columns o[MQ][VECTORS]) {
    __local const narrow *const values = (__local const narrow *)SLICES(work);
    for (int n = 0; n < BAND; n++) {
#pragma unroll
        for (int r = 0; r < MQ; r++) {
            const int quad = QUAD(k + n, t->y * (MQ / 4) + r / 4);
            const float w = (float)((__local const narrow *)(WEIGHTS(work) + quad))[r % 4];
#pragma unroll
            for (int c = 0; c < VECTORS; c++) {
                const columns v = LOAD_NARROW(values + n * EC + COLUMN(t, c));
                if (as_uint(w) != EXCLUDED) o[r][c] = FMA((columns)(w), v, o[r][c]);
            }
        }
    }
}

static void add_values(const tile *t, __local float *work, int j, const float *old,
                       columns o[MQ][VECTORS]) {
#pragma unroll
    for (int r = 0; r < MQ; r++)
#pragma unroll
        for (int c = 0; c < VECTORS; c++)
            o[r][c] *= old[r];
    const int end = min(BK, t->range.until - j);
    for (int k = 0; k < end; k += BAND) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_values(t, work, j + k);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (*FLAG(work))
            add_chosen(t, work, k, o);
        else
            add_band(t, work, k, o);
    }
}
#endif

#endif
