/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of a few rows over a few keys at once, for calls that are over before anything else
 * pays. Scores lie in lanes as those of lane_tmpl.h do and take its softmax, and every chain of
 * operations is the one of that path, so the bits are its bits. What differs is how it is cut: one
 * vector of rows has enough sums side by side for the adders' latency, and the output is computed
 * row by row, with columns in lanes, so that it needs no transposing and no lane is idle. */
#ifndef ATTEND_CPU_TINY_TMPL_H
#define ATTEND_CPU_TINY_TMPL_H

#include "lane_rows_tmpl.h"
#include "tiny_kernels.h"

/* Keys and rows of a tile: their sums leave registers for TINY_STEPS elements of the queries, or
 * TINY_VECTORS vectors of values, and a broadcast. */
enum {
    TINY_STEPS = 4,
    TINY_VECTORS = 2,
    TINY_KEYS = VF_REGISTERS >= 32 ? 16 : 8,
    TINY_ROWS = VF_LANES < 6 ? VF_LANES : VF_REGISTERS >= 32 ? 12 : 6
};

/* X(size): those that `variant` of attention_tmpl.h rounds to. */
#define TINY_SIZES(X) X(1) X(2) X(4) X(6) X(8) X(10) X(12) X(14) X(16)

/* Queries first .. as [D][VF_LANES]. */
static void tiny_pack(const attend__tiny *t, int first) {
    const float *const *const rows = t->queries + first;
    int64_t d = 0;
    for (; d + VF_LANES <= t->depth; d += VF_LANES) {
        vf square[VF_LANES];
        VF_UNROLL for (int r = 0; r < VF_LANES; r++) square[r] = vf_load(rows[r] + d);
        vf_transpose(square);
        VF_UNROLL for (int k = 0; k < VF_LANES; k++) {
            vf_store(t->packed + (d + k) * VF_LANES, square[k]);
        }
    }
    const int rest = (int)(t->depth - d);
    vf square[VF_LANES];
    for (int r = 0; r < VF_LANES && rest > 0; r++)
        square[r] = vf_load_n(rows[r] + d, rest);
    if (rest > 0) vf_transpose(square);
    for (int k = 0; k < rest; k++)
        vf_store(t->packed + (d + k) * VF_LANES, square[k]);
}

/* Keys behind the last are the last once more: nobody reads their scores. */
VF_INLINE void tiny_dots(const int keys, const int32_t last, const attend__tiny *t, int32_t key,
                         vf *highest) {
    int64_t begin = 0;
    do {
        const int64_t end = t->depth - begin > PARTIAL_DEPTH ? begin + PARTIAL_DEPTH : t->depth;
        vf sum[TINY_KEYS];
        VF_UNROLL for (int i = 0; i < keys; i++) sum[i] = vf_zero();
        int64_t d = begin;
        for (; d + TINY_STEPS <= end; d += TINY_STEPS) {
            const float *k = t->keys + key * t->key_stride + d;
            vf q[TINY_STEPS];
            VF_UNROLL for (int s = 0; s < TINY_STEPS; s++) {
                q[s] = vf_load(t->packed + (d + s) * VF_LANES);
            }
            VF_UNROLL for (int i = 0; i < keys; i++) {
                VF_UNROLL for (int s = 0; s < TINY_STEPS; s++) {
                    sum[i] = vf_fma(vf_set(k[s]), q[s], sum[i]);
                }
                if (i < keys - 2 || i < last) k += t->key_stride;
            }
        }
        for (; d < end; d++) {
            const float *k = t->keys + key * t->key_stride + d;
            const vf q = vf_load(t->packed + d * VF_LANES);
            VF_UNROLL for (int i = 0; i < keys; i++) {
                sum[i] = vf_fma(vf_set(*k), q, sum[i]);
                if (i < keys - 2 || i < last) k += t->key_stride;
            }
        }
        VF_UNROLL for (int i = 0; i < keys; i++) {
            float *const at = t->scores + (key + i) * LANE_ROWS;
            if (begin > 0) sum[i] = vf_add(vf_load(at), sum[i]);
            vf_store(at, sum[i]);
            if (end == t->depth) *highest = vf_max(sum[i], *highest);
        }
        begin = end;
    } while (begin < t->depth);
}

static void tiny_scores(const attend__tiny *t, float *highest) {
    vf most = vf_set(-INFINITY);
    for (int32_t key = 0; key < t->count; key += TINY_KEYS) {
        const int32_t keys = t->count - key < TINY_KEYS ? t->count - key : TINY_KEYS;
        switch (variant(keys)) {
#define ATTEND_X(size)                                                                             \
    case size:                                                                                     \
        if (size <= TINY_KEYS) tiny_dots(size, keys - 1, t, key, &most);                           \
        break;
            TINY_SIZES(ATTEND_X)
#undef ATTEND_X
        default:
            break;
        }
    }
    vf_store(highest, most);
}

/* Rows of the output, their weights [key][LANE_ROWS], and what the output is multiplied by. */
typedef struct tiny_rows {
    float *const *out;
    const float *weights, *factor;
} tiny_rows;

VF_INLINE void tiny_mix_tile(const int rows, const int vectors, const attend__tiny *t,
                             const tiny_rows *of, int64_t column, int n) {
    const float *value = t->values + column, *w = of->weights;
    vf sum[TINY_ROWS][TINY_VECTORS];
    VF_UNROLL for (int r = 0; r < rows; r++) {
        VF_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = vf_zero();
    }
    for (int32_t j = 0; j < t->count; j++, value += t->value_stride, w += LANE_ROWS) {
        vf x[TINY_VECTORS];
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            x[v] = n == VF_LANES ? vf_load(value + v * VF_LANES) : vf_load_n(value, n);
        }
        VF_UNROLL for (int r = 0; r < rows; r++) {
            const vf one = vf_set(w[r]);
            VF_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = vf_fma(x[v], one, sum[r][v]);
        }
    }
    VF_UNROLL for (int r = 0; r < rows; r++) {
        const vf by = vf_set(of->factor[r]);
        const vm none = vf_equal(by, vf_zero());
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            const vf scaled = vf_add(vf_mul(sum[r][v], by), vf_zero());
            const vf y = vf_select(none, vf_zero(), scaled);
            if (n == VF_LANES)
                vf_store(of->out[r] + column + v * VF_LANES, y);
            else
                vf_store_n(of->out[r] + column, y, n);
        }
    }
}

VF_INLINE void tiny_mix_rows(const int rows, const attend__tiny *t, const tiny_rows *of) {
    int64_t e = 0;
    for (; e + TINY_VECTORS * VF_LANES <= t->columns; e += TINY_VECTORS * VF_LANES)
        tiny_mix_tile(rows, TINY_VECTORS, t, of, e, VF_LANES);
    for (; e < t->columns; e += VF_LANES)
        tiny_mix_tile(rows, 1, t, of, e, rest_of(t->columns, e));
}

/* The rows of one vector, in tiles of almost the same size. */
static void tiny_mix(const attend__tiny *t, int first, const float *factor) {
    const int count = rest_of(t->rows, first);
    const int tiles = (count + TINY_ROWS - 1) / TINY_ROWS;
    const int each = variant((count + tiles - 1) / tiles);
    for (int row = 0; row < count; row += each) {
        const tiny_rows of = {t->out + first + row, t->scores + row, factor + row};
        switch (each) {
#define ATTEND_X(size)                                                                             \
    case size:                                                                                     \
        if (size <= TINY_ROWS) tiny_mix_rows(size, t, &of);                                        \
        break;
            TINY_SIZES(ATTEND_X)
#undef ATTEND_X
        default:
            break;
        }
    }
}

static void tiny(const attend__tiny *t) {
    float block_highest[VF_LANES], highest[VF_LANES], sum[VF_LANES], shrink[VF_LANES],
        factor[VF_LANES];
    const attend__lane_soften soften = {.scores = t->scores,
                                        .block_highest = block_highest,
                                        .highest = highest,
                                        .sum = sum,
                                        .shrink = shrink,
                                        .factor = t->factor,
                                        .vectors = 1,
                                        .count = t->count};
    for (int first = 0; first < t->rows; first += VF_LANES) {
        tiny_pack(t, first);
        tiny_scores(t, block_highest);
        vf_store(highest, vf_set(-INFINITY));
        vf_store(sum, vf_zero());
        soften_vectors(1, &soften, 0);
        const vf total = vf_load(sum);
        const vf by = vf_div(vf_set(1.0f), total);
        vf_store(factor, vf_select(vf_equal(total, vf_zero()), vf_zero(), by));
        tiny_mix(t, first, factor);
    }
}

#endif
