/* SPDX-License-Identifier: Apache-2.0
 *
 * A cache against a model of it: lists of tokens that are appended, truncated, forgotten and
 * reordered. What attention over the cache gives is held against float64 over the plain tokens in
 * the cache's type, and what is read back against the bytes that cache.h promises. */
#include "serving_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, H = 4, G = 2, D = 24, E = 20, CAPACITY = 40, POOL = 400 };

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8};
static const int64_t page_sizes[] = {0, 1, 3, 16};
enum { TYPES = 4, PAGE_SIZES = 4 };

typedef struct life {
    problem pool; /* k and v: [1, G, POOL, .], the tokens that are appended one after another */
    attend_tensor k, v; /* what they mean in the cache's type */
    attend_type type;
    attend_cache *cache;
    int64_t tokens[B][CAPACITY], length[B], start[B], used;
} life;

static attend_cache_desc desc_of(attend_type type, int64_t page_size) {
    return serving_cache((problem_sizes){.B = B, .G = G, .S = CAPACITY, .D = D, .E = E}, type,
                         page_size);
}

static life begin(const attend_cache_desc *d, uint64_t seed) {
    life l = {.type = d->type};
    l.pool = problem_make((problem_sizes){1, G, G, 1, POOL, D, E}, ATTEND_F32, seed);
    l.k = serving_meaning(&l.pool, &l.pool.a.k, d->type);
    l.v = serving_meaning(&l.pool, &l.pool.a.v, d->type);
    serving_succeeds(attend_cache_create(problem_context, d, &l.cache));
    return l;
}

static void end(life *l) {
    attend_cache_release(l->cache);
    problem_free(&l->pool);
}

static int64_t most(const int64_t *values) {
    int64_t best = 0;
    for (int b = 0; b < B; b++)
        best = values[b] > best ? values[b] : best;
    return best;
}

/* ---- changes --------------------------------------------------------------------------------- */

/* Appends the pool's next tokens. Padded rows hold NaN. */
static void append(life *l, const int64_t *counts, bool packed) {
    problem t = {.random = {1}};
    const int64_t n = most(counts);
    attend_tensor k = problem_zeros(&t, ATTEND_F32, 4, (const int64_t[]){B, G, n, D});
    attend_tensor v = problem_zeros(&t, ATTEND_F32, 4, (const int64_t[]){B, G, n, E});
    serving_poison(&k);
    serving_poison(&v);
    for (int b = 0; b < B; b++) {
        l->start[b] = l->length[b];
        for (int64_t i = 0; i < counts[b]; i++) {
            const int64_t token = l->used++ % POOL;
            l->tokens[b][l->length[b]++] = token;
            serving_copy_row(&k, b, i, &l->pool.a.k, 0, token);
            serving_copy_row(&v, b, i, &l->pool.a.v, 0, token);
        }
    }
    if (packed) {
        k = serving_packed(&t, &k, counts);
        v = serving_packed(&t, &v, counts);
    }
    const bool equal = !packed && counts[0] == n && counts[1] == n && counts[2] == n;
    const attend_tensor vector = problem_integers(&t, B, counts);
    serving_succeeds(attend_cache_append(l->cache, &k, &v, equal ? NULL : &vector));
    for (int b = 0; b < B; b++)
        assert_int_equal(attend_cache_length(l->cache, b), l->length[b]);
    problem_free(&t);
}

static void truncate_to(life *l, const int64_t *lengths) {
    const attend_tensor vector = attend_tensor_1d(lengths, ATTEND_I64, B);
    serving_succeeds(attend_cache_truncate(l->cache, &vector));
    memcpy(l->length, lengths, sizeof l->length);
}

static void reorder(life *l, const int64_t *parents) {
    const attend_tensor vector = attend_tensor_1d(parents, ATTEND_I64, B);
    const life before = *l;
    serving_succeeds(attend_cache_reorder(l->cache, &vector));
    for (int b = 0; b < B; b++) {
        l->length[b] = before.length[parents[b]];
        memcpy(l->tokens[b], before.tokens[parents[b]], sizeof l->tokens[b]);
    }
}

static int64_t pages_taken(const life *l) {
    attend_cache_info info = {.size = sizeof info};
    serving_succeeds(attend_cache_get_info(l->cache, &info));
    assert_int_equal(info.longest, most(l->length));
    return info.page_count - info.free_pages;
}

/* ---- attention over the cache ---------------------------------------------------------------- */

/* The tokens that the samples hold, as plain keys and values of a problem with n queries each. */
static problem plain_problem(const life *l, int64_t n, attend_type type) {
    const int64_t longest = most(l->length);
    problem p = problem_make((problem_sizes){B, H, G, n, longest, D, E}, type, (uint64_t)l->used);
    p.a.k = problem_zeros(&p, ATTEND_F32, 4, (const int64_t[]){B, G, longest, D});
    p.a.v = problem_zeros(&p, ATTEND_F32, 4, (const int64_t[]){B, G, longest, E});
    for (int b = 0; b < B; b++) {
        for (int64_t j = 0; j < l->length[b]; j++) {
            serving_copy_row(&p.a.k, b, j, &l->k, 0, l->tokens[b][j]);
            serving_copy_row(&p.a.v, b, j, &l->v, 0, l->tokens[b][j]);
        }
    }
    p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){B, H, n});
    p.a.causal = 1;
    p.a.position = ATTEND_AT_OFFSETS;
    p.a.key_lengths = problem_integers(&p, B, l->length);
    return p;
}

static attend_attention over_cache(const life *l, const attend_attention *a) {
    attend_attention x = *a;
    x.cache = l->cache;
    x.k = x.v = x.key_lengths = x.query_offsets = serving_none();
    x.position = ATTEND_AFTER_CACHE;
    return x;
}

/* Rows of a packed output back to where a padded one has them. */
static void unpack(const attend_tensor *padded, const attend_tensor *packed,
                   const int64_t *counts) {
    int64_t row = 0;
    for (int b = 0; b < B; b++)
        for (int64_t i = 0; i < counts[b]; i++)
            serving_copy_row(padded, b, i, packed, 0, row++);
}

/* The queries of the tokens just appended. */
static void check_attention(const life *l, const int64_t *counts, bool packed) {
    const bool half = l->used % 2 && (l->type == ATTEND_F16 || l->type == ATTEND_BF16);
    problem p = plain_problem(l, most(counts), half ? l->type : ATTEND_F32);
    p.a.query_offsets = problem_integers(&p, B, l->start);
    p.a.query_lengths = problem_integers(&p, B, counts);
    attend_attention x = over_cache(l, &p.a);
    if (packed) {
        x.query_lengths = serving_none();
        x.q = serving_packed(&p, &p.a.q, counts);
        x.out = problem_zeros(&p, x.out.type, 4, (const int64_t[]){1, H, x.q.sizes[2], E});
        x.lse = problem_zeros(&p, ATTEND_F32, 3, x.out.sizes);
        x.cu_query_lengths =
            serving_cumulative(&p, counts, B, l->used % 3 ? ATTEND_I32 : ATTEND_I64);
    }
    serving_succeeds(attend_run(problem_context, &x));
    for (int64_t row = 0; packed && row < B * H * p.n.L; row++)
        problem_put(&p.a.lse, row / p.n.L / H, row / p.n.L % H, row % p.n.L, 0, -HUGE_VAL);
    if (packed) {
        unpack(&p.a.out, &x.out, counts);
        unpack(&p.a.lse, &x.lse, counts);
    }
    problem_compare(&p);
    problem_free(&p);
}

static void random_counts(life *l, int64_t limit, int64_t *counts) {
    for (int b = 0; b < B; b++) {
        const int64_t room = CAPACITY - l->length[b], n = gate_range(&l->pool.random, 0, limit);
        counts[b] = n < room ? n : room;
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* Any split into appends, up to the capacity. */
static void test_splits(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        const attend_cache_desc d = desc_of(types[n / PAGE_SIZES], page_sizes[n % PAGE_SIZES]);
        life l = begin(&d, (uint64_t)n);
        int64_t counts[B] = {11, 11, 11};
        for (int step = 0; most(counts); step++) {
            append(&l, counts, step % 3 == 1);
            check_attention(&l, counts, step % 2);
            random_counts(&l, step % 2 ? 1 : 7, counts);
            if (step > 30) random_counts(&l, CAPACITY, counts);
        }
        end(&l);
    }
}

/* A random life: beams that are reordered, truncated and forgotten. */
static void test_beams(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * PAGE_SIZES; n++) {
        const attend_cache_desc d = desc_of(types[n / PAGE_SIZES], page_sizes[n % PAGE_SIZES]);
        life l = begin(&d, 100 + (uint64_t)n);
        gate_random *const r = &l.pool.random;
        for (int step = 0; step < 40; step++) {
            int64_t values[B];
            const double choice = gate_uniform(r);
            for (int b = 0; b < B; b++)
                values[b] = choice < 0.4 ? gate_range(r, 0, B - 1) : gate_range(r, 0, l.length[b]);
            if (choice < 0.4)
                reorder(&l, values);
            else if (choice < 0.55)
                truncate_to(&l, values);
            random_counts(&l, step % 2 ? 1 : 3, values);
            if (!most(values)) continue;
            append(&l, values, step % 3 == 1);
            check_attention(&l, values, step % 5 == 1);
        }
        serving_succeeds(attend_cache_reset(l.cache));
        memset(l.length, 0, sizeof l.length);
        assert_int_equal(pages_taken(&l), 0);
        for (int b = 0; b < B; b++)
            assert_int_equal(attend_cache_length(l.cache, b), 0);
        end(&l);
    }
}

/* Pages are shared until one of their samples writes, and come back. */
static void test_sharing(void **state) {
    (void)state;
    const attend_cache_desc d = desc_of(ATTEND_F32, 3);
    life l = begin(&d, 7);
    append(&l, (const int64_t[B]){7, 4, 0}, false);
    assert_int_equal(pages_taken(&l), 3 + 2);
    reorder(&l, (const int64_t[B]){0, 0, 0});
    assert_int_equal(pages_taken(&l), 3);
    append(&l, (const int64_t[B]){1, 1, 1}, false);
    assert_int_equal(pages_taken(&l), 3 + 2);
    check_attention(&l, (const int64_t[B]){1, 1, 1}, false);
    append(&l, (const int64_t[B]){0, 1, 2}, false);
    assert_int_equal(pages_taken(&l), 3 + 2 + 1);
    check_attention(&l, (const int64_t[B]){0, 1, 2}, false);
    truncate_to(&l, (const int64_t[B]){8, 6, 0});
    assert_int_equal(pages_taken(&l), 3);
    truncate_to(&l, (const int64_t[B]){0, 6, 0});
    assert_int_equal(pages_taken(&l), 2);
    end(&l);
}

/* Fewer pages than the capacity of all: what is refused changes nothing, what is given back serves
 * again. */
static void test_growth(void **state) {
    (void)state;
    attend_cache_desc d = desc_of(ATTEND_F32, 4);
    d.page_count = 12; /* of 30 */
    life l = begin(&d, 8);
    append(&l, (const int64_t[B]){16, 16, 15}, false);
    const attend_tensor k = serving_rows(l.pool.a.k, 0, 0, 2),
                        v = serving_rows(l.pool.a.v, 0, 0, 2);
    for (int round = 0; round < 2; round++) { /* the second page of both cannot be had */
        const int64_t counts[B] = {round, 0, 2 - round};
        const attend_tensor vector = attend_tensor_1d(counts, ATTEND_I64, B);
        assert_int_equal(attend_cache_append(l.cache, &k, &v, &vector), ATTEND_OUT_OF_MEMORY);
        for (int b = 0; b < B; b++)
            assert_int_equal(attend_cache_length(l.cache, b), l.length[b]);
        assert_int_equal(pages_taken(&l), 12);
    }
    append(&l, (const int64_t[B]){0, 0, 1}, false);
    check_attention(&l, (const int64_t[B]){0, 0, 1}, false);
    truncate_to(&l, (const int64_t[B]){16, 0, 16});
    append(&l, (const int64_t[B]){16, 0, 0}, true);
    check_attention(&l, (const int64_t[B]){16, 0, 0}, true);
    end(&l);
}

/* The same where pages are shared: copies that were begun are taken back. */
static void test_growth_of_shared(void **state) {
    (void)state;
    for (int64_t pages = 3; pages < 7; pages++) {
        attend_cache_desc d = desc_of(ATTEND_I8, 4);
        d.page_count = pages;
        life l = begin(&d, 10);
        append(&l, (const int64_t[B]){6, 0, 0}, false);
        reorder(&l, (const int64_t[B]){0, 0, 0});
        const attend_tensor k = serving_rows(l.pool.a.k, 0, 100, 9);
        const attend_tensor v = serving_rows(l.pool.a.v, 0, 100, 9);
        const attend_tensor three = problem_integers(&l.pool, B, (const int64_t[B]){3, 3, 3});
        /* two copies of the second page, and three new ones, beside the two that are there */
        assert_int_equal(attend_cache_append(l.cache, &k, &v, &three), ATTEND_OUT_OF_MEMORY);
        assert_int_equal(pages_taken(&l), 2);
        for (int b = 0; b < B; b++)
            assert_int_equal(attend_cache_length(l.cache, b), 6);
        append(&l, (const int64_t[B]){0, 1, 0}, false);
        check_attention(&l, (const int64_t[B]){0, 1, 0}, false);
        append(&l, (const int64_t[B]){0, 1, 0}, false);
        assert_int_equal(pages_taken(&l), 3);
        truncate_to(&l, (const int64_t[B]){6, 8, 0});
        append(&l, (const int64_t[B]){2, 0, 0}, true);
        assert_int_equal(pages_taken(&l), 3);
        check_attention(&l, (const int64_t[B]){2, 0, 0}, true);
        end(&l);
    }
}

/* Fewer keys than the cache holds, and a range of them. */
static void test_key_lengths(void **state) {
    (void)state;
    for (int n = 0; n < TYPES; n++) {
        const attend_cache_desc d = desc_of(types[n], page_sizes[n]);
        life l = begin(&d, 9);
        append(&l, (const int64_t[B]){9, 30, 17}, false);
        const int64_t lengths[B] = {0, 25, 17};
        problem p = plain_problem(&l, 2, ATTEND_F32);
        p.a.position = ATTEND_BOTTOM_RIGHT;
        p.a.key_lengths = problem_integers(&p, B, lengths);
        p.a.key_begin = 3;
        p.a.key_end = 20;
        attend_attention x = over_cache(&l, &p.a);
        x.key_lengths = p.a.key_lengths;
        x.position = p.a.position;
        serving_succeeds(attend_run(problem_context, &x));
        problem_compare(&p);
        problem_free(&p);
        end(&l);
    }
}

/* A cache of int8 takes (D + 4) / (4 D) of the memory of one in f32. */
static void test_memory(void **state) {
    (void)state;
    static const int64_t head_sizes[] = {24, 40, 64, 128};
    for (int n = 0; n < 4 * PAGE_SIZES; n++) {
        size_t bytes[2];
        for (int which = 0; which < 2; which++) {
            attend_cache_desc d =
                desc_of(which ? ATTEND_I8 : ATTEND_F32, page_sizes[n % PAGE_SIZES]);
            attend_cache_info info = {.size = sizeof info};
            attend_cache *cache;
            d.head_size = head_sizes[n / PAGE_SIZES];
            d.value_size = 0;
            d.capacity = 1000;
            serving_succeeds(attend_cache_create(problem_context, &d, &cache));
            serving_succeeds(attend_cache_get_info(cache, &info));
            assert_int_equal(info.value_size, d.head_size);
            bytes[which] = info.memory_bytes;
            attend_cache_release(cache);
        }
        const double size = (double)head_sizes[n / PAGE_SIZES];
        assert_true((double)bytes[1] <= 1.02 * (size + 4) / (4 * size) * (double)bytes[0]);
        assert_true((double)bytes[0] >= 2 * B * G * 1000 * 4 * size);
    }
}

/* Samples times heads times tokens that it could hold are 2^31; an append is no larger for it. */
static void test_room_for_many(void **state) {
    (void)state;
    const int64_t batch = 512, heads = 32, tokens = 2;
    attend_cache_desc d = serving_cache(
        (problem_sizes){.B = batch, .G = heads, .S = 131072, .D = 1, .E = 1}, ATTEND_F32, 128);
    d.page_count = batch;
    attend_cache *cache;
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    problem t = {.random = {2}};
    const attend_tensor k =
        problem_zeros(&t, ATTEND_F32, 4, (const int64_t[]){batch, heads, tokens, 1});
    serving_succeeds(attend_cache_append(cache, &k, &k, NULL));
    assert_int_equal(attend_cache_length(cache, batch - 1), tokens);
    problem_free(&t);
    attend_cache_release(cache);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits),           cmocka_unit_test(test_beams),
        cmocka_unit_test(test_sharing),          cmocka_unit_test(test_growth),
        cmocka_unit_test(test_growth_of_shared), cmocka_unit_test(test_key_lengths),
        cmocka_unit_test(test_memory),           cmocka_unit_test(test_room_for_many),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
