/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of pair_kernels.h over the vector verbs: the tiles of lane_tmpl.h, with pairs of
 * elements in place of elements. */
#ifndef ATTEND_CPU_PAIR_TMPL_H
#define ATTEND_CPU_PAIR_TMPL_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "pair_kernels.h"

enum { LANE_ROWS = LANE_VECTORS * VF_LANES };
enum {
    PAIR_TILE = LANE_SUMS > 16 ? LANE_SUMS : 16, /* sums of a tile */
    PAIR_PARTIAL = 32, /* pairs summed before the sum joins the others: PARTIAL_DEPTH elements */
    PAIR_LINE = 16     /* pairs of a line of the caches */
};

/* The next tile when `left` keys or columns remain: X(size) for each, largest first. */
#define PAIR_SIZES(X) X(8) X(4) X(2) X(1)

/* ---- queries --------------------------------------------------------------------------------- */

static void pair_join(const attend__pair_join *t) {
    for (int64_t i = 0; i < t->n; i += 2) {
        for (int32_t r = 0; r < t->vectors * VF_LANES; r += VF_LANES) {
            const float *const from = t->from + i * LANE_ROWS + r;
            const vf odd = i + 1 < t->n ? vf_load(from + LANE_ROWS) : vf_zero();
            vf_store(t->to + i / 2 * LANE_ROWS + r, vf_join_bf16(vf_load(from), odd));
        }
    }
}

static void pair_too_far(const float *queries, int64_t depth, int32_t vectors, bool *far) {
    const vf none = vf_zero(), one = vf_set(1.0f), least = vf_set(0x1p-126f),
             most = vf_set(0x1p64f);
    for (int32_t r = 0; r < vectors * VF_LANES; r += VF_LANES) {
        vf seen = vf_zero();
        for (int64_t d = 0; d < depth; d++) {
            const vf x = vf_abs(vf_load(queries + d * LANE_ROWS + r));
            const vf small =
                vf_select(vf_equal(x, none), none, vf_select(vf_less(x, least), one, none));
            seen = vf_max(vf_select(vf_less(x, most), small, one), seen);
        }
        float lanes[VF_LANES];
        vf_store(lanes, seen);
        for (int i = 0; i < VF_LANES; i++)
            far[r + i] = lanes[i] != 0.0f;
    }
}

/* ---- queries times keys ---------------------------------------------------------------------- */

VF_INLINE float pair_at(const char *p) {
    float two;
    memcpy(&two, p, sizeof two);
    return two;
}

/* The last element of an odd number of them: what follows in memory is not read. */
VF_INLINE float last_pair(const char *p) {
    float two = 0.0f;
    memcpy(&two, p, sizeof two / 2);
    return two;
}

VF_INLINE void pair_step(const int vectors, const int keys, const float *queries, const float *two,
                         vf sum[PAIR_TILE][LANE_VECTORS]) {
    vf q[LANE_VECTORS];
    VF_UNROLL for (int v = 0; v < vectors; v++) q[v] = vf_load(queries + v * VF_LANES);
    VF_UNROLL for (int i = 0; i < keys; i++) {
        const vf one = vf_set(two[i]);
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            sum[i][v] = vf_dot_bf16(sum[i][v], one, q[v]);
        }
    }
}

VF_INLINE void pair_dots_tile(const int vectors, const int keys, const attend__lane_dots *t,
                              int32_t key, int64_t ahead) {
    float *const scores = t->scores + key * LANE_ROWS;
    const int64_t stride = t->key_stride * 2, whole = t->depth / 2, pairs = (t->depth + 1) / 2;
    int64_t begin = 0;
    do {
        const int64_t end = pairs - begin > PAIR_PARTIAL ? begin + PAIR_PARTIAL : pairs;
        const int64_t even = end < whole ? end : whole;
        const char *k = (const char *)t->keys + key * stride + begin * 4;
        const float *queries = t->queries + begin * LANE_ROWS;
        vf sum[PAIR_TILE][LANE_VECTORS];
        float two[PAIR_TILE];
        VF_UNROLL for (int i = 0; i < keys; i++) {
            VF_UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = vf_zero();
        }
        for (int64_t d = begin; d < even;) {
            const int64_t line = even - d < PAIR_LINE ? even : d + PAIR_LINE;
            if (ahead != 0) {
                VF_UNROLL for (int i = 0; i < keys; i++) vf_prefetch_far(k + i * stride + ahead);
            }
            for (; d < line; d++, queries += LANE_ROWS, k += 4) {
                VF_UNROLL for (int i = 0; i < keys; i++) two[i] = pair_at(k + i * stride);
                pair_step(vectors, keys, queries, two, sum);
            }
        }
        if (even < end) {
            VF_UNROLL for (int i = 0; i < keys; i++) two[i] = last_pair(k + i * stride);
            pair_step(vectors, keys, queries, two, sum);
        }
        VF_UNROLL for (int i = 0; i < keys; i++) {
            VF_UNROLL for (int v = 0; v < vectors; v++) {
                float *const at = scores + i * LANE_ROWS + v * VF_LANES;
                if (begin > 0) sum[i][v] = vf_add(vf_load(at), sum[i][v]);
                vf_store(at, sum[i][v]);
            }
        }
        begin = end;
        if (begin < pairs || t->highest == NULL) continue;
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            float *const at = t->highest + v * VF_LANES;
            vf most = vf_load(at);
            VF_UNROLL for (int i = 0; i < keys; i++) most = vf_max(sum[i][v], most);
            vf_store(at, most);
        }
    } while (begin < pairs);
}

VF_INLINE void pair_dots_vectors(const int vectors, const attend__lane_dots *t) {
    int32_t key = 0;
    for (int32_t step = 0; key + 8 <= t->count; key += 8, step++)
        pair_dots_tile(vectors, 8, t, key,
                       step % t->ahead.shares == t->ahead.share ? t->ahead.bytes : 0);
#define ATTEND_X(size)                                                                             \
    for (; key + size <= t->count; key += size)                                                    \
        pair_dots_tile(vectors, size, t, key, t->ahead.bytes);
    PAIR_SIZES(ATTEND_X)
#undef ATTEND_X
}

static void pair_dots(const attend__lane_dots *t) {
    switch (t->vectors) {
    case 1:
        pair_dots_vectors(1, t);
        return;
    case 2:
        pair_dots_vectors(2, t);
        return;
    case 3:
        pair_dots_vectors(3, t);
        return;
    default:
        return;
    }
}

/* ---- softmax --------------------------------------------------------------------------------- */

typedef struct pair_softening {
    vf factor, least; /* as of vf_exp2_below */
    vf reference[LANE_VECTORS], total[LANE_VECTORS];
} pair_softening;

/* vf_exp2_below with a polynomial of two terms less: 2^-13.2 of the result. */
VF_INLINE void pair_exp2(vf *x, const int count, const pair_softening *by) {
    const vf shift = vf_set(12583039.0f);
    vf n[2 * LANE_VECTORS], p[2 * LANE_VECTORS];
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_max(by->least, x[i]);
        n[i] = vf_fma(x[i], by->factor, shift);
    }
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_fma(x[i], by->factor, vf_sub(shift, n[i]));
    }
    VF_UNROLL for (int i = 0; i < count; i++) p[i] =
        vf_fma(vf_set(0x1.c2a214p-5f), x[i], vf_set(0x1.f00c4cp-3f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(0x1.62f5fap-1f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(1.0f));
    VF_UNROLL for (int i = 0; i < count; i++) x[i] = vf_mul(p[i], vf_power(n[i]));
}

/* One row of pairs from `keys` rows of scores, the first of which is the odd one if `odd`. */
VF_INLINE void soften_pair(const int vectors, const int keys, const bool odd, const float *from,
                           float *to, pair_softening *by) {
    vf w[2 * LANE_VECTORS];
    VF_UNROLL for (int i = 0; i < keys * vectors; i++) {
        const vf score = vf_load(from + i / vectors * LANE_ROWS + i % vectors * VF_LANES);
        w[i] = vf_sub(score, by->reference[i % vectors]);
    }
    pair_exp2(w, keys * vectors, by);
    VF_UNROLL for (int i = 0; i < keys * vectors; i++) {
        by->total[i % vectors] = vf_add(by->total[i % vectors], w[i]);
    }
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        const vf first = odd ? vf_zero() : w[v];
        const vf second = odd ? w[v] : keys == 2 ? w[vectors + v] : vf_zero();
        vf_store(to + v * VF_LANES, vf_join_bf16(first, second));
    }
}

VF_INLINE void pair_soften_vectors(const int vectors, const attend__pair_soften *t) {
    const attend__lane_soften *const of = &t->of;
    pair_softening by = {.factor = vf_set(of->factor), .least = vf_set(-127.0f / of->factor)};
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        float *const highest = of->highest + v * VF_LANES;
        const vf before = vf_load(highest);
        const vf after = vf_max(vf_load(of->block_highest + v * VF_LANES), before);
        by.reference[v] = vf_select(vf_equal(after, vf_set(-INFINITY)), vf_zero(), after);
        vf change[1] = {vf_sub(before, by.reference[v])};
        vf_exp2_below(change, 1, by.factor, by.least);
        vf_store(highest, after);
        vf_store(of->shrink + v * VF_LANES, change[0]);
        by.total[v] = vf_zero();
    }
    const float *from = of->scores;
    float *to = of->scores;
    int32_t left = of->count;
    if (t->shift != 0 && left > 0) {
        soften_pair(vectors, 1, true, from, to, &by);
        from += LANE_ROWS;
        to += LANE_ROWS;
        left--;
    }
    for (; left >= 2; left -= 2, from += 2 * LANE_ROWS, to += LANE_ROWS)
        soften_pair(vectors, 2, false, from, to, &by);
    if (left > 0) soften_pair(vectors, 1, false, from, to, &by);
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        float *const sum = of->sum + v * VF_LANES;
        vf_store(sum, vf_fma(vf_load(sum), vf_load(of->shrink + v * VF_LANES), by.total[v]));
    }
}

static void pair_soften(const attend__pair_soften *t) {
    switch (t->of.vectors) {
    case 1:
        pair_soften_vectors(1, t);
        return;
    case 2:
        pair_soften_vectors(2, t);
        return;
    case 3:
        pair_soften_vectors(3, t);
        return;
    default:
        return;
    }
}

/* ---- weights times values -------------------------------------------------------------------- */

VF_INLINE vf row_part(const char *row, int64_t e, int n) {
    if (row == NULL) return vf_zero();
    const void *const at = row + 2 * e;
    return n == VF_LANES ? vf_load_bf16(at) : vf_load_bf16_n(at, n);
}

/* Two rows, of which one may be missing. */
VF_INLINE void pair_two_rows(const char *low, const char *high, int64_t columns, float *to) {
    int64_t e = 0;
    for (; low != NULL && high != NULL && e + VF_LANES <= columns; e += VF_LANES)
        vf_store(to + e, vf_both_bf16(row_part(low, e, VF_LANES), row_part(high, e, VF_LANES)));
    for (; e < columns; e += VF_LANES) {
        const int n = columns - e < VF_LANES ? (int)(columns - e) : VF_LANES;
        vf_store_n(to + e, vf_both_bf16(row_part(low, e, n), row_part(high, e, n)), n);
    }
}

static void pair_values(const attend__pair_values *t) {
    const int32_t end = t->first + t->count;
    for (int32_t row = t->first / 2 * 2; row < end; row += 2)
        pair_two_rows(row >= t->first ? t->rows[row - t->first] : NULL,
                      row + 1 < end ? t->rows[row + 1 - t->first] : NULL, t->columns,
                      t->to + row / 2 * t->columns);
}

/* Lanes that are done leave the loop, and the others go on in the same registers. */
VF_INLINE void pair_mix_tile(const int vectors, const int columns, const attend__lane_mix *t,
                             int64_t column) {
    const float *value = t->values + column, *weights = t->weights;
    vf sum[PAIR_TILE][LANE_VECTORS];
    VF_UNROLL for (int e = 0; e < columns; e++) {
        VF_UNROLL for (int v = 0; v < vectors; v++) sum[e][v] = vf_zero();
    }
    int32_t pair = 0;
    VF_UNROLL for (int first = 0; first < vectors; first++) {
        for (; pair < t->ends[first]; pair++, value += t->value_stride, weights += LANE_ROWS) {
            vf w[LANE_VECTORS];
            VF_UNROLL for (int v = first; v < vectors; v++) w[v] = vf_load(weights + v * VF_LANES);
            VF_UNROLL for (int e = 0; e < columns; e++) {
                const vf two = vf_set(value[e]);
                VF_UNROLL for (int v = first; v < vectors; v++) {
                    sum[e][v] = vf_dot_bf16(sum[e][v], two, w[v]);
                }
            }
        }
    }
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        const vf shrink = vf_load(t->shrink + v * VF_LANES);
        VF_UNROLL for (int e = 0; e < columns; e++) {
            float *const at = t->out + (column + e) * LANE_ROWS + v * VF_LANES;
            const vf before = t->fresh ? vf_zero() : vf_load(at);
            vf_store(at, vf_fma(before, shrink, sum[e][v]));
        }
    }
}

VF_INLINE void pair_mix_vectors(const int vectors, const attend__lane_mix *t) {
    int64_t column = 0;
#define ATTEND_X(size)                                                                             \
    for (; column + size <= t->columns; column += size)                                            \
        pair_mix_tile(vectors, size, t, column);
    PAIR_SIZES(ATTEND_X)
#undef ATTEND_X
}

static void pair_mix(const attend__lane_mix *t) {
    switch (t->vectors) {
    case 1:
        pair_mix_vectors(1, t);
        return;
    case 2:
        pair_mix_vectors(2, t);
        return;
    case 3:
        pair_mix_vectors(3, t);
        return;
    default:
        return;
    }
}

#endif
