/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes that a cache holds: read back, they are what cache.h promises, on every backend the
 * same: rounding to nearest even, int8 with its ties, zeros, subnormals and NaN, and the rotation
 * of ROPE where keys are rotated on their way. */
#include "serving_data.h"

#include <math.h>
#include <string.h>

enum { B = 2, G = 3, N = 24, D = 32, E = 17, CAPACITY = 30 };

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8};
static const int64_t page_sizes[] = {0, 1, 7};
enum { TYPES = 4, PAGE_SIZES = 3 };

static attend_cache *make_cache(attend_type type, int64_t page_size) {
    const attend_cache_desc d = serving_cache(
        (problem_sizes){.B = B, .G = G, .S = CAPACITY, .D = D, .E = E}, type, page_size);
    attend_cache *cache;
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    return cache;
}

/* ---- tokens that are hard to round ------------------------------------------------------------
 */

static float normal(gate_random *r, float size) {
    return (float)gate_normal(r) * size;
}

/* Element d of a token of kind `kind`. */
static float element(int kind, int64_t d, gate_random *r) {
    switch (kind) {
    case 0:
        return d % 2 ? 0.0f : -0.0f;
    case 1: /* scale 1: halves between whole numbers, of either sign */
        return d == 3 ? 127.0f : ((float)(d * 7 % 120) + 0.5f) * (d % 2 ? -1.0f : 1.0f);
    case 2: /* scale 1 / 4: eighths */
        return d == 5 ? -31.75f : ((float)(d * 3 % 100) + 0.5f) / 4;
    case 3:
        return d == 9 ? NAN : normal(r, 1);
    case 4:
        return d == 2 ? -INFINITY : normal(r, 1);
    case 5: /* subnormal scale */
        return normal(r, 1) * 1e-40f;
    case 6: /* a scale of one unit, or of none */
        return (float)(d % 5) * 0x1p-149f * (d % 2 ? 30 : 1);
    case 7:
        return normal(r, 1e37f);
    case 8: /* ties of bf16, and of f16 next to its largest value */
        return d % 2 ? (1 + (float)d * 0x1p-7f) + 0x1p-8f : 65488.0f + (float)d * 2;
    case 9: /* subnormal in f16 */
        return (float)d * 0x1p-26f;
    case 10: /* one ulp beside a tie of scale 1 */
        return d == 0 ? 127.0f : nextafterf((float)d + 0.5f, d % 2 ? 0.0f : 1000.0f);
    default:
        return normal(r, kind % 3 ? 1 : 100);
    }
}

/* x of [B, G, N, n] in F32, each token and head of another kind; and rounded to `type`. */
static attend_tensor hard_tokens(problem *p, int64_t n, attend_type type) {
    const attend_tensor x = problem_zeros(p, type, 4, (const int64_t[]){B, G, N, n});
    for (int64_t row = 0; row < B * G * N; row++)
        for (int64_t d = 0; d < n; d++)
            gate_store(&x, (const int64_t[4]){row / N / G, row / N % G, row % N, d},
                       (double)element((int)((row * 5 + row / N) % 16), d, &p->random));
    return x;
}

/* ---- what must be there ------------------------------------------------------------------------
 */

static bool same(double got, double want) {
    return isnan(want) ? isnan(got) : got == want && signbit(got) == signbit(want);
}

static void check_element(const char *what, const attend_tensor *got, const int64_t *at,
                          double want) {
    if (!same(gate_load(got, at), want))
        fail_msg("%s[%d,%d,%d]: got %.9g, want %.9g", what, (int)at[0], (int)at[1], (int)at[2],
                 gate_load(got, at), want);
}

/* Row (g, t) of what was read, against token `token` of sample b. */
static void check_row(const attend_cache_view *view, const attend_tensor *x, bool values,
                      const int64_t at[3], attend_type type) {
    const attend_tensor *const got = values ? &view->v : &view->k;
    const attend_tensor *const scales = values ? &view->v_scales : &view->k_scales;
    const int64_t n = x->sizes[3], b = at[0], g = at[1], t = at[2] - view->first;
    float row[D] = {0};
    int8_t bytes[D];
    for (int64_t d = 0; d < n; d++)
        row[d] = (float)gate_load(x, (const int64_t[4]){b, g, at[2], d});
    const float scale = serving_quantise(row, n, bytes);
    if (got->type == ATTEND_I8) {
        check_element("scale", scales, (const int64_t[3]){g, t, 0}, (double)scale);
        uint32_t bits;
        memcpy(&bits, (const float *)scales->data + g * scales->strides[0] + t, sizeof bits);
        if (isnan(scale)) assert_int_equal(bits, 0x7fc00000u);
    }
    uint16_t cell;
    const attend_tensor rounded = attend_tensor_1d(&cell, type, 1);
    for (int64_t d = 0; d < n; d++) {
        double want = (double)row[d];
        if (type == ATTEND_F16 || type == ATTEND_BF16) {
            gate_store(&rounded, (const int64_t[1]){0}, want);
            want = gate_load(&rounded, (const int64_t[1]){0});
        }
        if (type == ATTEND_I8)
            want = got->type == ATTEND_I8 ? bytes[d] : (double)(bytes[d] * scale);
        check_element(values ? "v" : "k", got, (const int64_t[3]){g, t, d}, want);
    }
}

static attend_cache_view view_of(problem *t, int64_t count, attend_type type) {
    attend_cache_view view = attend_cache_view_default();
    view.k = problem_zeros(t, type, 3, (const int64_t[]){G, count, D});
    view.v = problem_zeros(t, type, 3, (const int64_t[]){G, count, E});
    if (type == ATTEND_I8)
        view.k_scales = view.v_scales = problem_zeros(t, ATTEND_F32, 2, view.k.sizes);
    if (type == ATTEND_I8) view.v_scales = problem_zeros(t, ATTEND_F32, 2, view.k.sizes);
    return view;
}

static void check_read(const attend_cache *cache, const attend_tensor *k, const attend_tensor *v,
                       attend_type type) {
    for (int64_t first = 0; first < N; first += 5) {
        for (int as_floats = 0; as_floats < 2; as_floats++) {
            problem t = {.random = {1}};
            const int64_t count = first % 2 ? N - first : 5;
            attend_cache_view view = view_of(&t, count, as_floats ? ATTEND_F32 : type);
            view.sample = first % B;
            view.first = first;
            if (view.first + count > N) view.first = N - count;
            serving_succeeds(attend_cache_read(cache, &view));
            for (int64_t row = 0; row < G * count; row++) {
                const int64_t at[3] = {view.sample, row / count, view.first + row % count};
                check_row(&view, k, false, at, type);
                check_row(&view, v, true, at, type);
            }
            problem_free(&t);
        }
    }
}

static void test_bytes(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        const attend_type type = types[n / PAGE_SIZES];
        for (int from = 0; from < 3; from++) {
            problem p = {.random = {(uint64_t)n}};
            attend_cache *const cache = make_cache(type, page_sizes[n % PAGE_SIZES]);
            const attend_tensor k = hard_tokens(&p, D, types[from]);
            const attend_tensor v = hard_tokens(&p, E, types[from]);
            attend_tensor first_k = k, first_v = v, rest_k = k, rest_v = v;
            first_k.sizes[2] = first_v.sizes[2] = 9;
            rest_k.sizes[2] = rest_v.sizes[2] = N - 9;
            rest_k.offset = 9 * k.strides[2];
            rest_v.offset = 9 * v.strides[2];
            serving_succeeds(attend_cache_append(cache, &first_k, &first_v, NULL));
            serving_succeeds(attend_cache_append(cache, &rest_k, &rest_v, NULL));
            check_read(cache, &k, &v, type);
            attend_cache_release(cache);
            problem_free(&p);
        }
    }
}

/* Many rows of int8, as a division by multiplication or with a few bits too few would not do. */
static void test_many_quotients(void **state) {
    (void)state;
    problem p = {.random = {5}};
    attend_cache_desc d = attend_cache_desc_default();
    attend_cache *cache;
    d.batch = 1;
    d.kv_heads = 1;
    d.head_size = D;
    d.capacity = 2048;
    d.type = ATTEND_I8;
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    const attend_tensor x = problem_zeros(&p, ATTEND_F32, 4, (const int64_t[]){1, 1, 2048, D});
    for (int64_t n = 0; n < 2048; n++) {
        const float unit = ldexpf(1 + (float)gate_uniform(&p.random), (int)(n % 40) - 20);
        for (int64_t e = 0; e < D; e++) /* near halves of the scale */
            ((float *)x.data)[n * D + e] =
                e == 0 ? 127 * unit
                       : ((float)gate_range(&p.random, -126, 125) + 0.5f) * unit *
                             (1 + (float)gate_range(&p.random, -2, 2) * 0x1p-24f);
    }
    serving_succeeds(attend_cache_append(cache, &x, &x, NULL));
    attend_cache_view view = attend_cache_view_default();
    view.k = problem_zeros(&p, ATTEND_I8, 3, (const int64_t[]){1, 2048, D});
    view.k_scales = problem_zeros(&p, ATTEND_F32, 2, view.k.sizes);
    serving_succeeds(attend_cache_read(cache, &view));
    for (int64_t n = 0; n < 2048; n++)
        check_row(&view, &x, false, (const int64_t[3]){0, 0, n}, ATTEND_I8);
    attend_cache_release(cache);
    problem_free(&p);
}

/* ---- rotation ----------------------------------------------------------------------------------
 */

static void fill_tables(problem *p, attend_tensor tables[2], int64_t rotary_dim) {
    const int64_t sizes[2] = {CAPACITY, rotary_dim / 2};
    tables[0] = problem_zeros(p, ATTEND_F32, 2, sizes);
    tables[1] = problem_zeros(p, ATTEND_F32, 2, sizes);
    serving_succeeds(
        attend_rope_tables(CAPACITY, rotary_dim, 10000, tables[0].data, tables[1].data));
}

/* All tokens in three packed appends that leave the samples at different positions. */
static void append_unevenly(attend_cache *cache, const attend_tensor *k, const attend_tensor *v) {
    static const int64_t starts[4][B] = {{0, 0}, {8, 3}, {16, 11}, {N, N}};
    for (int step = 0; step < 3; step++) {
        problem t = {.random = {1}};
        const int64_t counts[B] = {starts[step + 1][0] - starts[step][0],
                                   starts[step + 1][1] - starts[step][1]};
        const int64_t total = counts[0] + counts[1];
        const attend_tensor x = problem_zeros(&t, ATTEND_F32, 4, (const int64_t[]){1, G, total, D});
        const attend_tensor y = problem_zeros(&t, ATTEND_F32, 4, (const int64_t[]){1, G, total, E});
        const attend_tensor vector = attend_tensor_1d(counts, ATTEND_I64, B);
        for (int64_t i = 0; i < total; i++) {
            const int64_t b = i >= counts[0], from = starts[step][b] + i - (b ? counts[0] : 0);
            serving_copy_row(&x, 0, i, k, b, from);
            serving_copy_row(&y, 0, i, v, b, from);
        }
        serving_succeeds(attend_cache_append(cache, &x, &y, &vector));
        problem_free(&t);
    }
}

/* Keys rotated while they are appended, against ROPE and a plain append: the same bits. */
static void test_rope(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES * 2; n++) {
        const attend_type type = types[n / 2 / PAGE_SIZES];
        problem p = {.random = {20 + (uint64_t)n}};
        attend_tensor tables[2];
        attend_cache_desc d = attend_cache_desc_default();
        attend_cache *cache;
        d.batch = B;
        d.kv_heads = G;
        d.head_size = D;
        d.value_size = E;
        d.capacity = CAPACITY;
        d.page_size = page_sizes[n / 2 % PAGE_SIZES];
        d.type = type;
        d.rope_dim = n % 3 ? 20 : 0;
        d.rope_interleaved = n % 2;
        fill_tables(&p, tables, d.rope_dim ? d.rope_dim : D);
        d.rope_cos = tables[0];
        d.rope_sin = tables[1];
        serving_succeeds(attend_cache_create(problem_context, &d, &cache));
        const attend_tensor k = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, N, D});
        const attend_tensor v = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, N, E});
        attend_rope rope = attend_rope_default();
        rope.x = k;
        rope.cos = tables[0];
        rope.sin = tables[1];
        rope.out = problem_zeros(&p, ATTEND_F32, 4, k.sizes);
        rope.rotary_dim = d.rope_dim;
        rope.interleaved = d.rope_interleaved;
        serving_succeeds(attend_rope_run(problem_context, &rope));
        memset(tables[0].data, 0xff, CAPACITY * sizeof(float)); /* the cache has copied them */
        append_unevenly(cache, &k, &v);
        check_read(cache, &rope.out, &v, type);
        attend_cache_release(cache);
        problem_free(&p);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_many_quotients),
        cmocka_unit_test(test_rope),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
