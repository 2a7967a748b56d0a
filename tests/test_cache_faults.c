/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that cannot be had while a cache is made, appended to, reordered, read and attended over,
 * alone and inside a layer: the n-th allocation fails, for each n there is. Whatever call that
 * meets says so, has changed nothing, and succeeds when it is made again; the results are those of
 * a life without failures, and nothing leaks. The backend is the program's argument, cpu without
 * one. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, D = 4, N = 3, CAPACITY = 8, WIDTH = H * D, MANY = 4096 };

static const char *backend = "cpu";

/* ---- an allocator that fails ----------------------------------------------------------------- */

static atomic_int live, countdown; /* countdown 0: never */
static atomic_bool failed;

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    if (atomic_load(&countdown) > 0 && atomic_fetch_sub(&countdown, 1) == 1) {
        atomic_store(&failed, true);
        return NULL;
    }
    const size_t aligned = alignment < 64 ? 64 : alignment;
    void *memory = aligned_alloc(aligned, (bytes + aligned) / aligned * aligned);
    if (memory != NULL) atomic_fetch_add(&live, 1);
    return memory;
}

static void give_back(void *user, void *memory) {
    (void)user;
    if (memory != NULL) atomic_fetch_sub(&live, 1);
    free(memory);
}

static attend_context *open_context(void) {
    static const attend_allocator allocator = {allocate, give_back, NULL};
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.allocator = &allocator;
    options.backend = backend;
    options.threads = 2;
    if (attend_open(&options, &context) != ATTEND_OK) fail_msg("%s", attend_error_text());
    return context;
}

/* ---- a life of a cache ----------------------------------------------------------------------- */

typedef struct life {
    attend_context *context;
    attend_cache *cache;
    attend_buffer *memory; /* over x and out */
    attend_multihead *layer;
    attend_type type;
    float out[B * H * N * D], layer_out[B * N * WIDTH], keys[G * CAPACITY * D];
} life;

static float x[MANY], out[B * H * N * D], table[CAPACITY * D / 2];

/* Everything that a refused call must leave. */
typedef struct snapshot {
    int64_t lengths[B], free_pages;
    float tokens[B][G * CAPACITY * D];
} snapshot;

static snapshot look(const life *l) {
    snapshot s = {.free_pages = -1};
    if (l->cache == NULL) return s;
    attend_cache_info info = {.size = sizeof info};
    assert_int_equal(attend_cache_get_info(l->cache, &info), ATTEND_OK);
    s.free_pages = info.free_pages;
    for (int b = 0; b < B; b++) {
        s.lengths[b] = attend_cache_length(l->cache, b);
        attend_cache_view view = attend_cache_view_default();
        view.sample = b;
        view.v = attend_tensor_3d(s.tokens[b], ATTEND_F32, G, s.lengths[b], D);
        assert_int_equal(attend_cache_read(l->cache, &view), ATTEND_OK);
    }
    return s;
}

static attend_status create(life *l) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D;
    d.capacity = CAPACITY;
    d.page_size = 3;
    d.type = l->type;
    d.rope_cos = d.rope_sin = attend_tensor_2d(table, ATTEND_F32, CAPACITY, D / 2);
    return attend_cache_create(l->context, &d, &l->cache);
}

static attend_status append(life *l) {
    static const int32_t counts[B] = {N, N - 1};
    const attend_tensor t = attend_tensor_4d(x, ATTEND_F32, B, G, N, D),
                        n = attend_tensor_1d(counts, ATTEND_I32, B);
    return attend_cache_append(l->cache, &t, &t, &n);
}

/* Both samples end within a page they share: the next append copies it. */
static attend_status reorder(life *l) {
    static const int32_t parents[B] = {1, 1};
    const attend_tensor list = attend_tensor_1d(parents, ATTEND_I32, B);
    return attend_cache_reorder(l->cache, &list);
}

static attend_attention attention(const life *l) {
    attend_attention a = attend_attention_default();
    a.cache = l->cache;
    a.q = attend_tensor_4d(x, ATTEND_F32, B, H, N, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, B, H, N, D);
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    return a;
}

static attend_status attend(life *l) {
    const attend_attention a = attention(l);
    const attend_status status = attend_run(l->context, &a);
    if (status == ATTEND_OK) memcpy(l->out, out, sizeof out);
    return status;
}

static attend_status plan(life *l) {
    attend_plan *p = NULL;
    const attend_attention a = attention(l);
    attend_status status = attend_plan_create(l->context, &a, &p);
    if (status == ATTEND_OK) status = attend_plan_run(p, &a);
    attend_plan_release(p);
    if (status == ATTEND_OK) assert_memory_equal(l->out, out, sizeof out);
    return status;
}

static attend_status buffers(life *l) {
    return attend_buffer_create(l->context, sizeof x, &l->memory);
}

static attend_status wait_for(attend_event *done, attend_status status) {
    assert_true((status == ATTEND_OK) == (done != NULL));
    if (status == ATTEND_OK) status = attend_event_wait(done, -1);
    attend_event_release(done);
    return status;
}

/* Work that fails late leaves its tokens counted in: the caller takes them out. */
static attend_status enqueue(life *l) {
    const int64_t sizes[4] = {B, G, 1, D};
    const int64_t had[B] = {attend_cache_length(l->cache, 0), attend_cache_length(l->cache, 1)};
    attend_status status = attend_buffer_write(l->memory, 0, x, sizeof x);
    const attend_tensor t = attend_tensor_in(l->memory, 0, ATTEND_F32, 4, sizes, NULL);
    attend_event *done = NULL;
    if (status == ATTEND_OK)
        status = attend_cache_append_enqueue(l->cache, &t, &t, NULL, 0, NULL, &done);
    const bool counted = status == ATTEND_OK;
    status = wait_for(done, status);
    if (status == ATTEND_OK || !counted) return status;
    const attend_tensor lengths = attend_tensor_1d(had, ATTEND_I64, B);
    assert_int_equal(attend_cache_truncate(l->cache, &lengths), ATTEND_OK);
    return status;
}

static attend_status enqueue_attention(life *l) {
    attend_attention a = attention(l);
    attend_event *done = NULL;
    a.q = attend_tensor_in(l->memory, 0, ATTEND_F32, 4, a.q.sizes, NULL);
    a.out = attend_tensor_in(l->memory, B * H * N * D, ATTEND_F32, 4, a.out.sizes, NULL);
    const attend_status status = attend_enqueue(l->context, &a, 0, NULL, &done);
    return wait_for(done, status);
}

static attend_status read(life *l) {
    attend_cache_view view = attend_cache_view_default();
    view.k = attend_tensor_3d(l->keys, ATTEND_F32, G, attend_cache_length(l->cache, 0), D);
    return attend_cache_read(l->cache, &view);
}

/* From here on the cache is a layer's: without a rope of its own. */
static attend_status plain(life *l) {
    attend_cache_desc d = attend_cache_desc_default();
    attend_cache_release(l->cache);
    l->cache = NULL;
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D;
    d.capacity = CAPACITY;
    d.type = l->type;
    return attend_cache_create(l->context, &d, &l->cache);
}

static attend_status make_layer(life *l) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = H;
    d.kv_heads = G;
    d.w_q = d.w_o = attend_tensor_2d(x, ATTEND_F32, WIDTH, WIDTH);
    d.w_k = d.w_v = attend_tensor_2d(x, ATTEND_F32, G * D, WIDTH);
    d.rope_cos = d.rope_sin = attend_tensor_2d(table, ATTEND_F32, CAPACITY, D / 2);
    d.causal = 1;
    return attend_multihead_create(l->context, &d, &l->layer);
}

static attend_status run_layer(life *l) {
    attend_multihead_args args = attend_multihead_args_default();
    args.x_q = attend_tensor_3d(x, ATTEND_F32, B, N, WIDTH);
    args.out = attend_tensor_3d(l->layer_out, ATTEND_F32, B, N, WIDTH);
    args.cache = l->cache;
    return attend_multihead_run(l->layer, &args);
}

typedef attend_status step(life *l);
static step *const steps[] = {create,    append,   reorder,           append, attend, plan,
                              buffers,   enqueue,  enqueue_attention, read,   plain,  make_layer,
                              run_layer, run_layer};

/* The whole life, in which allocation `n` of it fails; 0: none. */
static void live_through(life *l, int n) {
    l->context = open_context();
    atomic_store(&failed, false);
    atomic_store(&countdown, n);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const int left = atomic_exchange(&countdown, 0); /* looking is not what is tested */
        const snapshot before = look(l);
        const bool before_failure = !atomic_load(&failed);
        atomic_store(&countdown, left);
        attend_status status = steps[i](l);
        if (status == ATTEND_OK) continue;
        if (status != ATTEND_OUT_OF_MEMORY || !before_failure || !atomic_load(&failed))
            fail_msg("step %zu, allocation %d: %s: %s", i, n, attend_status_name(status),
                     attend_error_text());
        assert_true(*attend_error_text() != '\0');
        const snapshot after = look(l);
        if (steps[i] != plain) assert_memory_equal(&before, &after, sizeof before);
        status = steps[i](l);
        if (status != ATTEND_OK)
            fail_msg("step %zu, after allocation %d: %s: %s", i, n, attend_status_name(status),
                     attend_error_text());
    }
    atomic_store(&countdown, 0);
    (void)attend_finish(l->context);
    attend_multihead_release(l->layer);
    attend_buffer_release(l->memory);
    attend_cache_release(l->cache);
    attend_close(l->context);
    assert_int_equal(atomic_load(&live), 0);
}

static void fail_everywhere(attend_type type) {
    static life whole, broken;
    memset(&whole, 0, sizeof whole);
    whole.type = type;
    live_through(&whole, 0);
    int n = 0;
    do {
        memset(&broken, 0, sizeof broken);
        broken.type = type;
        live_through(&broken, ++n);
        assert_memory_equal(whole.out, broken.out, sizeof whole.out);
        assert_memory_equal(whole.layer_out, broken.layer_out, sizeof whole.layer_out);
        assert_memory_equal(whole.keys, broken.keys, sizeof whole.keys);
    } while (atomic_load(&failed));
    assert_true(n > 20); /* there was something to fail */
}

static void test_float(void **state) {
    (void)state;
    fail_everywhere(ATTEND_F32);
}

static void test_int8(void **state) {
    (void)state;
    fail_everywhere(ATTEND_I8);
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(i * 37 % 101 - 50) / 64;
    for (int i = 0; i < CAPACITY * D / 2; i++)
        table[i] = (float)(i % 5) / 4;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_float), cmocka_unit_test(test_int8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
