/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed batches, pages and caches where everything lies in buffers: enqueued and planned they give
 * the bits of a plain call; what nobody could check there is clamped, so that nothing outside is
 * read or written. */
#include "serving_data.h"

#include <string.h>

enum { B = 3, H = 4, G = 2, L = 5, S = 70, D = 16, E = 12, BUFFERS = 24, GUARD = 64 };

static const int64_t queries[B] = {5, 0, 2}, keys[B] = {70, 3, 40};
static const attend_type types[] = {ATTEND_F32, ATTEND_BF16, ATTEND_I8};
enum { TYPES = 3 };

static attend_buffer *buffers[BUFFERS];
static int buffer_count;

static int give_back(void **state) {
    (void)state;
    while (buffer_count)
        attend_buffer_release(buffers[--buffer_count]);
    return 0;
}

static void into_buffer(attend_tensor *t) {
    assert_true(buffer_count < BUFFERS);
    if (t->type) *t = serving_in_buffer(t, &buffers[buffer_count++]);
}

/* A view in the middle of a buffer of pattern. */
static attend_tensor guarded(const attend_tensor *t) {
    static unsigned char pattern[1 << 20];
    size_t bytes = 2 * GUARD * attend_type_bytes(t->type);
    bytes += (size_t)(t->sizes[0] * t->strides[0]) * attend_type_bytes(t->type);
    assert_true(bytes <= sizeof pattern && buffer_count < BUFFERS);
    memset(pattern, 0xa5, bytes);
    serving_succeeds(attend_buffer_create(problem_context, bytes, &buffers[buffer_count]));
    serving_succeeds(attend_buffer_write(buffers[buffer_count], 0, pattern, bytes));
    return attend_tensor_in(buffers[buffer_count++], GUARD, t->type, t->rank, t->sizes, NULL);
}

static void read_guarded(const attend_tensor *t, const attend_tensor *to) {
    static unsigned char bytes[1 << 20];
    const size_t unit = attend_type_bytes(t->type), size = attend_buffer_size_bytes(t->buffer);
    assert_true(size <= sizeof bytes);
    serving_succeeds(attend_buffer_read(t->buffer, 0, bytes, size));
    for (size_t i = 0; i < GUARD * unit; i++)
        assert_true(bytes[i] == 0xa5 && bytes[size - 1 - i] == 0xa5);
    if (to) memcpy(to->data, bytes + GUARD * unit, size - 2 * GUARD * unit);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static problem padded(attend_type type) {
    problem p = problem_make((problem_sizes){B, H, G, L, S, D, E},
                             type == ATTEND_I8 ? ATTEND_F32 : type, 3);
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    if (type == ATTEND_I8) {
        p.a.k = serving_bytes(&p, &p.a.k, &p.a.k_scales);
        p.a.v = serving_bytes(&p, &p.a.v, &p.a.v_scales);
    }
    p.a.key_lengths = problem_integers(&p, B, keys);
    p.a.query_lengths = problem_integers(&p, B, queries);
    return p;
}

static void fresh_outputs(problem *p, attend_attention *x) {
    const int64_t samples = x->q.sizes[0], rows = x->q.sizes[2];
    x->out = problem_zeros(p, p->a.q.type, 4, (const int64_t[]){samples, H, rows, E});
    x->lse = problem_zeros(p, ATTEND_F32, 3, x->out.sizes);
    x->weights = problem_zeros(p, ATTEND_F32, 4, (const int64_t[]){B, H, L, S});
}

static attend_attention packed_queries(problem *p, const attend_attention *from) {
    attend_attention x = *from;
    x.q = serving_packed(p, &p->a.q, queries);
    x.query_lengths = serving_none();
    x.cu_query_lengths = serving_cumulative(p, queries, B, ATTEND_I32);
    x.max_query_length = L;
    return x;
}

static attend_attention packed(problem *p) {
    attend_attention x = packed_queries(p, &p->a);
    x.k = serving_packed(p, &p->a.k, keys);
    x.v = serving_packed(p, &p->a.v, keys);
    if (x.k_scales.type) {
        x.k_scales = serving_packed(p, &p->a.k_scales, keys);
        x.v_scales = serving_packed(p, &p->a.v_scales, keys);
    }
    x.key_lengths = serving_none();
    x.cu_key_lengths = serving_cumulative(p, keys, B, ATTEND_I64);
    x.max_key_length = S;
    return x;
}

static attend_attention paged(problem *p, int64_t size) {
    const serving_pages pages = serving_paged(p, &p->a, keys, size);
    return serving_over_pages(&p->a, &pages, &p->a.key_lengths);
}

static void all_into_buffers(attend_attention *x) {
    attend_tensor *const inputs[] = {&x->q,           &x->k,
                                     &x->v,           &x->k_scales,
                                     &x->v_scales,    &x->cu_query_lengths,
                                     &x->key_lengths, &x->cu_key_lengths,
                                     &x->page_table,  &x->query_lengths};
    for (size_t n = 0; n < sizeof inputs / sizeof *inputs; n++)
        into_buffer(inputs[n]);
    x->out = guarded(&x->out);
    x->lse = guarded(&x->lse);
    x->weights = guarded(&x->weights);
}

static void enqueue(attend_plan *plan, const attend_attention *x) {
    attend_event *done = NULL;
    serving_succeeds(plan ? attend_plan_enqueue(plan, x, 0, NULL, &done)
                          : attend_enqueue(problem_context, x, 0, NULL, &done));
    serving_succeeds(attend_event_wait(done, -1));
    attend_event_release(done);
}

/* The call with host memory, and the same in buffers. */
static void same_in_buffers(problem *p, attend_attention x, attend_plan *plan) {
    fresh_outputs(p, &x);
    attend_attention y = x, back = x;
    serving_succeeds(attend_run(problem_context, &x));
    fresh_outputs(p, &back);
    y.out = back.out;
    y.lse = back.lse;
    y.weights = back.weights;
    all_into_buffers(&y);
    enqueue(plan, &y);
    read_guarded(&y.out, &back.out);
    read_guarded(&y.lse, &back.lse);
    read_guarded(&y.weights, &back.weights);
    assert_true(problem_same_bits(&x.out, &back.out));
    assert_true(problem_same_bits(&x.lse, &back.lse));
    assert_true(problem_same_bits(&x.weights, &back.weights));
    (void)give_back(NULL);
}

static void test_enqueued(void **state) {
    (void)state;
    for (int n = 0; n < TYPES; n++) {
        problem p = padded(types[n]);
        same_in_buffers(&p, packed(&p), NULL);
        for (int64_t size = 0; size < 20; size += 7) {
            const attend_attention x = paged(&p, size);
            same_in_buffers(&p, x, NULL);
            if (size) same_in_buffers(&p, packed_queries(&p, &x), NULL);
        }
        problem_free(&p);
    }
}

/* One plan for pages of any size and number, one for packed batches of any number of rows. */
static void test_planned(void **state) {
    (void)state;
    for (int n = 0; n < TYPES; n++) {
        problem p = padded(types[n]);
        attend_attention largest = paged(&p, 16);
        attend_plan *plan = NULL;
        fresh_outputs(&p, &largest);
        largest.k = attend_tensor_4d(NULL, largest.k.type, 200, G, 60, D);
        largest.v = attend_tensor_4d(NULL, largest.v.type, 200, G, 60, E);
        if (types[n] == ATTEND_I8)
            largest.k_scales = largest.v_scales = attend_tensor_3d(NULL, ATTEND_F32, 200, G, 60);
        largest.page_table = attend_tensor_2d(NULL, ATTEND_I32, B, S + 2);
        serving_succeeds(attend_plan_create(problem_context, &largest, &plan));
        for (int64_t size = 1; size < 60; size += 19)
            same_in_buffers(&p, paged(&p, size), plan);
        attend_plan_release(plan);
        largest = packed(&p);
        fresh_outputs(&p, &largest);
        serving_succeeds(attend_plan_create(problem_context, &largest, &plan));
        same_in_buffers(&p, packed(&p), plan);
        attend_plan_release(plan);
        problem_free(&p);
    }
}

/* ---- values that nobody checked ----------------------------------------------------------------
 */

/* As a device must read them: lengths in 0..S, entries in 0..P - 1. */
static void clamp_vector(const attend_tensor *t, double most) {
    const int64_t width = t->rank > 1 ? t->sizes[1] : 1;
    for (int64_t n = 0; n < t->sizes[0] * width; n++) {
        const int64_t at[2] = {n / width, n % width};
        const double x = gate_load(t, at);
        gate_store(t, at, x < 0 ? 0 : x > most ? most : x);
    }
}

static void test_wild_pages(void **state) {
    (void)state;
    static const int64_t wild[B] = {-7, INT64_MAX, 40};
    for (int n = 0; n < TYPES; n++) {
        problem p = padded(types[n]);
        attend_attention x = paged(&p, 8), y;
        x.query_lengths = serving_none();
        x.key_lengths = problem_integers(&p, B, wild);
        x.position = ATTEND_TOP_LEFT;
        fresh_outputs(&p, &x);
        y = x;
        all_into_buffers(&y);
        enqueue(NULL, &y);
        attend_attention back = x;
        fresh_outputs(&p, &back);
        read_guarded(&y.out, &back.out);
        read_guarded(&y.lse, &back.lse);
        read_guarded(&y.weights, &back.weights);
        clamp_vector(&x.key_lengths, S);
        clamp_vector(&x.page_table, (double)x.k.sizes[0] - 1);
        serving_succeeds(attend_run(problem_context, &x));
        assert_true(problem_same_bits(&x.out, &back.out));
        assert_true(problem_same_bits(&x.lse, &back.lse));
        assert_true(problem_same_bits(&x.weights, &back.weights));
        problem_free(&p);
        (void)give_back(NULL);
    }
}

static void test_wild_cumulative(void **state) {
    (void)state;
    static const int64_t wild[][B + 1] = {{0, INT64_MAX, -1, 7},
                                          {-5, 3, 100000, 7},
                                          {INT64_MIN, INT64_MIN, INT64_MAX, INT64_MAX},
                                          {7, 6, 5, 4}};
    for (int n = 0; n < TYPES * 4; n++) {
        problem p = padded(types[n / 4]);
        attend_attention x = packed(&p);
        fresh_outputs(&p, &x);
        attend_tensor cu = problem_zeros(&p, ATTEND_I64, 1, (const int64_t[]){B + 1});
        memcpy(cu.data, wild[n % 4], sizeof wild[0]);
        if (n % 3 != 1) x.cu_query_lengths = cu;
        if (n % 3 != 0) x.cu_key_lengths = cu;
        all_into_buffers(&x);
        enqueue(NULL, &x);
        read_guarded(&x.out, NULL);
        read_guarded(&x.lse, NULL);
        read_guarded(&x.weights, NULL);
        problem_free(&p);
        (void)give_back(NULL);
    }
}

static void test_wild_append(void **state) {
    (void)state;
    static const int64_t starts[][B] = {{-3, INT64_MAX, 4}, {0, 30, INT64_MIN}};
    static const int64_t counts[][B] = {{INT64_MAX, 5, -1}, {5, 5, 5}};
    for (int n = 0; n < TYPES * 2; n++) {
        problem p = padded(types[n / 2]);
        const serving_pages pages = serving_paged(&p, &p.a, keys, 8);
        attend_append d = attend_append_default();
        d.k = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, 5, D});
        d.v = problem_normals(&p, ATTEND_F32, 4, (const int64_t[]){B, G, 5, E});
        d.starts = problem_integers(&p, B, starts[n % 2]);
        d.counts = problem_integers(&p, B, counts[n % 2]);
        d.page_table = pages.table;
        attend_tensor *const inputs[] = {&d.k, &d.v, &d.starts, &d.counts, &d.page_table};
        for (int t = 0; t < 5; t++)
            into_buffer(inputs[t]);
        d.k_pages = guarded(&pages.k);
        d.v_pages = guarded(&pages.v);
        if (pages.k_scales.type) d.k_scales = guarded(&pages.k_scales);
        if (pages.k_scales.type) d.v_scales = guarded(&pages.v_scales);
        attend_event *done = NULL;
        serving_succeeds(attend_append_enqueue(problem_context, &d, 0, NULL, &done));
        serving_succeeds(attend_event_wait(done, -1));
        attend_event_release(done);
        read_guarded(&d.k_pages, NULL);
        read_guarded(&d.v_pages, NULL);
        if (pages.k_scales.type) read_guarded(&d.k_scales, NULL);
        if (pages.k_scales.type) read_guarded(&d.v_scales, NULL);
        problem_free(&p);
        (void)give_back(NULL);
    }
}

/* ---- a cache on the queue ----------------------------------------------------------------------
 */

enum { STEPS = 12 };

static attend_cache *make_cache(attend_type type, int64_t page_size) {
    const attend_cache_desc d =
        serving_cache((problem_sizes){.B = B, .G = G, .S = S, .D = D, .E = E}, type, page_size);
    attend_cache *cache;
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    return cache;
}

static attend_tensor row(attend_tensor t, int64_t i) {
    t.offset += i * t.strides[2];
    t.sizes[2] = 1;
    return t;
}

/* One query of step `step` over what a cache holds; q, k and v are those of `from`. */
static attend_attention step_over(const attend_attention *from, attend_cache *cache, int64_t step) {
    attend_attention x = *from;
    x.k = x.v = x.key_lengths = x.query_lengths = serving_none();
    x.position = ATTEND_AFTER_CACHE;
    x.cache = cache;
    x.q = row(x.q, step % L);
    return x;
}

/* Each step's append waits for the attention before it, its attention for the append; nobody waits
 * in between. */
static void enqueue_steps(const attend_attention *in_buffers, attend_cache *cache,
                          const attend_tensor *outs) {
    attend_event *last = NULL;
    for (int64_t step = 0; step < STEPS; step++) {
        attend_event *appended = NULL, *done = NULL;
        const attend_tensor k = row(in_buffers->k, step), v = row(in_buffers->v, step);
        attend_attention x = step_over(in_buffers, cache, step);
        x.out = outs[step];
        serving_succeeds(
            attend_cache_append_enqueue(cache, &k, &v, NULL, last != NULL, &last, &appended));
        attend_event_release(last);
        serving_succeeds(attend_enqueue(problem_context, &x, 1, &appended, &done));
        attend_event_release(appended);
        last = done;
    }
    serving_succeeds(attend_event_wait(last, -1));
    attend_event_release(last);
}

static void test_cache_enqueued(void **state) {
    (void)state;
    for (int n = 0; n < TYPES; n++) {
        problem p = padded(ATTEND_F32);
        attend_cache *const one = make_cache(types[n], n * 5), *const two = make_cache(types[n], n);
        attend_attention in_buffers = p.a;
        attend_tensor outs[STEPS];
        p.a.out = problem_zeros(&p, ATTEND_F32, 4, (const int64_t[]){B, H, 1, E});
        into_buffer(&in_buffers.q);
        into_buffer(&in_buffers.k);
        into_buffer(&in_buffers.v);
        for (int step = 0; step < STEPS; step++)
            outs[step] = guarded(&p.a.out);
        enqueue_steps(&in_buffers, one, outs);
        for (int64_t step = 0; step < STEPS; step++) {
            const attend_tensor got = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes);
            const attend_tensor k = row(p.a.k, step), v = row(p.a.v, step);
            const attend_attention x = step_over(&p.a, two, step);
            serving_succeeds(attend_cache_append(two, &k, &v, NULL));
            serving_succeeds(attend_run(problem_context, &x));
            read_guarded(&outs[step], &got);
            assert_true(problem_same_bits(&got, &x.out));
        }
        attend_cache_release(one);
        attend_cache_release(two);
        problem_free(&p);
        (void)give_back(NULL);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_enqueued, give_back),
        cmocka_unit_test_teardown(test_planned, give_back),
        cmocka_unit_test_teardown(test_wild_pages, give_back),
        cmocka_unit_test_teardown(test_wild_cumulative, give_back),
        cmocka_unit_test_teardown(test_wild_append, give_back),
        cmocka_unit_test_teardown(test_cache_enqueued, give_back),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
