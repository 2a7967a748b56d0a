/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tile's products by a matrix unit, where queries, keys and values are of the 16-bit type
 * MATRIX_TYPE: each product is exact, sums are float32 in the unit. The work-group's sub-groups
 * have DOWN rows of fragments, one each, and share the columns. Scores go through the memory of the
 * weights to the work-items that have them in tile_block.h: up to the weights all is the same with
 * and without a unit, and so are the bits where the unit adds up in order. Weights are elements in
 * PARTS; sums over values stay with the unit for a chunk of keys, and 16 keys are added at once.
 *
 * Local memory, in words of two neighbours along d: queries [BQ][DEPTH / 2], keys [SLICE / 2][BK],
 * both with rows padded, so that neither load of matrix.h meets itself in a bank. */
#ifndef ATTEND_CL_TILE_MATRIX_H
#define ATTEND_CL_TILE_MATRIX_H

#include "matrix.h"

#if BK != 64 || BQ / MQ * (BK / TILE_KEYS) != MATRIX_ITEMS
#error "a tile of other work-items than a unit's"
#endif

#define DOWN (BQ / MATRIX_ROWS)
#define ACROSS (MATRIX_ITEMS / MATRIX_LANES / DOWN)
#define FRAGMENTS (BK / MATRIX_COLUMNS / ACROSS) /* of a sub-group, in one row */
#define KEY_PITCH (BK + 8)
#define EXCHANGE(work)                                                                             \
    ((__local uint *)((work) + TILE_FLOATS(BQ, ROW_WEIGHTS, QUERY_FLOATS, SLICE_ROOM)))
/* Of four keys' scores; neighbouring rows turned, since a fragment has several in one column. */
#define SCORES_AT(row, key) ((row)*BK + ((key) ^ (row) % 8 * 8))

/* The emulation waits at barriers, of which a compiler makes a region each. */
#ifdef MATRIX_EMULATED
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
#endif

/* As they were before they were packed as float32, hence exact. */
static ushort4 elements_of(float4 x) {
#if MATRIX_TYPE == TYPE_F16
    ushort4 halves;
    vstore_half4_rte(x, 0, (half *)&halves);
    return halves;
#else
    return convert_ushort4(as_uint4(x) >> 16);
#endif
}

/* Elements d0 .. d0 + DEPTH - 1 of the rows. */
static void stage_queries(const tile *t, __local float *work, int d0) {
    for (int n = t->item; n < BQ * (DEPTH / 4); n += ITEMS) {
        const int row = n / (DEPTH / 4), d = n % (DEPTH / 4) * 4;
        const float4 q = vload4(0, t->queries + LINES[row].query_at + d0 + d);
        vstore4(elements_of(q), 0, (__local ushort *)(QUERIES(work) + row * QUERY_FLOATS) + d);
    }
}

/* Elements d0 .. d0 + SLICE - 1 of the keys; what lies beyond the last panel that some row may see
 * is never used. */
static void stage_keys(const tile *t, __local float *work, int j, int d0) {
    __local uint *const to = (__local uint *)SLICES(work);
    const int last = (t->range.until - 1) / 16;
    for (int n = t->item; n < SLICE / 2 * (BK / 4); n += ITEMS) {
        const int panel = n / (SLICE * 2), pair = n % (SLICE * 2) / 4, quad = n % 4;
        __global const float4 *const from =
            t->keys + ((i64)min(j / 16 + panel, last) * DP + d0 + 2 * pair) * 4 + quad;
        const uint4 words = convert_uint4(elements_of(from[0])) |
                            convert_uint4(elements_of(from[4])) << 16;
        vstore4(words, 0, to + pair * KEY_PITCH + panel * 16 + quad * 4);
    }
}

/* The step of the products: fragments along the slice that lies in local memory. `from`: where it
 * begins among the staged queries. */
static void multiply_slice(__local float *work, int from, matrix_c s[FRAGMENTS]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local const uint *const queries = (__local const uint *)QUERIES(work) +
                                        down * MATRIX_ROWS * QUERY_FLOATS + from / 2;
    __local const uint *const keys = (__local const uint *)SLICES(work) + across * MATRIX_COLUMNS;
    UNROLL
    for (int k = 0; k < SLICE / 2; k += MATRIX_DEPTH / 2) {
        const matrix_a a = matrix_load_a(queries + k, QUERY_FLOATS, lane);
        UNROLL
        for (int i = 0; i < FRAGMENTS; i++) {
            const matrix_b b = matrix_load_b(keys + k * KEY_PITCH + i * ACROSS * MATRIX_COLUMNS,
                                             KEY_PITCH, lane);
            s[i] = matrix_multiply(a, b, s[i], EXCHANGE(work));
        }
    }
}

/* From the sub-group's fragments to MQ rows and 4 keys of a work-item. */
static void spread(const tile *t, __local float *work, const matrix_c part[FRAGMENTS],
                   float4 s[MQ]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local float *const scores = (__local float *)WEIGHTS(work);
#pragma unroll
    for (int i = 0; i < FRAGMENTS; i++) {
        float own[MATRIX_RESULTS];
        matrix_results(part[i], own);
#pragma unroll
        for (int n = 0; n < MATRIX_RESULTS; n++) {
            const int row = down * MATRIX_ROWS + matrix_row(n, lane);
            const int key = (i * ACROSS + across) * MATRIX_COLUMNS + matrix_column(n, lane);
            scores[SCORES_AT(row, key)] = own[n];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int r = 0; r < MQ; r++)
        s[r] = vload4(0, scores + SCORES_AT(t->y * MQ + r, t->x * TILE_KEYS));
}

/* Products of MQ rows and 4 keys of the block that begins at key j, in partials. */
static void products(const tile *t, __local float *work, int j, float4 s[MQ]) {
    matrix_c sum[FRAGMENTS], part[FRAGMENTS];
#pragma unroll
    for (int i = 0; i < FRAGMENTS; i++)
        sum[i] = part[i] = (matrix_c)(0.0f);
    for (int d0 = 0; d0 < DP; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (!STAGED) stage_queries(t, work, d0);
        stage_keys(t, work, j, d0);
        barrier(CLK_LOCAL_MEM_FENCE);
        multiply_slice(work, STAGED ? d0 : 0, part);
        if (DP > PARTIAL && ((d0 + SLICE) % PARTIAL == 0 || d0 + SLICE >= DP)) {
#pragma unroll
            for (int i = 0; i < FRAGMENTS; i++) {
                sum[i] += part[i];
                part[i] = (matrix_c)(0.0f);
            }
        }
    }
    spread(t, work, DP > PARTIAL ? sum : part, s);
}

/* ---- weights times values -------------------------------------------------------------------- */

#define OUT ((EC + MATRIX_COLUMNS * ACROSS - 1) / (MATRIX_COLUMNS * ACROSS)) /* fragments */
#define WEIGHT_PITCH (BK / 2 + 4)
#define VALUE_PITCH (EC + 8)
#define OLD(work) ((__local float *)WEIGHTS(work) + BQ * (ROW_WEIGHTS - 1))
#define PASS (WIDTH * X) /* columns of all work-items' vectors of one number */

/* A weight as the sum of PARTS elements: of bf16 three have all of its bits. Of f16 two have 22,
 * and its range is that of weights from 1 down to 2^-51: the first is 2^15 times as large, the
 * second 2^11 times as large again. */
#if MATRIX_TYPE == TYPE_F16
#define WEIGHT_SCALE 0x1p15f
#define PART_SCALE 0x1p11f
#else
#define WEIGHT_SCALE 1.0f
#define PART_SCALE 1.0f
#endif

static ushort4 round_elements(float4 x) {
#if MATRIX_TYPE == TYPE_F16
    return elements_of(x);
#else
    const uint4 bits = as_uint4(x);
    return convert_ushort4(
        select((bits + 0x7fff + (bits >> 16 & 1)) >> 16, bits >> 16 | 0x40, isnan(x)));
#endif
}

static float4 widened(ushort4 x) {
#if MATRIX_TYPE == TYPE_F16
    return vload_half4(0, (const half *)&x);
#else
    return as_float4(convert_uint4(x) << 16);
#endif
}

/* Weights of MQ rows and 4 keys, in parts [PARTS][BQ][BK / 2], and what the rows' sums are
 * multiplied with. */
static void store_weights(const tile *t, __local float *work, const float4 s[MQ],
                          const float old[MQ]) {
    __local ushort *const to = (__local ushort *)WEIGHTS(work) + t->x * TILE_KEYS;
#pragma unroll
    for (int r = 0; r < MQ; r++) {
        const int row = t->y * MQ + r;
        float4 rest = s[r] * WEIGHT_SCALE;
#pragma unroll
        for (int n = 0; n < PARTS; n++) {
            const ushort4 part = round_elements(rest);
            vstore4(part, 0, to + (n * BQ + row) * (2 * WEIGHT_PITCH));
            rest = (rest - widened(part)) * PART_SCALE;
        }
        if (t->x == 0) OLD(work)[row] = old[r];
    }
}

/* BAND values from key j on, [BAND / 2][EC]. Those that are not finite are 0 there, and said to be
 * in the block. */
static void stage_values(const tile *t, __local float *work, int j) {
    __local uint *const to = (__local uint *)SLICES(work);
    for (int n = t->item; n < BAND / 2 * (EC / 4); n += ITEMS) {
        const int pair = n / (EC / 4), quad = n % (EC / 4);
        uint4 words = (uint4)(0);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int key = clamp(j + 2 * pair + i, t->range.from, t->range.until - 1);
            const float4 v = vload4(quad, t->values + key * t->pitch);
            if (!all(isfinite(v))) atomic_or(FLAG(work), 1);
            words |= convert_uint4(elements_of(select((float4)(0.0f), v, isfinite(v)))) << 16 * i;
        }
        vstore4(words, 0, to + pair * VALUE_PITCH + quad * 4);
    }
}

/* The step of the sums over values: the sub-group's fragments, along the band in local memory,
 * which begins at key k of the block. */
static void add_band(__local float *work, int k, matrix_c o[OUT]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local const uint *const weights =
        (__local const uint *)WEIGHTS(work) + down * MATRIX_ROWS * WEIGHT_PITCH + k / 2;
    __local const uint *const values = (__local const uint *)SLICES(work);
    UNROLL
    for (int n = 0; n < BAND / 2; n += MATRIX_DEPTH / 2) {
        UNROLL
        for (int i = 0; i < OUT; i++) {
            const int column = min((i * ACROSS + across) * MATRIX_COLUMNS, EC - MATRIX_COLUMNS);
            const matrix_b b = matrix_load_b(values + n * VALUE_PITCH + column, VALUE_PITCH, lane);
            float scale = 1.0f;
            UNROLL
            for (int part = 0; part < PARTS; part++) {
                const matrix_a a =
                    matrix_load_a(weights + part * BQ * WEIGHT_PITCH + n, WEIGHT_PITCH, lane);
                o[i] += matrix_multiply(a, b, (matrix_c)(0.0f), EXCHANGE(work)) * scale;
                scale /= PART_SCALE;
            }
        }
    }
}

/* Values of the band from key j on that are not finite, of rows that do not exclude them. */
static void add_not_finite(const tile *t, __local float *work, int j, int k, matrix_c o[OUT]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local const ushort *const weights = (__local const ushort *)WEIGHTS(work);
    for (int i = 0; i < OUT; i++) {
        float own[MATRIX_RESULTS];
        matrix_results(o[i], own);
        for (int n = 0; n < MATRIX_RESULTS; n++) {
            const int row = down * MATRIX_ROWS + matrix_row(n, lane);
            const int column = (i * ACROSS + across) * MATRIX_COLUMNS + matrix_column(n, lane);
            for (int key = k; key < k + BAND; key++) {
                const int from = clamp(j + key, t->range.from, t->range.until - 1);
                const float v = t->values[from * t->pitch + min(column, EC - 1)];
                const ushort weight = weights[row * (2 * WEIGHT_PITCH) + key];
                if (!isfinite(v) && weight != 0x8000) own[n] += weight ? v : NAN;
            }
        }
        o[i] = matrix_of(own);
    }
}

static void add_values(const tile *t, __local float *work, int j, matrix_c o[OUT]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN;
    barrier(CLK_LOCAL_MEM_FENCE);
    float old[MATRIX_RESULTS];
    for (int n = 0; n < MATRIX_RESULTS; n++)
        old[n] = OLD(work)[down * MATRIX_ROWS + matrix_row(n, lane)];
#pragma unroll
    for (int i = 0; i < OUT; i++)
        o[i] *= matrix_of(old);
    const int end = min(BK, t->range.until - j);
    for (int k = 0; k < end; k += BAND) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_values(t, work, j + k);
        barrier(CLK_LOCAL_MEM_FENCE);
        add_band(work, k, o);
        if (*FLAG(work)) add_not_finite(t, work, j, k, o);
    }
}

/* From the sub-group's fragments to MQ rows and CN columns of a work-item. */
static void spread_sums(const tile *t, __local float *work, const matrix_c from[OUT],
                        columns o[MQ][VECTORS]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local float *const sums = (__local float *)WEIGHTS(work);
#pragma unroll
    for (int c = 0; c < VECTORS; c++) {
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int i = 0; i < OUT; i++) {
            float own[MATRIX_RESULTS];
            matrix_results(from[i] / WEIGHT_SCALE, own);
            for (int n = 0; n < MATRIX_RESULTS; n++) {
                const int row = down * MATRIX_ROWS + matrix_row(n, lane);
                const int column = (i * ACROSS + across) * MATRIX_COLUMNS +
                                   matrix_column(n, lane) - c * PASS;
                if (column >= 0 && column < PASS) sums[row * PASS + column] = own[n];
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int r = 0; r < MQ; r++)
            o[r][c] = LOAD(sums + (t->y * MQ + r) * PASS + t->x * WIDTH);
    }
}

#endif
