/* SPDX-License-Identifier: Apache-2.0
 *
 * Projections of random sizes, types, strides and epilogues against float64 and the bound of
 * docs/numerics.md: u (2 sqrt(K) + 8) (sum|x||w| + |b| + |residual|), through the activation's
 * slope, + 8 u |y| + 1e-37, 16-bit results half a unit more; and the promise that neither threads,
 * nor preparing the weights, nor the rows beside a row change a bit of it. ATTEND_BACKEND chooses
 * the backend, ATTEND_TEST_SEED the seed. */
#include "stage/stage_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double u = 0x1p-24;

typedef struct project_case {
    stage_case c;
    attend_projection p;
    stage_tensor *x, *w, *bias, *multiplier, *residual, *out;
    int64_t rows, columns, depth;
    char text[200];
} project_case;

/* In place: the tensors point into the case. */
static void make_case(project_case *k, uint64_t seed, uint64_t index) {
    *k = (project_case){.c = stage_begin(seed, index), .p = attend_projection_default()};
    gate_random *const r = &k->c.random;
    int64_t sizes[4], x_sizes[4];
    k->rows = stage_size(r, gate_chance(r, 0.2) ? 700 : 60);
    k->columns = stage_size(r, 700);
    k->depth = gate_chance(r, 0.05) ? 0 : stage_size(r, 700);
    const attend_type type = stage_float_type(r);
    const attend_type weights = type == ATTEND_F32 ? stage_float_type(r) : type;
    const int32_t rank = stage_rows(r, &k->rows, k->columns, sizes);
    memcpy(x_sizes, sizes, sizeof x_sizes);
    x_sizes[rank - 1] = k->depth;
    const int64_t w_sizes[2] = {k->columns, k->depth};
    k->x = stage_input(&k->c, "x", type, rank, x_sizes, 1);
    k->w = stage_input(&k->c, "w", weights, 2, w_sizes, gate_chance(r, 0.5) ? 0.1 : 1);
    if (gate_chance(r, 0.5)) k->bias = stage_input(&k->c, "bias", type, 1, &k->columns, 2);
    if (gate_chance(r, 0.25))
        k->multiplier = stage_input(&k->c, "multiplier", type, rank, sizes, 1);
    if (gate_chance(r, 0.4)) k->residual = stage_input(&k->c, "residual", type, rank, sizes, 3);
    k->p.activation =
        gate_chance(r, 0.4) ? ATTEND_NO_ACTIVATION : (attend_activation)gate_range(r, 1, 6);
    k->out = k->residual != NULL && gate_chance(r, 0.3)
                 ? stage_in_place(&k->c, k->residual)
                 : stage_output(&k->c, "out", type, rank, sizes);
    k->p.x = k->x->view;
    k->p.w = k->w->view;
    if (k->bias != NULL) k->p.bias = k->bias->view;
    if (k->multiplier != NULL) k->p.multiplier = k->multiplier->view;
    if (k->residual != NULL) k->p.residual = k->residual->view;
    k->p.out = k->out->view;
    snprintf(k->text, sizeof k->text,
             "ATTEND_TEST_SEED=%llu case %llu: %lld x %lld x %lld %s %s%s%s%s activation %d",
             (unsigned long long)seed, (unsigned long long)index, (long long)k->rows,
             (long long)k->columns, (long long)k->depth, attend_type_text(type),
             attend_type_text(weights), k->bias ? " bias" : "", k->multiplier ? " multiplier" : "",
             k->residual ? " residual" : "", (int)k->p.activation);
}

/* The value and bound of element (row, column). */
static double expected(const project_case *k, int64_t row, int64_t column, double *bound) {
    const double *const x = k->x->values + row * k->depth, *const w =
                                                               k->w->values + column * k->depth;
    const double b = k->bias != NULL ? k->bias->values[column] : 0;
    double z = b, size = fabs(b);
    for (int64_t i = 0; i < k->depth; i++) {
        z += x[i] * w[i];
        size += fabs(x[i] * w[i]);
    }
    const int64_t at = row * k->columns + column;
    const double m = k->multiplier != NULL ? k->multiplier->values[at] : 1;
    const double residual = k->residual != NULL ? k->residual->values[at] : 0;
    const double unit = u * (2 * sqrt((double)k->depth) + 8), e = unit * size;
    const double a = stage_activation(k->p.activation, z);
    const double through = fmax(fabs(stage_activation(k->p.activation, z + e) - a),
                                fabs(stage_activation(k->p.activation, z - e) - a));
    const double y = a * m + residual;
    *bound = (through + 8 * u * fabs(a)) * fabs(m) + unit * fabs(residual) + 8 * u * fabs(y) +
             1e-37 + gate_half_unit(k->p.out.type, y);
    return y;
}

static double worst_ratio(const project_case *k, const double *got) {
    double worst = 0;
    for (int64_t row = 0; row < k->rows; row++) {
        for (int64_t column = 0; column < k->columns; column++) {
            double bound;
            const double want = expected(k, row, column, &bound);
            worst = fmax(worst, stage_ratio(got[row * k->columns + column], want, bound));
        }
    }
    return worst;
}

static uint64_t seed_of(uint64_t otherwise) {
    const char *const text = getenv("ATTEND_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

static void check(attend_status status, const char *text) {
    if (status != ATTEND_OK) fail_msg("%s: %s", text, attend_error_text());
}

/* Runs with plain or prepared weights; returns the values of out. */
static double *run(attend_context *context, project_case *k, bool prepared) {
    attend_projection p = k->p;
    attend_weights *weights = NULL;
    if (prepared) {
        check(attend_weights_create(context, &p.w, &weights), k->text);
        memset(&p.w, 0, sizeof p.w);
        p.weights = weights;
    }
    check(attend_project(context, &p), k->text);
    attend_weights_release(weights);
    double *const got = stage_numbers(k->out->count);
    if (!stage_read(k->out, got)) fail_msg("%s: wrote outside of out", k->text);
    return got;
}

static void test_bound(void **state) {
    (void)state;
    const uint64_t seed = seed_of(1);
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const context = stage_open(*isa, 0);
        double worst[2] = {0, 0};
        char where[200] = "";
        for (uint64_t i = 0; i < 300; i++) {
            project_case k;
            make_case(&k, seed, i);
            double *const got = run(context, &k, gate_chance(&k.c.random, 0.5));
            const double ratio = worst_ratio(&k, got);
            double *const kept = &worst[k.p.out.type != ATTEND_F32];
            if (ratio > *kept) {
                *kept = ratio;
                if (kept == worst) memcpy(where, k.text, sizeof where);
            }
            if (!(ratio <= 1)) fail_msg("%s: error %g times the bound", k.text, ratio);
            free(got);
            stage_end(&k.c);
        }
        printf("isa '%s': worst error / bound %.3f (f32), %.3f (16-bit); %s\n", *isa, worst[0],
               worst[1], where);
        attend_close(context);
    }
}

/* Terms that are all equal round in the same direction again and again. */
static void test_equal_terms(void **state) {
    (void)state;
    attend_context *const context = stage_open(NULL, 0);
    static float x[4096], w[4096];
    for (int depth = 1; depth <= 4096; depth = depth * 3 / 2 + 1) {
        for (int value = 1; value <= 40; value++) {
            for (int i = 0; i < depth; i++) {
                x[i] = 0.1f * (float)value;
                w[i] = 0.7f;
            }
            float y = 0;
            attend_projection p = attend_projection_default();
            p.x = attend_tensor_1d(x, ATTEND_F32, depth);
            p.w = attend_tensor_2d(w, ATTEND_F32, 1, depth);
            p.out = attend_tensor_1d(&y, ATTEND_F32, 1);
            check(attend_project(context, &p), "equal terms");
            const double want = (double)x[0] * (double)w[0] * depth;
            assert_true(fabs((double)y - want) <= u * (2 * sqrt(depth) + 16) * want);
        }
    }
    attend_close(context);
}

static void assert_same(const project_case *k, const double *a, const double *b, const char *what) {
    for (int64_t i = 0; i < k->out->count; i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        fail_msg("%s: %s changes element %lld from %a to %a", k->text, what, (long long)i, a[i],
                 b[i]);
    }
}

/* Threads: 1 and 3. Plain and prepared weights, on the backends that promise it. */
static void test_same_bits(void **state) {
    (void)state;
    const uint64_t seed = seed_of(2);
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const one = stage_open(*isa, 1), *const three = stage_open(*isa, 3);
        for (uint64_t i = 0; i < 60; i++) {
            project_case k;
            make_case(&k, seed, i);
            if (k.out == k.residual) {
                stage_end(&k.c);
                continue;
            }
            double *const a = run(one, &k, false), *const b = run(three, &k, false),
                          *const c = run(three, &k, true);
            assert_same(&k, a, b, "the number of threads");
            assert_same(&k, a, c, "preparing the weights");
            free(a);
            free(b);
            free(c);
            stage_end(&k.c);
        }
        attend_close(one);
        attend_close(three);
    }
}

/* Each row alone gives the bits it gives among the others. */
static void test_row_alone(void **state) {
    (void)state;
    enum { ROWS = 45, COLUMNS = 77, DEPTH = 301 };
    static float x[ROWS * DEPTH], w[COLUMNS * DEPTH], all[ROWS * COLUMNS], alone[COLUMNS];
    gate_random r = {seed_of(3)};
    for (int i = 0; i < ROWS * DEPTH; i++)
        x[i] = (float)gate_normal(&r);
    for (int i = 0; i < COLUMNS * DEPTH; i++)
        w[i] = (float)gate_normal(&r);
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const context = stage_open(*isa, 0);
        attend_projection p = attend_projection_default();
        p.x = attend_tensor_2d(x, ATTEND_F32, ROWS, DEPTH);
        p.w = attend_tensor_2d(w, ATTEND_F32, COLUMNS, DEPTH);
        p.out = attend_tensor_2d(all, ATTEND_F32, ROWS, COLUMNS);
        p.activation = ATTEND_GELU;
        check(attend_project(context, &p), "all rows");
        for (int row = 0; row < ROWS; row++) {
            p.x = attend_tensor_2d(x + row * DEPTH, ATTEND_F32, 1, DEPTH);
            p.out = attend_tensor_2d(alone, ATTEND_F32, 1, COLUMNS);
            check(attend_project(context, &p), "one row");
            assert_memory_equal(alone, all + row * COLUMNS, sizeof alone);
        }
        attend_close(context);
    }
}

/* K so long that it is cut, with columns enough for several tiles: plain and prepared weights, one
 * row and many, one thread and three give one result, within the bound. */
static void test_deep(void **state) {
    (void)state;
    enum { ROWS = 45, COLUMNS = 530, DEPTH = 4300 };
    static float x[ROWS * DEPTH], w[COLUMNS * DEPTH], y[4][ROWS * COLUMNS];
    gate_random r = {seed_of(4)};
    for (int i = 0; i < ROWS * DEPTH; i++)
        x[i] = (float)gate_normal(&r);
    for (int i = 0; i < COLUMNS * DEPTH; i++)
        w[i] = (float)gate_normal(&r);
    attend_context *const contexts[] = {stage_open(NULL, 1), stage_open(NULL, 3)};
    for (int i = 0; i < 4; i++) {
        attend_context *const context = contexts[i % 2];
        const attend_tensor view = attend_tensor_2d(w, ATTEND_F32, COLUMNS, DEPTH);
        attend_projection p = attend_projection_default();
        attend_weights *weights = NULL;
        if (i < 2)
            p.w = view;
        else
            check(attend_weights_create(context, &view, &weights), "deep");
        p.weights = weights;
        for (int row = 0; row < ROWS; row += 15 * i + 15) {
            const int rows = ROWS - row < 15 * i + 15 ? ROWS - row : 15 * i + 15;
            p.x = attend_tensor_2d(x + row * DEPTH, ATTEND_F32, rows, DEPTH);
            p.out = attend_tensor_2d(y[i] + row * COLUMNS, ATTEND_F32, rows, COLUMNS);
            check(attend_project(context, &p), "deep");
        }
        attend_weights_release(weights);
        if (i > 0) assert_memory_equal(y[i], y[0], sizeof y[0]);
    }
    for (int i = 0; i < ROWS * COLUMNS; i += 7) {
        double want = 0, size = 0;
        for (int k = 0; k < DEPTH; k++) {
            const double term =
                (double)x[i / COLUMNS * DEPTH + k] * (double)w[(int64_t)(i % COLUMNS) * DEPTH + k];
            want += term;
            size += fabs(term);
        }
        assert_true(fabs((double)y[0][i] - want) <= u * (2 * sqrt(DEPTH) + 8) * size);
    }
    attend_close(contexts[0]);
    attend_close(contexts[1]);
}

/* NaN and infinity of an input reach the results they belong to, and no others. */
static void test_not_finite(void **state) {
    (void)state;
    enum { ROWS = 17, COLUMNS = 35, DEPTH = 20 };
    static float x[ROWS * DEPTH], w[COLUMNS * DEPTH], y[ROWS * COLUMNS];
    attend_context *const context = stage_open(NULL, 0);
    for (int i = 0; i < ROWS * DEPTH; i++)
        x[i] = 1;
    for (int i = 0; i < COLUMNS * DEPTH; i++)
        w[i] = 1;
    x[3 * DEPTH + 7] = NAN;
    w[34 * DEPTH + 2] = INFINITY;
    attend_projection p = attend_projection_default();
    p.x = attend_tensor_2d(x, ATTEND_F32, ROWS, DEPTH);
    p.w = attend_tensor_2d(w, ATTEND_F32, COLUMNS, DEPTH);
    p.out = attend_tensor_2d(y, ATTEND_F32, ROWS, COLUMNS);
    for (int relu = 0; relu < 2; relu++) {
        p.activation = relu ? ATTEND_RELU : ATTEND_NO_ACTIVATION;
        check(attend_project(context, &p), "not finite");
        for (int row = 0; row < ROWS; row++) {
            for (int column = 0; column < COLUMNS; column++) {
                const float got = y[row * COLUMNS + column];
                if (row == 3)
                    assert_true(isnan(got));
                else if (column == 34)
                    assert_true(isinf(got) && got > 0);
                else
                    assert_true(got == DEPTH);
            }
        }
    }
    attend_close(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),     cmocka_unit_test(test_equal_terms),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_row_alone),
        cmocka_unit_test(test_deep),      cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
