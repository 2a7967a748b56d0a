/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms and activations of random sizes, types and strides against float64,
 * in place where that is allowed; each bound is the count of roundings that the float32 definition
 * needs, named where it is computed. Also: same bits on 1 and 3 threads. ATTEND_BACKEND chooses the
 * backend, ATTEND_TEST_SEED the seed. */
#include "stage/stage_trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const double u = 0x1p-24;

/* ---- norms ---- */

static attend_status run_norm(attend_context *context, const void *description) {
    return attend_norm_run(context, description);
}

typedef struct norm_tensors {
    stage_tensor *x, *residual, *weight, *bias;
} norm_tensors;

/* With t exact to u |t|: the mean is off by at most 2 u mean|t| (lanes add less than a hundred
 * terms, the rest is float64), which the centring repairs; what stays is u (|t| + |mean|) per
 * element, divided by the deviation, and a few roundings of factor, weight and bias. The factor's
 * own error: the squares' sum, below 16 u, and the elements' errors through the mean square. */
static void expect_norm_row(trial *t, const norm_tensors *n, attend_norm_kind kind, double eps,
                            int64_t row, int64_t columns) {
    double mean = 0, square = 0, size = 0;
    const bool layer = kind == ATTEND_LAYER_NORM;
    double *const v = stage_numbers(columns);
    for (int64_t i = 0; i < columns; i++) {
        v[i] = n->x->values[row * columns + i];
        size += fabs(v[i]);
        if (n->residual != NULL) {
            v[i] += n->residual->values[row * columns + i];
            size += fabs(n->residual->values[row * columns + i]);
        }
        mean += v[i];
    }
    size /= (double)columns;
    mean = layer ? mean / (double)columns : 0;
    for (int64_t i = 0; i < columns; i++)
        square += (v[i] - mean) * (v[i] - mean);
    const double deviation = sqrt(square / (double)columns + eps);
    for (int64_t i = 0; i < columns; i++) {
        const double w = n->weight != NULL ? n->weight->values[i] : 1,
                     b = n->bias != NULL ? n->bias->values[i] : 0;
        const double d = (v[i] - mean) / deviation;
        const double lost = u * (4 * size + 2 * fabs(v[i]) + 2 * fabs(mean)) / deviation;
        const double factor = 16 * u + fmin(2 * lost, 1);
        stage_expect(t, 0, row * columns + i, d * w + b,
                     fabs(w) * (lost + fabs(d) * factor) + 4 * u * (fabs(d * w) + fabs(b)));
        if (t->out[1] != NULL) stage_expect(t, 1, row * columns + i, v[i], u * fabs(v[i]));
    }
    free(v);
}

static void make_norm(trial *t) {
    static attend_norm norm;
    gate_random *const r = &t->c.random;
    int64_t sizes[4],
        rows = stage_size(r, 40),
        columns = gate_chance(r, 0.1) ? gate_range(r, 1025, 5000) : stage_size(r, 1100);
    const attend_type type = stage_float_type(r);
    const int32_t rank = stage_rows(r, &rows, columns, sizes);
    norm_tensors n = {0};
    norm = attend_norm_default();
    n.x = stage_input(&t->c, "x", type, rank, sizes, gate_chance(r, 0.2) ? 100 : 1);
    if (gate_chance(r, 0.5)) n.residual = stage_input(&t->c, "residual", type, rank, sizes, 1);
    if (gate_chance(r, 0.7)) n.weight = stage_input(&t->c, "weight", type, 1, &columns, 1);
    if (gate_chance(r, 0.5)) n.bias = stage_input(&t->c, "bias", type, 1, &columns, 1);
    const int place = (int)gate_range(r, 0, 3);
    stage_tensor *out = place == 1 ? stage_in_place(&t->c, n.x)
                        : place == 2 && n.residual != NULL
                            ? stage_in_place(&t->c, n.residual)
                            : stage_output(&t->c, "out", type, rank, sizes);
    stage_give(t, 0, out);
    if (gate_chance(r, 0.4)) {
        stage_tensor *const sum =
            place == 2 ? stage_in_place(&t->c, n.x) : stage_output(&t->c, "sum", type, rank, sizes);
        stage_give(t, 1, sum);
        norm.sum = sum->view;
    }
    norm.kind = gate_chance(r, 0.5) ? ATTEND_LAYER_NORM : ATTEND_RMS_NORM;
    norm.eps = gate_chance(r, 0.5) ? 1e-5 : 1e-12;
    norm.x = n.x->view;
    if (n.residual != NULL) norm.residual = n.residual->view;
    if (n.weight != NULL) norm.weight = n.weight->view;
    if (n.bias != NULL) norm.bias = n.bias->view;
    norm.out = out->view;
    for (int64_t row = 0; row < rows; row++)
        expect_norm_row(t, &n, norm.kind, norm.eps, row, columns);
    t->description = &norm;
    t->run = run_norm;
}

static void test_norm(void **state) {
    (void)state;
    stage_run_trials(make_norm, "norm");
}

/* A row of equal values has no deviation: exactly the bias, whatever the mean's rounding. */
static void test_norm_of_equal_values(void **state) {
    (void)state;
    static float x[1000], y[1000], bias[1000];
    attend_context *const context = stage_open(NULL, 0);
    for (int columns = 1; columns <= 1000; columns += 37) {
        for (int i = 0; i < columns; i++) {
            x[i] = 1234.567f;
            bias[i] = (float)i;
        }
        attend_norm norm = attend_norm_default();
        norm.x = attend_tensor_1d(x, ATTEND_F32, columns);
        norm.bias = attend_tensor_1d(bias, ATTEND_F32, columns);
        norm.out = attend_tensor_1d(y, ATTEND_F32, columns);
        assert_int_equal(attend_norm_run(context, &norm), ATTEND_OK);
        for (int i = 0; i < columns; i++)
            assert_true(fabsf(y[i] - bias[i]) <= 1e-6f * (1 + bias[i]));
    }
    attend_close(context);
}

/* ---- activations ---- */

static attend_status run_activate(attend_context *context, const void *description) {
    return attend_activate(context, description);
}

/* 8 u of the value, and of the argument through the slope: a rounding of x / sqrt 2 or of x^2. */
static double activation_bound(attend_activation activation, double x) {
    const double a = stage_activation(activation, x), step = 8 * u * fabs(x);
    return fmax(fabs(stage_activation(activation, x + step) - a),
                fabs(stage_activation(activation, x - step) - a)) +
           8 * u * fabs(a);
}

static void make_activation(trial *t) {
    static attend_elementwise e;
    gate_random *const r = &t->c.random;
    int64_t sizes[4], rows = stage_size(r, 40), columns = stage_size(r, 1100);
    const attend_type type = stage_float_type(r);
    const int32_t rank = stage_rows(r, &rows, columns, sizes);
    e = attend_elementwise_default();
    e.activation = (attend_activation)gate_range(r, 0, 6);
    static const double sizes_of_x[] = {0.01, 1, 5, 40};
    stage_tensor *const x =
        stage_input(&t->c, "x", type, rank, sizes, sizes_of_x[gate_range(r, 0, 3)]);
    stage_tensor *const m =
        gate_chance(r, 0.4) ? stage_input(&t->c, "multiplier", type, rank, sizes, 1) : NULL;
    stage_tensor *const residual =
        gate_chance(r, 0.4) ? stage_input(&t->c, "residual", type, rank, sizes, 1) : NULL;
    const int place = (int)gate_range(r, 0, 3);
    stage_tensor *const out = place == 1                ? stage_in_place(&t->c, x)
                              : place == 2 && m != NULL ? stage_in_place(&t->c, m)
                              : place == 3 && residual != NULL
                                  ? stage_in_place(&t->c, residual)
                                  : stage_output(&t->c, "out", type, rank, sizes);
    stage_give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        const double z = x->values[i], a = stage_activation(e.activation, z);
        const double k = m != NULL ? m->values[i] : 1,
                     y = a * k + (residual != NULL ? residual->values[i] : 0);
        const bool exact = e.activation == ATTEND_NO_ACTIVATION || e.activation == ATTEND_RELU;
        stage_expect(t, 0, i, y,
                     exact ? 2 * u * (fabs(a * k) + fabs(y))
                           : fabs(k) * activation_bound(e.activation, z) + 4 * u * fabs(y));
    }
    e.x = x->view;
    if (m != NULL) e.multiplier = m->view;
    if (residual != NULL) e.residual = residual->view;
    e.out = out->view;
    t->description = &e;
    t->run = run_activate;
}

static void test_activation(void **state) {
    (void)state;
    stage_run_trials(make_activation, "activation");
}

/* Infinities give the limits, NaN gives NaN. */
static void test_activation_at_the_ends(void **state) {
    (void)state;
    const float x[] = {INFINITY, -INFINITY, NAN, 0.0f, 100.0f, -100.0f};
    static const struct {
        attend_activation activation;
        float want[6];
    } table[] = {
        {ATTEND_NO_ACTIVATION, {INFINITY, -INFINITY, NAN, 0, 100, -100}},
        {ATTEND_RELU, {INFINITY, 0, NAN, 0, 100, 0}},
        {ATTEND_GELU, {INFINITY, 0, NAN, 0, 100, 0}},
        {ATTEND_GELU_TANH, {INFINITY, 0, NAN, 0, 100, 0}},
        {ATTEND_SILU, {INFINITY, 0, NAN, 0, 100, 0}},
        {ATTEND_SIGMOID, {1, 0, NAN, 0.5f, 1, 0}},
        {ATTEND_TANH, {1, -1, NAN, 0, 1, -1}},
    };
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const context = stage_open(*isa, 0);
        for (size_t row = 0; row < sizeof table / sizeof table[0]; row++) {
            float y[6];
            attend_elementwise e = attend_elementwise_default();
            e.activation = table[row].activation;
            e.x = attend_tensor_1d(x, ATTEND_F32, 6);
            e.out = attend_tensor_1d(y, ATTEND_F32, 6);
            assert_int_equal(attend_activate(context, &e), ATTEND_OK);
            for (int i = 0; i < 6; i++) {
                const float want = table[row].want[i];
                const bool same = isnan(want)   ? isnan(y[i])
                                  : isinf(want) ? y[i] == want
                                                : fabsf(y[i] - want) <= 1e-37f;
                if (!same)
                    fail_msg("isa '%s', activation %d of %g: %g, not %g", *isa, (int)e.activation,
                             (double)x[i], (double)y[i], (double)want);
            }
        }
        attend_close(context);
    }
}

/* Every activation on a fine grid over where it changes, down to where results are subnormal or 0.
 */
static void test_activation_on_a_grid(void **state) {
    (void)state;
    enum { POINTS = 1 << 17 };
    static float x[POINTS], y[POINTS];
    for (int i = 0; i < POINTS; i++)
        x[i] = (float)(-120.0 + 140.0 * i / POINTS);
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const context = stage_open(*isa, 0);
        double worst = 0;
        for (int activation = 0; activation <= 6; activation++) {
            attend_elementwise e = attend_elementwise_default();
            e.activation = (attend_activation)activation;
            e.x = attend_tensor_1d(x, ATTEND_F32, POINTS);
            e.out = attend_tensor_1d(y, ATTEND_F32, POINTS);
            assert_int_equal(attend_activate(context, &e), ATTEND_OK);
            for (int i = 0; i < POINTS; i++) {
                const double want = stage_activation(e.activation, (double)x[i]);
                const double bound = activation_bound(e.activation, (double)x[i]) + 1e-37;
                const double ratio = stage_ratio((double)y[i], want, bound);
                if (!(ratio <= 1))
                    fail_msg("isa '%s', activation %d of %a: %a, not %a; %g times the bound", *isa,
                             activation, (double)x[i], (double)y[i], want, ratio);
                worst = fmax(worst, ratio);
            }
        }
        printf("activations on a grid, isa '%s': worst error / bound %.3f\n", *isa, worst);
        attend_close(context);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_of_equal_values),
        cmocka_unit_test(test_activation),
        cmocka_unit_test(test_activation_at_the_ends),
        cmocka_unit_test(test_activation_on_a_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
