/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of decode_kernels.h over the vector verbs. */
#ifndef ATTEND_CPU_DECODE_TMPL_H
#define ATTEND_CPU_DECODE_TMPL_H

#include "attention_tmpl.h"
#include "decode_kernels.h"

enum { GROUP_PANELS = VF_LANES > 4 ? 4 : 16, LINE = 64 };

VF_INLINE int64_t bytes_of(const attend_type type) {
    return type == ATTEND_F32 ? 4 : type == ATTEND_I8 ? 1 : 2;
}

/* n elements of a row, fewer than a vector only at its end. */
VF_INLINE vf load_listed(const char *p, const attend_type type, float scale, int n) {
    const void *const at = p;
    if (type == ATTEND_I8) {
        const vf x = n == VF_LANES ? vf_load_i8(at) : vf_load_i8_n(at, n);
        return vf_mul(x, vf_set(scale));
    }
    return n == VF_LANES ? widen_vector(p, type) : widen_vector_n(p, type, n);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Squares of a whole panel from column d on; returns the column where they end. All in registers:
 * loops over an array of vectors that stay loops would keep it in memory. */
VF_INLINE int64_t pack_squares(const attend__row_list *list, const attend_type type, int64_t d,
                               int64_t depth, float *panel) {
    const char *const *const rows = list->rows, *const *const next = rows + list->ahead;
    const int64_t bytes = bytes_of(type);
    for (; d + VF_LANES <= depth; d += VF_LANES) {
        vf square[VF_LANES];
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            const float scale = type == ATTEND_I8 ? list->scales[i] : 1.0f;
            square[i] = load_listed(rows[i] + d * bytes, type, scale, VF_LANES);
            vf_prefetch(next[i] + d * bytes);
        }
        vf_transpose(square);
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            vf_store(panel + (d + i) * VF_LANES, square[i]);
        }
    }
    return d;
}

/* Two columns of bfloat16 at a time: half the transposing. */
VF_INLINE int64_t pack_pairs(const attend__row_list *list, int64_t depth, float *panel) {
    const char *const *const rows = list->rows, *const *const next = rows + list->ahead;
    int64_t d = 0;
    for (; d + 2 * VF_LANES <= depth; d += 2 * VF_LANES) {
        vf square[VF_LANES];
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            const void *const at = rows[i] + 2 * d;
            square[i] = vf_load_pairs(at);
            vf_prefetch(next[i] + 2 * d);
        }
        vf_transpose(square);
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            vf_store(panel + (d + 2 * i) * VF_LANES, vf_even_bf16(square[i]));
            vf_store(panel + (d + 2 * i + 1) * VF_LANES, vf_odd_bf16(square[i]));
        }
    }
    return d;
}

/* Four columns of int8 at a time: a quarter of the transposing. */
VF_INLINE int64_t pack_fours(const attend__row_list *list, int64_t depth, float *panel) {
    const char *const *const rows = list->rows, *const *const next = rows + list->ahead;
    const vf scale = vf_load(list->scales);
    int64_t d = 0;
    for (; d + 4 * VF_LANES <= depth; d += 4 * VF_LANES) {
        vf square[VF_LANES];
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            const void *const at = rows[i] + d;
            square[i] = vf_load_fours(at);
            vf_prefetch(next[i] + d);
        }
        vf_transpose(square);
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
            VF_UNROLL for (int k = 0; k < 4; k++) {
                vf_store(panel + (d + 4 * i + k) * VF_LANES, vf_mul(vf_i8_of(square[i], k), scale));
            }
        }
    }
    return d;
}

/* As many columns of a whole panel as go without masks; returns where they end. */
VF_INLINE int64_t pack_whole(const attend__row_list *list, const attend_type type, int64_t depth,
                             float *panel) {
    if (type == ATTEND_BF16) return pack_pairs(list, depth, panel);
    const int64_t d = type == ATTEND_I8 ? pack_fours(list, depth, panel) : 0;
    return pack_squares(list, type, d, depth, panel);
}

/* Columns from `d` on of a panel; lanes outside first .. end - 1 become 0, rows[0] is lane `first`.
 */
VF_INLINE void pack_rest(const attend__row_list *list, const attend_type type, int first, int end,
                         int64_t d, int64_t depth, float *panel) {
    const int64_t bytes = bytes_of(type);
    for (; d < depth; d += VF_LANES) {
        const int n = rest_of(depth, d);
        vf square[VF_LANES];
        for (int i = 0; i < VF_LANES; i++) {
            square[i] = vf_zero();
            if (i < first || i >= end) continue;
            const float scale = type == ATTEND_I8 ? list->scales[i - first] : 1.0f;
            square[i] = load_listed(list->rows[i - first] + d * bytes, type, scale, n);
        }
        vf_transpose(square);
        for (int i = 0; i < n; i++)
            vf_store(panel + (d + i) * VF_LANES, square[i]);
    }
}

VF_INLINE void pack_list_of(const attend__list_keys *t, const attend_type type) {
    attend__row_list list = t->list;
    for (int32_t begin = t->from / VF_LANES * VF_LANES; begin < t->to; begin += VF_LANES) {
        const int first = t->from > begin ? t->from - begin : 0,
                  end = t->to - begin < VF_LANES ? t->to - begin : VF_LANES;
        float *const panel = t->panels + begin * t->depth;
        int64_t d = 0;
        if (end - first == VF_LANES) d = pack_whole(&list, type, t->depth, panel);
        if (d < t->depth) pack_rest(&list, type, first, end, d, t->depth, panel);
        list.rows += end - first;
        if (type == ATTEND_I8) list.scales += end - first;
    }
}

static void pack_list(const attend__list_keys *t) {
    switch (t->list.type) {
    case ATTEND_F32:
        pack_list_of(t, ATTEND_F32);
        break;
    case ATTEND_F16:
        pack_list_of(t, ATTEND_F16);
        break;
    case ATTEND_BF16:
        pack_list_of(t, ATTEND_BF16);
        break;
    default:
        pack_list_of(t, ATTEND_I8);
        break;
    }
}

/* ---- scores of a row or a few ---------------------------------------------------------------- */

/* Vectors of a query that stay in registers while keys pass, and how many vectors are summed before
 * the sum is set aside, for the bound of design on rounding. */
enum { QUERY_VECTORS = 4, PARTIAL_VECTORS = PARTIAL_DEPTH };

/* Keys of one group, rows of `type`; `next` are those that are prefetched, NULL: none. */
typedef struct group {
    const char *rows[VF_LANES];
    const char *const *next;
} group;

/* sum[i] = x elements begin .. of key i times those of the query, lane by lane. */
VF_INLINE void add_products(const int vectors, const group *g, const attend_type type,
                            const float *query, int64_t d, vf *sum) {
    const int64_t bytes = bytes_of(type);
    vf q[QUERY_VECTORS];
    VF_UNROLL for (int v = 0; v < vectors; v++) q[v] = vf_load(query + d + v * VF_LANES);
    if (g->next != NULL) {
        for (int i = 0; i < VF_LANES; i++) {
            VF_UNROLL for (int v = 0; v < vectors; v++) {
                if (v * VF_LANES * bytes % LINE == 0)
                    vf_prefetch(g->next[i] + (d + v * VF_LANES) * bytes);
            }
        }
    }
    VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
        const char *const key = g->rows[i] + d * bytes;
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            const vf k = load_listed(key + v * VF_LANES * bytes, type, 1.0f, VF_LANES);
            sum[i] = vf_fma(q[v], k, sum[i]);
        }
    }
}

/* The last elements of keys, fewer than a vector. */
VF_INLINE void add_rest(const group *g, const attend_type type, const float *query, int64_t d,
                        int n, vf *sum) {
    const vf q = vf_load(query + d);
    VF_UNROLL for (int i = 0; i < VF_LANES; i++) {
        const vf k = load_listed(g->rows[i] + d * bytes_of(type), type, 1.0f, n);
        sum[i] = vf_fma(q, k, sum[i]);
    }
}

VF_INLINE vf group_dots(const group *g, const attend_type type, const float *query, int64_t depth) {
    vf total = vf_zero();
    int64_t d = 0;
    do {
        const int64_t most = PARTIAL_VECTORS * VF_LANES;
        const int64_t end = depth - d < most ? depth : d + most;
        vf sum[VF_LANES];
        VF_UNROLL for (int i = 0; i < VF_LANES; i++) sum[i] = vf_zero();
        for (; d + QUERY_VECTORS * VF_LANES <= end; d += QUERY_VECTORS * VF_LANES)
            add_products(QUERY_VECTORS, g, type, query, d, sum);
        for (; d + VF_LANES <= end; d += VF_LANES)
            add_products(1, g, type, query, d, sum);
        if (d < end) add_rest(g, type, query, d, (int)(end - d), sum);
        d = end;
        total = vf_add(total, vf_sums(sum));
    } while (d < depth);
    return total;
}

/* Scores of columns begin .. begin + VF_LANES - 1; those outside from .. to - 1 are of other keys.
 */
VF_INLINE void score_group(const attend__list_dots *t, const attend_type type, int32_t begin) {
    const bool whole = begin >= t->from && begin + VF_LANES <= t->to;
    group g = {.next = whole ? t->list.rows + begin - t->from + t->list.ahead : NULL};
    float scales[VF_LANES];
    for (int i = 0; i < VF_LANES; i++) {
        int32_t at = begin - t->from + i;
        if (!whole) at = at < 0 ? 0 : at < t->to - t->from ? at : t->to - t->from - 1;
        g.rows[i] = t->list.rows[at];
        if (type == ATTEND_I8) scales[i] = t->list.scales[at];
    }
    for (int32_t r = 0; r < t->rows; r++) {
        vf x = group_dots(&g, type, t->queries + r * t->query_stride, t->depth);
        g.next = NULL;
        if (type == ATTEND_I8) x = vf_mul(x, vf_load(scales));
        vf_store(t->scores + r * ATTEND__SCORE_STRIDE + begin, vf_mul(x, vf_set(t->scale)));
    }
}

VF_INLINE void dots_list_of(const attend__list_dots *t, const attend_type type) {
    for (int32_t begin = t->from / VF_LANES * VF_LANES; begin < t->to; begin += VF_LANES)
        score_group(t, type, begin);
}

static void dots_list(const attend__list_dots *t) {
    switch (t->list.type) {
    case ATTEND_F32:
        dots_list_of(t, ATTEND_F32);
        break;
    case ATTEND_F16:
        dots_list_of(t, ATTEND_F16);
        break;
    case ATTEND_BF16:
        dots_list_of(t, ATTEND_BF16);
        break;
    default:
        dots_list_of(t, ATTEND_I8);
        break;
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

VF_INLINE void mix_list_tile(const int rows, const int vectors, const attend_type type,
                             const attend__list_mix *t, int64_t column, int n) {
    const int64_t bytes = bytes_of(type), at = column * bytes;
    vf sum[STRIP_ROWS][WIDEST_TILE];
    VF_UNROLL for (int r = 0; r < rows; r++) {
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            const float *const from = t->sums + r * t->stride + column + v * VF_LANES;
            sum[r][v] = t->first ? vf_zero() : vf_load(from);
        }
    }
    for (int32_t k = 0; k < t->keys; k++) {
        const char *const row = t->list.rows[k] + at, *const next = t->list.rows[k + t->list.ahead];
        const float scale = type == ATTEND_I8 ? t->list.scales[k] : 1.0f;
        vf value[WIDEST_TILE];
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            value[v] = load_listed(row + v * VF_LANES * bytes, type, scale, n);
            if (v * VF_LANES * bytes % LINE == 0) vf_prefetch(next + at + v * VF_LANES * bytes);
        }
        VF_UNROLL for (int r = 0; r < rows; r++) {
            const vf w = vf_set(t->weights[r * ATTEND__SCORE_STRIDE + k]);
            VF_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = vf_fma(w, value[v], sum[r][v]);
        }
    }
    VF_UNROLL for (int r = 0; r < rows; r++) {
        VF_UNROLL for (int v = 0; v < vectors; v++) {
            const int64_t to = r * t->stride + column + v * VF_LANES;
            if (t->last)
                vf_store(t->out + to,
                         vf_fma(vf_load(t->out + to), vf_set(t->shrink[r]), sum[r][v]));
            else
                vf_store(t->sums + to, sum[r][v]);
        }
    }
}

VF_INLINE void mix_list_rows(const int rows, const int vectors, const attend_type type,
                             const attend__list_mix *t) {
    int64_t e = 0;
    for (; e + vectors * VF_LANES <= t->columns; e += vectors * VF_LANES)
        mix_list_tile(rows, vectors, type, t, e, VF_LANES);
    for (; e < t->columns; e += VF_LANES)
        mix_list_tile(rows, 1, type, t, e, rest_of(t->columns, e));
}

VF_INLINE void mix_list_of(const attend__list_mix *t, const attend_type type) {
    switch (variant(t->rows)) {
#define ATTEND_X(rows, vectors)                                                                    \
    case rows:                                                                                     \
        mix_list_rows(rows, vectors, type, t);                                                     \
        break;
        STRIP_VARIANTS(ATTEND_X)
#undef ATTEND_X
    default:
        break;
    }
}

static void mix_list_f32(const attend__list_mix *t) {
    mix_list_of(t, ATTEND_F32);
}

static void mix_list_f16(const attend__list_mix *t) {
    mix_list_of(t, ATTEND_F16);
}

static void mix_list_bf16(const attend__list_mix *t) {
    mix_list_of(t, ATTEND_BF16);
}

static void mix_list_i8(const attend__list_mix *t) {
    mix_list_of(t, ATTEND_I8);
}

static void mix_list(const attend__list_mix *t) {
    switch (t->list.type) {
    case ATTEND_F32:
        mix_list_f32(t);
        break;
    case ATTEND_F16:
        mix_list_f16(t);
        break;
    case ATTEND_BF16:
        mix_list_bf16(t);
        break;
    default:
        mix_list_i8(t);
        break;
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* x * factor + y * y_factor, whole vectors. */
static void fold(float *x, float factor, const float *y, float y_factor, int64_t n) {
    for (int64_t i = 0; i < n; i += VF_LANES)
        vf_store(x + i,
                 vf_fma(vf_load(x + i), vf_set(factor), vf_mul(vf_load(y + i), vf_set(y_factor))));
}

static const attend__decode_kernels decode_kernels = {
    .group_panels = GROUP_PANELS,
    .pack_list = pack_list,
    .dots_list = dots_list,
    .mix_list = mix_list,
    .fold = fold,
};

#endif
