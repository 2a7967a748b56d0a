/* SPDX-License-Identifier: Apache-2.0
 *
 * The three steps one by one over packed batches, pages, int8 and ranges of keys: they give what
 * attention in one call gives, within the two bounds, from every stage of the scores; and 0 where a
 * packed batch is padded. */
#include "serving_data.h"

#include <math.h>

enum { B = 3, H = 4, G = 2, L = 6, S = 280, D = 24, E = 20 };

static const int64_t queries[B] = {4, 0, 6}, keys[B] = {280, 9, 77};
static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_I8};
static const attend_scores_stage stages[] = {ATTEND_SCORES_RAW, ATTEND_SCORES_SCALED,
                                             ATTEND_SCORES_SOFTCAPPED, ATTEND_SCORES_MASKED};
enum { TYPES = 3, STAGES = 4 };

typedef struct form {
    problem p;          /* plain, padded, in floats */
    attend_attention a; /* the same in the form under test */
    bool packed;
} form;

/* The plain problem and, in `a`, the same with k and v in the type. */
static form make(attend_type type, attend_scores_stage stage) {
    form f = {.p = problem_make((problem_sizes){B, H, G, L, S, D, E},
                                type == ATTEND_I8 ? ATTEND_F32 : type, 71)};
    problem *const p = &f.p;
    p->a.out = problem_zeros(p, ATTEND_F32, 4, p->a.out.sizes);
    p->a.causal = 1;
    p->a.position = ATTEND_BOTTOM_RIGHT;
    p->a.softcap = 6;
    p->a.scores_stage = stage;
    p->a.mask = problem_truths(p, 4, (const int64_t[]){B, 1, L, S}, 0.8);
    p->a.bias = problem_normals(p, ATTEND_F32, 2, (const int64_t[]){L, S});
    p->a.sinks = problem_normals(p, ATTEND_F32, 1, (const int64_t[]){H});
    p->a.query_lengths = problem_integers(p, B, queries);
    p->a.key_lengths = problem_integers(p, B, keys);
    f.a = p->a;
    if (type == ATTEND_I8) {
        f.a.k = serving_bytes(p, &f.a.k, &f.a.k_scales);
        f.a.v = serving_bytes(p, &f.a.v, &f.a.v_scales);
        p->a.k = serving_meaning(p, &p->a.k, type);
        p->a.v = serving_meaning(p, &p->a.v, type);
    }
    return f;
}

static void pack_queries(form *f) {
    f->packed = true;
    f->a.q = serving_packed(&f->p, &f->a.q, queries);
    f->a.query_lengths = serving_none();
    f->a.cu_query_lengths = serving_cumulative(&f->p, queries, B, ATTEND_I64);
    f->a.max_query_length = L;
}

static void pack_keys(form *f) {
    f->a.k = serving_packed(&f->p, &f->a.k, keys);
    f->a.v = serving_packed(&f->p, &f->a.v, keys);
    if (f->a.k_scales.type) {
        f->a.k_scales = serving_packed(&f->p, &f->a.k_scales, keys);
        f->a.v_scales = serving_packed(&f->p, &f->a.v_scales, keys);
    }
    f->a.key_lengths = serving_none();
    f->a.cu_key_lengths = serving_cumulative(&f->p, keys, B, ATTEND_I32);
    f->a.max_key_length = S;
}

static void page_keys(form *f, int64_t size) {
    const serving_pages pages = serving_paged(&f->p, &f->a, keys, size);
    f->a = serving_over_pages(&f->a, &pages, &f->a.key_lengths);
}

/* ---- running --------------------------------------------------------------------------------- */

static void expect_padding(const form *f, const attend_tensor *t, const char *what) {
    for (int64_t n = 0; n < B * H * L * S && f->packed; n++) {
        const int64_t b = n / S / L / H, i = n / S % L, j = n % S;
        if (i < queries[b] && j < keys[b]) continue;
        if (problem_at(t, b, n / S / L % H, i, j) != 0)
            fail_msg("%s: padding of sample %d is not 0", what, (int)b);
    }
}

/* The tensors that a step does not use are not there. */
static void run_steps(form *f) {
    attend_attention x = f->a;
    const attend_tensor none = serving_none();
    const int64_t rows = f->packed ? f->a.q.sizes[2] : L;
    x.scores = problem_zeros(&f->p, ATTEND_F32, 4, (const int64_t[]){B, H, L, S});
    x.out = x.v = x.v_scales = none;
    serving_succeeds(attend_scores(problem_context, &x));
    expect_padding(f, &x.scores, "scores");
    x.weights = problem_zeros(&f->p, ATTEND_F32, 4, x.scores.sizes);
    x.lse = problem_zeros(&f->p, ATTEND_F32, 3, (const int64_t[]){f->packed ? 1 : B, H, rows});
    x.k = x.k_scales = none;
    serving_succeeds(attend_softmax(problem_context, &x));
    expect_padding(f, &x.weights, "weights");
    f->a.lse = x.lse;
    f->a.weights = x.weights;
    f->a.out =
        problem_zeros(&f->p, ATTEND_F32, 4, (const int64_t[]){f->packed ? 1 : B, H, rows, E});
    x = f->a;
    x.q = x.k = x.k_scales = none;
    serving_succeeds(attend_mix(problem_context, &x));
}

static void check(form *f) {
    problem_run(&f->p);
    run_steps(f);
    int64_t first = 0;
    for (int64_t b = 0; b < B; b++) {
        for (int64_t n = 0; n < H * queries[b]; n++) {
            const int64_t h = n / queries[b], i = n % queries[b];
            const int64_t at[3] = {b, h, i},
                          to[3] = {f->packed ? 0 : b, h, f->packed ? first + i : i};
            problem_rows_close(&f->p, at, &f->a.out, to);
        }
        first += queries[b];
    }
    problem_free(&f->p);
}

static void test_packed(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * STAGES; n++) {
        form f = make(types[n / STAGES], stages[n % STAGES]);
        pack_queries(&f);
        pack_keys(&f);
        check(&f);
    }
}

static void test_pages(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 16, 0};
    for (int n = 0; n < TYPES * STAGES; n++) {
        form f = make(types[n / STAGES], stages[n % STAGES]);
        page_keys(&f, sizes[n % 3]);
        if (n % 2) pack_queries(&f);
        check(&f);
    }
}

static void test_ranges(void **state) {
    (void)state;
    for (int n = 0; n < TYPES * STAGES; n++) {
        form f = make(types[n / STAGES], stages[n % STAGES]);
        f.p.a.key_begin = f.a.key_begin = 5;
        f.p.a.key_end = f.a.key_end = n % 2 ? 0 : 260;
        check(&f);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_packed), cmocka_unit_test(test_pages),
                                       cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
