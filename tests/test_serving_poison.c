/* SPDX-License-Identifier: Apache-2.0
 *
 * What lies beyond the samples has no effect: NaN in every slot and page that no sample uses, in
 * rows behind the last packed sample and in keys outside a range, and anything in entries of the
 * table behind the last. Appending writes the places of its tokens and nothing else. */
#include "serving_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, H = 4, G = 2, L = 6, S = 290, D = 24, E = 20 };

static const int64_t queries[B] = {6, 0, 3}, keys[B] = {290, 77, 0};
static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8};
static const int64_t page_sizes[] = {0, 1, 3, 16};
enum { TYPES = 4, PAGE_SIZES = 4 };

static problem batch_of(attend_type type) {
    problem p = problem_make((problem_sizes){B, H, G, L, S, D, E},
                             type == ATTEND_I8 ? ATTEND_F32 : type, 41);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    if (type == ATTEND_I8) {
        p.a.k = serving_bytes(&p, &p.a.k, &p.a.k_scales);
        p.a.v = serving_bytes(&p, &p.a.v, &p.a.v_scales);
    }
    return p;
}

static void want(problem *p, attend_attention *a, bool all) {
    const int64_t plane[4] = {B, H, L, S}, mean[3] = {B, L, S};
    a->out = problem_zeros(p, a->out.type, 4, a->out.sizes);
    a->lse = problem_zeros(p, ATTEND_F32, 3, a->out.sizes);
    a->max_query_length = a->cu_query_lengths.type ? L : 0;
    if (!all) return;
    a->weights = problem_zeros(p, ATTEND_F32, 4, plane);
    a->scores = problem_zeros(p, ATTEND_F32, 4, plane);
    a->weights_mean = problem_zeros(p, ATTEND_F32, 3, mean);
}

static void expect_same(const attend_attention *x, const attend_attention *y) {
    const attend_tensor *const pairs[][2] = {{&x->out, &y->out},
                                             {&x->lse, &y->lse},
                                             {&x->weights, &y->weights},
                                             {&x->scores, &y->scores},
                                             {&x->weights_mean, &y->weights_mean}};
    for (int n = 0; n < 5; n++) {
        if (!pairs[n][0]->type) continue;
        assert_true(problem_same_bits(pairs[n][0], pairs[n][1]));
        /* and what is the same is not NaN */
        const size_t count = (size_t)(pairs[n][0]->sizes[0] * pairs[n][0]->strides[0]);
        for (size_t i = 0; i < count && pairs[n][0]->type == ATTEND_F32; i++)
            assert_false(isnan(((const float *)pairs[n][0]->data)[i]));
    }
}

static void run(const attend_attention *a) {
    serving_succeeds(attend_run(problem_context, a));
}

/* ---- attention ------------------------------------------------------------------------------- */

static void clean_pages(const serving_pages *pages) {
    const attend_tensor *const all[] = {&pages->k, &pages->v, &pages->k_scales, &pages->v_scales};
    for (int n = 0; n < 4; n++) {
        const int64_t count = all[n]->type ? all[n]->sizes[0] * all[n]->strides[0] : 0;
        for (int64_t i = 0; i < count; i++) {
            attend_tensor flat = attend_tensor_1d(all[n]->data, all[n]->type, count);
            const double x = gate_load(&flat, &i);
            if (isnan(x) || (all[n]->type == ATTEND_I8 && x == -128)) gate_store(&flat, &i, 0);
        }
    }
    for (int64_t i = 0; i < pages->table.sizes[0] * pages->table.sizes[1]; i++) {
        int32_t *const entry = (int32_t *)pages->table.data + i;
        if (*entry < 0 || *entry >= pages->k.sizes[0]) *entry = 0;
    }
}

/* Pages of `serving_paged` are poisoned; the same without poison gives the same bits. */
static void test_holes(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        problem p = batch_of(types[n / PAGE_SIZES]);
        const attend_tensor lengths = problem_integers(&p, B, keys);
        const serving_pages dirty = serving_paged(&p, &p.a, keys, page_sizes[n % PAGE_SIZES]);
        attend_attention x = serving_over_pages(&p.a, &dirty, &lengths), y;
        x.query_lengths = problem_integers(&p, B, queries);
        y = x;
        want(&p, &x, n % 2);
        want(&p, &y, n % 2);
        run(&x);
        clean_pages(&dirty);
        run(&y);
        for (int64_t i = 0; n % 2 && i < B * H * L * S; i++) { /* beyond: no score */
            float *const scores[] = {x.scores.data, y.scores.data};
            assert_true(scores[0][i] == scores[1][i]);
        }
        expect_same(&x, &y);
        problem_free(&p);
    }
}

/* Rows behind the last sample, in host memory and in buffers with cumulative lengths on the device.
 */
static void test_packed(void **state) {
    (void)state;
    for (int n = 0; n < TYPES; n++) {
        problem p = batch_of(types[n]);
        attend_attention x = p.a, y;
        const int64_t room[B] = {6, 0, 5}, key_room[B] = {290, 77, 4};
        x.q = serving_packed(&p, &p.a.q, room);
        x.k = serving_packed(&p, &p.a.k, key_room);
        x.v = serving_packed(&p, &p.a.v, key_room);
        if (x.k_scales.type) x.k_scales = serving_packed(&p, &p.a.k_scales, key_room);
        if (x.v_scales.type) x.v_scales = serving_packed(&p, &p.a.v_scales, key_room);
        x.cu_query_lengths = serving_cumulative(&p, queries, B, n % 2 ? ATTEND_I32 : ATTEND_I64);
        x.cu_key_lengths = serving_cumulative(&p, keys, B, ATTEND_I64);
        x.max_key_length = S;
        x.out = problem_zeros(&p, x.out.type, 4, (const int64_t[]){1, H, 11, E});
        y = x;
        want(&p, &x, n % 2);
        want(&p, &y, n % 2);
        run(&x);
        const bool bytes = types[n] == ATTEND_I8;
        const attend_tensor beyond[] = {serving_rows(y.q, 0, 9, 2),
                                        serving_rows(bytes ? y.k_scales : y.k, 0, 367, 4),
                                        serving_rows(bytes ? y.v_scales : y.v, 0, 367, 4)};
        for (int t = 0; t < 3; t++)
            serving_poison(&beyond[t]);
        run(&y);
        expect_same(&x, &y);
        problem_free(&p);
    }
}

static void test_key_range(void **state) {
    (void)state;
    static const int64_t ranges[][2] = {{3, 0}, {0, 5}, {100, 280}, {256, 257}, {17, 17}};
    for (int n = 0; n < TYPES * 5; n++) {
        problem p = batch_of(types[n / 5]);
        attend_attention x = p.a, y;
        const attend_tensor k = x.k_scales.type ? x.k_scales : x.k;
        const attend_tensor v = x.v_scales.type ? x.v_scales : x.v;
        x.key_begin = ranges[n % 5][0];
        x.key_end = ranges[n % 5][1];
        y = x;
        want(&p, &x, n % 2);
        want(&p, &y, n % 2);
        run(&x);
        for (int64_t j = 0; j < S; j++) {
            if (j >= x.key_begin && (x.key_end == 0 || j < x.key_end)) continue;
            for (int64_t b = 0; b < B; b++) {
                const attend_tensor key = serving_rows(k, b, j, 1),
                                    value = serving_rows(v, b, j, 1);
                serving_poison(&key);
                serving_poison(&value);
            }
        }
        run(&y);
        expect_same(&x, &y);
        problem_free(&p);
    }
}

/* ---- caches ---------------------------------------------------------------------------------- */

static attend_cache_desc desc_of(attend_type type, int64_t page_size, int64_t capacity) {
    return serving_cache((problem_sizes){.B = B, .G = G, .S = capacity, .D = D, .E = E}, type,
                         page_size);
}

static void append(attend_cache *cache, attend_tensor k, attend_tensor v, int64_t first,
                   const int64_t *counts) {
    const attend_tensor vector = attend_tensor_1d(counts, ATTEND_I64, B);
    k.offset = first * k.strides[2];
    v.offset = first * v.strides[2];
    for (int b = 0; b < B; b++) {
        if (b == 0) k.sizes[2] = v.sizes[2] = 0;
        if (counts[b] > k.sizes[2]) k.sizes[2] = v.sizes[2] = counts[b];
    }
    serving_succeeds(attend_cache_append(cache, &k, &v, &vector));
}

static void attend_over(problem *p, attend_cache *cache, attend_attention *x) {
    *x = p->a;
    x->k = x->v = x->k_scales = x->v_scales = serving_none();
    x->cache = cache;
    want(p, x, false);
    run(x);
}

/* Tokens of NaN that were taken back, in pages that other samples then take. */
static void test_truncated(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        const attend_type type = types[n / PAGE_SIZES];
        problem p = batch_of(type == ATTEND_I8 ? ATTEND_F32 : type);
        problem bad = batch_of(p.a.k.type);
        attend_attention x, y;
        serving_poison(&bad.a.k);
        serving_poison(&bad.a.v);
        for (int dirty = 0; dirty < 2; dirty++) {
            const attend_cache_desc d = desc_of(type, page_sizes[n % PAGE_SIZES], 60);
            attend_cache *cache;
            serving_succeeds(attend_cache_create(problem_context, &d, &cache));
            append(cache, p.a.k, p.a.v, 0, (const int64_t[B]){9, 20, 4});
            if (dirty) {
                const int64_t kept[B] = {9, 20, 4};
                const attend_tensor lengths = attend_tensor_1d(kept, ATTEND_I64, B);
                append(cache, bad.a.k, bad.a.v, 0, (const int64_t[B]){51, 40, 56});
                serving_succeeds(attend_cache_truncate(cache, &lengths));
            }
            append(cache, p.a.k, p.a.v, 50, (const int64_t[B]){30, 1, 0});
            attend_over(&p, cache, dirty ? &y : &x);
            attend_cache_release(cache);
        }
        expect_same(&x, &y);
        problem_free(&p);
        problem_free(&bad);
    }
}

/* ---- what appending writes ---------------------------------------------------------------------
 */

/* One element of token t of sample b. */
static void place_of(const attend_tensor *table, int64_t size, int64_t b, int64_t t,
                     int64_t place[2]) {
    place[0] = (int64_t)gate_load(table, (const int64_t[2]){b, t / size});
    place[1] = t % size;
}

/* Bytes of a page's token that changed. */
static bool changed(const attend_tensor *t, const void *before, int64_t page, int64_t token) {
    const size_t unit = attend_type_bytes(t->type);
    const int64_t width = t->rank > 3 ? t->sizes[3] : 1;
    for (int64_t g = 0; g < t->sizes[1]; g++) {
        const size_t at =
            (size_t)(page * t->strides[0] + g * t->strides[1] + token * t->strides[2]);
        if (memcmp((const char *)before + at * unit, (const char *)t->data + at * unit,
                   (size_t)width * unit))
            return true;
    }
    return false;
}

static size_t bytes_of(const attend_tensor *t) {
    return (size_t)(t->sizes[0] * t->strides[0]) * attend_type_bytes(t->type);
}

/* attend_append_run into pages, by counts and packed: only the tokens' places change. */
static void test_only_its_places(void **state) {
    (void)state;
    static const int64_t starts[B] = {10, 0, 31}, counts[B] = {7, 0, 3}, after[B] = {17, 0, 34};
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        const int64_t size = page_sizes[n % PAGE_SIZES] ? page_sizes[n % PAGE_SIZES] : S + 1;
        problem p = batch_of(types[n / PAGE_SIZES]);
        const serving_pages pages = serving_paged(&p, &p.a, after, size);
        attend_append d = attend_append_default();
        d.k = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, 7, D});
        d.v = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, 7, E});
        d.starts = problem_integers(&p, B, starts);
        d.counts = problem_integers(&p, B, counts);
        if (n % 2) {
            d.k = serving_packed(&p, &d.k, counts);
            d.v = serving_packed(&p, &d.v, counts);
            d.cu_counts = serving_cumulative(&p, counts, B, ATTEND_I32);
            d.counts = serving_none();
        }
        d.page_table = pages.table;
        d.k_pages = pages.k;
        d.v_pages = pages.v;
        d.k_scales = pages.k_scales;
        d.v_scales = pages.v_scales;
        const attend_tensor *const all[] = {&d.k_pages, &d.v_pages, &d.k_scales, &d.v_scales};
        void *before[4] = {NULL};
        for (int t = 0; t < 4; t++) {
            if (!all[t]->type) continue;
            before[t] = malloc(bytes_of(all[t]));
            assert_non_null(before[t]);
            memcpy(before[t], all[t]->data, bytes_of(all[t]));
        }
        serving_succeeds(attend_append_run(problem_context, &d));
        for (int64_t slot = 0; slot < pages.k.sizes[0] * size; slot++) {
            bool own = false;
            for (int64_t b = 0; b < B; b++) {
                for (int64_t t = starts[b]; t < after[b]; t++) {
                    int64_t place[2];
                    place_of(&pages.table, size, b, t, place);
                    own = own || (place[0] == slot / size && place[1] == slot % size);
                }
            }
            for (int t = 0; t < 4; t++)
                if (before[t] && changed(all[t], before[t], slot / size, slot % size) != own)
                    fail_msg("tensor %d: slot %d of page %d %s", t, (int)(slot % size),
                             (int)(slot / size), own ? "was not written" : "was written");
        }
        for (int t = 0; t < 4; t++)
            free(before[t]);
        problem_free(&p);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes),           cmocka_unit_test(test_packed),
        cmocka_unit_test(test_key_range),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_only_its_places),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
