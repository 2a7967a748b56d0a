/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over parts of the keys, joined by their lse: equals the whole within the bound for any
 * split, by ranges of keys and by views, with empty parts, sinks and NaN. */
#include "serving_data.h"

#include <math.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, L = 7, S = 300, D = 24, E = 20, MOST = 7 };

static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};

static problem whole_of(attend_type type, uint64_t seed) {
    problem p = problem_make((problem_sizes){B, H, G, L, S, D, E}, type, seed);
    p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){B, H, L});
    p.a.causal = 1;
    p.a.position = ATTEND_BOTTOM_RIGHT;
    p.a.out = problem_zeros(&p, ATTEND_F32, 4, p.a.out.sizes);
    return p;
}

/* parts + 1 ends, the first 0 and the last S; some parts are empty. */
static void draw_ends(gate_random *r, int parts, int64_t *ends) {
    ends[0] = 0;
    ends[parts] = S;
    for (int n = 1; n < parts; n++) {
        int64_t end = gate_chance(r, 0.3) ? ends[n - 1] : gate_range(r, ends[n - 1], S);
        if (gate_chance(r, 0.2) && ends[n - 1] <= 256) end = 256;
        ends[n] = end;
    }
}

static attend_merging merging_of(problem *p, int parts) {
    attend_merging m = attend_merging_default();
    m.parts = problem_zeros(p, ATTEND_F32, 5, (const int64_t[]){parts, B, H, L, E});
    m.part_lse = problem_zeros(p, ATTEND_F32, 4, (const int64_t[]){parts, B, H, L});
    m.out = p->a.out;
    m.lse = p->a.lse;
    return m;
}

/* out and lse of a part where the merge reads them. */
static void write_to_part(attend_attention *x, const attend_merging *m, int part) {
    const int64_t *const sizes = m->parts.sizes;
    x->out = attend_tensor_4d((float *)m->parts.data + part * m->parts.strides[0], ATTEND_F32,
                              sizes[1], sizes[2], sizes[3], sizes[4]);
    x->lse = attend_tensor_3d((float *)m->part_lse.data + part * m->part_lse.strides[0], ATTEND_F32,
                              sizes[1], sizes[2], sizes[3]);
}

static void merge(const attend_merging *m) {
    serving_succeeds(attend_merge(problem_context, m));
}

/* ---- splits ---------------------------------------------------------------------------------- */

static void test_ranges(void **state) {
    (void)state;
    for (int n = 0; n < 3 * MOST; n++) {
        const int parts = n % MOST + 1;
        problem p = whole_of(types[n / MOST], 50 + (uint64_t)n);
        attend_merging m = merging_of(&p, parts);
        int64_t ends[MOST + 1];
        draw_ends(&p.random, parts, ends);
        if (n % 2) p.a.sinks = problem_normals(&p, ATTEND_F32, 1, (const int64_t[]){H});
        for (int part = 0; part < parts; part++) {
            attend_attention x = p.a;
            x.key_begin = ends[part];
            x.key_end = ends[part + 1];
            x.sinks = serving_none();
            write_to_part(&x, &m, part);
            if (x.key_begin == 0 && x.key_end == 0) { /* would mean all */
                x.key_lengths = problem_integers(&p, B, (const int64_t[]){0, 0});
                x.position = ATTEND_AT_OFFSETS;
                x.query_offset = S - L;
            }
            serving_succeeds(attend_run(problem_context, &x));
        }
        m.sinks = p.a.sinks;
        merge(&m);
        problem_compare(&p);
        problem_free(&p);
    }
}

/* Views with their own offsets; the sink in one part, which is not the first. */
static void test_views(void **state) {
    (void)state;
    for (int parts = 1; parts <= MOST; parts++) {
        problem p = whole_of(ATTEND_F32, 80 + (uint64_t)parts);
        attend_merging m = merging_of(&p, parts);
        int64_t ends[MOST + 1];
        draw_ends(&p.random, parts, ends);
        p.a.sinks = problem_normals(&p, ATTEND_F32, 1, (const int64_t[]){H});
        for (int part = 0; part < parts; part++) {
            attend_attention x = p.a;
            x.k.offset = ends[part] * x.k.strides[2];
            x.v.offset = ends[part] * x.v.strides[2];
            x.k.sizes[2] = x.v.sizes[2] = ends[part + 1] - ends[part];
            x.position = ATTEND_AT_OFFSETS;
            x.query_offset = S - L - ends[part];
            if (part != parts / 2) x.sinks = serving_none();
            write_to_part(&x, &m, part);
            serving_succeeds(attend_run(problem_context, &x));
        }
        merge(&m);
        problem_compare(&p);
        problem_free(&p);
    }
}

/* ---- rows that are special --------------------------------------------------------------------
 */

enum { P = 3, ROWS = 5, WIDTH = 3 };

typedef struct small {
    float parts[P][ROWS][WIDTH], lse[P][ROWS], out[ROWS][WIDTH], out_lse[ROWS], sink;
    attend_merging m;
} small;

/* [P, 1, 1, ROWS, WIDTH] */
static void make_small(small *s) {
    for (int p = 0; p < P; p++) {
        for (int i = 0; i < ROWS; i++) {
            s->lse[p][i] = (float)(p - i) / 2;
            for (int e = 0; e < WIDTH; e++)
                s->parts[p][i][e] = (float)(1 + p * 7 + i * 3 + e);
        }
    }
    memset(s->out, 0x33, sizeof s->out);
    memset(s->out_lse, 0x33, sizeof s->out_lse);
    s->m = attend_merging_default();
    s->m.parts = attend_tensor_nd(s->parts, ATTEND_F32, 5, (const int64_t[]){P, 1, 1, ROWS, WIDTH});
    s->m.part_lse = attend_tensor_4d(s->lse, ATTEND_F32, P, 1, 1, ROWS);
    s->m.out = attend_tensor_4d(s->out, ATTEND_F32, 1, 1, ROWS, WIDTH);
    s->m.lse = attend_tensor_3d(s->out_lse, ATTEND_F32, 1, 1, ROWS);
}

/* Row i against the definition in double. */
static void expect_row(const small *s, int i) {
    const bool sink = s->m.sinks.type != ATTEND_NO_TYPE;
    double top = sink ? (double)s->sink : -HUGE_VAL, total = 0;
    for (int p = 0; p < P; p++)
        top = fmax(top, (double)s->lse[p][i]);
    for (int p = 0; p < P && top > -HUGE_VAL; p++)
        total += exp((double)s->lse[p][i] - top);
    if (sink && top > -HUGE_VAL) total += exp((double)s->sink - top);
    const double lse = total > 0 ? top + log(total) : -HUGE_VAL;
    assert_true(lse == (double)s->out_lse[i] ||
                fabs(lse - (double)s->out_lse[i]) <= 1e-6 * (1 + fabs(lse)));
    for (int e = 0; e < WIDTH; e++) {
        double sum = 0;
        for (int p = 0; p < P; p++)
            if (s->lse[p][i] > -HUGE_VALF)
                sum += exp((double)s->lse[p][i] - top) * (double)s->parts[p][i][e];
        const double want = total > 0 ? sum / total : 0;
        assert_true(fabs(want - (double)s->out[i][e]) <= 2e-6 * fabs(want));
    }
}

static void test_empty_parts(void **state) {
    (void)state;
    static small s;
    for (int sink = 0; sink < 2; sink++) {
        make_small(&s);
        s.sink = 0.75f;
        if (sink) s.m.sinks = attend_tensor_1d(&s.sink, ATTEND_F32, 1);
        for (int e = 0; e < WIDTH; e++) { /* what a part without keys holds is not used */
            s.parts[0][1][e] = NAN;
            s.parts[0][2][e] = INFINITY;
            s.parts[1][2][e] = NAN;
            for (int p = 0; p < P; p++)
                s.parts[p][3][e] = NAN;
        }
        s.lse[0][1] = s.lse[0][2] = s.lse[1][2] = -INFINITY;
        s.lse[0][3] = s.lse[1][3] = s.lse[2][3] = -INFINITY;
        merge(&s.m);
        for (int i = 0; i < ROWS; i++)
            expect_row(&s, i);
        s.m.lse = serving_none(); /* not wanted */
        memset(s.out, 0x33, sizeof s.out);
        merge(&s.m);
        for (int i = 0; i < ROWS; i++)
            expect_row(&s, i);
    }
}

static void test_nan(void **state) {
    (void)state;
    static small s;
    make_small(&s);
    s.lse[1][0] = NAN;
    s.parts[2][1][2] = NAN;
    s.lse[0][2] = NAN;
    s.lse[1][2] = s.lse[2][2] = -INFINITY;
    merge(&s.m);
    for (int e = 0; e < WIDTH; e++) {
        assert_true(isnan(s.out[0][e]) && isnan(s.out[2][e]));
        assert_true(isnan(s.out[1][e]) == (e == 2));
    }
    assert_true(isnan(s.out_lse[0]) && !isnan(s.out_lse[1]) && isnan(s.out_lse[2]));
    expect_row(&s, 3);
    expect_row(&s, 4);
}

/* Large and far apart: nothing overflows, the larger wins. */
static void test_far_apart(void **state) {
    (void)state;
    static small s;
    make_small(&s);
    for (int i = 0; i < ROWS; i++) {
        s.lse[0][i] = 3000 + (float)i;
        s.lse[1][i] = 1000;
        s.lse[2][i] = -4000;
    }
    merge(&s.m);
    for (int i = 0; i < ROWS; i++)
        for (int e = 0; e < WIDTH; e++)
            assert_true(s.out[i][e] == s.parts[0][i][e]);
    for (int i = 0; i < ROWS; i++)
        assert_true(s.out_lse[i] == s.lse[0][i]);
}

static void test_no_parts(void **state) {
    (void)state;
    static small s;
    make_small(&s);
    s.m.parts.sizes[0] = s.m.part_lse.sizes[0] = 0;
    merge(&s.m);
    for (int i = 0; i < ROWS; i++) {
        assert_true(s.out_lse[i] == -INFINITY);
        for (int e = 0; e < WIDTH; e++)
            assert_true(s.out[i][e] == 0);
    }
    s.sink = -2;
    s.m.sinks = attend_tensor_1d(&s.sink, ATTEND_F32, 1);
    merge(&s.m);
    for (int i = 0; i < ROWS; i++)
        assert_true(s.out_lse[i] == -2 && s.out[i][1] == 0);
}

/* ---- refusals ---------------------------------------------------------------------------------
 */

#define CASES(X)                                                                                   \
    X(NULL_POINTER, "parts", m->parts = serving_none())                                            \
    X(NULL_POINTER, "part_lse", m->part_lse = serving_none())                                      \
    X(NULL_POINTER, "out", m->out = serving_none())                                                \
    X(TYPE, "parts", m->parts.type = ATTEND_I8)                                                    \
    X(TYPE, "part_lse", m->part_lse.type = ATTEND_F16)                                             \
    X(TYPE, "out", m->out.type = ATTEND_F16)                                                       \
    X(TYPE, "lse", m->lse.type = ATTEND_BF16)                                                      \
    X(SHAPE, "parts", m->parts.rank = 4)                                                           \
    X(SHAPE, "part_lse", m->part_lse.sizes[0] = P - 1)                                             \
    X(SHAPE, "out", m->out.sizes[2] = ROWS - 1)                                                    \
    X(SHAPE, "lse", m->lse.sizes[1] = 2)                                                           \
    X(SHAPE, "sinks", m->sinks = attend_tensor_1d(numbers, ATTEND_F32, 2))                         \
    X(OVERLAP, "out", m->out.data = m->parts.data)                                                 \
    X(OVERLAP, "lse", m->lse.data = m->part_lse.data)                                              \
    X(INVALID, "reserved_flags", m->reserved_flags = 1)                                            \
    X(INVALID, "size", m->size = 3)

static float numbers[2];

enum { SPOILS = 16 };

static attend_status spoil(attend_merging *m, int which, const char **word) {
    int n = 0;
#define X(status, text, statement)                                                                 \
    if (n++ == which) {                                                                            \
        statement;                                                                                 \
        *word = text;                                                                              \
        return ATTEND_##status;                                                                    \
    }
    CASES(X)
#undef X
    return ATTEND_OK;
}

static void test_refused(void **state) {
    (void)state;
    static small s, before;
    for (int n = 0;; n++) {
        const char *word = "";
        make_small(&s);
        const attend_status wanted = spoil(&s.m, n, &word);
        if (!wanted) {
            assert_int_equal(n, SPOILS);
            break;
        }
        before = s;
        const attend_status got = attend_merge(problem_context, &s.m);
        if (got != wanted || !strstr(attend_error_text(), word))
            fail_msg("%s \"%s\" instead of %s, %s", attend_status_name(got), attend_error_text(),
                     attend_status_name(wanted), word);
        assert_memory_equal(&s, &before, sizeof s);
    }
}

int main(int argc, char **argv) {
    problem_choose_backend(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),      cmocka_unit_test(test_views),
        cmocka_unit_test(test_empty_parts), cmocka_unit_test(test_nan),
        cmocka_unit_test(test_far_apart),   cmocka_unit_test(test_no_parts),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, problem_open, problem_close);
}
