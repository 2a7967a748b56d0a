/* SPDX-License-Identifier: Apache-2.0
 *
 * Draws a case: sizes evenly on a log scale or at the edge of a tile, types, layouts, options,
 * values. Outputs lie in memory filled with a pattern, so that a write outside of them shows. */
#include "gate_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 256, PATTERN = 0xa5 };

const char *const gate_option_text[GATE_OPTION_COUNT] = {
#define GATE_X(name, text, share) text,
    GATE_OPTION_LIST(GATE_X)
#undef GATE_X
};

static const double shares[GATE_OPTION_COUNT] = {
#define GATE_X(name, text, share) share,
    GATE_OPTION_LIST(GATE_X)
#undef GATE_X
};

/* Where kernels change their path: rows and keys, and head sizes. */
static const int64_t length_edges[] = {4, 6, 8, 12, 14, 16, 32, 48, 64, 96, 128, 192, 256, 512};
static const int64_t size_edges[] = {4, 8, 16, 32, 48, 64, 80, 96, 128, 256};

static int64_t draw_size(gate_random *r, const int64_t *edges, size_t count, int64_t most) {
    if (gate_chance(r, 0.4)) {
        const int64_t edge = edges[gate_range(r, 0, (int64_t)count - 1)] + gate_range(r, -1, 1);
        if (edge <= most) return edge;
    }
    return gate_log_range(r, 1, most);
}

bool gate_on(const gate_case *c, gate_option option) {
    return (c->used >> option & 1) != 0;
}

/* D and E from `sizes`, which may be the generator of a plan that many cases share. */
static void draw_sizes(gate_case *c, gate_random *r, gate_random *sizes, gate_limits limits) {
    enum { LENGTHS = sizeof length_edges / sizeof *length_edges };
    enum { SIZES = sizeof size_edges / sizeof *size_edges };
    c->B = gate_range(r, 1, 4);
    c->H = gate_range(r, gate_on(c, GATE_GROUPED) ? 2 : 1, 12);
    c->G = c->H;
    while (gate_on(c, GATE_GROUPED) && (c->G == c->H || c->H % c->G))
        c->G = gate_range(r, 1, c->H - 1);
    c->L = draw_size(r, length_edges, LENGTHS, limits.length);
    c->S = gate_chance(r, 0.3) ? c->L : draw_size(r, length_edges, LENGTHS, limits.length);
    c->D = draw_size(sizes, size_edges, SIZES, limits.head_size);
    c->E = c->D;
    while (gate_on(c, GATE_VALUE_SIZE) && c->E == c->D && limits.head_size > 1)
        c->E = draw_size(sizes, size_edges, SIZES, limits.head_size);
}

/* Strides of a layout of `rank` dimensions; returns the elements spanned. */
static int64_t lay_out(attend_tensor *t, gate_random *r, bool odd, bool repeat) {
    int32_t order[ATTEND_MAX_RANK]; /* from the fastest on */
    for (int32_t d = 0; d < t->rank; d++)
        order[d] = t->rank - 1 - d;
    for (int32_t d = t->rank - 1; d > 0 && odd; d--) {
        const int32_t other = (int32_t)gate_range(r, 0, d), kept = order[d];
        order[d] = order[other];
        order[other] = kept;
    }
    const int32_t repeated = repeat ? (int32_t)gate_range(r, 0, t->rank - 1) : -1;
    int64_t stride = odd ? gate_range(r, 1, 2) : 1, span = 1;
    for (int32_t d = 0; d < t->rank; d++) {
        t->strides[order[d]] = order[d] == repeated ? 0 : stride;
        span += (t->sizes[order[d]] - 1) * t->strides[order[d]];
        if (order[d] != repeated) stride *= t->sizes[order[d]];
        if (odd && gate_chance(r, 0.3)) stride += gate_range(r, 1, 9);
    }
    return span;
}

bool gate_place(gate_case *c, gate_random *r, attend_tensor *view, attend_tensor shape,
                bool output) {
    const bool index = shape.type == ATTEND_I32 || shape.type == ATTEND_I64;
    const bool repeat = gate_on(c, GATE_BROADCAST) && !output && shape.rank > 1 && !index;
    *view = shape;
    const int64_t span = lay_out(view, r, gate_on(c, GATE_STRIDES), repeat);
    const int64_t skipped = gate_on(c, GATE_STRIDES) ? gate_range(r, 0, 5) : 0;
    const size_t unit = attend_type_bytes(view->type);
    gate_memory *m = &c->memory[c->count++];
    m->view = view;
    m->output = output;
    m->rows = -1;
    m->size = (size_t)(span + skipped) * unit;
    m->bytes = malloc(m->size + 2 * GUARD);
    if (!m->bytes) return false;
    memset(m->bytes, PATTERN, m->size + 2 * GUARD);
    view->data = m->bytes + GUARD;
    view->offset = skipped;
    return true;
}

/* Advances an index over a tensor; false after the last element. */
static bool next(const attend_tensor *t, int64_t *index) {
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        if (++index[d] < t->sizes[d]) return true;
        index[d] = 0;
    }
    return false;
}

void gate_fill(const attend_tensor *t, gate_random *r, gate_draw *draw, const double *parameters) {
    int64_t index[ATTEND_MAX_RANK] = {0};
    do
        gate_store(t, index, draw(r, parameters));
    while (next(t, index));
}

static double draw_normal(gate_random *r, const double *p) {
    return p[0] + p[1] * gate_normal(r);
}
static double draw_truth(gate_random *r, const double *p) {
    return gate_chance(r, p[0]) ? (double)gate_range(r, 1, 2) : 0;
}
static double draw_bias(gate_random *r, const double *p) {
    return gate_chance(r, p[0]) ? -HUGE_VAL : 2 * gate_normal(r);
}
double gate_draw_integer(gate_random *r, const double *p) {
    return (double)gate_range(r, (int64_t)p[0], (int64_t)p[1]);
}

static attend_type draw_float_type(gate_random *r, attend_type q) {
    return gate_chance(r, 0.5) ? ATTEND_F32 : q;
}

/* A mask's shape: rank 1 to 4, dimensions of 1 here and there, sometimes short. */
static attend_tensor mask_shape(const gate_case *c, gate_random *r, attend_type type) {
    const int64_t full[4] = {c->B, c->H, c->L, c->S};
    int64_t sizes[4];
    const int32_t rank = (int32_t)gate_range(r, 1, 4);
    for (int32_t d = 0; d < rank; d++)
        sizes[d] = gate_chance(r, 0.3) ? 1 : full[4 - rank + d];
    if (gate_chance(r, 0.9) || c->S < 4)
        sizes[rank - 1] = c->S;
    else if (gate_chance(r, 0.5))
        sizes[rank - 1] = gate_range(r, 2, c->S - 1);
    return attend_tensor_nd(NULL, type, rank, sizes);
}

static bool place_inputs(gate_case *c, gate_random *r) {
    attend_attention *a = &c->a;
    static const attend_type halves[2] = {ATTEND_F16, ATTEND_BF16};
    const attend_type half = halves[gate_range(r, 0, 1)];
    const attend_type q = gate_on(c, GATE_HALF) ? half : ATTEND_F32;
    const attend_type kv = gate_on(c, GATE_INT8)                             ? ATTEND_I8
                           : gate_on(c, GATE_HALF) || gate_on(c, GATE_MIXED) ? half
                                                                             : ATTEND_F32;
    if (!gate_place(c, r, &a->q, gate_query_shape(c, q, c->D), false) ||
        !gate_place(c, r, &a->k, gate_key_shape(c, kv, c->D), false) ||
        !gate_place(c, r, &a->v, gate_key_shape(c, kv, c->E), false) ||
        !gate_place(c, r, &a->out, gate_query_shape(c, draw_float_type(r, q), c->E), true))
        return false;
    static const double sizes[4] = {1, 1, 4, 0.1};
    const double one[2] = {0, sizes[gate_range(r, 0, 3)]}, plain[2] = {0, 1};
    const double shifted[2] = {gate_chance(r, 0.3) ? 3 : 0, 1};
    gate_fill(&a->q, r, draw_normal, one);
    if (gate_on(c, GATE_INT8)) return gate_place_bytes(c, r);
    gate_fill(&a->k, r, draw_normal, plain);
    gate_fill(&a->v, r, draw_normal, shifted);
    return true;
}

static bool place_masks(gate_case *c, gate_random *r) {
    attend_attention *a = &c->a;
    static const double keeps[3] = {0.9, 0.5, 0.05}, drops[2] = {0, 0.2};
    const double keep = keeps[gate_range(r, 0, 2)], drop = drops[gate_range(r, 0, 1)];
    static const attend_type floats[3] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    if (gate_on(c, GATE_MASK)) {
        const attend_type type = gate_chance(r, 0.7) ? ATTEND_BOOL : ATTEND_U8;
        if (!gate_place(c, r, &a->mask, mask_shape(c, r, type), false)) return false;
        gate_fill(&a->mask, r, draw_truth, &keep);
    }
    if (gate_on(c, GATE_BIAS)) {
        if (!gate_place(c, r, &a->bias, mask_shape(c, r, floats[gate_range(r, 0, 2)]), false))
            return false;
        gate_fill(&a->bias, r, draw_bias, &drop);
    }
    if (gate_on(c, GATE_KEY_MASK)) {
        if (!gate_place(c, r, &a->key_mask, attend_tensor_2d(NULL, ATTEND_BOOL, c->B, c->S), false))
            return false;
        gate_fill(&a->key_mask, r, draw_truth, &keep);
    }
    return true;
}

static bool place_vector(gate_case *c, gate_random *r, attend_tensor *view, int64_t n,
                         const double bounds[2]) {
    const attend_type type = gate_chance(r, 0.5) ? ATTEND_I32 : ATTEND_I64;
    if (!gate_place(c, r, view, attend_tensor_1d(NULL, type, n), false)) return false;
    gate_fill(view, r, gate_draw_integer, bounds);
    return true;
}

static bool place_positions(gate_case *c, gate_random *r) {
    attend_attention *a = &c->a;
    const double queries[2] = {0, (double)c->L}, keys[2] = {0, (double)c->S};
    const double offsets[2] = {-(double)c->L, (double)c->S};
    a->causal = gate_on(c, GATE_CAUSAL);
    if (gate_on(c, GATE_WINDOW)) {
        a->window_left = gate_range(r, -1, c->S);
        a->window_right =
            a->window_left < 0 || gate_chance(r, 0.6) ? gate_range(r, 0, c->S / 2) : -1;
    }
    if (gate_on(c, GATE_QUERY_LENGTHS) && !place_vector(c, r, &a->query_lengths, c->B, queries))
        return false;
    if (gate_on(c, GATE_KEY_LENGTHS) && !gate_on(c, GATE_PAGES) &&
        !place_vector(c, r, &a->key_lengths, c->B, keys))
        return false;
    a->position = gate_chance(r, 0.5) ? ATTEND_TOP_LEFT : ATTEND_BOTTOM_RIGHT;
    if (!gate_on(c, GATE_OFFSETS)) return true;
    a->position = ATTEND_AT_OFFSETS;
    a->query_offset = gate_range(r, -c->L / 2, c->S);
    return gate_chance(r, 0.3) || place_vector(c, r, &a->query_offsets, c->B, offsets);
}

static bool place_extras(gate_case *c, gate_random *r) {
    attend_attention *a = &c->a;
    const double slopes[2] = {0.2, 0.1}, sinks[2] = {1, 2};
    if (gate_on(c, GATE_ALIBI)) {
        const attend_tensor shape = gate_chance(r, 0.5)
                                        ? attend_tensor_1d(NULL, ATTEND_F32, c->H)
                                        : attend_tensor_2d(NULL, ATTEND_F32, c->B, c->H);
        if (!gate_place(c, r, &a->alibi_slopes, shape, false)) return false;
        gate_fill(&a->alibi_slopes, r, draw_normal, slopes);
    }
    if (gate_on(c, GATE_SINKS)) {
        if (!gate_place(c, r, &a->sinks, attend_tensor_1d(NULL, ATTEND_F32, c->H), false))
            return false;
        gate_fill(&a->sinks, r, draw_normal, sinks);
    }
    if (gate_on(c, GATE_SOFTCAP)) a->softcap = 1 + 20 * gate_uniform(r);
    if (gate_on(c, GATE_SCALE)) {
        a->has_scale = 1;
        a->scale = gate_chance(r, 0.1) ? 0 : gate_normal(r) / sqrt((double)c->D);
    }
    return true;
}

static bool place_outputs(gate_case *c, gate_random *r) {
    attend_attention *a = &c->a;
    const attend_type q = a->q.type;
    const int64_t B = c->B, H = c->H, L = c->L, S = c->S;
    const int64_t *const rows = a->q.sizes;
    a->scores_stage = (attend_scores_stage)gate_range(r, ATTEND_SCORES_RAW, ATTEND_SCORES_MASKED);
    return (!gate_on(c, GATE_WEIGHTS) ||
            gate_place(c, r, &a->weights, attend_tensor_4d(NULL, draw_float_type(r, q), B, H, L, S),
                       true)) &&
           (!gate_on(c, GATE_WEIGHTS_MEAN) ||
            gate_place(c, r, &a->weights_mean,
                       attend_tensor_3d(NULL, draw_float_type(r, q), B, L, S), true)) &&
           (!gate_on(c, GATE_SCORES) ||
            gate_place(c, r, &a->scores, attend_tensor_4d(NULL, draw_float_type(r, q), B, H, L, S),
                       true)) &&
           (!gate_on(c, GATE_LSE) ||
            gate_place(c, r, &a->lse, attend_tensor_nd(NULL, ATTEND_F32, 3, rows), true));
}

static void describe(gate_case *c) {
    const attend_attention *a = &c->a;
    int at = snprintf(c->text, sizeof c->text, "B%d H%d G%d L%d S%d D%d E%d %s/%s", (int)c->B,
                      (int)c->H, (int)c->G, (int)c->L, (int)c->S, (int)c->D, (int)c->E,
                      attend_type_text(a->q.type), attend_type_text(a->k.type));
    for (int o = 0; o < GATE_OPTION_COUNT && at < (int)sizeof c->text; o++)
        if (gate_on(c, (gate_option)o))
            at += snprintf(c->text + at, sizeof c->text - (size_t)at, ", %s", gate_option_text[o]);
}

/* Options that exclude each other, and what pages need. */
static void settle(gate_case *c) {
    uint32_t not = 0;
    if (gate_on(c, GATE_HALF)) not |= 1u << GATE_MIXED;
    if (gate_on(c, GATE_MIXED) && !gate_on(c, GATE_HALF)) not |= 1u << GATE_INT8;
    if (gate_on(c, GATE_QUERY_LENGTHS)) not |= 1u << GATE_PACKED;
    c->used &= ~not ;
    if (gate_on(c, GATE_PACKED)) c->used &= ~(1u << GATE_KEY_LENGTHS);
    if (gate_on(c, GATE_PAGES)) c->used |= 1u << GATE_KEY_LENGTHS;
}

bool gate_case_make(gate_case *c, uint64_t seed, uint64_t index, gate_limits limits) {
    memset(c, 0, sizeof *c);
    gate_random random = {seed * 0x2545f4914f6cdd1du + index}, *r = &random;
    (void)gate_bits(r);
    gate_random serving = {~random.state};
    const int options = limits.dense ? GATE_FIRST_OF_SERVING : GATE_OPTION_COUNT;
    for (int o = 0; o < options; o++)
        if (gate_chance(o < GATE_FIRST_OF_SERVING ? r : &serving, shares[o])) c->used |= 1u << o;
    settle(c);
    c->a = attend_attention_default();
    gate_random plan = {seed * 0x2545f4914f6cdd1du + (limits.plans ? index % limits.plans : 0)};
    (void)gate_bits(&plan);
    draw_sizes(c, r, limits.plans ? &plan : r, limits);
    gate_draw_layout(c, &serving);
    if (place_inputs(c, r) && place_masks(c, r) && place_positions(c, r) && place_extras(c, r) &&
        place_outputs(c, r) && gate_place_serving(c, &serving)) {
        describe(c);
        return true;
    }
    gate_case_free(c);
    return false;
}

void gate_case_free(gate_case *c) {
    for (int i = 0; i < c->count; i++)
        free(c->memory[i].bytes);
    for (int i = 0; i < 3; i++)
        free(c->plain[i]);
    c->count = 0;
}

/* Marks each element of the view by writing the pattern over it; what then differs was written
 * outside. */
static bool damaged(const gate_memory *m) {
    const attend_tensor *t = m->view;
    const size_t unit = attend_type_bytes(t->type);
    unsigned char *const copy = malloc(m->size + 2 * GUARD);
    if (!copy) return false;
    memcpy(copy, m->bytes, m->size + 2 * GUARD);
    int64_t index[ATTEND_MAX_RANK] = {0};
    do {
        if (m->rows >= 0 && index[2] >= m->rows) continue;
        int64_t at = t->offset;
        for (int32_t d = 0; d < t->rank; d++)
            at += index[d] * t->strides[d];
        memset(copy + GUARD + (size_t)at * unit, PATTERN, unit);
    } while (next(t, index));
    bool found = false;
    for (size_t i = 0; i < m->size + 2 * GUARD && !found; i++)
        found = copy[i] != PATTERN;
    free(copy);
    return found;
}

const char *gate_case_damage(const gate_case *c) {
    for (int i = 0; i < c->count; i++) {
        const gate_memory *m = &c->memory[i];
        if (!m->output || !damaged(m)) continue;
        return m->view == &c->a.out       ? "out"
               : m->view == &c->a.weights ? "weights"
               : m->view == &c->a.scores  ? "scores"
               : m->view == &c->a.lse     ? "lse"
                                          : "weights_mean";
    }
    return NULL;
}
