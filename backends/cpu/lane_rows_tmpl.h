/* SPDX-License-Identifier: Apache-2.0
 *
 * What surrounds the products of attention, on the strips of lane_kernels.h: rows into lanes
 * and back, the terms of a score, and the online softmax of Milakov & Gimelshein 2018
 * (arXiv:1805.02867), lane by lane. */
#ifndef ATTEND_CPU_LANE_ROWS_TMPL_H
#define ATTEND_CPU_LANE_ROWS_TMPL_H

#include "lane_tmpl.h"
#include "vec_math.h"

/* ---- rows and lanes ------------------------------------------------------------------------- */

static void store_columns(char *first, attend_type type, int64_t stride, int n, vf x) {
    if (stride == 1 && n == VF_LANES) {
        narrow_vector(first, type, x);
    } else if (stride == 1) {
        narrow_vector_n(first, type, x, n);
    } else {
        float line[VF_LANES];
        const attend__span span = {first, type, stride};
        vf_store(line, x);
        narrow_strided(line, n, span);
    }
}

/* Elements i .. i + n - 1 of the rows of one vector, as lanes. */
VF_INLINE void load_square(const attend__lane_rows *rows, int first, int64_t i, int n, vf *square) {
    const int64_t at = i * rows->stride * (rows->type == ATTEND_F32 ? 4 : 2);
    const int count = rest_of(rows->count, first);
    if (rows->type == ATTEND_F32 && rows->stride == 1 && n == VF_LANES) {
        VF_UNROLL for (int r = 0; r < VF_LANES; r++) {
            square[r] = r < count
                            ? vf_load((const float *)(const void *)(rows->first[first + r] + at))
                            : vf_zero();
        }
    } else {
        for (int r = 0; r < VF_LANES; r++)
            square[r] = r < count
                            ? load_columns(rows->first[first + r] + at, rows->type, rows->stride, n)
                            : vf_zero();
    }
    vf_transpose(square);
}

static void lane_prefetch_rows(const attend__lane_rows *rows) {
    const int64_t bytes = rows->n * rows->stride * (rows->type == ATTEND_F32 ? 4 : 2);
    for (int32_t r = 0; r < rows->count; r++) {
        for (int64_t at = 0; at < bytes; at += LINE_FLOATS * (int64_t)sizeof(float))
            vf_prefetch_far(rows->first[r] + at);
    }
}

static void lane_pack_rows(const attend__lane_rows *rows, float *to) {
    for (int first = 0; first < rows->count; first += VF_LANES) {
        for (int64_t i = 0; i < rows->n; i += VF_LANES) {
            const int n = rest_of(rows->n, i);
            vf square[VF_LANES];
            load_square(rows, first, i, n, square);
            for (int k = 0; k < n; k++)
                vf_store(to + (i + k) * LANE_ROWS + first, square[k]);
        }
    }
}

static void lane_add_rows(const attend__lane_rows *rows, float *x) {
    const vf excluded = vf_set(-INFINITY);
    for (int first = 0; first < rows->count; first += VF_LANES) {
        for (int64_t i = 0; i < rows->n; i += VF_LANES) {
            const int n = rest_of(rows->n, i);
            vf square[VF_LANES];
            load_square(rows, first, i, n, square);
            for (int k = 0; k < n; k++) {
                float *const at = x + (i + k) * LANE_ROWS + first;
                const vf sum = vf_add(vf_load(at), square[k]);
                vf_store(at, vf_select(vf_equal(square[k], excluded), excluded, sum));
            }
        }
    }
}

static void lane_unpack_rows(const float *from, const float *factor, const float *tail,
                             const attend__lane_rows *rows) {
    const int64_t bytes = rows->stride * (rows->type == ATTEND_F32 ? 4 : 2);
    for (int first = 0; first < rows->count; first += VF_LANES) {
        const vf by = factor != NULL ? vf_load(factor + first) : vf_set(1.0f);
        const vf more = factor != NULL ? vf_load(tail + first) : vf_set(1.0f);
        const vm none = vf_equal(by, vf_zero());
        const int count = rest_of(rows->count, first);
        for (int64_t i = 0; i < rows->n; i += VF_LANES) {
            const int n = rest_of(rows->n, i);
            vf square[VF_LANES];
            for (int k = 0; k < VF_LANES; k++) {
                const vf x = k < n ? vf_load(from + (i + k) * LANE_ROWS + first) : vf_zero();
                const vf scaled = vf_fma(vf_mul(x, by), more, vf_zero());
                square[k] = factor == NULL ? x : vf_select(none, vf_zero(), scaled);
            }
            vf_transpose(square);
            if (rows->type == ATTEND_F32 && rows->stride == 1 && n == VF_LANES) {
                for (int r = 0; r < count; r++)
                    vf_store((float *)(void *)(rows->first[first + r] + i * bytes), square[r]);
                continue;
            }
            for (int r = 0; r < count; r++)
                store_columns(rows->first[first + r] + i * bytes, rows->type, rows->stride, n,
                              square[r]);
        }
    }
}

static void lane_finite_rows(const float *x, int64_t n, int32_t vectors, bool *finite) {
    for (int32_t v = 0; v < vectors; v++) {
        vf zeros = vf_zero(); /* x - x is 0, or NaN where x is not finite */
        for (int64_t i = 0; i < n; i++) {
            const vf y = vf_load(x + i * LANE_ROWS + v * VF_LANES);
            zeros = vf_add(zeros, vf_sub(y, y));
        }
        float lanes[VF_LANES];
        vf_store(lanes, zeros);
        for (int r = 0; r < VF_LANES; r++)
            finite[v * VF_LANES + r] = lanes[r] == 0.0f;
    }
}

/* ---- terms of a score ----------------------------------------------------------------------- */

/* Every vector of scores[count][LANE_ROWS]: key j, first lane r. */
#define EACH_VECTOR(count, vectors)                                                                \
    for (int32_t j = 0; j < (count); j++)                                                          \
        for (int32_t r = 0; r < (vectors)*VF_LANES; r += VF_LANES)

static void lane_scale(float *x, int32_t count, int32_t vectors, float factor) {
    const vf by = vf_set(factor);
    EACH_VECTOR(count, vectors) {
        float *const at = x + j * LANE_ROWS + r;
        vf_store(at, vf_mul(vf_load(at), by));
    }
}

/* A ratio below 2^-13 is its own tanh in float32; taking x itself there keeps precision for any
 * cap. */
static void lane_cap(float *x, int32_t count, int32_t vectors, float most) {
    const vf by = vf_set(most);
    EACH_VECTOR(count, vectors) {
        float *const at = x + j * LANE_ROWS + r;
        const vf v = vf_load(at), ratio = vf_div(v, by);
        const vm linear = vf_less(vf_abs(ratio), vf_set(0x1p-13f));
        vf_store(at, vf_select(linear, v, vf_mul(by, vf_tanh(ratio))));
    }
}

static void lane_slope(float *x, int32_t count, int32_t vectors, const float *slopes,
                       const float *distance) {
    EACH_VECTOR(count, vectors) {
        float *const at = x + j * LANE_ROWS + r;
        const vf apart = vf_abs(vf_sub(vf_load(distance + r), vf_set((float)j)));
        const vf down = vf_sub(vf_zero(), vf_load(slopes + r));
        vf_store(at, vf_fma(down, apart, vf_load(at)));
    }
}

static void lane_keep(const attend__lane_keep *t) {
    const vf excluded = vf_set(t->other);
    for (int32_t r = 0; r < t->vectors * VF_LANES; r += VF_LANES) {
        vf most = vf_load(t->highest + r);
        for (int32_t j = 0; j < t->count; j++) {
            float *const at = t->scores + j * LANE_ROWS + r;
            vf x = vf_load(at);
            if (t->bits != NULL) {
                const uint32_t *const words = t->bits + j / ATTEND__KEEP_KEYS * LANE_ROWS + r;
                x = vf_select(vm_bit(words, 1u << j % ATTEND__KEEP_KEYS), x, excluded);
                vf_store(at, x);
            }
            most = vf_max(x, most);
        }
        vf_store(t->highest + r, most);
    }
}

static void lane_bits_of_bytes(const uint8_t *bytes, int64_t stride, int32_t n, uint32_t *bits) {
    for (int32_t i = 0; i < n; i += 32, bits++) {
        if (stride == 1 && n - i >= 32) {
            *bits = vm_gather(bytes + i);
            continue;
        }
        uint8_t line[32] = {0};
        for (int32_t k = 0; k < 32 && i + k < n; k++)
            line[k] = bytes[(i + k) * stride];
        *bits = vm_gather(line);
    }
}

/* ---- softmax -------------------------------------------------------------------------------- */

/* With no score above -inf yet, any finite reference gives the weights 0 that are meant. */
VF_INLINE vf reference_of(vf highest) {
    return vf_select(vf_equal(highest, vf_set(-INFINITY)), vf_zero(), highest);
}

typedef struct softening {
    vf factor, least; /* of vf_exp2_below */
    vf reference[LANE_VECTORS], total[LANE_VECTORS];
} softening;

static softening softening_by(float factor) {
    softening by = {.factor = vf_set(factor), .least = vf_set(-127.0f / factor)};
    return by;
}

/* Scores become 2^(factor (score - reference)), `keys` at a time; adds to total in their order. */
VF_INLINE void soften_keys(const int vectors, const int keys, float *x, softening *by) {
    vf w[VF_ABREAST];
    VF_UNROLL for (int i = 0; i < keys * vectors; i++) {
        const vf score = vf_load(x + i / vectors * LANE_ROWS + i % vectors * VF_LANES);
        w[i] = vf_sub(score, by->reference[i % vectors]);
    }
    vf_exp2_below(w, keys * vectors, by->factor, by->least);
    VF_UNROLL for (int i = 0; i < keys * vectors; i++) {
        vf_store(x + i / vectors * LANE_ROWS + i % vectors * VF_LANES, w[i]);
        by->total[i % vectors] = vf_add(by->total[i % vectors], w[i]);
    }
}

VF_INLINE void soften_vectors(const int vectors, const attend__lane_soften *t, int32_t r) {
    const int keys = VF_ABREAST / vectors;
    softening by = softening_by(t->factor);
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        const int32_t at = r + v * VF_LANES;
        const vf before = vf_load(t->highest + at);
        const vf after = vf_max(vf_load(t->block_highest + at), before);
        by.reference[v] = reference_of(after);
        /* Exactly 1 where the highest stays: a block may be left out or not. */
        vf change[1] = {vf_sub(before, by.reference[v])};
        vf_exp2_below(change, 1, by.factor, by.least);
        vf_store(t->highest + at, after);
        vf_store(t->shrink + at, change[0]);
        by.total[v] = vf_zero();
    }
    float *x = t->scores + r;
    int32_t j = 0;
    for (; j + keys <= t->count; j += keys, x += keys * LANE_ROWS)
        soften_keys(vectors, keys, x, &by);
    for (; j < t->count; j++, x += LANE_ROWS)
        soften_keys(vectors, 1, x, &by);
    VF_UNROLL for (int v = 0; v < vectors; v++) {
        float *const sum = t->sum + r + v * VF_LANES;
        vf_store(sum, vf_fma(vf_load(sum), vf_load(t->shrink + r + v * VF_LANES), by.total[v]));
    }
}

static void lane_soften(const attend__lane_soften *t) {
    int32_t v = 0;
    for (; v + 2 <= t->vectors; v += 2)
        soften_vectors(2, t, v * VF_LANES);
    if (v < t->vectors) soften_vectors(1, t, v * VF_LANES);
}

static void lane_weigh(float *x, int32_t count, int32_t vectors, float factor,
                       const float *reference, const float *by) {
    const vf excluded = vf_set(-INFINITY);
    const softening how = softening_by(factor);
    EACH_VECTOR(count, vectors) {
        float *const at = x + j * LANE_ROWS + r;
        const vf score = vf_load(at);
        vf w[1] = {vf_sub(score, vf_load(reference + r))};
        vf_exp2_below(w, 1, how.factor, how.least);
        const vf weight = vf_mul(w[0], vf_load(by + r));
        vf_store(at, vf_select(vf_equal(score, excluded), vf_zero(), weight));
    }
}

static const attend__lane_kernels lane_kernels = {
    .lane_rows = LANE_ROWS,
    .lanes = VF_LANES,
    .tile = LANE_TILE,
    .pack_rows = lane_pack_rows,
    .unpack_rows = lane_unpack_rows,
    .prefetch_rows = lane_prefetch_rows,
    .dots = lane_dots,
    .soften = lane_soften,
    .mix = lane_mix,
    .finite_rows = lane_finite_rows,
    .scale = lane_scale,
    .cap = lane_cap,
    .add_rows = lane_add_rows,
    .slope = lane_slope,
    .keep = lane_keep,
    .weigh = lane_weigh,
    .bits_of_bytes = lane_bits_of_bytes,
};

#endif
