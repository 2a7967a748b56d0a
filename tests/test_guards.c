/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that position and length exclude is not read, and nothing is read or written past the last
 * element of a tensor: all lie next to pages without access. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#define _DARWIN_C_SOURCE
#include "attention_problem.h"

#include <math.h>
#include <string.h>
#ifdef _WIN32
int main(void) {
    return 77; /* skipped: no mmap */
}
#else
#include <sys/mman.h>
#include <unistd.h>

/* `bytes` that end right before a page without access, and begin right behind one if they fill
 * whole pages. */
static void *guarded(size_t bytes, void **mapping, size_t *mapped) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    *mapped = inside + 2 * page;
    unsigned char *const base = mmap(NULL, *mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    assert_int_equal(
        mprotect(base + page, inside ? inside : page, inside ? PROT_READ | PROT_WRITE : PROT_NONE),
        0);
    *mapping = base;
    return base + page + inside - bytes;
}

typedef struct guards {
    void *mapping[16];
    size_t mapped[16];
    int count;
} guards;

/* Moves a contiguous tensor of which only the first `rows` of the second-last dimension are there.
 */
static void move_behind_guard(guards *g, attend_tensor *t, int64_t rows) {
    const size_t unit = attend_type_bytes(t->type);
    int64_t count = t->sizes[t->rank - 1] * rows;
    for (int32_t d = 0; d + 2 < t->rank; d++)
        count *= t->sizes[d];
    void *const to = guarded((size_t)count * unit, &g->mapping[g->count], &g->mapped[g->count]);
    g->count++;
    memcpy(to, (const unsigned char *)t->data + (size_t)t->offset * unit, (size_t)count * unit);
    t->data = to;
    t->offset = 0;
}

static void unmap(guards *g) {
    for (int c = 0; c < g->count; c++)
        munmap(g->mapping[c], g->mapped[c]);
}

/* One sample and head, so that the excluded keys lie at the end (or the start) of K and V. */
static void test_excluded_memory_is_not_read(void **state) {
    (void)state;
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    static const int64_t head_sizes[] = {1, 3, 8, 17, 64, 80};
    static const int64_t lengths[] = {0, 1, 5, 16, 31, 33, 64, 100};
    for (int c = 0; c < 3 * 6 * 8; c++) {
        const int64_t D = head_sizes[c / 3 % 6], there = lengths[c / 18];
        for (int by_length = 0; by_length < 2; by_length++) {
            const problem_sizes n = {1,   1, 1,    by_length ? 14 : there > 0 ? there : 1,
                                     130, D, D + 1};
            if (!by_length && there == 0) continue;
            problem p = problem_make(n, types[c % 3], 16);
            guards g = {.count = 0};
            if (by_length)
                p.a.key_lengths = problem_integers(&p, 1, &there);
            else
                p.a.causal = 1;
            p.a.position = ATTEND_TOP_LEFT;
            problem_want_all(&p);
            /* the oracle still reads the whole, the backend what is there */
            const attend_attention whole = p.a;
            move_behind_guard(&g, &p.a.k, there);
            move_behind_guard(&g, &p.a.v, there);
            problem_run(&p);
            problem expected = p;
            expected.a = whole;
            expected.a.out = problem_zeros(&p, types[c % 3], 4, whole.out.sizes);
            expected.a.weights = expected.a.scores = expected.a.lse = expected.a.weights_mean =
                (attend_tensor){0};
            problem_run(&expected);
            assert_true(problem_same_bits(&p.a.out, &expected.a.out));
            unmap(&g);
            problem_free(&p);
        }
    }
}

/* Keys before a window: their pages lie below the guard. */
static void test_memory_before_a_window_is_not_read(void **state) {
    (void)state;
    enum { PAGES = 3 };
    const int64_t page = (int64_t)sysconf(_SC_PAGESIZE), D = 16,
                  hidden = page / (D * (int64_t)sizeof(float));
    const problem_sizes n = {1, 1, 1, 20, PAGES * hidden, D, D};
    problem p = problem_make(n, ATTEND_F32, 17);
    p.a.window_left = 9;
    p.a.position = ATTEND_AT_OFFSETS;
    p.a.query_offset = hidden + 9;
    problem expected = p;
    expected.a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes);
    problem_run(&expected);
    void *mapping[2];
    attend_tensor *const views[2] = {&p.a.k, &p.a.v};
    for (int t = 0; t < 2; t++) {
        mapping[t] = mmap(NULL, PAGES * (size_t)page, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(mapping[t] != MAP_FAILED);
        memcpy(mapping[t], views[t]->data, PAGES * (size_t)page);
        assert_int_equal(mprotect(mapping[t], (size_t)page, PROT_NONE), 0);
        views[t]->data = mapping[t];
    }
    problem_run(&p);
    assert_true(problem_same_bits(&p.a.out, &expected.a.out));
    for (int t = 0; t < 2; t++)
        munmap(mapping[t], PAGES * (size_t)page);
    problem_free(&p);
}

/* No kernel reads or writes past the last element of a tensor, at sizes around every vector and
 * tile. */
static void test_nothing_past_the_end(void **state) {
    (void)state;
    static const int64_t head_sizes[] = {1,  2,  3,  5,  7,  9,  15, 16,  17,
                                         31, 33, 40, 59, 72, 80, 96, 111, 257};
    static const int64_t lengths[] = {1, 5, 12, 13, 31, 32, 33, 65};
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    for (int c = 0; c < 18 * 8; c++) {
        const int64_t D = head_sizes[c / 8], S = lengths[c % 8], L = lengths[c * 3 % 8];
        const problem_sizes n = {1, 2, 1, L, S, D, head_sizes[17 - c / 8]};
        problem p = problem_make(n, types[c % 3], 18);
        guards g = {.count = 0};
        problem_want_all(&p);
        p.a.mask = problem_truths(&p, 2, (const int64_t[]){L, S}, 0.8);
        p.a.bias = problem_normals(&p, types[c % 3], 2, (const int64_t[]){L, S});
        attend_tensor *const views[] = {&p.a.q,    &p.a.k,           &p.a.v,       &p.a.out,
                                        &p.a.mask, &p.a.bias,        &p.a.weights, &p.a.scores,
                                        &p.a.lse,  &p.a.weights_mean};
        for (size_t t = 0; t < sizeof views / sizeof *views; t++)
            move_behind_guard(&g, views[t], views[t]->sizes[views[t]->rank - 2]);
        problem_check(&p);
        unmap(&g);
        problem_free(&p);
    }
}

/* A mask and a bias that end before the keys do, beside scores of all keys. */
static void test_short_masks(void **state) {
    (void)state;
    for (int c = 0; c < 32; c++) {
        const problem_sizes n = {1, 2, 1, c & 1 ? 5 : 40, 150, 8, 8};
        const int64_t there = c & 2 ? 140 : 10;
        problem p = problem_make(n, ATTEND_F32, 19);
        guards g = {.count = 0};
        attend_tensor *const t = c & 4 ? &p.a.bias : &p.a.mask;
        problem_want_all(&p);
        *t = c & 4 ? problem_normals(&p, ATTEND_F32, 2, (const int64_t[]){n.L, there})
                   : problem_truths(&p, 2, (const int64_t[]){n.L, there}, 0.8);
        if (c & 8) problem_put(&p.a.q, 0, 0, n.L - 1, 0, (double)NAN);
        p.a.scores_stage = c & 16 ? ATTEND_SCORES_RAW : ATTEND_SCORES_SOFTCAPPED;
        move_behind_guard(&g, t, n.L);
        if (c & 8)
            problem_run(&p);
        else
            problem_check(&p);
        unmap(&g);
        problem_free(&p);
    }
}
int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_excluded_memory_is_not_read),
        cmocka_unit_test(test_memory_before_a_window_is_not_read),
        cmocka_unit_test(test_nothing_past_the_end),
        cmocka_unit_test(test_short_masks),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
#endif
