/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tile's products of queries and keys by a matrix unit, where both are of the 16-bit type
 * MATRIX_TYPE: each product is exact, sums are float32 in the unit, in partials as without it. The
 * work-group's sub-groups have DOWN rows of fragments, one each, and share the columns. Scores go
 * through the memory of the weights to the work-items that have them in tile_block.h: what follows
 * is the same with and without a unit, and so are the bits where the unit adds up in order.
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
#define EXCHANGE(work) ((__local uint *)((work) + TILE_FLOATS(BQ, BK, QUERY_FLOATS)))
/* Of four keys' scores; neighbouring rows turned, since a fragment has several in one column. */
#define SCORES_AT(row, key) ((row)*BK + ((key) ^ (row) % 8 * 8))

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
    MATRIX_UNROLL
    for (int k = 0; k < SLICE / 2; k += MATRIX_DEPTH / 2) {
        const matrix_a a = matrix_load_a(queries + k, QUERY_FLOATS, lane);
        MATRIX_UNROLL
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

#endif
