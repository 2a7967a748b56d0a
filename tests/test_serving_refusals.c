/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad arguments of packed batches, pages, int8, ranges of keys and of appending to pages: each is
 * refused with a status and a sentence that names it, and nothing is written. */
#include "serving_data.h"

#include <string.h>

enum { B = 3, H = 4, G = 2, L = 4, S = 9, D = 8, E = 6, C = 4, P = 7, N = 3, BYTES = 1 << 14 };

static float values[BYTES / 4], scales[BYTES / 4];
static unsigned char results[5][BYTES];
static int64_t cu_q[B + 1], cu_k[B + 1], lengths[B];
static int32_t table[B * N];

static attend_tensor in(attend_type type, int32_t rank, const int64_t *sizes) {
    return attend_tensor_nd(values, type, rank, sizes);
}

static attend_tensor out(int which, int32_t rank, const int64_t *sizes) {
    return attend_tensor_nd(results[which], ATTEND_F32, rank, sizes);
}

static attend_attention dense(void) {
    attend_attention a = attend_attention_default();
    a.q = in(ATTEND_F32, 4, (const int64_t[]){B, H, L, D});
    a.k = in(ATTEND_F32, 4, (const int64_t[]){B, G, S, D});
    a.v = in(ATTEND_F32, 4, (const int64_t[]){B, G, S, E});
    a.out = out(0, 4, (const int64_t[]){B, H, L, E});
    a.lse = out(1, 3, (const int64_t[]){B, H, L});
    a.weights = out(2, 4, (const int64_t[]){B, H, L, S});
    a.scores = out(3, 4, (const int64_t[]){B, H, L, S});
    a.weights_mean = out(4, 3, (const int64_t[]){B, L, S});
    a.position = ATTEND_BOTTOM_RIGHT;
    a.causal = 1;
    return a;
}

static attend_attention packed(void) {
    attend_attention a = dense();
    const int64_t q[B + 1] = {0, 4, 4, 7}, k[B + 1] = {0, 2, 11, 16};
    memcpy(cu_q, q, sizeof q);
    memcpy(cu_k, k, sizeof k);
    a.q = in(ATTEND_F32, 4, (const int64_t[]){1, H, 8, D});
    a.k = in(ATTEND_F32, 4, (const int64_t[]){1, G, 16, D});
    a.v = in(ATTEND_F32, 4, (const int64_t[]){1, G, 16, E});
    a.out = out(0, 4, (const int64_t[]){1, H, 8, E});
    a.lse = out(1, 3, (const int64_t[]){1, H, 8});
    a.cu_query_lengths = attend_tensor_1d(cu_q, ATTEND_I64, B + 1);
    a.cu_key_lengths = attend_tensor_1d(cu_k, ATTEND_I64, B + 1);
    a.max_query_length = L;
    a.max_key_length = S;
    return a;
}

/* Without padded outputs, whose sizes would tell the longest samples. */
static attend_attention bare(attend_attention a) {
    a.weights = a.scores = a.weights_mean = (attend_tensor){0};
    a.max_query_length = a.max_key_length = 0;
    return a;
}

static attend_attention bare_packed(void) {
    return bare(packed());
}

/* Entries that are not used are far away. */
static attend_attention paged(void) {
    attend_attention a = dense();
    static const int32_t entries[B * N] = {6, 0, 3, -9, 1 << 30, -1, 1, 5, 7};
    static const int64_t tokens[B] = {9, 0, 8};
    memcpy(table, entries, sizeof table);
    memcpy(lengths, tokens, sizeof lengths);
    a.k = in(ATTEND_F32, 4, (const int64_t[]){P, G, C, D});
    a.v = in(ATTEND_F32, 4, (const int64_t[]){P, G, C, E});
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I64, B);
    a.page_table = attend_tensor_2d(table, ATTEND_I32, B, N);
    return a;
}

static attend_attention bare_paged(void) {
    return bare(paged());
}

static attend_attention bytes(void) {
    attend_attention a = dense();
    a.k.type = a.v.type = ATTEND_I8;
    a.k_scales = attend_tensor_3d(scales, ATTEND_F32, B, G, S);
    a.v_scales = attend_tensor_3d(scales, ATTEND_F32, B, G, S);
    return a;
}

static attend_tensor vector(const void *data, attend_type type, int64_t n) {
    return attend_tensor_1d(data, type, n);
}

static attend_tensor none(void) {
    return (attend_tensor){0};
}

static int32_t flags[B + 1];

/* form, status, words that the sentence starts with, what is spoilt */
#define CASES(X)                                                                                   \
    X(packed, INVALID, "cu_query_lengths", a->cu_key_lengths = none())                             \
    X(packed, INVALID, "cu_key_lengths", a->cu_query_lengths = none())                             \
    X(packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[0] = 1)                                       \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[0] = 1)                                         \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[0] = -1)                                        \
    X(packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[2] = 3)                                       \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[1] = 9; cu_k[2] = 8)                            \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[2] = -5)                                        \
    X(packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[B] = 9)                                       \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[B] = 17)                                        \
    X(packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[B] = INT64_MAX)                                 \
    X(packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[1] = INT64_MAX)                               \
    X(packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[2] = INT64_MIN)                               \
    X(packed, TYPE, "cu_query_lengths", a->cu_query_lengths.type = ATTEND_F32)                     \
    X(packed, TYPE, "cu_key_lengths", a->cu_key_lengths.type = ATTEND_U8)                          \
    X(packed, SHAPE, "cu_query_lengths",                                                           \
      a->cu_query_lengths = attend_tensor_2d(cu_q, ATTEND_I64, 2, 2))                              \
    X(packed, SHAPE, "cu_key_lengths", a->cu_key_lengths = vector(cu_k, ATTEND_I64, B))            \
    X(packed, SHAPE, "cu_query_lengths", a->cu_query_lengths.sizes[0] = 0)                         \
    X(packed, SHAPE, "q", a->q = in(ATTEND_F32, 4, ((const int64_t[]){2, H, 4, D})))               \
    X(packed, SHAPE, "k", a->k = in(ATTEND_F32, 4, ((const int64_t[]){2, G, 8, D})))               \
    X(packed, SHAPE, "v", a->v.sizes[2] = 15)                                                      \
    X(packed, SHAPE, "out", a->out.sizes[2] = 7)                                                   \
    X(packed, SHAPE, "lse", a->lse = out(1, 3, ((const int64_t[]){B, H, L})))                      \
    X(packed, SHAPE, "weights", a->weights.sizes[3] = S - 1)                                       \
    X(packed, SHAPE, "weights_mean", a->weights_mean.sizes[0] = 1)                                 \
    X(packed, SHAPE, "scores", a->scores = out(3, 4, ((const int64_t[]){B, H, L + 1, S})))         \
    X(packed, SHAPE, "key_mask", a->key_mask = in(ATTEND_U8, 2, ((const int64_t[]){1, 16})))       \
    X(packed, OUT_OF_RANGE, "max_query_length", a->max_query_length = L - 1)                       \
    X(packed, OUT_OF_RANGE, "max_key_length", a->max_key_length = S - 1)                           \
    X(packed, INVALID, "max_query_length", a->max_query_length = -1)                               \
    X(packed, INVALID, "max_key_length", a->max_key_length = INT64_MIN)                            \
    X(packed, INVALID, "cu_query_lengths", a->query_lengths = vector(lengths, ATTEND_I64, B))      \
    X(packed, INVALID, "cu_key_lengths", a->key_lengths = vector(lengths, ATTEND_I64, B))          \
    X(packed, INVALID, "position", a->position = ATTEND_AFTER_CACHE)                               \
    X(packed, SHAPE, "query_offsets", a->position = ATTEND_AT_OFFSETS;                             \
      a->query_offsets = vector(cu_q, ATTEND_I64, 1))                                              \
    X(packed, INVALID, "reserved_flags", a->reserved_flags = 1)                                    \
    X(bare_packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[0] = 1)                                  \
    X(bare_packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[1] = 12)                                   \
    X(bare_packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[2] = -5)                                   \
    X(bare_packed, OUT_OF_RANGE, "cu_query_lengths", cu_q[1] = INT64_MAX)                          \
    X(bare_packed, OUT_OF_RANGE, "cu_key_lengths", cu_k[B] = INT64_MAX)                            \
    X(bare_packed, OUT_OF_RANGE, "max_query_length", a->max_query_length = 3)                      \
    X(bare_packed, OUT_OF_RANGE, "max_key_length", a->max_key_length = 8)                          \
    X(paged, INVALID, "page_table: needs key_lengths", a->key_lengths = none())                    \
    X(paged, OUT_OF_RANGE, "page_table", table[2] = P)                                             \
    X(paged, OUT_OF_RANGE, "page_table", table[0] = -1)                                            \
    X(paged, OUT_OF_RANGE, "page_table", table[7] = INT32_MAX)                                     \
    X(paged, OUT_OF_RANGE, "page_table", lengths[1] = 1)                                           \
    X(paged, OUT_OF_RANGE, "page_table", lengths[2] = 9)                                           \
    X(paged, OUT_OF_RANGE, "key_lengths", lengths[0] = N * C + 1)                                  \
    X(paged, OUT_OF_RANGE, "key_lengths", lengths[1] = -1)                                         \
    X(bare_paged, OUT_OF_RANGE, "key_lengths", a->max_key_length = S - 1)                          \
    X(paged, TYPE, "page_table", a->page_table.type = ATTEND_I64)                                  \
    X(paged, SHAPE, "page_table", a->page_table = vector(table, ATTEND_I32, B))                    \
    X(paged, SHAPE, "page_table", a->page_table.sizes[0] = B - 1)                                  \
    X(paged, SHAPE, "v", a->v.sizes[0] = P - 1)                                                    \
    X(paged, SHAPE, "v", a->v.sizes[2] = C - 1)                                                    \
    X(paged, SHAPE, "k", a->k.rank = 3)                                                            \
    X(paged, INVALID, "cu_key_lengths", a->cu_key_lengths = vector(flags, ATTEND_I32, B + 1))      \
    X(bare_paged, SHAPE, "page_table", a->q.sizes[0] = a->out.sizes[0] = a->lse.sizes[0] = 1;      \
      a->cu_query_lengths = vector(flags, ATTEND_I32, B))                                          \
    X(paged, INVALID, "max_query_length", a->max_query_length = L + 1)                             \
    X(bytes, NULL_POINTER, "k_scales", a->k_scales = none())                                       \
    X(bytes, NULL_POINTER, "v_scales", a->v_scales = none())                                       \
    X(bytes, TYPE, "k_scales", a->k_scales.type = ATTEND_F16)                                      \
    X(bytes, SHAPE, "k_scales", a->k_scales.sizes[2] = S - 1)                                      \
    X(bytes, SHAPE, "v_scales", a->v_scales = in(ATTEND_F32, 4, ((const int64_t[]){B, G, S, 1})))  \
    X(bytes, TYPE, "v", a->v.type = ATTEND_F32; a->v_scales = none())                              \
    X(bytes, TYPE, "q", a->q.type = ATTEND_I8)                                                     \
    X(bytes, TYPE, "k", a->k.type = a->v.type = ATTEND_U8)                                         \
    X(bytes, TYPE, "out", a->out.type = ATTEND_I8)                                                 \
    X(dense, INVALID, "k_scales", a->k_scales = attend_tensor_3d(scales, ATTEND_F32, B, G, S))     \
    X(dense, INVALID, "v_scales", a->v_scales = attend_tensor_3d(scales, ATTEND_F32, B, G, S))     \
    X(dense, INVALID, "max_query_length", a->max_query_length = L + 1)                             \
    X(dense, INVALID, "max_key_length", a->max_key_length = S + 1)                                 \
    X(dense, INVALID, "key_begin", a->key_begin = -1)                                              \
    X(dense, INVALID, "key_end", a->key_end = -1)                                                  \
    X(dense, INVALID, "key_end", a->key_begin = 5; a->key_end = 4)                                 \
    X(dense, INVALID, "position", a->position = ATTEND_AFTER_CACHE)                                \
    X(dense, INVALID, "reserved_flags", a->reserved_flags = 4)

typedef attend_attention form(void);

typedef struct fault {
    attend_attention a;
    attend_status status;
    const char *words, *statement;
} fault;

/* Case number `which`; false behind the last. */
static bool spoil(int which, fault *f) {
    int n = 0;
#define X(made_by_, status_, words_, statement_)                                                   \
    if (n++ == which) {                                                                            \
        f->a = made_by_();                                                                         \
        f->status = ATTEND_##status_;                                                              \
        f->words = words_;                                                                         \
        f->statement = #statement_;                                                                \
        attend_attention *const a = &f->a;                                                         \
        (void)a;                                                                                   \
        statement_;                                                                                \
        return true;                                                                               \
    }
    CASES(X)
#undef X
    return false;
}

static void test_refused(void **state) {
    (void)state;
    static unsigned char before[sizeof results];
    fault f;
    int n = 0;
    for (; spoil(n, &f); n++) {
        memset(results, 0xa5, sizeof results);
        memcpy(before, results, sizeof results);
        const attend_status got = attend_run(problem_context, &f.a);
        if (got != f.status || strncmp(attend_error_text(), f.words, strlen(f.words)))
            fail_msg("%s: %s, \"%s\" instead of %s, \"%s ..\"", f.statement,
                     attend_status_name(got), attend_error_text(), attend_status_name(f.status),
                     f.words);
        assert_memory_equal(results, before, sizeof results);
    }
    assert_true(n > 60);
}

/* ---- appending to pages ---------------------------------------------------------------------- */

enum { PAGES = 12 };
static int32_t append_table[B * 5];
static int64_t counts[B];

static attend_append append_desc(void) {
    attend_append d = attend_append_default();
    static const int32_t entries[B * 5] = {0,     1, 2, -1, 99, 3,       4, 5,
                                           PAGES, 7, 6, 7,  8,  1 << 30, -9};
    memcpy(append_table, entries, sizeof append_table);
    d.k = in(ATTEND_F32, 4, (const int64_t[]){B, G, 2, D});
    d.v = in(ATTEND_F32, 4, (const int64_t[]){B, G, 2, E});
    counts[0] = 2;
    counts[1] = 1;
    counts[2] = 0;
    d.counts = vector(counts, ATTEND_I64, B);
    lengths[0] = 10;
    lengths[1] = lengths[2] = 0;
    d.starts = attend_tensor_1d(lengths, ATTEND_I64, B);
    d.page_table = attend_tensor_2d(append_table, ATTEND_I32, B, 5);
    d.k_pages = attend_tensor_4d(results[0], ATTEND_I8, PAGES, G, C, D);
    d.v_pages = attend_tensor_4d(results[1], ATTEND_I8, PAGES, G, C, E);
    d.k_scales = attend_tensor_3d(results[2], ATTEND_F32, PAGES, G, C);
    d.v_scales = attend_tensor_3d(results[3], ATTEND_F32, PAGES, G, C);
    return d;
}

#define APPEND_CASES(X)                                                                            \
    X(INVALID, "counts", x->cu_counts = vector(cu_q, ATTEND_I64, B + 1))                           \
    X(NULL_POINTER, "starts", x->starts = none())                                                  \
    X(OUT_OF_RANGE, "starts", lengths[0] = 19)                                                     \
    X(OUT_OF_RANGE, "starts", lengths[1] = -1)                                                     \
    X(OUT_OF_RANGE, "starts", lengths[0] = INT64_MAX)                                              \
    X(OUT_OF_RANGE, "counts", counts[1] = 3)                                                       \
    X(OUT_OF_RANGE, "counts", counts[1] = -1)                                                      \
    X(OUT_OF_RANGE, "page_table", append_table[2] = PAGES)                                         \
    X(OUT_OF_RANGE, "page_table", lengths[0] = 11)                                                 \
    X(TYPE, "", x->page_table.type = ATTEND_I64)                                                   \
    X(SHAPE, "page_table", x->page_table = none())                                                 \
    X(NULL_POINTER, "k_scales", x->k_scales = none())                                              \
    X(TYPE, "v_pages", x->v_pages.type = ATTEND_F32)                                               \
    X(TYPE, "v", x->v.type = ATTEND_BF16)                                                          \
    X(SHAPE, "", x->k_pages.sizes[1] = 1)                                                          \
    X(STRIDE, "k_pages", x->k_pages.strides[0] = 0)                                                \
    X(NULL_POINTER, "rope_sin", x->rope_cos = attend_tensor_2d(values, ATTEND_F32, 20, D / 2))     \
    X(OUT_OF_RANGE, "rope_cos",                                                                    \
      x->rope_cos = x->rope_sin = attend_tensor_2d(values, ATTEND_F32, 11, D / 2))                 \
    X(INVALID, "reserved_flags", x->reserved_flags = 1)

static void test_append_refused(void **state) {
    (void)state;
    static unsigned char before[sizeof results];
    memset(before, 0xa5, sizeof before);
#define X(wanted, words, statement)                                                                \
    {                                                                                              \
        memcpy(results, before, sizeof results);                                                   \
        attend_append d = append_desc(), *const x = &d;                                            \
        statement;                                                                                 \
        const attend_status got = attend_append_run(problem_context, x);                           \
        if (got != ATTEND_##wanted || strncmp(attend_error_text(), words, strlen(words)))          \
            fail_msg("%s: %s, \"%s\" instead of %s, \"%s ..\"", #statement,                        \
                     attend_status_name(got), attend_error_text(), #wanted, words);                \
        assert_memory_equal(results, before, sizeof results);                                      \
    }
    APPEND_CASES(X)
#undef X
    const attend_append d = append_desc();
    serving_succeeds(attend_append_run(problem_context, &d));
    assert_memory_not_equal(results, before, sizeof results);
}

/* What was spoilt is all that was wrong. */
static void test_valid(void **state) {
    (void)state;
    static form *const forms[] = {dense, packed, paged, bytes};
    for (int n = 0; n < 4; n++) {
        attend_attention a = forms[n]();
        serving_succeeds(attend_run(problem_context, &a));
        a.reserved_flags = 1;
        assert_int_equal(attend_run(problem_context, &a), ATTEND_INVALID);
    }
    attend_attention a = packed(); /* nobody there */
    memset(cu_q, 0, sizeof cu_q);
    memset(cu_k, 0, sizeof cu_k);
    a.weights = a.scores = a.weights_mean = none();
    serving_succeeds(attend_run(problem_context, &a));
    a = paged();
    memset(lengths, 0, sizeof lengths);
    memset(table, 0x80, sizeof table);
    a.weights = a.scores = a.weights_mean = none();
    serving_succeeds(attend_run(problem_context, &a));
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_append_refused),
                                       cmocka_unit_test(test_valid)};
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
