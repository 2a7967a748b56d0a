/* SPDX-License-Identifier: Apache-2.0
 *
 * Draws where the samples of a case lie: packed one after another, in pages that a permuted table
 * names, in int8 with scales, in a range of keys. Then writes NaN wherever the call may not read,
 * garbage into entries of the table behind the last, and the plain attention that the call means.
 */
#include "gate_draw.h"

#include <math.h>
#include <stdlib.h>

enum { SERVING = 1u << GATE_PACKED | 1u << GATE_PAGES | 1u << GATE_INT8 | 1u << GATE_KEY_RANGE };

/* ---- lengths and places ---------------------------------------------------------------------- */

static void draw_lengths(gate_random *r, int64_t samples, int64_t most, int64_t *lengths) {
    for (int64_t b = 0; b < samples; b++)
        lengths[b] = gate_chance(r, 0.2) ? 0 : gate_range(r, 0, most);
    if (gate_chance(r, 0.7)) lengths[gate_range(r, 0, samples - 1)] = most;
}

static int64_t sum(const int64_t *values, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

static int64_t longest(const int64_t *values, int64_t count) {
    int64_t most = 0;
    for (int64_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
}

static int64_t pages_of(const gate_layout *l, int64_t tokens) {
    return (tokens + l->page_size - 1) / l->page_size;
}

static void draw_pages(gate_case *c, gate_random *r) {
    static const int64_t usual[] = {1, 3, 16, 32};
    gate_layout *const l = &c->layout;
    const bool block = gate_chance(r, 0.2);
    l->page_size = block                 ? c->S + gate_range(r, 0, 3)
                   : gate_chance(r, 0.3) ? usual[gate_range(r, 0, 3)]
                                         : gate_range(r, 1, 40);
    l->entries = pages_of(l, c->S) + (block ? 0 : gate_range(r, 0, 2));
    l->pages = gate_range(r, 0, 3);
    for (int64_t b = 0; b < c->B; b++)
        l->pages += pages_of(l, l->key_length[b]);
    if (l->pages < 1) l->pages = 1;
}

void gate_draw_layout(gate_case *c, gate_random *r) {
    gate_layout *const l = &c->layout;
    const bool packed = gate_on(c, GATE_PACKED), paged = gate_on(c, GATE_PAGES);
    if (packed) {
        draw_lengths(r, c->B, c->L, l->query_length);
        l->query_rows = sum(l->query_length, c->B) + gate_range(r, 0, 3);
        if (l->query_rows < 1) l->query_rows = 1;
    }
    if (packed || paged) draw_lengths(r, c->B, c->S, l->key_length);
    if (paged) draw_pages(c, r);
    if (packed && !paged) {
        l->key_rows = sum(l->key_length, c->B) + gate_range(r, 0, 3);
        if (l->key_rows < 1) l->key_rows = 1;
    }
}

attend_tensor gate_query_shape(const gate_case *c, attend_type type, int64_t n) {
    if (gate_on(c, GATE_PACKED))
        return attend_tensor_4d(NULL, type, 1, c->H, c->layout.query_rows, n);
    return attend_tensor_4d(NULL, type, c->B, c->H, c->L, n);
}

attend_tensor gate_key_shape(const gate_case *c, attend_type type, int64_t n) {
    const gate_layout *const l = &c->layout;
    if (gate_on(c, GATE_PAGES))
        return attend_tensor_4d(NULL, type, l->pages, c->G, l->page_size, n);
    if (gate_on(c, GATE_PACKED)) return attend_tensor_4d(NULL, type, 1, c->G, l->key_rows, n);
    return attend_tensor_4d(NULL, type, c->B, c->G, c->S, n);
}

/* Where key j of sample b lies: batch or page, and row. */
static void key_place(const gate_case *c, int64_t b, int64_t j, int64_t place[2]) {
    const gate_layout *const l = &c->layout;
    place[0] = b;
    place[1] = j;
    if (gate_on(c, GATE_PAGES)) {
        place[0] = (int64_t)gate_load(&c->a.page_table, (const int64_t[2]){b, j / l->page_size});
        place[1] = j % l->page_size;
    } else if (gate_on(c, GATE_PACKED)) {
        place[0] = 0;
        place[1] = sum(l->key_length, b) + j;
    }
}

bool gate_case_row(const gate_case *c, const int64_t at[3], int64_t row[3]) {
    const bool packed = gate_on(c, GATE_PACKED);
    row[0] = packed ? 0 : at[0];
    row[1] = at[1];
    row[2] = at[2] + (packed ? sum(c->layout.query_length, at[0]) : 0);
    return !packed || at[2] < c->layout.query_length[at[0]];
}

/* ---- int8 ------------------------------------------------------------------------------------ */

/* About what normal values give; some tokens are all 0. */
static double draw_scale(gate_random *r, const double *p) {
    (void)p;
    return gate_chance(r, 0.05) ? 0 : (0.3 + 1.4 * gate_uniform(r)) / 73;
}

bool gate_place_bytes(gate_case *c, gate_random *r) {
    attend_attention *const a = &c->a;
    static const double bytes[2] = {-128, 127};
    const attend_tensor t = a->k;
    const attend_tensor shape =
        attend_tensor_3d(NULL, ATTEND_F32, t.sizes[0], t.sizes[1], t.sizes[2]);
    if (!gate_place(c, r, &a->k_scales, shape, false) ||
        !gate_place(c, r, &a->v_scales, shape, false))
        return false;
    gate_fill(&a->k, r, gate_draw_integer, bytes);
    gate_fill(&a->v, r, gate_draw_integer, bytes);
    gate_fill(&a->k_scales, r, draw_scale, NULL);
    gate_fill(&a->v_scales, r, draw_scale, NULL);
    return true;
}

/* ---- lengths, cumulative lengths, tables of the call -------------------------------------------
 */

static attend_type draw_index_type(gate_random *r) {
    return gate_chance(r, 0.5) ? ATTEND_I32 : ATTEND_I64;
}

static bool place_cumulative(gate_case *c, gate_random *r, attend_tensor *cu,
                             const int64_t *lengths) {
    const attend_tensor shape = attend_tensor_1d(NULL, draw_index_type(r), c->B + 1);
    if (!gate_place(c, r, cu, shape, false)) return false;
    for (int64_t b = 0; b <= c->B; b++)
        gate_store(cu, &b, (double)sum(lengths, b));
    return true;
}

/* Pages in a random order; behind a sample's last entry anything. */
static bool place_table(gate_case *c, gate_random *r) {
    const gate_layout *const l = &c->layout;
    attend_tensor *const table = &c->a.page_table;
    int64_t *const order = malloc((size_t)l->pages * sizeof *order), taken = 0;
    const double garbage[] = {-1, 2147483647, -2147483647.0 - 1, (double)l->pages, 0};
    const bool placed =
        order &&
        gate_place(c, r, table, attend_tensor_2d(NULL, ATTEND_I32, c->B, l->entries), false);
    for (int64_t p = 0; p < l->pages && placed; p++) {
        const int64_t other = gate_range(r, 0, p);
        order[p] = order[other];
        order[other] = p;
    }
    for (int64_t n = 0; n < c->B * l->entries && placed; n++) {
        const int64_t at[2] = {n / l->entries, n % l->entries};
        const bool used = at[1] < pages_of(l, l->key_length[at[0]]);
        gate_store(table, at, used ? (double)order[taken++] : garbage[gate_range(r, 0, 4)]);
    }
    free(order);
    return placed;
}

static bool place_lengths(gate_case *c, gate_random *r) {
    attend_attention *const a = &c->a;
    const gate_layout *const l = &c->layout;
    const bool packed = gate_on(c, GATE_PACKED), paged = gate_on(c, GATE_PAGES);
    if (packed) {
        const bool known = longest(l->query_length, c->B) == c->L && gate_chance(r, 0.5);
        a->max_query_length = known ? 0 : c->L;
        if (!place_cumulative(c, r, &a->cu_query_lengths, l->query_length)) return false;
    }
    if (packed || paged) {
        const bool known = longest(l->key_length, c->B) == c->S && gate_chance(r, 0.5);
        a->max_key_length = known ? 0 : c->S;
    }
    if (packed && !paged) return place_cumulative(c, r, &a->cu_key_lengths, l->key_length);
    if (!paged) return true;
    if (!gate_place(c, r, &a->key_lengths, attend_tensor_1d(NULL, draw_index_type(r), c->B), false))
        return false;
    for (int64_t b = 0; b < c->B; b++)
        gate_store(&a->key_lengths, &b, (double)l->key_length[b]);
    return place_table(c, r);
}

/* From anywhere or a multiple of 256, where kernels take another part, up to anywhere or the end.
 */
static void draw_key_range(gate_case *c, gate_random *r) {
    attend_attention *const a = &c->a;
    if (gate_chance(r, 0.7))
        a->key_begin =
            gate_chance(r, 0.3) ? 256 * gate_range(r, 0, c->S / 256) : gate_range(r, 0, c->S);
    if (a->key_begin && gate_chance(r, 0.3)) return;
    a->key_end = gate_range(r, a->key_begin, c->S + 3);
    if (a->key_end == 0) a->key_end = 1;
}

/* ---- NaN wherever nothing may be read ----------------------------------------------------------
 */

static void poison_row(const attend_tensor *t, int64_t i0, int64_t i2) {
    const int64_t count = t->rank > 3 ? t->sizes[3] : 1;
    for (int64_t n = 0; n < t->sizes[1] * count; n++)
        gate_store(t, (const int64_t[4]){i0, n / count, i2, n % count}, (double)NAN);
}

/* Elements of two rows may be one where a stride is 0. */
static bool rows_apart(const attend_tensor *t) {
    return (t->sizes[0] == 1 || t->strides[0]) && (t->sizes[2] == 1 || t->strides[2]);
}

static bool takes_part(const attend_attention *a, int64_t j) {
    return j >= a->key_begin && (!a->key_end || j < a->key_end);
}

static bool poison_keys(gate_case *c) {
    attend_attention *const a = &c->a;
    const int64_t rows = a->k.sizes[2], count = a->k.sizes[0] * rows;
    const bool bytes = gate_on(c, GATE_INT8);
    const attend_tensor *const views[] = {bytes ? &a->k_scales : &a->k,
                                          bytes ? &a->v_scales : &a->v};
    bool *const used = calloc((size_t)count, sizeof *used);
    if (!used) return false;
    for (int64_t n = 0; n < c->B * c->S; n++) {
        const int64_t b = n / c->S, j = n % c->S;
        int64_t place[2];
        if (j >= c->layout.key_length[b] || !takes_part(a, j)) continue;
        key_place(c, b, j, place);
        used[place[0] * rows + place[1]] = true;
    }
    for (int64_t n = 0; n < count * 2; n++) {
        const attend_tensor *const t = views[n / count];
        const int64_t slot = n % count;
        if (!used[slot] && rows_apart(t)) poison_row(t, slot / rows, slot % rows);
    }
    free(used);
    return true;
}

static void poison_queries(gate_case *c) {
    const gate_layout *const l = &c->layout;
    const int64_t first = sum(l->query_length, c->B);
    for (int64_t i = first; i < l->query_rows && rows_apart(&c->a.q); i++)
        poison_row(&c->a.q, 0, i);
    /* out and lse stay as they were there */
    for (int n = 0; n < c->count; n++)
        if (c->memory[n].view == &c->a.out || c->memory[n].view == &c->a.lse)
            c->memory[n].rows = first;
}

/* ---- what it means -----------------------------------------------------------------------------
 */

static float element(const attend_tensor *t, const attend_tensor *scales, const int64_t at[4]) {
    const float x = (float)gate_load(t, at);
    return scales->type ? x * (float)gate_load(scales, at) : x;
}

static bool plain_keys(gate_case *c, const attend_tensor *t, const attend_tensor *scales,
                       int which) {
    const int64_t n = t->sizes[3];
    float *const plain = calloc((size_t)(c->B * c->G * c->S * n) + 1, sizeof *plain);
    c->plain[which] = plain;
    if (!plain) return false;
    for (int64_t row = 0; row < c->B * c->G * c->S; row++) {
        const int64_t b = row / c->S / c->G, j = row % c->S;
        int64_t at[4] = {0, row / c->S % c->G, 0, 0}, place[2];
        if (j >= c->layout.key_length[b] || !takes_part(&c->a, j)) continue;
        key_place(c, b, j, place);
        at[0] = place[0];
        at[2] = place[1];
        for (at[3] = 0; at[3] < n; at[3]++)
            plain[row * n + at[3]] = element(t, scales, at);
    }
    return true;
}

static bool plain_queries(gate_case *c) {
    const int64_t n = c->D;
    float *const plain = calloc((size_t)(c->B * c->H * c->L * n) + 1, sizeof *plain);
    c->plain[0] = plain;
    if (!plain) return false;
    for (int64_t row = 0; row < c->B * c->H * c->L; row++) {
        const int64_t at[3] = {row / c->L / c->H, row / c->L % c->H, row % c->L};
        int64_t from[4];
        if (!gate_case_row(c, at, from)) continue;
        for (from[3] = 0; from[3] < n; from[3]++)
            plain[row * n + from[3]] = (float)gate_load(&c->a.q, from);
    }
    return true;
}

static bool make_truth(gate_case *c) {
    attend_attention *const t = &c->truth;
    const attend_tensor none = {0};
    if (!plain_queries(c) || !plain_keys(c, &c->a.k, &c->a.k_scales, 1) ||
        !plain_keys(c, &c->a.v, &c->a.v_scales, 2))
        return false;
    t->q = attend_tensor_4d(c->plain[0], ATTEND_F32, c->B, c->H, c->L, c->D);
    t->k = attend_tensor_4d(c->plain[1], ATTEND_F32, c->B, c->G, c->S, c->D);
    t->v = attend_tensor_4d(c->plain[2], ATTEND_F32, c->B, c->G, c->S, c->E);
    t->k_scales = t->v_scales = t->page_table = t->cu_query_lengths = t->cu_key_lengths = none;
    t->max_query_length = t->max_key_length = 0;
    t->key_lengths = attend_tensor_1d(c->layout.key_length, ATTEND_I64, c->B);
    if (gate_on(c, GATE_PACKED))
        t->query_lengths = attend_tensor_1d(c->layout.query_length, ATTEND_I64, c->B);
    return true;
}

bool gate_place_serving(gate_case *c, gate_random *r) {
    if (!(c->used & SERVING)) {
        c->truth = c->a;
        return true;
    }
    if (!place_lengths(c, r)) return false;
    if (gate_on(c, GATE_KEY_RANGE)) draw_key_range(c, r);
    for (int64_t b = 0; b < c->B && !gate_on(c, GATE_PACKED) && !gate_on(c, GATE_PAGES); b++)
        c->layout.key_length[b] =
            c->a.key_lengths.type ? (int64_t)gate_load(&c->a.key_lengths, &b) : c->S;
    c->truth = c->a;
    if (!make_truth(c) || !poison_keys(c)) return false;
    if (gate_on(c, GATE_PACKED)) poison_queries(c);
    return true;
}
