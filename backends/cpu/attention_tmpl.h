/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of attention over the vector verbs; contract and picture in attention_kernels.h. A
 * tile of sums stays in registers while keys stream past, as in a matrix product (Goto & van de
 * Geijn 2008, "Anatomy of high-performance matrix multiplication"); the softmax between them is the
 * online one of Milakov & Gimelshein 2018 (arXiv:1805.02867), on a strip of scores that lies in the
 * first-level cache. */
#ifndef ATTEND_CPU_ATTENTION_TMPL_H
#define ATTEND_CPU_ATTENTION_TMPL_H

#include <math.h>
#include <stddef.h>

#include "attention_kernels.h"
#include "convert_tmpl.h"

/* Products along D are summed in partials, so that the error of sums of equal terms, where
 * roundings do not average out, stays within the bound u (2 sqrt(D) + 8) of the design. */
enum { PARTIAL_DEPTH = 64, WIDEST_TILE = 4 };

/* ---- packing -------------------------------------------------------------------------------- */

static vf load_columns(const char *first, attend_type type, int64_t stride, int n) {
    if (stride == 1)
        return n == VF_LANES ? widen_vector(first, type) : widen_vector_n(first, type, n);
    float gathered[VF_LANES];
    const attend__span span = {(char *)(uintptr_t)first, type, stride};
    widen_strided(span, n, gathered);
    return vf_load_n(gathered, n);
}

static int rest_of(int64_t total, int64_t done) {
    return total - done < VF_LANES ? (int)(total - done) : VF_LANES;
}

/* to[d][to_stride]: column i is rows[i], 0 where rows[i] is NULL. Writes `width` columns, at most
 * VF_LANES. */
VF_INLINE void transpose_rows(const char *const rows[VF_LANES], attend_type type, int64_t stride,
                              int64_t depth, float *to, const int to_stride, const int width) {
    const int64_t bytes = type == ATTEND_F32 ? 4 : 2;
    for (int64_t d = 0; d < depth; d += VF_LANES) {
        const int n = rest_of(depth, d);
        vf square[VF_LANES];
        for (int i = 0; i < VF_LANES; i++)
            square[i] = rows[i] == NULL
                            ? vf_zero()
                            : load_columns(rows[i] + d * stride * bytes, type, stride, n);
        vf_transpose(square);
        for (int i = 0; i < n; i++) {
            float *const line = to + (d + i) * to_stride;
            if (width == VF_LANES)
                vf_store(line, square[i]);
            else
                vf_store_n(line, square[i], width);
        }
    }
}

static void pack_strip(const attend__span *rows, int32_t count, int64_t depth, float *strip) {
    for (int from = 0; from < STRIP_ROWS; from += VF_LANES) {
        const char *first[VF_LANES];
        for (int i = 0; i < VF_LANES; i++)
            first[i] = from + i < count ? rows[from + i].first : NULL;
        transpose_rows(first, rows[0].type, rows[0].stride, depth, strip + from, STRIP_ROWS,
                       rest_of(STRIP_ROWS, from));
    }
}

/* ---- products ------------------------------------------------------------------------------- */

/* Sums of `halves` partials grow side by side: more of them than the adders need time for. */
VF_INLINE int64_t dots_partials(const int rows, const int panels, const int halves,
                                const attend__dots *t, int32_t panel, int64_t begin) {
    const int64_t panel_size = t->depth * VF_LANES, each = PARTIAL_DEPTH * VF_LANES;
    const int64_t left = t->depth - begin;
    const int64_t count = left < PARTIAL_DEPTH ? left : PARTIAL_DEPTH;
    const float *keys = t->panels + panel * panel_size + begin * VF_LANES;
    const float *strip = t->strip + begin * STRIP_ROWS;
    vf sum[2][STRIP_ROWS][WIDEST_TILE];
    VF_UNROLL for (int h = 0; h < halves; h++) {
        VF_UNROLL for (int r = 0; r < rows; r++) {
            VF_UNROLL for (int p = 0; p < panels; p++) sum[h][r][p] = vf_zero();
        }
    }
    for (int64_t d = 0; d < count; d++, keys += VF_LANES, strip += STRIP_ROWS) {
        VF_UNROLL for (int h = 0; h < halves; h++) {
            vf k[WIDEST_TILE];
            VF_UNROLL for (int p = 0; p < panels; p++) {
                k[p] = vf_load(keys + p * panel_size + h * each);
            }
            VF_UNROLL for (int r = 0; r < rows; r++) {
                const vf q = vf_set(strip[h * PARTIAL_DEPTH * STRIP_ROWS + r]);
                VF_UNROLL for (int p = 0; p < panels; p++) {
                    sum[h][r][p] = vf_fma(q, k[p], sum[h][r][p]);
                }
            }
        }
    }
    const int64_t end = begin + count + (halves - 1) * PARTIAL_DEPTH;
    VF_UNROLL for (int r = 0; r < rows; r++) {
        VF_UNROLL for (int p = 0; p < panels; p++) {
            float *const at = t->scores + r * ATTEND__SCORE_STRIDE + (panel + p) * VF_LANES;
            vf total = begin == 0 ? sum[0][r][p] : vf_add(vf_load(at), sum[0][r][p]);
            if (halves == 2) total = vf_add(total, sum[1][r][p]);
            vf_store(at, end == t->depth ? vf_mul(total, vf_set(t->scale)) : total);
        }
    }
    return end;
}

VF_INLINE void dots_tile(const int rows, const int panels, const attend__dots *t, int32_t panel) {
    const int halves = rows * panels <= 8 ? 2 : 1;
    int64_t begin = 0;
    while (halves == 2 && t->depth - begin >= 2 * PARTIAL_DEPTH)
        begin = dots_partials(rows, panels, 2, t, panel, begin);
    do {
        if (begin == t->depth && begin > 0) return;
        begin = dots_partials(rows, panels, 1, t, panel, begin);
    } while (begin < t->depth);
}

VF_INLINE void dots_rows(const int rows, const int panels, const attend__dots *t) {
    int32_t p = 0;
    for (; p + panels <= t->panel_count; p += panels)
        dots_tile(rows, panels, t, p);
    for (; panels > 2 && p + 2 <= t->panel_count; p += 2)
        dots_tile(rows, 2, t, p);
    for (; p < t->panel_count; p++)
        dots_tile(rows, 1, t, p);
}

/* The next number of rows for which there is a tile: 1 and the even ones. */
static int variant(int rows) {
    return rows == 1 ? 1 : (rows + 1) & ~1;
}

static void dots(const attend__dots *t) {
    switch (variant(t->rows)) {
#define ATTEND_X(rows, vectors)                                                                    \
    case rows:                                                                                     \
        dots_rows(rows, vectors, t);                                                               \
        break;
        STRIP_VARIANTS(ATTEND_X)
#undef ATTEND_X
    default:
        break;
    }
}

/* ---- softmax -------------------------------------------------------------------------------- */

/* The highest score of a row and of what came before. Lanes from n on become -inf. */
static float highest_of(float *x, int32_t n, float before) {
    const int32_t whole = n / VF_LANES * VF_LANES;
    const vf excluded = vf_set(-INFINITY);
    if (whole < n)
        vf_store(x + whole, vf_select(vm_first(n - whole), vf_load(x + whole), excluded));
    vf most = vf_set(before);
    for (int32_t i = 0; i < n; i += VF_LANES)
        most = vf_max(most, vf_load(x + i));
    return vf_highest(most);
}

/* Scores become exp(score - reference); their sum, lane by lane and then over lanes. */
static float weigh(float *x, int32_t n, float reference) {
    const vf from = vf_set(reference);
    vf total = vf_zero();
    int32_t i = 0;
    for (; i + VF_ABREAST * VF_LANES <= n; i += VF_ABREAST * VF_LANES) {
        vf w[VF_ABREAST];
        VF_UNROLL for (int v = 0; v < VF_ABREAST; v++) {
            w[v] = vf_sub(vf_load(x + i + v * VF_LANES), from);
        }
        vf_exp_below(w, VF_ABREAST);
        VF_UNROLL for (int v = 0; v < VF_ABREAST; v++) {
            vf_store(x + i + v * VF_LANES, w[v]);
            total = vf_add(total, w[v]);
        }
    }
    for (; i < n; i += VF_LANES) {
        vf w[1] = {vf_sub(vf_load(x + i), from)};
        vf_exp_below(w, 1);
        vf_store(x + i, w[0]);
        total = vf_add(total, w[0]);
    }
    return vf_sum(total);
}

static void soften(const attend__soften *t) {
    float reference[ATTEND__STRIP_MOST + VF_LANES], change[ATTEND__STRIP_MOST + VF_LANES] = {0};
    for (int32_t r = 0; r < t->rows; r++) {
        float *const x = t->scores + r * ATTEND__SCORE_STRIDE + t->from;
        const float before = t->highest[r], after = highest_of(x, t->to - t->from, before);
        /* With no score above -inf yet, any finite reference gives the weights 0 that are meant. */
        reference[r] = after == -INFINITY ? 0.0f : after;
        change[r] = before - reference[r];
        t->highest[r] = after;
    }
    for (int32_t r = 0; r < t->rows; r += VF_LANES)
        vf_store(change + r, vf_exp(vf_load(change + r)));
    for (int32_t r = 0; r < t->rows; r++) {
        float *const x = t->scores + r * ATTEND__SCORE_STRIDE + t->from;
        t->shrink[r] = change[r];
        t->sum[r] = t->sum[r] * change[r] + weigh(x, t->to - t->from, reference[r]);
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

static vf load_part(const float *x, int n) {
    return n == VF_LANES ? vf_load(x) : vf_load_n(x, n);
}

static void store_part(float *x, vf value, int n) {
    if (n == VF_LANES)
        vf_store(x, value);
    else
        vf_store_n(x, value, n);
}

static void scale_row(float *x, int64_t n, float factor) {
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        store_part(x + i, vf_fma(load_part(x + i, m), vf_set(factor), vf_zero()), m);
    }
}

static bool finite_row(const float *x, int64_t n) {
    vf zeros = vf_zero(); /* x - x is 0, or NaN where x is not finite */
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const vf v = load_part(x + i, rest_of(n, i));
        zeros = vf_add(zeros, vf_sub(v, v));
    }
    return vf_sum(zeros) == 0.0f;
}

/* A ratio below 2^-13 is its own tanh in float32; taking x itself there keeps precision for any
 * cap. */
static void cap_row(float *x, int64_t n, float cap) {
    const vf by = vf_set(cap);
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        const vf v = load_part(x + i, m), ratio = vf_div(v, by);
        const vm linear = vf_less(vf_abs(ratio), vf_set(0x1p-13f));
        store_part(x + i, vf_select(linear, v, vf_mul(by, vf_tanh(ratio))), m);
    }
}

static void add_row(float *x, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        store_part(x + i, vf_add(load_part(x + i, m), load_part(y + i, m)), m);
    }
}

static void slope_row(float *x, int64_t n, float slope, float distance) {
    const vf down = vf_set(-slope), start = vf_set(distance);
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        const vf place = vf_add(vf_set((float)i), vf_iota());
        const vf apart = vf_abs(vf_sub(start, place));
        store_part(x + i, vf_fma(down, apart, load_part(x + i, m)), m);
    }
}

static void select_row(float *x, const uint8_t *keep, int64_t n, float other) {
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        const vm kept = m == VF_LANES ? vm_bytes(keep + i) : vm_bytes_n(keep + i, m);
        store_part(x + i, vf_select(kept, load_part(x + i, m), vf_set(other)), m);
    }
}

static void weigh_row(float *x, int64_t n, float highest, float factor) {
    for (int64_t i = 0; i < n; i += VF_LANES) {
        const int m = rest_of(n, i);
        const vf v = load_part(x + i, m);
        const vm none = vf_equal(v, vf_set(-INFINITY));
        const vf w = vf_mul(vf_exp(vf_sub(v, vf_set(highest))), vf_set(factor));
        store_part(x + i, vf_select(none, vf_zero(), w), m);
    }
}

static const attend__attention_kernels attention_kernels = {
    .strip_rows = STRIP_ROWS,
    .lanes = VF_LANES,
    .pack_strip = pack_strip,
    .dots = dots,
    .soften = soften,
    .scale_row = scale_row,
    .finite_row = finite_row,
    .cap_row = cap_row,
    .add_row = add_row,
    .slope_row = slope_row,
    .select_row = select_row,
    .weigh_row = weigh_row,
    .widen = widen,
    .narrow = narrow,
};

#endif
