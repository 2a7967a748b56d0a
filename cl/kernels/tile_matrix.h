/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_tile's products by a matrix unit, where queries, keys and values are of the 16-bit type
 * MATRIX_TYPE: each product is exact, sums are float32 in the unit. The work-group's sub-groups
 * have DOWN rows of fragments, one each, and share the columns.
 *
 * Scores go through the memory of the weights to the work-items that have them in tile_block.h; up
 * to the weights all is the same with and without a unit, and so are the bits where the unit adds
 * up in order. Weights go back to where the scores were, as float32; the sub-groups make elements
 * of them, PARTS for each. Sums over values stay in fragments for a chunk of keys.
 *
 * Local memory, in words of two neighbours along d: queries [BQ][DEPTH / 2], keys [SLICE / 2][BK];
 * in words of two neighbouring keys: values [BAND / 2][EC]; scores and weights [BQ][BK]; all with
 * rows padded, so that no load of fragments meets itself in a bank. */
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
            scores[row * ROW_WEIGHTS + key] = own[n];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (int r = 0; r < MQ; r++)
        s[r] = vload4(0, scores + (t->y * MQ + r) * ROW_WEIGHTS + t->x * TILE_KEYS);
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
#define EVEN (EC % (MATRIX_COLUMNS * ACROSS) == 0) /* all of them have columns */
#define VALUE_PITCH (EC + 8)

/* A weight is a sum of PARTS elements. All but the last are the leading bits of what is left of it,
 * as many as an element has (KEPT); what then is left is taken PART_SCALE times as large. Three of
 * bf16 have all 24 bits, two of f16 22: 2^-22 of a weight is lost at most (docs/numerics.md). One,
 * under FAST, is rounded.
 *
 * f16 has too few exponents for that: weights times WEIGHT_SCALE are normal numbers down to
 * 2^-(SPAN - 1). Weights of the next SPAN powers of two are multiplied in a round of their own, as
 * much larger, and so on, for as many rounds as the block's weights need: larger ones may all meet
 * values of 0, and what is lost counts then. So it is with bf16, whose last parts are else below
 * its normal numbers; LATER keeps its products with large values finite there. In other rounds a
 * weight is 0, which changes no sum. */
#if MATRIX_TYPE == TYPE_F16
#define WEIGHT_SCALE 0x1p14f
#define PART_SCALE 0x1p11f
#define KEPT 0xffffe000u
#define SPAN 29
#define LATER 0
#else
#define WEIGHT_SCALE 1.0f
#define PART_SCALE 1.0f
#define KEPT 0xffff0000u
#define SPAN 100
#define LATER 8 /* powers of two */
#endif

static float power_of_two(int exponent) {
    return as_float((uint)(127 + exponent) << 23);
}

static ushort4 rounded_elements(float4 x) {
#if MATRIX_TYPE == TYPE_F16
    return elements_of(x);
#else
    const uint4 bits = as_uint4(x);
    const uint4 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return convert_ushort4(select(rounded, bits >> 16, isnan(x)));
#endif
}

/* Which rounds four weights need, a bit each. */
static int rounds_of(float4 w) {
    const int4 below = 127 - convert_int4(as_uint4(w) >> 23); /* powers of two */
    const int4 rounds = select((int4)(0), (int4)(1) << below / SPAN, isgreater(w, (float4)(0.0f)));
    return rounds.x | rounds.y | rounds.z | rounds.w;
}

/* Weights of MQ rows and 4 keys, what the rows' sums are multiplied with, and rounds beyond the
 * first: in the flag, as bits 1 and on. */
static void store_weights(const tile *t, __local float *work, const float4 s[MQ],
                          const float old[MQ]) {
    __local float *const weights = (__local float *)WEIGHTS(work);
    int rounds = 0;
#pragma unroll
    for (int r = 0; r < MQ; r++) {
        const int row = t->y * MQ + r;
        vstore4(s[r], 0, weights + row * ROW_WEIGHTS + t->x * TILE_KEYS);
        if (t->x == 0) LINES[row].old = old[r];
        const int4 small = isgreater(s[r], (float4)(0.0f)) &
                           isless(s[r], (float4)(power_of_two(1 - SPAN)));
        if (PARTS > 1 && any(small)) rounds |= rounds_of(s[r]) & ~1;
    }
    if (rounds) atomic_or(FLAG(work), rounds);
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
            if (!all(isfinite(v))) atomic_or(FLAG(work), NOT_FINITE);
            words |= convert_uint4(elements_of(select((float4)(0.0f), v, isfinite(v)))) << 16 * i;
        }
        vstore4(words, 0, to + pair * VALUE_PITCH + quad * 4);
    }
}

/* The parts of the fragment of weights that begins at key k, those of one round. */
static void split_weights(__local float *work, int k, int round, matrix_a parts[PARTS]) {
    const int lane = matrix_lane(), first = matrix_group() % DOWN * MATRIX_ROWS;
    __local const float *const weights = (__local const float *)WEIGHTS(work);
    ushort elements[PARTS][MATRIX_LEFT];
#pragma unroll
    for (int i = 0; i < MATRIX_LEFT; i += 4) {
        float w[4];
#pragma unroll
        for (int n = 0; n < 4; n++)
            w[n] = weights[(first + matrix_left_row(i + n, lane)) * ROW_WEIGHTS + k +
                           matrix_left_k(i + n, lane)];
        float4 rest = vload4(0, w) * power_of_two(SPAN * round);
        if (PARTS > 1) {
            const int4 others = isless(rest, (float4)(power_of_two(1 - SPAN))) |
                                isgreaterequal(rest, (float4)(round > 0 ? 2.0f : INFINITY));
            rest = select(rest, (float4)(0.0f), others);
        }
        rest *= WEIGHT_SCALE * power_of_two(round > 0 ? -LATER : 0);
#pragma unroll
        for (int n = 0; n < PARTS - 1; n++) {
            const float4 part = as_float4(as_uint4(rest) & KEPT);
            vstore4(elements_of(part), 0, elements[n] + i);
            rest = (rest - part) * PART_SCALE;
        }
        vstore4(rounded_elements(rest), 0, elements[PARTS - 1] + i);
    }
#pragma unroll
    for (int n = 0; n < PARTS; n++)
        parts[n] = matrix_left(elements[n]);
}

/* The step of the sums over values: the sub-group's fragments, along the band in local memory,
 * which begins at key k of the block. 16 keys begin at 0 in the unit, smaller parts first, and are
 * added in float32. */
static void add_band(__local float *work, int k, int round, matrix_c o[OUT]) {
    const int lane = matrix_lane(), across = matrix_group() / DOWN;
    __local const uint *const values = (__local const uint *)SLICES(work);
    const float unit = power_of_two(-SPAN * round + (round > 0 ? LATER : 0));
#pragma unroll 1
    for (int n = 0; n < BAND; n += MATRIX_DEPTH) {
        matrix_a parts[PARTS];
        split_weights(work, k + n, round, parts);
        MATRIX_UNROLL
        for (int i = 0; i < OUT; i++) {
            const int here = (i * ACROSS + across) * MATRIX_COLUMNS;
            const int column = EVEN ? here : min(here, EC - MATRIX_COLUMNS);
            const matrix_b b =
                matrix_load_b(values + n / 2 * VALUE_PITCH + column, VALUE_PITCH, lane);
            matrix_c sum = (matrix_c)(0.0f);
            MATRIX_UNROLL
            for (int part = PARTS - 1; part >= 0; part--)
                sum = matrix_multiply(parts[part], b, sum / PART_SCALE, EXCHANGE(work));
            o[i] = FMA(sum, (matrix_c)(unit), o[i]);
        }
    }
}

/* What values of the band from key j on that are not finite add to rows that do not exclude them;
 * to sums as work-items have them in the end. Rare, not worth a register: nothing is unrolled. */
static void add_not_finite(const tile *t, __local float *work, int j, int k,
                           columns o[MQ][VECTORS]) {
    __local const float *const weights =
        (__local const float *)WEIGHTS(work) + t->y * MQ * ROW_WEIGHTS;
#pragma unroll 1
    for (int key = k; key < k + BAND; key++) {
        __global const float *const values =
            t->values + clamp(j + key, t->range.from, t->range.until - 1) * t->pitch;
#pragma unroll 1
        for (int r = 0; r < MQ; r++) {
            const float w = weights[r * ROW_WEIGHTS + key];
            if (as_uint(w) == EXCLUDED) continue;
#pragma unroll 1
            for (int c = 0; c < VECTORS; c++) {
                const columns v = LOAD(values + COLUMN(t, c));
                o[r][c] = FMA((columns)(w), select(v, (columns)(0.0f), isfinite(v)), o[r][c]);
            }
        }
    }
}

static void add_values(const tile *t, __local float *work, int j, matrix_c sums[OUT],
                       columns o[MQ][VECTORS]) {
    const int lane = matrix_lane(), first = matrix_group() % DOWN * MATRIX_ROWS;
    float old[MATRIX_RESULTS];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = 0; n < MATRIX_RESULTS; n++)
        old[n] = LINES[first + matrix_row(n, lane)].old;
#pragma unroll
    for (int i = 0; i < OUT; i++)
        sums[i] *= matrix_sums(old);
    const int end = min(BK, t->range.until - j);
    for (int k = 0; k < end; k += BAND) {
        barrier(CLK_LOCAL_MEM_FENCE);
        stage_values(t, work, j + k);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int flag = *FLAG(work), rounds = PARTS > 1 ? 32 - (int)clz(flag | 1) : 1;
        for (int round = 0; round < rounds; round++)
            add_band(work, k, round, sums);
        if (flag & NOT_FINITE) add_not_finite(t, work, j, k, o);
    }
}

#define PASS (WIDTH * X) /* columns of all work-items' vectors of one number */

/* The sub-group's fragments are added to MQ rows and CN columns of a work-item. */
static void spread_sums(const tile *t, __local float *work, const matrix_c from[OUT],
                        columns o[MQ][VECTORS]) {
    const int lane = matrix_lane(), down = matrix_group() % DOWN, across = matrix_group() / DOWN;
    __local float *const sums = (__local float *)WEIGHTS(work);
#pragma unroll 1
    for (int c = 0; c < VECTORS; c++) {
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int i = 0; i < OUT; i++) {
            float own[MATRIX_RESULTS];
            matrix_results(from[i] / WEIGHT_SCALE, own);
#pragma unroll
            for (int n = 0; n < MATRIX_RESULTS; n++) {
                const int row = down * MATRIX_ROWS + matrix_row(n, lane);
                const int column = (i * ACROSS + across) * MATRIX_COLUMNS +
                                   matrix_column(n, lane) - c * PASS;
                if (column >= 0 && column < PASS) sums[row * PASS + column] = own[n];
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 1
        for (int r = 0; r < MQ; r++)
            o[r][c] += LOAD(sums + (t->y * MQ + r) * PASS + t->x * WIDTH);
    }
}

#endif
