/* SPDX-License-Identifier: Apache-2.0
 *
 * See attention_problem.h. */
#include "attention_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

attend_context *problem_context;
static const char *backend;

void problem_choose_backend(int argc, char **argv) {
    const char *const asked = getenv("ATTEND_TEST_BACKEND");
    backend = argc > 1 ? argv[1] : asked ? asked : "cpu";
}

const char *problem_backend(void) {
    return backend;
}

int problem_open(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.backend = backend;
    if (attend_open(&options, &problem_context) == ATTEND_OK) return 0;
    print_error("%s\n", attend_error_text());
    return -1;
}

int problem_close(void **state) {
    (void)state;
    attend_close(problem_context);
    return 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

attend_tensor problem_zeros(problem *p, attend_type type, int32_t rank, const int64_t *sizes) {
    int64_t count = 1;
    for (int32_t d = 0; d < rank; d++)
        count *= sizes[d];
    assert_true(p->count < PROBLEM_TENSORS);
    void *const memory = calloc((size_t)count + 1, attend_type_bytes(type));
    assert_non_null(memory);
    p->memory[p->count++] = memory;
    return attend_tensor_nd(memory, type, rank, sizes);
}

static int64_t elements(const attend_tensor *t) {
    int64_t count = 1;
    for (int32_t d = 0; d < t->rank; d++)
        count *= t->sizes[d];
    return count;
}

/* The index of element n in order of the dimensions. */
static void unravel(const attend_tensor *t, int64_t n, int64_t index[ATTEND_MAX_RANK]) {
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        index[d] = n % t->sizes[d];
        n /= t->sizes[d];
    }
}

attend_tensor problem_normals(problem *p, attend_type type, int32_t rank, const int64_t *sizes) {
    const attend_tensor t = problem_zeros(p, type, rank, sizes);
    for (int64_t n = 0; n < elements(&t); n++) {
        int64_t index[ATTEND_MAX_RANK];
        unravel(&t, n, index);
        gate_store(&t, index, gate_normal(&p->random));
    }
    return t;
}

attend_tensor problem_truths(problem *p, int32_t rank, const int64_t *sizes, double share) {
    const attend_tensor t = problem_zeros(p, ATTEND_BOOL, rank, sizes);
    for (int64_t n = 0; n < elements(&t); n++)
        ((uint8_t *)t.data)[n] = gate_chance(&p->random, share);
    return t;
}

attend_tensor problem_integers(problem *p, int64_t count, const int64_t *values) {
    const attend_tensor t = problem_zeros(p, ATTEND_I64, 1, &count);
    memcpy(t.data, values, (size_t)count * sizeof *values);
    return t;
}

problem problem_make(problem_sizes n, attend_type type, uint64_t seed) {
    problem p = {.n = n, .a = attend_attention_default(), .random = {seed}};
    p.a.q = problem_normals(&p, type, 4, (const int64_t[]){n.B, n.H, n.L, n.D});
    p.a.k = problem_normals(&p, type, 4, (const int64_t[]){n.B, n.G, n.S, n.D});
    p.a.v = problem_normals(&p, type, 4, (const int64_t[]){n.B, n.G, n.S, n.E});
    p.a.out = problem_zeros(&p, type, 4, (const int64_t[]){n.B, n.H, n.L, n.E});
    return p;
}

void problem_want_all(problem *p) {
    const problem_sizes n = p->n;
    const int64_t all[4] = {n.B, n.H, n.L, n.S};
    p->a.weights = problem_zeros(p, ATTEND_F32, 4, all);
    p->a.scores = problem_zeros(p, ATTEND_F32, 4, all);
    p->a.lse = problem_zeros(p, ATTEND_F32, 3, all);
    p->a.weights_mean = problem_zeros(p, ATTEND_F32, 3, (const int64_t[]){n.B, n.L, n.S});
}

void problem_free(problem *p) {
    for (int i = 0; i < p->count; i++)
        free(p->memory[i]);
    p->count = 0;
}

/* ---- running and comparing ------------------------------------------------------------------- */

void problem_run(const problem *p) {
    const attend_status status = attend_run(problem_context, &p->a);
    if (status) print_error("%s: %s\n", attend_status_name(status), attend_error_text());
    assert_int_equal(status, ATTEND_OK);
}

void problem_refused(const problem *p, attend_status status, const char *name) {
    assert_int_equal(attend_run(problem_context, &p->a), status);
    if (strncmp(attend_error_text(), name, strlen(name)))
        fail_msg("'%s' does not begin with '%s'", attend_error_text(), name);
}

static void close_enough(const char *what, const attend_tensor *t, const int64_t *at, double want,
                         double bound) {
    const double got = gate_load(t, at), ratio = gate_ratio(got, want, bound, t->type);
    if (ratio > 1)
        fail_msg("%s[%d,%d,%d,%d]: got %.9g, want %.9g, %.3g of the bound", what, (int)at[0],
                 (int)at[1], (int)at[2], (int)at[3], got, want, ratio);
}

static void check_row(const problem *p, const gate_row *row, const int64_t at[3]) {
    const attend_attention *const a = &p->a;
    int64_t index[4] = {at[0], at[1], at[2], 0};
    for (int64_t e = 0; e < p->n.E; e++) {
        double bound;
        index[3] = e;
        const double want = gate_row_output(row, a, at[0], at[1], e, &bound);
        close_enough("out", &a->out, index, want, bound);
    }
    for (int64_t j = 0; j < p->n.S; j++) {
        index[3] = j;
        if (a->weights.type)
            close_enough("weights", &a->weights, index, row->weight[j],
                         row->allowed[j] ? row->weight_bound[j] : 0x1p-1000);
        if (a->scores.type)
            close_enough("scores", &a->scores, index, row->stage[j], row->stage_bound[j]);
    }
    index[3] = 0;
    if (a->lse.type) close_enough("lse", &a->lse, index, row->lse, row->lse_bound);
}

/* The mean over the heads of key j in row (b, i): the mean of their bounds, and one rounding a
 * head. */
static void check_mean(const problem *p, gate_row *row, int64_t b, int64_t i, int64_t j) {
    const double heads = (double)p->n.H;
    double want = 0, bound = 0;
    for (int64_t h = 0; h < p->n.H; h++) {
        gate_row_compute(row, &p->a, b, h, i);
        want += row->weight[j] / heads;
        bound += (row->weight_bound[j] + row->weight[j] * heads * 0x1p-24) / heads;
    }
    close_enough("weights_mean", &p->a.weights_mean, (const int64_t[4]){b, i, j, 0}, want, bound);
}

void problem_check(const problem *p) {
    problem_run(p);
    problem_compare(p);
}

void problem_compare(const problem *p) {
    gate_row row;
    assert_true(gate_row_make(&row, p->n.S));
    for (int64_t n = 0; n < p->n.B * p->n.H * p->n.L; n++) {
        const int64_t at[3] = {n / p->n.L / p->n.H, n / p->n.L % p->n.H, n % p->n.L};
        gate_row_compute(&row, &p->a, at[0], at[1], at[2]);
        check_row(p, &row, at);
        /* one key of each row is enough to see a wrong mean */
        if (p->a.weights_mean.type && at[1] == 0 && p->n.S > 0)
            check_mean(p, &row, at[0], at[2], n * 7 % p->n.S);
    }
    gate_row_free(&row);
}

static bool same_element(const attend_tensor *x, const attend_tensor *y, const int64_t *index) {
    const double one = gate_load(x, index), two = gate_load(y, index);
    return isnan(one) ? isnan(two) : one == two && signbit(one) == signbit(two);
}

bool problem_same_bits(const attend_tensor *x, const attend_tensor *y) {
    for (int64_t n = 0; n < elements(x); n++) {
        int64_t index[ATTEND_MAX_RANK];
        unravel(x, n, index);
        if (!same_element(x, y, index)) return false;
    }
    return true;
}

bool problem_same_row(const attend_tensor *x, const attend_tensor *y, int64_t b, int64_t h,
                      int64_t i) {
    for (int64_t e = 0; e < (x->rank == 4 ? x->sizes[3] : 1); e++)
        if (!same_element(x, y, (const int64_t[4]){b, h, i, e})) return false;
    return true;
}

void problem_rows_close(const problem *p, const int64_t at[3], const attend_tensor *other,
                        const int64_t other_at[3]) {
    gate_row row;
    assert_true(gate_row_make(&row, p->n.S));
    gate_row_compute(&row, &p->a, at[0], at[1], at[2]);
    for (int64_t e = 0; e < p->n.E; e++) {
        double bound;
        (void)gate_row_output(&row, &p->a, at[0], at[1], e, &bound);
        const double want = problem_at(&p->a.out, at[0], at[1], at[2], e);
        const int64_t index[4] = {other_at[0], other_at[1], other_at[2], e};
        close_enough("row", other, index, want, 2 * bound + gate_half_unit(other->type, want));
    }
    gate_row_free(&row);
}

void problem_expect_empty_row(const problem *p, const int64_t row[3], double lse) {
    for (int64_t e = 0; e < p->n.E; e++)
        assert_true(problem_at(&p->a.out, row[0], row[1], row[2], e) == 0);
    for (int64_t j = 0; j < p->n.S; j++)
        assert_true(problem_at(&p->a.weights, row[0], row[1], row[2], j) == 0);
    assert_true(problem_at(&p->a.lse, row[0], row[1], row[2], 0) == lse);
}
