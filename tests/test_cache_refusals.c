/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad arguments of caches: each is refused with a status and a sentence that names
 * it, nothing is written, and the cache holds what it held before. */
#include "serving_data.h"

#include <string.h>

enum { B = 3, H = 4, G = 2, D = 8, E = 6, L = 2, CAPACITY = 20, C = 4, P = 12, BYTES = 1 << 14 };

static float values[BYTES / 4], rope[CAPACITY * D];
static unsigned char results[BYTES];
static int64_t vector_values[B], lengths[B];
static int32_t table[B * 5];
static attend_context *other;
static attend_cache *cache, *imported, *foreign;
static attend_buffer *buffers[4];

static attend_tensor in(attend_type type, int32_t rank, const int64_t *sizes) {
    return attend_tensor_nd(values, type, rank, sizes);
}

static attend_tensor vector(int64_t x, int64_t y, int64_t z) {
    vector_values[0] = x;
    vector_values[1] = y;
    vector_values[2] = z;
    return attend_tensor_1d(vector_values, ATTEND_I64, B);
}

#define IN(type, ...)                                                                              \
    in(ATTEND_##type, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),               \
       (int64_t[]){__VA_ARGS__})

/* ---- valid descriptions ---------------------------------------------------------------------- */

static attend_cache_desc desc_of(attend_type type) {
    return serving_cache((problem_sizes){.B = B, .G = G, .S = CAPACITY, .D = D, .E = E}, type, C);
}

/* Pages of the application's, in buffers; the table is good for 9 tokens each. */
static attend_cache_desc import_desc(void) {
    static const int32_t entries[B * 5] = {0, 1, 2, -1, 99, 3, 4, 5, P, 7, 6, 7, 8, 1 << 30, -9};
    attend_cache_desc d = desc_of(ATTEND_I8);
    memcpy(table, entries, sizeof table);
    memset(lengths, 0, sizeof lengths);
    d.k = attend_tensor_in(buffers[0], 0, ATTEND_I8, 4, (const int64_t[]){P, G, C, D}, NULL);
    d.v = attend_tensor_in(buffers[1], 0, ATTEND_I8, 4, (const int64_t[]){P, G, C, E}, NULL);
    d.k_scales = attend_tensor_in(buffers[2], 0, ATTEND_F32, 3, d.k.sizes, NULL);
    d.v_scales = attend_tensor_in(buffers[3], 0, ATTEND_F32, 3, d.k.sizes, NULL);
    d.page_table = attend_tensor_2d(table, ATTEND_I32, B, 5);
    d.lengths = attend_tensor_1d(lengths, ATTEND_I64, B);
    return d;
}

static attend_cache_desc rope_desc(void) {
    attend_cache_desc d = desc_of(ATTEND_F32);
    d.rope_cos = attend_tensor_2d(rope, ATTEND_F32, CAPACITY, D / 2);
    d.rope_sin = d.rope_cos;
    return d;
}

static attend_attention attention_over(attend_cache *over) {
    attend_attention a = attend_attention_default();
    a.q = IN(F32, B, H, L, D);
    a.out = attend_tensor_4d(results, ATTEND_F32, B, H, L, E);
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    a.cache = over;
    return a;
}

/* Two tokens each, with their counts. */
typedef struct appending {
    attend_cache *to;
    attend_tensor k, v, counts;
} appending;

static appending append_to(attend_cache *to) {
    return (appending){to, IN(F32, B, G, 2, D), IN(F32, B, G, 2, E), vector(2, 1, 0)};
}

static attend_cache_view view_of(void) {
    attend_cache_view view = attend_cache_view_default();
    view.sample = 1;
    view.first = 1;
    view.k = attend_tensor_3d(results, ATTEND_F32, G, 2, D);
    view.v = attend_tensor_3d(results + BYTES / 2, ATTEND_F32, G, 2, E);
    return view;
}

static attend_status create(const attend_cache_desc *d) {
    attend_cache *made = (attend_cache *)(void *)results;
    const attend_status status = attend_cache_create(problem_context, d, &made);
    if (status) assert_null(made);
    attend_cache_release(status ? NULL : made);
    return status;
}

static attend_status run(const attend_attention *a) {
    return attend_run(problem_context, a);
}

static attend_status append(const appending *x) {
    return attend_cache_append(x->to, &x->k, &x->v, x->counts.type ? &x->counts : NULL);
}

static attend_status view(const attend_cache_view *d) {
    return attend_cache_read(cache, d);
}
/* call, its description, status, words that the sentence starts with, what is spoilt (as `x`) */
#define CREATE_CASES(X)                                                                            \
    X(create, desc_of(ATTEND_F32), INVALID, "batch", x->batch = -1)                                \
    X(create, desc_of(ATTEND_F32), INVALID, "kv_heads", x->kv_heads = -2)                          \
    X(create, desc_of(ATTEND_F32), INVALID, "head_size", x->head_size = -1)                        \
    X(create, desc_of(ATTEND_F32), INVALID, "value_size", x->value_size = -1)                      \
    X(create, desc_of(ATTEND_F32), INVALID, "capacity", x->capacity = -1)                          \
    X(create, desc_of(ATTEND_F32), INVALID, "page_size", x->page_size = -1)                        \
    X(create, desc_of(ATTEND_F32), TYPE, "type", x->type = ATTEND_I32)                             \
    X(create, desc_of(ATTEND_F32), TYPE, "type", x->type = ATTEND_NO_TYPE)                         \
    X(create, desc_of(ATTEND_F32), INVALID, "reserved_flags", x->reserved_flags = 1)               \
    X(create, desc_of(ATTEND_F32), INVALID, "reserved", x->reserved_options = 1)                   \
    X(create, desc_of(ATTEND_F32), INVALID, "page_count", x->page_size = 0; x->page_count = 4)     \
    X(create, import_desc(), INVALID, "page_count", x->page_count = P)                             \
    X(create, desc_of(ATTEND_F32), INVALID, "", x->size = 0)                                       \
    X(create, desc_of(ATTEND_F32), OVERFLOW, "", x->capacity = INT64_MAX)                          \
    X(create, desc_of(ATTEND_F32), INVALID, "v", x->v = import_desc().v)                           \
    X(create, desc_of(ATTEND_F32), INVALID, "page_table",                                          \
      x->page_table = import_desc().page_table)                                                    \
    X(create, desc_of(ATTEND_F32), INVALID, "lengths", x->lengths = vector(1, 1, 1))               \
    X(create, rope_desc(), NULL_POINTER, "rope_sin", x->rope_sin = serving_none())                 \
    X(create, rope_desc(), NULL_POINTER, "rope_cos", x->rope_cos = serving_none())                 \
    X(create, rope_desc(), SHAPE, "rope_cos", x->rope_cos.sizes[0] = x->rope_sin.sizes[0] = 19)    \
    X(create, rope_desc(), SHAPE, "rope_cos", x->rope_dim = 4)                                     \
    X(create, rope_desc(), INVALID, "rope_dim", x->rope_dim = 7)                                   \
    X(create, rope_desc(), INVALID, "rope_dim", x->rope_dim = D + 2)                               \
    X(create, rope_desc(), TYPE, "rope_cos", x->rope_cos.type = ATTEND_I32)                        \
    X(create, import_desc(), NULL_POINTER, "v", x->v = serving_none())                             \
    X(create, import_desc(), NULL_POINTER, "k_scales", x->k_scales = serving_none())               \
    X(create, import_desc(), TYPE, "v", x->v.type = ATTEND_U8)                                     \
    X(create, import_desc(), TYPE, "k", x->type = ATTEND_F32)                                      \
    X(create, import_desc(), TYPE, "v_scales", x->v_scales.type = ATTEND_I32)                      \
    X(create, import_desc(), SHAPE, "k", x->k.sizes[1] = G - 1)                                    \
    X(create, import_desc(), SHAPE, "v", x->v.sizes[2] = C - 1)                                    \
    X(create, import_desc(), SHAPE, "page_table", x->page_table.sizes[1] = 4)                      \
    X(create, import_desc(), SHAPE, "page_table", x->page_table.sizes[0] = B - 1)                  \
    X(create, import_desc(), TYPE, "page_table", x->page_table.type = ATTEND_I64)                  \
    X(create, import_desc(), OUT_OF_RANGE, "lengths", lengths[1] = CAPACITY + 1)                   \
    X(create, import_desc(), OUT_OF_RANGE, "lengths", lengths[2] = -1)                             \
    X(create, import_desc(), SHAPE, "lengths", x->lengths.sizes[0] = 2)

#define RUN_CASES(X)                                                                               \
    X(run, attention_over(cache), INVALID, "cache", x->cache = foreign)                            \
    X(run, attention_over(cache), INVALID, "k", x->k = IN(F32, B, G, 5, D))                        \
    X(run, attention_over(cache), INVALID, "v", x->v = IN(F32, B, G, 5, E))                        \
    X(run, attention_over(cache), INVALID, "k_scales", x->k_scales = IN(F32, B, G, 5))             \
    X(run, attention_over(cache), INVALID, "page_table",                                           \
      x->page_table = attend_tensor_2d(table, ATTEND_I32, B, 5))                                   \
    X(run, attention_over(cache), INVALID, "cu_key_lengths", x->cu_key_lengths = IN(I32, B + 1))   \
    X(run, attention_over(cache), OUT_OF_RANGE, "key_lengths", x->position = ATTEND_BOTTOM_RIGHT;  \
      x->key_lengths = vector(5, 4, 2))                                                            \
    X(run, attention_over(cache), OUT_OF_RANGE, "key_lengths", x->position = ATTEND_BOTTOM_RIGHT;  \
      x->key_lengths = vector(5, -1, 1))                                                           \
    X(run, attention_over(cache), SHAPE, "cache", x->q.sizes[0] = x->out.sizes[0] = 2)             \
    X(run, attention_over(cache), SHAPE, "cache", x->q = IN(F32, B, H, L, D - 2))                  \
    X(run, attention_over(cache), SHAPE, "", x->q = IN(F32, B, 3, L, D);                           \
      x->out = attend_tensor_4d(results, ATTEND_F32, B, 3, L, E))                                  \
    X(run, attention_over(cache), SHAPE, "out", x->out.sizes[3] = E - 1)                           \
    X(run, attention_over(cache), OUT_OF_RANGE, "max_key_length", x->max_key_length = 4)           \
    X(run, attention_over(cache), TYPE, "", x->q = IN(F16, B, H, L, D))                            \
    X(run, attention_over(cache), INVALID, "query_offset", x->query_offset = 1)                    \
    X(run, attention_over(cache), INVALID, "reserved_flags", x->reserved_flags = 1)                \
    X(run, attention_over(imported), OUT_OF_RANGE, "page_table", table[1] = P)                     \
    X(run, attention_over(imported), OUT_OF_RANGE, "page_table", table[5] = -1)

#define APPEND_CASES(X)                                                                            \
    X(append, append_to(cache), NULL_POINTER, "k", x->k = serving_none())                          \
    X(append, append_to(cache), NULL_POINTER, "v", x->v = serving_none())                          \
    X(append, append_to(cache), TYPE, "", x->k.type = ATTEND_I8)                                   \
    X(append, append_to(cache), TYPE, "v", x->v.type = ATTEND_F16)                                 \
    X(append, append_to(cache), SHAPE, "k", x->k.sizes[1] = 1)                                     \
    X(append, append_to(cache), SHAPE, "k", x->k.sizes[3] = D - 1)                                 \
    X(append, append_to(cache), SHAPE, "v", x->v.sizes[2] = 1)                                     \
    X(append, append_to(cache), SHAPE, "v", x->v.rank = 3)                                         \
    X(append, append_to(cache), SHAPE, "k", x->k.sizes[0] = 2)                                     \
    X(append, append_to(cache), OUT_OF_RANGE, "counts", vector_values[0] = 3)                      \
    X(append, append_to(cache), OUT_OF_RANGE, "counts", vector_values[2] = -1)                     \
    X(append, append_to(cache), TYPE, "counts", x->counts.type = ATTEND_F32)                       \
    X(append, append_to(cache), SHAPE, "counts", x->counts.sizes[0] = 2)                           \
    X(append, append_to(cache), SHAPE, "counts", x->counts.rank = 2)                               \
    X(append, append_to(cache), OUT_OF_RANGE, "", x->k = IN(F32, B, G, 16, D);                     \
      x->v = IN(F32, B, G, 16, E); x->counts = serving_none())                                     \
    X(append, append_to(cache), NULL_POINTER, "counts", x->k = IN(F32, 1, G, 3, D);                \
      x->v = IN(F32, 1, G, 3, E); x->counts = serving_none())                                      \
    X(append, append_to(cache), SHAPE, "counts", x->k = IN(F32, 1, G, 4, D);                       \
      x->v = IN(F32, 1, G, 4, E))                                                                  \
    X(append, append_to(imported), OUT_OF_RANGE, "page_table", table[7] = P)                       \
    X(append, append_to(NULL), NULL_POINTER, "cache", (void)x)

#define READ_CASES(X)                                                                              \
    X(view, view_of(), OUT_OF_RANGE, "sample", x->sample = B)                                      \
    X(view, view_of(), OUT_OF_RANGE, "sample", x->sample = -1)                                     \
    X(view, view_of(), OUT_OF_RANGE, "first", x->first = 2)                                        \
    X(view, view_of(), OUT_OF_RANGE, "first", x->first = -1)                                       \
    X(view, view_of(), SHAPE, "k", x->k.sizes[0] = 1)                                              \
    X(view, view_of(), SHAPE, "v", x->v.sizes[1] = 1)                                              \
    X(view, view_of(), TYPE, "k", x->k.type = ATTEND_I32)                                          \
    X(view, view_of(), TYPE, "v", x->v.type = ATTEND_I8)

/* ---- what must not change -------------------------------------------------------------------- */

static const int64_t held[B] = {5, 3, 1}, held_imported[B] = {5, 8, 0};
static void reset(void) {
    memset(results, 0xa5, sizeof results);
}

static bool all_pattern(const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0xa5) return false;
    return true;
}

static void expect(const char *what, attend_status got, attend_status wanted, const char *words) {
    if (got != wanted || strncmp(attend_error_text(), words, strlen(words)))
        fail_msg("%s: %s, \"%s\" instead of %s, \"%s ..\"", what, attend_status_name(got),
                 attend_error_text(), attend_status_name(wanted), words);
    assert_true(strlen(attend_error_text()) > 0);
    assert_true(all_pattern(results, sizeof results));
    for (int b = 0; b < B; b++) {
        assert_int_equal(attend_cache_length(cache, b), held[b]);
        assert_int_equal(attend_cache_length(imported, b), held_imported[b]);
        assert_int_equal(attend_cache_length(foreign, b), 0);
    }
}

/* All tokens of the cache, in order. */
static void read_all(float *to) {
    for (int64_t b = 0; b < B; b++) {
        attend_cache_view all = attend_cache_view_default();
        all.sample = b;
        all.k = attend_tensor_3d(to + 200 * b, ATTEND_F32, G, held[b], D);
        all.v = attend_tensor_3d(to + 200 * b + 100, ATTEND_F32, G, held[b], E);
        serving_succeeds(attend_cache_read(cache, &all));
    }
}

/* ---- tests ----------------------------------------------------------------------------------- */

#define TYPE_create attend_cache_desc
#define TYPE_run attend_attention
#define TYPE_append appending
#define TYPE_view attend_cache_view
#define X(call, made, wanted, words, statement)                                                    \
    {                                                                                              \
        reset();                                                                                   \
        TYPE_##call d = made, *const x = &d;                                                       \
        statement;                                                                                 \
        expect(#call ": " #statement, call(x), ATTEND_##wanted, words);                            \
    }

static void test_create(void **state) {
    (void)state;
    CREATE_CASES(X)
    const attend_cache_desc d = desc_of(ATTEND_F32);
    expect("no description", create(NULL), ATTEND_NULL_POINTER, "");
    expect("no place", attend_cache_create(problem_context, &d, NULL), ATTEND_NULL_POINTER, "");
}

static void test_attention(void **state) {
    (void)state;
    (void)import_desc(); /* its table */
    RUN_CASES(X)
}

static void test_append(void **state) {
    (void)state;
    float before[600] = {0}, after[600] = {0};
    read_all(before);
    (void)import_desc();
    APPEND_CASES(X)
    read_all(after);
    assert_memory_equal(before, after, sizeof before);
}

typedef attend_status change(attend_cache *c, const attend_tensor *t);

static void test_changes(void **state) {
    (void)state;
    static const struct {
        const char *what;
        change *call;
        int64_t values[B];
        attend_status status;
    } cases[] = {
        {"truncate: more than there is", attend_cache_truncate, {5, 4, 1}, ATTEND_OUT_OF_RANGE},
        {"truncate: negative", attend_cache_truncate, {5, 3, -1}, ATTEND_OUT_OF_RANGE},
        {"reorder: no such sample", attend_cache_reorder, {0, 1, B}, ATTEND_OUT_OF_RANGE},
        {"reorder: negative", attend_cache_reorder, {-1, 1, 2}, ATTEND_OUT_OF_RANGE},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        reset();
        attend_tensor t = vector(cases[n].values[0], cases[n].values[1], cases[n].values[2]);
        expect(cases[n].what, cases[n].call(cache, &t), cases[n].status, "");
        t = vector(0, 0, 0);
        expect("NULL", cases[n].call(NULL, &t), ATTEND_NULL_POINTER, "cache");
        expect("NULL", cases[n].call(cache, NULL), ATTEND_NULL_POINTER, "");
        t.sizes[0] = 2;
        expect("two samples", cases[n].call(cache, &t), ATTEND_SHAPE, "");
        t = vector(0, 0, 0);
        t.type = ATTEND_F32;
        expect("floats", cases[n].call(cache, &t), ATTEND_TYPE, "");
    }
    const attend_tensor same = vector(0, 1, 2);
    expect("the application's table", attend_cache_reorder(imported, &same), ATTEND_UNSUPPORTED,
           "");
    expect("NULL", attend_cache_reset(NULL), ATTEND_NULL_POINTER, "cache");
    assert_int_equal(attend_cache_length(cache, B), -1);
    assert_int_equal(attend_cache_length(cache, -1), -1);
}

static void test_read(void **state) {
    (void)state;
    READ_CASES(X)
    attend_cache_info info = {0};
    expect("size", attend_cache_get_info(cache, &info), ATTEND_INVALID, "info");
    expect("NULL", attend_cache_get_info(cache, NULL), ATTEND_NULL_POINTER, "info");
    expect("NULL", attend_cache_read(cache, NULL), ATTEND_NULL_POINTER, "");
}

/* What was spoilt is all that was wrong. */
static void test_valid(void **state) {
    (void)state;
    (void)import_desc();
    const attend_cache_desc descs[] = {desc_of(ATTEND_F32), import_desc(), rope_desc()};
    for (int n = 0; n < 3; n++)
        serving_succeeds(create(&descs[n]));
    attend_attention a = attention_over(cache), b = attention_over(imported);
    serving_succeeds(run(&a));
    serving_succeeds(run(&b));
    const attend_cache_view v = view_of();
    serving_succeeds(view(&v));
    appending x = append_to(cache);
    serving_succeeds(append(&x));
    x = append_to(imported);
    serving_succeeds(append(&x));
    assert_int_equal(attend_cache_length(cache, 0), held[0] + 2);
}

/* ---- what is there before every test -----------------------------------------------------------
 */

static int begin(void **state) {
    attend_options options = attend_options_default();
    options.backend = problem_backend();
    if (problem_open(state) || attend_open(&options, &other)) return -1;
    for (int i = 0; i < BYTES / 4; i++)
        values[i] = (float)(i % 23) / 8 - 1;
    static const size_t bytes[4] = {P * G * C * D, P * G * C * E, P * G * C * 4, P * G * C * 4};
    for (int n = 0; n < 4; n++)
        serving_succeeds(attend_buffer_create(problem_context, bytes[n], &buffers[n]));
    const attend_cache_desc d = desc_of(ATTEND_F32), i = import_desc();
    serving_succeeds(attend_cache_create(problem_context, &d, &cache));
    serving_succeeds(attend_cache_create(problem_context, &i, &imported));
    serving_succeeds(attend_cache_create(other, &d, &foreign));
    appending x = {cache, IN(F32, B, G, 8, D), IN(F32, B, G, 8, E),
                   vector(held[0], held[1], held[2])};
    serving_succeeds(append(&x));
    x.to = imported;
    x.counts = vector(held_imported[0], held_imported[1], held_imported[2]);
    serving_succeeds(append(&x));
    return 0;
}

static int end(void **state) {
    attend_cache_release(cache);
    attend_cache_release(imported);
    attend_cache_release(foreign);
    for (int n = 0; n < 4; n++)
        attend_buffer_release(buffers[n]);
    attend_close(other);
    return problem_close(state);
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_append), cmocka_unit_test(test_changes),
        cmocka_unit_test(test_read),   cmocka_unit_test(test_valid),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
