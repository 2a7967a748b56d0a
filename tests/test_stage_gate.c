/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms, activations, rotary positions, embeddings and copies of random sizes, types and strides against float64,
 * in place where that is allowed; each bound is the count of roundings that the float32 definition needs, named
 * where it is computed. Also: same bits on 1 and 3 threads. ATTEND_BACKEND chooses the backend,
 * ATTEND_TEST_SEED the seed. */
#include "stage/stage_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double u = 0x1p-24;
enum { CASES = 200 };

typedef attend_status run_fn(attend_context *context, const void *description);

/* A case of any stage: how to run it, and the values its outputs should have. */
typedef struct trial {
    stage_case c;
    const void *description;
    run_fn *run;
    stage_tensor *out[2];
    double *want[2], *bound[2];
    char text[160];
} trial;

typedef void make_fn(trial *t);

static uint64_t seed(void) {
    const char *const text = getenv("ATTEND_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 1;
}

static void give(trial *t, int slot, stage_tensor *out) {
    t->out[slot] = out;
    t->want[slot] = stage_numbers(out->count);
    t->bound[slot] = stage_numbers(out->count);
}

static void expect(trial *t, int slot, int64_t i, double want, double bound) {
    t->want[slot][i] = want;
    t->bound[slot][i] = bound + gate_half_unit(t->out[slot]->view.type, want) + 1e-37;
}

static void free_trial(trial *t) {
    for (int slot = 0; slot < 2; slot++) {
        free(t->want[slot]);
        free(t->bound[slot]);
    }
    stage_end(&t->c);
}

static double *run_trial(trial *t, attend_context *context, double *worst) {
    if (t->run(context, t->description) != ATTEND_OK) fail_msg("%s: %s", t->text, attend_error_text());
    double *first = NULL;
    for (int slot = 0; slot < 2 && t->out[slot] != NULL; slot++) {
        double *const got = stage_numbers(t->out[slot]->count);
        if (!stage_read(t->out[slot], got)) fail_msg("%s: wrote outside of %s", t->text, t->out[slot]->name);
        for (int64_t i = 0; i < t->out[slot]->count; i++) {
            const double ratio = stage_ratio(got[i], t->want[slot][i], t->bound[slot][i]);
            if (!(ratio <= 1))
                fail_msg("%s: output %d, element %lld: %.9g, not %.9g; %g times the bound", t->text, slot,
                         (long long)i, got[i], t->want[slot][i], ratio);
            double *const kept = &worst[t->out[slot]->view.type != ATTEND_F32];
            *kept = fmax(*kept, ratio);
        }
        if (slot == 0) first = got;
        else free(got);
    }
    return first;
}

static void run_trials(make_fn *make, const char *name) {
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const one = stage_open(*isa, 1), *const three = stage_open(*isa, 3);
        double worst[2] = {0, 0}; /* f32, 16-bit */
        for (uint64_t i = 0; i < CASES; i++) {
            trial a = {.c = stage_begin(seed(), i)}, b = {.c = stage_begin(seed(), i)};
            snprintf(a.text, sizeof a.text, "ATTEND_TEST_SEED=%llu %s case %llu, isa '%s'",
                     (unsigned long long)seed(), name, (unsigned long long)i, *isa);
            memcpy(b.text, a.text, sizeof a.text);
            make(&a);
            double *const from_one = run_trial(&a, one, worst);
            make(&b);
            double *const from_three = run_trial(&b, three, worst);
            for (int64_t e = 0; e < a.out[0]->count; e++)
                if (from_one[e] != from_three[e] && !isnan(from_one[e]))
                    fail_msg("%s: threads change element %lld", a.text, (long long)e);
            free(from_one);
            free(from_three);
            free_trial(&a);
            free_trial(&b);
        }
        printf("%s, isa '%s': %d cases, worst error / bound %.3f (f32), %.3f (16-bit)\n", name, *isa, CASES, worst[0],
               worst[1]);
        attend_close(one);
        attend_close(three);
    }
}

/* ---- norms ---- */

static attend_status run_norm(attend_context *context, const void *description) {
    return attend_norm_run(context, description);
}

typedef struct norm_tensors {
    stage_tensor *x, *residual, *weight, *bias;
} norm_tensors;

/* With t exact to u |t|: the mean is off by at most 2 u mean|t| (lanes add less than a hundred terms, the rest is
 * float64), which the centring repairs; what stays is u (|t| + |mean|) per element, divided by the deviation, and
 * a few roundings of factor, weight and bias. The factor's own error: the squares' sum, below 16 u, and the
 * elements' errors through the mean square. */
static void expect_norm_row(trial *t, const norm_tensors *n, attend_norm_kind kind, double eps, int64_t row,
                            int64_t columns) {
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
    for (int64_t i = 0; i < columns; i++) square += (v[i] - mean) * (v[i] - mean);
    const double deviation = sqrt(square / (double)columns + eps);
    for (int64_t i = 0; i < columns; i++) {
        const double w = n->weight != NULL ? n->weight->values[i] : 1, b = n->bias != NULL ? n->bias->values[i] : 0;
        const double d = (v[i] - mean) / deviation;
        const double lost = u * (4 * size + 2 * fabs(v[i]) + 2 * fabs(mean)) / deviation;
        const double factor = 16 * u + fmin(2 * lost, 1);
        expect(t, 0, row * columns + i, d * w + b, fabs(w) * (lost + fabs(d) * factor) + 4 * u * (fabs(d * w) + fabs(b)));
        if (t->out[1] != NULL) expect(t, 1, row * columns + i, v[i], u * fabs(v[i]));
    }
    free(v);
}

static void make_norm(trial *t) {
    static attend_norm norm;
    gate_random *const r = &t->c.random;
    int64_t sizes[4], rows = stage_size(r, 40), columns = gate_chance(r, 0.1) ? gate_range(r, 1025, 5000) : stage_size(r, 1100);
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
                        : place == 2 && n.residual != NULL ? stage_in_place(&t->c, n.residual)
                                                           : stage_output(&t->c, "out", type, rank, sizes);
    give(t, 0, out);
    if (gate_chance(r, 0.4)) {
        stage_tensor *const sum = place == 2 ? stage_in_place(&t->c, n.x) : stage_output(&t->c, "sum", type, rank, sizes);
        give(t, 1, sum);
        norm.sum = sum->view;
    }
    norm.kind = gate_chance(r, 0.5) ? ATTEND_LAYER_NORM : ATTEND_RMS_NORM;
    norm.eps = gate_chance(r, 0.5) ? 1e-5 : 1e-12;
    norm.x = n.x->view;
    if (n.residual != NULL) norm.residual = n.residual->view;
    if (n.weight != NULL) norm.weight = n.weight->view;
    if (n.bias != NULL) norm.bias = n.bias->view;
    norm.out = out->view;
    for (int64_t row = 0; row < rows; row++) expect_norm_row(t, &n, norm.kind, norm.eps, row, columns);
    t->description = &norm;
    t->run = run_norm;
}

static void test_norm(void **state) {
    (void)state;
    run_trials(make_norm, "norm");
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
        for (int i = 0; i < columns; i++) assert_true(fabsf(y[i] - bias[i]) <= 1e-6f * (1 + bias[i]));
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
    return fmax(fabs(stage_activation(activation, x + step) - a), fabs(stage_activation(activation, x - step) - a)) +
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
    stage_tensor *const x = stage_input(&t->c, "x", type, rank, sizes, sizes_of_x[gate_range(r, 0, 3)]);
    stage_tensor *const m = gate_chance(r, 0.4) ? stage_input(&t->c, "multiplier", type, rank, sizes, 1) : NULL;
    stage_tensor *const residual = gate_chance(r, 0.4) ? stage_input(&t->c, "residual", type, rank, sizes, 1) : NULL;
    const int place = (int)gate_range(r, 0, 3);
    stage_tensor *const out = place == 1                       ? stage_in_place(&t->c, x)
                              : place == 2 && m != NULL        ? stage_in_place(&t->c, m)
                              : place == 3 && residual != NULL ? stage_in_place(&t->c, residual)
                                                               : stage_output(&t->c, "out", type, rank, sizes);
    give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        const double z = x->values[i], a = stage_activation(e.activation, z);
        const double k = m != NULL ? m->values[i] : 1, y = a * k + (residual != NULL ? residual->values[i] : 0);
        const bool exact = e.activation == ATTEND_NO_ACTIVATION || e.activation == ATTEND_RELU;
        expect(t, 0, i, y, exact ? 2 * u * (fabs(a * k) + fabs(y)) : fabs(k) * activation_bound(e.activation, z) + 4 * u * fabs(y));
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
    run_trials(make_activation, "activation");
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
                const bool same = isnan(want) ? isnan(y[i]) : isinf(want) ? y[i] == want : fabsf(y[i] - want) <= 1e-37f;
                if (!same) fail_msg("isa '%s', activation %d of %g: %g, not %g", *isa, (int)e.activation, (double)x[i], (double)y[i], (double)want);
            }
        }
        attend_close(context);
    }
}

/* Every activation on a fine grid over where it changes, down to where results are subnormal or 0. */
static void test_activation_on_a_grid(void **state) {
    (void)state;
    enum { POINTS = 1 << 17 };
    static float x[POINTS], y[POINTS];
    for (int i = 0; i < POINTS; i++) x[i] = (float)(-120.0 + 140.0 * i / POINTS);
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
                    fail_msg("isa '%s', activation %d of %a: %a, not %a; %g times the bound", *isa, activation,
                             (double)x[i], (double)y[i], want, ratio);
                worst = fmax(worst, ratio);
            }
        }
        printf("activations on a grid, isa '%s': worst error / bound %.3f\n", *isa, worst);
        attend_close(context);
    }
}

/* ---- rotary positions ---- */

static attend_status run_rope(attend_context *context, const void *description) {
    return attend_rope_run(context, description);
}

static int64_t rope_table_row(const attend_rope *rope, const stage_tensor *ids, int64_t b, int64_t i) {
    const int64_t length = rope->x.sizes[2];
    if (rope->cos.rank == 3) return b * length + i;
    return ids != NULL ? (int64_t)ids->values[b * length + i] : i + rope->position_offset;
}

static void expect_rope(trial *t, const attend_rope *rope, const stage_tensor *const in[4]) {
    const int64_t heads = rope->x.sizes[1], length = rope->x.sizes[2], size = rope->x.sizes[3];
    const int64_t n = (rope->rotary_dim > 0 ? rope->rotary_dim : size) / 2;
    for (int64_t row = 0; row < in[0]->count / size; row++) {
        const int64_t table = rope_table_row(rope, in[3], row / length / heads, row % length);
        for (int64_t i = 0; i < size; i++) expect(t, 0, row * size + i, in[0]->values[row * size + i], 0);
        for (int64_t r = 0; r < n; r++) {
            const int64_t first = row * size + (rope->interleaved ? 2 * r : r);
            const int64_t second = rope->interleaved ? first + 1 : first + n;
            const double c = in[1]->values[table * n + r], s = in[2]->values[table * n + r];
            const double x1 = in[0]->values[first], x2 = in[0]->values[second];
            /* two products and a sum, each rounded */
            expect(t, 0, first, c * x1 - s * x2, 2 * u * (fabs(c * x1) + fabs(s * x2)));
            expect(t, 0, second, s * x1 + c * x2, 2 * u * (fabs(s * x1) + fabs(c * x2)));
        }
    }
}

static void make_rope(trial *t) {
    static attend_rope rope;
    gate_random *const r = &t->c.random;
    const int64_t batch = gate_range(r, 1, 3), heads = gate_range(r, 1, 4), length = gate_log_range(r, 1, 40);
    const int64_t size = gate_range(r, 1, 2) * 2 * gate_log_range(r, 1, 70), sizes[4] = {batch, heads, length, size};
    const attend_type type = stage_float_type(r), table_type = gate_chance(r, 0.5) ? ATTEND_F32 : type;
    rope = attend_rope_default();
    rope.interleaved = gate_chance(r, 0.5);
    rope.rotary_dim = gate_chance(r, 0.5) ? 0 : 2 * gate_range(r, 1, size / 2);
    const int64_t n = (rope.rotary_dim > 0 ? rope.rotary_dim : size) / 2;
    const bool own_rows = gate_chance(r, 0.3), with_ids = !own_rows && gate_chance(r, 0.5);
    const int64_t positions = length + gate_range(r, 0, 20);
    const int64_t own_sizes[3] = {batch, length, n}, shared_sizes[2] = {positions, n}, ids_sizes[2] = {batch, length};
    const stage_tensor *in[4] = {stage_input(&t->c, "x", type, 4, sizes, 1)};
    for (int i = 1; i < 3; i++)
        in[i] = stage_input(&t->c, i == 1 ? "cos" : "sin", table_type, own_rows ? 3 : 2,
                            own_rows ? own_sizes : shared_sizes, 0.7);
    if (with_ids) in[3] = stage_ids(&t->c, "position_ids", 2, ids_sizes, positions - 1);
    if (!own_rows && !with_ids) rope.position_offset = gate_range(r, 0, positions - length);
    stage_tensor *const out = gate_chance(r, 0.3) ? stage_in_place(&t->c, &t->c.tensors[0])
                                                  : stage_output(&t->c, "out", type, 4, sizes);
    rope.x = in[0]->view;
    rope.cos = in[1]->view;
    rope.sin = in[2]->view;
    if (with_ids) rope.position_ids = in[3]->view;
    rope.out = out->view;
    give(t, 0, out);
    expect_rope(t, &rope, in);
    t->description = &rope;
    t->run = run_rope;
}

static void test_rope(void **state) {
    (void)state;
    run_trials(make_rope, "rope");
}

/* ---- embeddings ---- */

static attend_status run_embed(attend_context *context, const void *description) {
    return attend_embed(context, description);
}

static void make_embedding(trial *t) {
    static attend_embedding e;
    gate_random *const r = &t->c.random;
    int64_t sizes[4], rows = stage_size(r, 60);
    const int64_t columns = stage_size(r, 1100), entries = gate_range(r, 60, 90), table_sizes[2] = {entries, columns};
    const attend_type table_type = stage_float_type(r), type = gate_chance(r, 0.3) ? ATTEND_F32 : table_type;
    int32_t rank = stage_rows(r, &rows, columns, sizes);
    if (rank == 1) { /* ids have a rank of at least 1 */
        sizes[0] = 1;
        sizes[1] = columns;
        rank = 2;
    }
    e = attend_embedding_default();
    e.scale = gate_chance(r, 0.5) ? 1 : gate_normal(r);
    stage_tensor *const table = stage_input(&t->c, "table", table_type, 2, table_sizes, 1);
    stage_tensor *const ids = gate_chance(r, 0.7) ? stage_ids(&t->c, "ids", rank - 1, sizes, entries - 1) : NULL;
    stage_tensor *const x = gate_chance(r, 0.5) ? stage_input(&t->c, "x", type, rank, sizes, 1) : NULL;
    if (ids == NULL) e.id_offset = gate_range(r, 0, entries - sizes[rank - 2]);
    stage_tensor *const out = x != NULL && gate_chance(r, 0.5) ? stage_in_place(&t->c, x)
                                                               : stage_output(&t->c, "out", type, rank, sizes);
    give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        const int64_t row = i / columns;
        const int64_t id = ids != NULL ? (int64_t)ids->values[row] : row % sizes[rank - 2] + e.id_offset;
        const double a = table->values[id * columns + i % columns] * e.scale, y = a + (x != NULL ? x->values[i] : 0);
        expect(t, 0, i, y, 2 * u * fabs(a) + u * fabs(y)); /* scale is rounded, then the product, then the sum */
    }
    e.table = table->view;
    if (ids != NULL) e.ids = ids->view;
    if (x != NULL) e.x = x->view;
    e.out = out->view;
    t->description = &e;
    t->run = run_embed;
}

static void test_embedding(void **state) {
    (void)state;
    run_trials(make_embedding, "embedding");
}

/* ---- copies ---- */

static attend_status run_copy(attend_context *context, const void *description) {
    return attend_copy_run(context, description);
}

static void make_copy(trial *t) {
    static attend_copy copy;
    gate_random *const r = &t->c.random;
    int64_t sizes[ATTEND_MAX_RANK], left = 4000;
    const int32_t rank = (int32_t)gate_range(r, 1, ATTEND_MAX_RANK);
    for (int32_t d = 0; d < rank; d++) {
        sizes[d] = gate_log_range(r, 1, left < 1500 ? left : 1500);
        left /= sizes[d];
        if (left < 1) left = 1;
    }
    const bool whole_numbers = gate_chance(r, 0.2);
    copy = attend_copy_default();
    stage_tensor *const x = whole_numbers ? stage_ids(&t->c, "x", rank, sizes, 1000)
                                          : stage_input(&t->c, "x", stage_float_type(r), rank, sizes, 10);
    stage_tensor *const out = stage_output(&t->c, "out", whole_numbers ? x->view.type : stage_float_type(r), rank, sizes);
    give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        expect(t, 0, i, x->values[i], 0);
        if (x->view.type == out->view.type) t->bound[0][i] = 1e-300; /* no rounding at all */
    }
    copy.x = x->view;
    copy.out = out->view;
    t->description = &copy;
    t->run = run_copy;
}

static void test_copy(void **state) {
    (void)state;
    run_trials(make_copy, "copy");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm),       cmocka_unit_test(test_norm_of_equal_values),
        cmocka_unit_test(test_activation), cmocka_unit_test(test_activation_at_the_ends),
        cmocka_unit_test(test_activation_on_a_grid),
        cmocka_unit_test(test_rope),       cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
