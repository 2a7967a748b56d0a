/* SPDX-License-Identifier: Apache-2.0
 *
 * The bits of a sample's attention do not depend on where its tokens lie: alone, in a padded batch,
 * packed, in one block or in pages of any size, in memory of the library's or the application's.
 * Keys go over several chunks of 256. */
#include "serving_data.h"

#include <string.h>

enum { B = 4, H = 4, G = 2, S = 530, D = 40, E = 24, SHAPES = 2 };

/* Few rows; and many that leave over a few which do not fill a vector. */
static const int64_t shapes[SHAPES][B] = {{5, 1, 0, 4}, {65, 33, 13, 41}};
static const int64_t *queries;
static int64_t L;
static const int64_t keys[B] = {530, 300, 17, 256};
static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8};
enum { TYPES = 4, KINDS = 3 };

/* A padded batch: plain; with options that use positions; with a sink, softcap and a window. */
static problem padded(attend_type type, int kind) {
    const attend_type q = type == ATTEND_I8 ? ATTEND_F32 : type;
    problem p = problem_make((problem_sizes){B, H, G, L, S, D, E}, q, 31);
    p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){B, H, L});
    p.a.query_lengths = problem_integers(&p, B, queries);
    p.a.key_lengths = problem_integers(&p, B, keys);
    p.a.position = ATTEND_BOTTOM_RIGHT;
    if (type == ATTEND_I8) {
        p.a.k = serving_bytes(&p, &p.a.k, &p.a.k_scales);
        p.a.v = serving_bytes(&p, &p.a.v, &p.a.v_scales);
    }
    p.a.causal = kind > 0;
    if (kind == 1) {
        p.a.alibi_slopes = problem_zeros(&p, ATTEND_F32, 1, (const int64_t[]){H});
        for (int h = 0; h < H; h++)
            ((float *)p.a.alibi_slopes.data)[h] = 0.125f / (float)(h + 1);
    }
    if (kind == 2) {
        p.a.sinks = problem_normals(&p, ATTEND_F32, 1, (const int64_t[]){H});
        p.a.softcap = 5;
        p.a.window_left = 290;
    }
    return p;
}

static void fresh_outputs(problem *p, attend_attention *x, int64_t samples, int64_t rows) {
    x->out = problem_zeros(p, x->out.type, 4, (const int64_t[]){samples, H, rows, E});
    x->lse = problem_zeros(p, ATTEND_F32, 3, (const int64_t[]){samples, H, rows});
}

static bool same_rows(const attend_tensor *x, int64_t x_sample, int64_t x_row,
                      const attend_tensor *y, int64_t y_sample, int64_t y_row) {
    const attend_tensor one = serving_rows(*x, x_sample, x_row, 1);
    const attend_tensor two = serving_rows(*y, y_sample, y_row, 1);
    return problem_same_bits(&one, &two);
}

/* Rows of the samples in x, padded or one after another, against those of the padded batch. */
static void expect_same(const problem *p, const attend_attention *x, const char *what, int64_t n) {
    const bool packed = x->out.sizes[0] == 1;
    int64_t row = 0;
    for (int64_t b = 0; b < B; b++) {
        for (int64_t i = 0; i < queries[b]; i++, row++) {
            const int64_t to[2] = {packed ? 0 : b, packed ? row : i};
            if (!same_rows(&p->a.out, b, i, &x->out, to[0], to[1]))
                fail_msg("%s (%d): out differs in sample %d, row %d, %s", what, (int)n, (int)b,
                         (int)i, attend_type_text(x->k.type));
            if (!same_rows(&p->a.lse, b, i, &x->lse, to[0], to[1]))
                fail_msg("%s (%d): lse differs in sample %d, row %d", what, (int)n, (int)b, (int)i);
        }
    }
}

static void run(const attend_attention *x) {
    serving_succeeds(attend_run(problem_context, x));
}

static void for_all(void (*check)(problem *p, attend_type type)) {
    for (int n = 0; n < SHAPES * TYPES * KINDS; n++) {
        const attend_type type = types[n / KINDS % TYPES];
        queries = shapes[n / KINDS / TYPES];
        L = queries[0];
        problem p = padded(type, n % KINDS);
        problem_run(&p);
        check(&p, type);
        problem_free(&p);
    }
}

/* ---- forms ----------------------------------------------------------------------------------- */

/* Its own rows and keys, and nothing else. */
static void alone(problem *p, attend_type type) {
    for (int64_t b = 0; b < B; b++) {
        attend_attention x = p->a;
        (void)type;
        if (queries[b] == 0) continue;
        x.q = serving_rows(p->a.q, b, 0, queries[b]);
        x.k = serving_rows(p->a.k, b, 0, keys[b]);
        x.v = serving_rows(p->a.v, b, 0, keys[b]);
        if (x.k_scales.type) x.k_scales = serving_rows(p->a.k_scales, b, 0, keys[b]);
        if (x.v_scales.type) x.v_scales = serving_rows(p->a.v_scales, b, 0, keys[b]);
        x.query_lengths = x.key_lengths = serving_none();
        fresh_outputs(p, &x, 1, queries[b]);
        run(&x);
        for (int64_t i = 0; i < queries[b]; i++) {
            if (!same_rows(&p->a.out, b, i, &x.out, 0, i) ||
                !same_rows(&p->a.lse, b, i, &x.lse, 0, i))
                fail_msg("sample %d alone differs, %s", (int)b, attend_type_text(type));
        }
    }
}

static attend_attention packed_queries(problem *p, const attend_attention *from) {
    attend_attention x = *from;
    x.q = serving_packed(p, &p->a.q, queries);
    x.query_lengths = serving_none();
    x.cu_query_lengths = serving_cumulative(p, queries, B, ATTEND_I32);
    fresh_outputs(p, &x, 1, x.q.sizes[2]);
    return x;
}

static void packed(problem *p, attend_type type) {
    attend_attention x = packed_queries(p, &p->a);
    (void)type;
    x.k = serving_packed(p, &p->a.k, keys);
    x.v = serving_packed(p, &p->a.v, keys);
    if (x.k_scales.type) x.k_scales = serving_packed(p, &p->a.k_scales, keys);
    if (x.v_scales.type) x.v_scales = serving_packed(p, &p->a.v_scales, keys);
    x.key_lengths = serving_none();
    x.cu_key_lengths = serving_cumulative(p, keys, B, ATTEND_I64);
    run(&x);
    expect_same(p, &x, "packed", 0);
    x.max_query_length = L + 3; /* room that no sample uses */
    x.max_key_length = S + 200;
    fresh_outputs(p, &x, 1, x.q.sizes[2]);
    run(&x);
    expect_same(p, &x, "packed with room", 0);
}

static void paged(problem *p, attend_type type) {
    static const int64_t sizes[] = {0, 3, 16, 40, 100, 256};
    (void)type;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        const serving_pages pages = serving_paged(p, &p->a, keys, sizes[n]);
        attend_attention x = serving_over_pages(&p->a, &pages, &p->a.key_lengths);
        fresh_outputs(p, &x, B, L);
        run(&x);
        expect_same(p, &x, "paged", sizes[n]);
        if (n % 2) continue;
        x = packed_queries(p, &x);
        run(&x);
        expect_same(p, &x, "paged with packed queries", sizes[n]);
    }
}

/* ---- caches ---------------------------------------------------------------------------------- */

static attend_cache_desc desc_of(attend_type type, int64_t page_size) {
    return serving_cache((problem_sizes){.B = B, .G = G, .S = S, .D = D, .E = E}, type, page_size);
}

static void over_cache(problem *p, attend_cache *cache, const char *what, int64_t n) {
    attend_attention x = p->a;
    x.k = x.v = x.k_scales = x.v_scales = x.key_lengths = serving_none();
    x.cache = cache;
    fresh_outputs(p, &x, B, L);
    run(&x);
    x.k.type = p->a.k.type; /* for the message */
    expect_same(p, &x, what, n);
}

/* Some tokens at once, some one by one. */
static void fill_cache(attend_cache *cache, const problem *plain) {
    const attend_type type = plain->a.k.type;
    int64_t length[B] = {0};
    for (int64_t step = 0; length[0] < keys[0]; step++) {
        int64_t counts[B], total = 0;
        problem t = {.random = {1}};
        for (int b = 0; b < B; b++) {
            const int64_t most = step % 3 ? 1 + step : 200, left = keys[b] - length[b];
            counts[b] = left < most ? left : most;
            total += counts[b];
        }
        const attend_tensor k = problem_zeros(&t, type, 4, (const int64_t[]){1, G, total, D});
        const attend_tensor v = problem_zeros(&t, type, 4, (const int64_t[]){1, G, total, E});
        for (int64_t b = 0, row = 0; b < B; b++) {
            for (int64_t i = 0; i < counts[b]; i++, row++) {
                serving_copy_row(&k, 0, row, &plain->a.k, b, length[b]);
                serving_copy_row(&v, 0, row, &plain->a.v, b, length[b]++);
            }
        }
        const attend_tensor vector = attend_tensor_1d(counts, ATTEND_I64, B);
        serving_succeeds(attend_cache_append(cache, &k, &v, &vector));
        problem_free(&t);
    }
}

static void own_cache(problem *p, attend_type type) {
    static const int64_t sizes[] = {0, 1, 16, 37};
    problem plain = padded(type == ATTEND_I8 ? ATTEND_F32 : type, 0); /* before quantising */
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        const attend_cache_desc d = desc_of(type, sizes[n]);
        attend_cache *cache;
        serving_succeeds(attend_cache_create(problem_context, &d, &cache));
        fill_cache(cache, &plain);
        over_cache(p, cache, "cache", sizes[n]);
        attend_cache_release(cache);
    }
    problem_free(&plain);
}

/* Buffers of the application's, with the tokens in them; host memory too where that is the device's
 * own. `size` 0: one block per sample, without a table. */
static void imported(problem *p, attend_type type, int64_t size, bool in_buffers) {
    attend_buffer *buffers[4] = {NULL};
    attend_cache_desc d = desc_of(type, size);
    attend_cache *cache;
    const serving_pages pages = serving_paged(p, &p->a, keys, size ? size : S);
    d.k = size ? pages.k : p->a.k;
    d.v = size ? pages.v : p->a.v;
    d.k_scales = size ? pages.k_scales : p->a.k_scales;
    d.v_scales = size ? pages.v_scales : p->a.v_scales;
    attend_tensor *const views[] = {&d.k, &d.v, &d.k_scales, &d.v_scales};
    for (int n = 0; n < 4 && in_buffers; n++)
        if (views[n]->type) *views[n] = serving_in_buffer(views[n], &buffers[n]);
    if (size) {
        d.page_table = pages.table;
        d.capacity = pages.table.sizes[1] * size;
    }
    d.lengths = p->a.key_lengths;
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    over_cache(p, cache, in_buffers ? "imported buffers" : "imported host memory", size);
    attend_cache_release(cache);
    for (int n = 0; n < 4; n++)
        attend_buffer_release(buffers[n]);
}

static void import(problem *p, attend_type type) {
    static const int64_t sizes[] = {0, 5, 24};
    for (int n = 0; n < 3; n++) {
        imported(p, type, sizes[n], true);
        if (serving_on_host()) imported(p, type, sizes[n], false);
    }
}

static void test_alone(void **state) {
    (void)state;
    for_all(alone);
}
static void test_packed(void **state) {
    (void)state;
    for_all(packed);
}
static void test_paged(void **state) {
    (void)state;
    for_all(paged);
}
static void test_own_cache(void **state) {
    (void)state;
    for_all(own_cache);
}
static void test_import(void **state) {
    (void)state;
    for_all(import);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),  cmocka_unit_test(test_packed),
        cmocka_unit_test(test_paged),  cmocka_unit_test(test_own_cache),
        cmocka_unit_test(test_import),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
