/* SPDX-License-Identifier: Apache-2.0
 *
 * The elementary functions of vec_math.h, and the row kernels around them, on every instruction set
 * this machine has: against float64 over the whole range of float32, at special values, and on all
 * tails with guard pages. The bounds in units of the last place are those that vec_math.h promises.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "cpu_kernels.h"
#include "guarded.h"
#include "isas.h"

enum { CHUNK = 1024 };

static const attend__cpu_kernels *tables[ISA_COUNT];
static int table_count;

/* ---- accuracy ------------------------------------------------------------------------------- */

/* Distance of `got` from `exact` in units of the last place of a float32 of that size. */
static double ulps(float got, double exact) {
    const double wrong = (double)INFINITY;
    if (isnan(exact)) return isnan(got) ? 0 : wrong;
    if ((float)exact == got) return 0.5;
    if (isinf(got) || isinf(exact)) return fabs(exact) > 0x1.fffffep127 && isinf(got) ? 0.5 : wrong;
    int exponent = 0;
    frexp(exact, &exponent);
    const double last = ldexp(1.0, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - exact) / last;
}

/* The allowance at x, in ulp: `base`, and `slope` for each unit of the argument that exp is given.
 */
typedef struct function {
    const char *name;
    void (*apply)(const attend__cpu_kernels *k, float *x, int64_t n);
    double (*exact)(double x);
    double base, slope;
    double (*argument)(double x); /* of exp; NULL: none */
    double least;                 /* errors up to this do not count */
} function;

static void apply_exp(const attend__cpu_kernels *k, float *x, int64_t n) {
    k->attention->weigh_row(x, n, 0.0f, 1.0f);
}
/* 2^(factor x) of what is below 0: -|x|. */
static void apply_below(const attend__cpu_kernels *k, float *x, int64_t n, float factor) {
    static float lanes[CHUNK + ATTEND__LANE_ROWS_MOST];
    float reference[ATTEND__LANE_ROWS_MOST] = {0}, by[ATTEND__LANE_ROWS_MOST];
    const int64_t rows = k->lanes->lane_rows;
    for (int r = 0; r < ATTEND__LANE_ROWS_MOST; r++)
        by[r] = 1.0f;
    for (int64_t i = 0; i < n; i++)
        lanes[i] = -fabsf(x[i]);
    k->lanes->weigh(lanes, (int32_t)((n + rows - 1) / rows), (int32_t)rows / k->lanes->lanes,
                    factor, reference, by);
    memcpy(x, lanes, (size_t)n * sizeof *x);
}
static const float log2_e = 0x1.715476p+0f;
static void apply_exp2(const attend__cpu_kernels *k, float *x, int64_t n) {
    apply_below(k, x, n, 1.0f);
}
static void apply_exp2_factor(const attend__cpu_kernels *k, float *x, int64_t n) {
    apply_below(k, x, n, log2_e);
}
static void apply_tanh(const attend__cpu_kernels *k, float *x, int64_t n) {
    k->attention->cap_row(x, n, 1.0f);
}
#define ATTEND_X(stem, activation)                                                                 \
    static void apply_##stem(const attend__cpu_kernels *k, float *x, int64_t n) {                  \
        k->stages->activate(activation, x, n, x);                                                  \
    }
ATTEND_X(sigmoid, ATTEND_SIGMOID)
ATTEND_X(silu, ATTEND_SILU)
ATTEND_X(gelu, ATTEND_GELU)
ATTEND_X(gelu_tanh, ATTEND_GELU_TANH)
#undef ATTEND_X

static double exact_exp2(double x) {
    return fabs(x) >= 127 ? 0 : exp2(-fabs(x));
}
static double exact_exp2_factor(double x) {
    return exact_exp2((double)log2_e * x);
}
static double exp2_product(double x) {
    return fmin(fabs((double)log2_e * x), 127);
}
static double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double exact_silu(double x) {
    return x == -(double)INFINITY ? 0 : x / (1 + exp(-x));
}
static double exact_gelu(double x) {
    return x == -(double)INFINITY ? 0 : 0.5 * x * erfc(-x * sqrt(0.5));
}
static double gelu_argument(double x) {
    return 2 * 0.7978845608028654 * (x + 0.044715 * x * x * x);
}
static double exact_gelu_tanh(double x) {
    return x == -(double)INFINITY ? 0 : x / (1 + exp(-gelu_argument(x)));
}
/* Where exp's result does not matter beside 1, neither does its argument's error. */
static double below_zero(double x) {
    return x < 0 ? -x : 0;
}
static double gelu_tanh_argument(double x) {
    return below_zero(gelu_argument(x));
}
static double gelu_square(double x) {
    return x < -1 ? x * x : 0;
}

static const function functions[] = {
    {"exp", apply_exp, exp, 1.0, 0, NULL, 0x1p-142},
    {"exp2_below", apply_exp2, exact_exp2, 2.25, 0, NULL, 0x1p-126},
    {"exp2_below, factor", apply_exp2_factor, exact_exp2_factor, 2.25, 1.0, exp2_product, 0x1p-126},
    {"tanh", apply_tanh, tanh, 2.0, 0, NULL, 0x1p-142},
    {"sigmoid", apply_sigmoid, exact_sigmoid, 3.0, 0, NULL, 0x1p-142},
    {"silu", apply_silu, exact_silu, 3.0, 0, NULL, 0x1p-142},
    {"gelu", apply_gelu, exact_gelu, 6.0, 1.0, gelu_square, 0x1p-142},
    {"gelu_tanh", apply_gelu_tanh, exact_gelu_tanh, 4.0, 3.0, gelu_tanh_argument, 0x1p-142},
};

static double allowance(const function *f, const attend__cpu_kernels *k, float x) {
    const bool fused = strcmp(k->isa, "scalar") != 0;
    const bool rounds = f->argument != gelu_square && f->argument != exp2_product;
    const bool slope = f->argument != NULL && (rounds || !fused);
    return f->base + (slope ? f->slope * f->argument((double)x) : 0);
}

/* Every 977th bit pattern: both signs, all exponents, subnormals, infinities, NaN. */
static void check_function(const function *f, const attend__cpu_kernels *k) {
    float x[CHUNK], y[CHUNK];
    double worst = 0;
    float at = 0;
    int n = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 977) {
        x[n++] = attend__bits_float((uint32_t)bits);
        if (n < CHUNK && bits + 977 <= UINT32_MAX) continue;
        memcpy(y, x, sizeof x);
        f->apply(k, y, n);
        for (int i = 0; i < n; i++) {
            const double exact = f->exact((double)x[i]);
            const double share = ulps(y[i], exact) / allowance(f, k, x[i]);
            if (share <= worst || fabs((double)y[i] - exact) <= f->least) continue;
            worst = share;
            at = x[i];
        }
        n = 0;
    }
    print_message("%s %s: %.3f of the allowance, at %.9g\n", f->name, k->isa, worst, (double)at);
    assert_true(worst <= 1.0);
}

static void test_accuracy(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++)
        for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
            check_function(&functions[i], tables[t]);
}

static void test_special_values(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__cpu_kernels *const k = tables[t];
        float e[6] = {0.0f, -0.0f, 88.8f, -INFINITY, NAN, INFINITY};
        k->attention->weigh_row(e, 6, 0.0f, 1.0f);
        assert_true(e[0] == 1.0f && e[1] == 1.0f && isinf(e[2]) && e[3] == 0.0f && isnan(e[4]) &&
                    isinf(e[5]));
        float b[5] = {0.0f, -0.0f, -INFINITY, NAN, 3e38f};
        apply_below(k, b, 5, 0.7f);
        assert_true(b[0] == 1.0f && b[1] == 1.0f && b[2] == 0.0f && isnan(b[3]) && b[4] == 0.0f);
        float c[5] = {INFINITY, -INFINITY, NAN, 1e30f, -1e30f};
        k->attention->cap_row(c, 5, 2.5f);
        assert_true(c[0] == 2.5f && c[1] == -2.5f && isnan(c[2]) && c[3] == 2.5f && c[4] == -2.5f);
        float small[2] = {3.0f, -7.0f};
        k->attention->cap_row(small, 2, 1e37f); /* a cap far away changes nothing */
        assert_true(small[0] == 3.0f && small[1] == -7.0f);
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

typedef struct line {
    guarded memory;
    float *x;
    float before[80];
} line;

static float value_at(int i, int n) {
    return sinf((float)(7 * i + n)) * 3.0f;
}

static line line_of(int n, guarded_side side) {
    line l = {guarded_create((size_t)n * sizeof(float), side), NULL, {0}};
    l.x = l.memory.data;
    for (int i = 0; i < n; i++)
        l.x[i] = l.before[i] = value_at(i, n);
    return l;
}

static void restore(line *l, int n) {
    for (int i = 0; i < n; i++)
        l->x[i] = l->before[i];
}

static void check_near(float got, double expected, double size) {
    assert_true(fabs((double)got - expected) <= 4 * 0x1p-24 * size);
}

static void check_rows(const attend__attention_kernels *k, int n, guarded_side side) {
    line l = line_of(n, side), other = line_of(n, side);
    guarded keep = guarded_create((size_t)n, side);
    uint8_t *const keeps = keep.data;
    k->scale_row(l.x, n, -0.3f);
    for (int i = 0; i < n; i++)
        assert_true(l.x[i] == l.before[i] * -0.3f);
    restore(&l, n);
    k->add_row(l.x, other.x, n);
    for (int i = 0; i < n; i++)
        assert_true(l.x[i] == l.before[i] + other.before[i]);
    restore(&l, n);
    k->slope_row(l.x, n, 0.25f, 5.0f);
    for (int i = 0; i < n; i++)
        check_near(l.x[i], (double)l.before[i] - 0.25 * fabs(5.0 - i), 3 + 0.25 * n);
    restore(&l, n);
    k->cap_row(l.x, n, 2.0f);
    for (int i = 0; i < n; i++)
        check_near(l.x[i], 2 * tanh((double)l.before[i] / 2), 2);
    restore(&l, n);
    for (int i = 0; i < n; i++)
        keeps[i] = (uint8_t)(i % 3 * 100);
    k->select_row(l.x, keeps, n, -INFINITY);
    for (int i = 0; i < n; i++)
        assert_true(l.x[i] == (keeps[i] ? l.before[i] : -INFINITY));
    k->weigh_row(l.x, n, 1.0f, 0.5f);
    for (int i = 0; i < n; i++)
        check_near(l.x[i], keeps[i] ? 0.5 * exp((double)l.before[i] - 1) : 0, 8);
    restore(&l, n);
    assert_true(k->finite_row(l.x, n));
    for (int i = 0; i < n; i++) {
        l.x[i] = i % 2 ? NAN : INFINITY;
        assert_false(k->finite_row(l.x, n));
        l.x[i] = 1.0f;
    }
    guarded_destroy(&l.memory);
    guarded_destroy(&other.memory);
    guarded_destroy(&keep);
}

static void check_types(const attend__attention_kernels *k, int n, guarded_side side,
                        attend_type type, int64_t stride) {
    line l = line_of(n, side);
    guarded half = guarded_create((size_t)((n - 1) * stride + 1) * 2, side);
    uint16_t *const h = half.data;
    const attend__span span = {half.data, type, stride};
    k->narrow(l.x, n, span);
    for (int i = 0; i < n; i++)
        assert_true(h[i * stride] == (type == ATTEND_F16 ? attend__f32_to_f16(l.x[i])
                                                         : attend__f32_to_bf16(l.x[i])));
    k->widen(span, n, l.x);
    for (int i = 0; i < n; i++)
        assert_true(l.x[i] == (type == ATTEND_F16 ? attend__f16_to_f32(h[i * stride])
                                                  : attend__bf16_to_f32(h[i * stride])));
    guarded_destroy(&l.memory);
    guarded_destroy(&half);
}

static void test_rows(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        for (int n = 1; n <= 2 * k->lanes + 1; n++) {
            for (int side = GUARDED_BEHIND; side <= GUARDED_BEFORE; side++) {
                check_rows(k, n, (guarded_side)side);
                for (int64_t stride = 1; stride <= 3; stride++) {
                    check_types(k, n, (guarded_side)side, ATTEND_F16, stride);
                    check_types(k, n, (guarded_side)side, ATTEND_BF16, stride);
                }
            }
        }
    }
}

/* All 16-bit values, and every float32 between two of them, round as half.h says. */
static void test_rounding(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        for (int type = ATTEND_F16; type <= ATTEND_BF16; type++) {
            for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 0x7ffu * 16) {
                float x[16];
                uint16_t h[16];
                for (uint32_t i = 0; i < 16; i++)
                    x[i] = attend__bits_float((uint32_t)bits + i * 0x7ffu);
                const attend__span span = {(char *)h, (attend_type)type, 1};
                k->narrow(x, 16, span);
                for (int i = 0; i < 16; i++)
                    assert_true(h[i] == (type == ATTEND_F16 ? attend__f32_to_f16(x[i])
                                                            : attend__f32_to_bf16(x[i])));
            }
        }
    }
}

/* ---- online softmax ------------------------------------------------------------------------- */

/* Two blocks, the second with larger scores, against one softmax of both. */
static void check_soften(const attend__attention_kernels *k, int from, int to) {
    const size_t bytes =
        ((size_t)ATTEND__SCORE_STRIDE + (size_t)(to + k->lanes - 1)) * sizeof(float);
    guarded memory = guarded_create(bytes / sizeof(float) * sizeof(float), GUARDED_BEFORE);
    float *const x = memory.data;
    float highest[2] = {-INFINITY, 1.0f}, sum[2] = {0.0f, 1.0f}, shrink[2];
    double exact[2] = {0, exp(1.0)};
    for (int block = 0; block < 2; block++) {
        for (int r = 0; r < 2; r++)
            for (int c = from; c < to; c++) {
                const float s = c % 5 == 4 ? -INFINITY : value_at(c, r) + 2.0f * (float)block;
                x[r * ATTEND__SCORE_STRIDE + c] = s;
                exact[r] += exp((double)s);
            }
        const attend__soften soften = {x, highest, sum, shrink, 2, from, to};
        k->soften(&soften);
        for (int r = 0; r < 2; r++) {
            for (int c = from; c < to; c++) {
                const float w = x[r * ATTEND__SCORE_STRIDE + c];
                const double s = (double)value_at(c, r) + 2.0 * block;
                const double expected = c % 5 == 4 ? 0 : exp(s - (double)highest[r]);
                assert_true(fabs((double)w - expected) <= 0x1p-20 * expected);
                assert_true(w <= 1.0f);
            }
            const double total = (double)sum[r] * exp((double)highest[r]);
            assert_true(fabs(total - exact[r]) <= exact[r] * 0x1p-24 * (8 + to));
        }
    }
    guarded_destroy(&memory);
}

static void test_soften(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        for (int from = 0; from <= 2 * k->lanes; from += k->lanes)
            for (int n = 1; n <= 2 * k->lanes + 1; n++)
                check_soften(k, from, from + n);
        check_soften(k, 0, ATTEND__BLOCK_KEYS);
    }
}

/* Rows without a score above -inf, with NaN and with +inf. */
static void test_soften_limits(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        static float x[3 * ATTEND__SCORE_STRIDE];
        float highest[3] = {-INFINITY, -INFINITY, 0.0f}, sum[3] = {0.0f, 0.0f, 1.0f}, shrink[3];
        for (int c = 0; c < 40; c++) {
            x[c] = -INFINITY;
            x[ATTEND__SCORE_STRIDE + c] = c == 3 ? NAN : (float)c;
            x[2 * ATTEND__SCORE_STRIDE + c] = c == 17 ? INFINITY : (float)c;
        }
        const attend__soften soften = {x, highest, sum, shrink, 3, 0, 40};
        k->soften(&soften);
        assert_true(highest[0] == -INFINITY && sum[0] == 0.0f && !isnan(shrink[0]));
        for (int c = 0; c < 40; c++)
            assert_true(x[c] == 0.0f);
        assert_true(isnan(sum[1]) && isnan(sum[2]));
    }
}

int main(void) {
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const attend__cpu_kernels *const found = attend__cpu_select(isas[i]);
        if (found != NULL && strcmp(found->isa, isas[i]) == 0)
            tables[table_count++] = found;
        else
            print_message("skipped: this machine has no %s\n", isas[i]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy), cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_soften),   cmocka_unit_test(test_soften_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
