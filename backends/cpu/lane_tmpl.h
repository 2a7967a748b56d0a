/* SPDX-License-Identifier: Apache-2.0
 *
 * The two products of attention over the vector verbs; contract and picture in lane_kernels.h.
 * A tile of sums stays in registers while elements of keys (dots) or values (mix) are broadcast to
 * all lanes, as in a matrix product (Goto & van de Geijn 2008, "Anatomy of high-performance matrix
 * multiplication").
 *
 * An instruction set chooses LANE_VECTORS, the vectors of a strip, and LANE_SUMS, how many sums
 * fit the registers beside a vector for each of the strip's and one broadcast: a tile of `vectors`
 * vectors has LANE_SUMS / vectors keys or columns, what is left over powers of two. Tiles of few
 * sums only wait longer for the adders. */
#ifndef ATTEND_CPU_LANE_TMPL_H
#define ATTEND_CPU_LANE_TMPL_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "attention_tmpl.h"
#include "lane_kernels.h"

enum { LANE_ROWS = LANE_VECTORS * VF_LANES, TILE_MOST = LANE_SUMS > 16 ? LANE_SUMS : 16 };

/* More keys at once would need more addresses than there are registers for. */
enum { KEYS_MOST = 8 };

/* The next tile when `left` keys or columns remain: X(size) for each, largest first. */
#define TILE_SIZES(X) X(16) X(8) X(4) X(2) X(1)

enum { LINE_FLOATS = 64 / (int)sizeof(float) };

/* How far ahead step `i` looks, 0 when that is another strip's share. */
static inline int64_t ahead_of(attend__lane_ahead ahead, int64_t i) {
    return ahead.bytes != 0 && i % ahead.shares == ahead.share ? ahead.bytes : 0;
}

/* Element d of `keys` keys and of the queries. */
VF_INLINE void lane_dots_step(const int vectors, const int keys, const float *queries,
                              const float *k, int64_t stride, vf (*sum)[LANE_VECTORS]) {
    vf q[LANE_VECTORS];
    VF_UNROLL for (int v = 0; v < vectors; v++) q[v] = vf_load(queries + v * VF_LANES);
    VF_UNROLL for (int i = 0; i < keys; i++) {
        const vf one = vf_set(k[i * stride]);
        VF_UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = vf_fma(one, q[v], sum[i][v]);
    }
}

VF_INLINE void lane_dots_tile(const int vectors, const int keys, const attend__lane_dots *t,
                              int32_t key, int64_t ahead) {
    float *const scores = t->scores + key * LANE_ROWS;
    const int64_t stride = t->key_stride, step = t->depth_stride;
    const float *k = (const float *)t->keys + key * stride, *queries = t->queries;
    vf sum[TILE_MOST][LANE_VECTORS];
    int64_t left = t->depth;
    do {
        const int64_t steps = left < PARTIAL_DEPTH ? left : PARTIAL_DEPTH;
        VF_UNROLL for (int i = 0; i < keys; i++) {
            VF_UNROLL for (int v = 0; v < vectors; v++) sum[i][v] = vf_zero();
        }
        for (int64_t d = 0; d < steps;) {
            const int64_t line = steps - d < LINE_FLOATS ? steps : d + LINE_FLOATS;
            if (ahead != 0) {
                VF_UNROLL for (int i = 0; i < keys; i++) {
                    vf_prefetch_far((const char *)(k + i * stride) + ahead);
                }
            }
            for (; d < line; d++, queries += LANE_ROWS, k += step)
                lane_dots_step(vectors, keys, queries, k, stride, sum);
        }
        float *at = scores; /* steps on: the compiler keeps no address for each of them */
        if (left < t->depth) {
            VF_UNROLL for (int i = 0; i < keys; i++, at += LANE_ROWS) {
                VF_UNROLL for (int v = 0; v < vectors; v++) {
                    sum[i][v] = vf_add(vf_load(at + v * VF_LANES), sum[i][v]);
                }
            }
            at = scores;
        }
        VF_UNROLL for (int i = 0; i < keys; i++, at += LANE_ROWS) {
            VF_UNROLL for (int v = 0; v < vectors; v++) vf_store(at + v * VF_LANES, sum[i][v]);
        }
        left -= steps;
    } while (left > 0);
    if (t->highest == NULL) return;
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        float *const highest = t->highest + v * VF_LANES;
        vf most = vf_load(highest);
        VF_UNROLL for (int i = 0; i < keys; i++) most = vf_max(sum[i][v], most);
        vf_store(highest, most);
    }
}

VF_INLINE void lane_dots_vectors(const int vectors, const attend__lane_dots *t) {
    const int most = LANE_SUMS / vectors < KEYS_MOST ? LANE_SUMS / vectors : KEYS_MOST;
    int32_t key = 0;
    for (; key + most <= t->count; key += most)
        lane_dots_tile(vectors, most, t, key, ahead_of(t->ahead, key / most));
#define ATTEND_X(size)                                                                             \
    for (; size < most && key + size <= t->count; key += size)                                     \
        lane_dots_tile(vectors, size < most ? size : 1, t, key, t->ahead.bytes);
    TILE_SIZES(ATTEND_X)
#undef ATTEND_X
}

static void lane_dots(const attend__lane_dots *t) {
    switch (t->vectors) {
    case 1:
        lane_dots_vectors(1, t);
        return;
    case 2:
        lane_dots_vectors(2, t);
        return;
#if LANE_VECTORS > 2
    case 3:
        lane_dots_vectors(3, t);
        return;
#endif
#if LANE_VECTORS > 3
    case 4:
        lane_dots_vectors(4, t);
        return;
#endif
    default:
        return;
    }
}

/* Where a tile of the mix has come to: the next key. */
typedef struct mixing {
    const float *value, *weights;
    int32_t key;
    bool begins; /* the tile in which a line begins brings the next one's */
} mixing;

/* The keys that vector `first` still takes, for it and those behind. A function for each `first`,
 * because clang 14 keeps the sums in memory when the calls are a loop. */
VF_INLINE void lane_mix_keys(const int first, const int vectors, const int columns,
                             const attend__lane_mix *t, mixing *at, vf (*sum)[LANE_VECTORS]) {
    while (at->key < t->ends[first]) {
        const int32_t rest = t->ends[first] - at->key;
        const int32_t count = rest < LINE_FLOATS ? rest : LINE_FLOATS;
        const int64_t ahead = at->begins ? ahead_of(t->ahead, at->key / LINE_FLOATS) : 0;
        for (int32_t i = 0; ahead != 0 && i < count; i++)
            vf_prefetch_far((const char *)(at->value + i * t->value_stride) + ahead);
        const float *value = at->value, *weights = at->weights;
        for (int32_t i = 0; i < count; i++, value += t->value_stride, weights += LANE_ROWS) {
            vf w[LANE_VECTORS];
            VF_UNROLL for (int v = first; v < vectors; v++) {
                w[v] = vf_load(weights + v * VF_LANES);
            }
            VF_UNROLL for (int e = 0; e < columns; e++) {
                const vf one = vf_set(value[e]);
                VF_UNROLL for (int v = first; v < vectors; v++) {
                    sum[e][v] = vf_fma(one, w[v], sum[e][v]);
                }
            }
        }
        at->value = value;
        at->weights = weights;
        at->key += count;
    }
}

/* Lanes that are done leave the loop, and the others go on in the same registers. */
VF_INLINE void lane_mix_tile(const int vectors, const int columns, const attend__lane_mix *t,
                             int64_t column) {
    vf sum[TILE_MOST][LANE_VECTORS], shrink[LANE_VECTORS];
    VF_UNROLL for (int e = 0; e < columns; e++) {
        VF_UNROLL for (int v = 0; v < vectors; v++) sum[e][v] = vf_zero();
    }
    mixing next = {t->values + column, t->weights, 0, column % LINE_FLOATS < columns};
    lane_mix_keys(0, vectors, columns, t, &next, sum);
    if (vectors > 1) lane_mix_keys(1, vectors, columns, t, &next, sum);
    if (vectors > 2) lane_mix_keys(2, vectors, columns, t, &next, sum);
    if (vectors > 3) lane_mix_keys(3, vectors, columns, t, &next, sum);
    VF_UNROLL for (int v = 0; v < vectors; v++) shrink[v] = vf_load(t->shrink + v * VF_LANES);
    float *const out = t->out + column * LANE_ROWS, *at = out;
    if (!t->fresh) {
        VF_UNROLL for (int e = 0; e < columns; e++, at += LANE_ROWS) {
            VF_UNROLL for (int v = 0; v < vectors; v++) {
                sum[e][v] = vf_fma(vf_load(at + v * VF_LANES), shrink[v], sum[e][v]);
            }
        }
    }
    at = out;
    VF_UNROLL for (int e = 0; e < columns; e++, at += LANE_ROWS) {
        VF_UNROLL for (int v = 0; v < vectors; v++) vf_store(at + v * VF_LANES, sum[e][v]);
    }
}

VF_INLINE void lane_mix_vectors(const int vectors, const attend__lane_mix *t) {
    const int most = LANE_SUMS / vectors;
    int64_t column = 0;
    for (; column + most <= t->columns; column += most)
        lane_mix_tile(vectors, most, t, column);
#define ATTEND_X(size)                                                                             \
    for (; size < most && column + size <= t->columns; column += size)                             \
        lane_mix_tile(vectors, size < most ? size : 1, t, column);
    TILE_SIZES(ATTEND_X)
#undef ATTEND_X
}

static void lane_mix(const attend__lane_mix *t) {
    switch (t->vectors) {
    case 1:
        lane_mix_vectors(1, t);
        return;
    case 2:
        lane_mix_vectors(2, t);
        return;
#if LANE_VECTORS > 2
    case 3:
        lane_mix_vectors(3, t);
        return;
#endif
#if LANE_VECTORS > 3
    case 4:
        lane_mix_vectors(4, t);
        return;
#endif
    default:
        return;
    }
}

#endif
