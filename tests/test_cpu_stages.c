/* SPDX-License-Identifier: Apache-2.0
 *
 * The stage kernels of every instruction set that this machine has, on memory that ends or begins
 * at a page that must not be touched: lengths from 0 over one and two vectors or tiles, every type
 * and a few strides. Results are held against base/half.h (conversions: bit by bit) and float64
 * (arithmetic: the roundings counted). */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "base/cpu_features.h"
#include "base/half.h"
#include "cpu_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const double u = 0x1p-24;
static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};

/* ---- numbers: SplitMix64; the seed is printed by main ---- */

static uint64_t state_of_random;

static uint64_t random_bits(void) {
    uint64_t z = state_of_random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static float random_float(void) {
    return (float)((double)(random_bits() >> 11) * 0x1p-52 - 1.0);
}

/* ---- guarded memory ---- */

typedef struct guarded {
    char *map, *data;
    size_t mapped;
} guarded;

/* `bytes` that end where a forbidden page begins, or begin where one ends. */
static guarded guard(size_t bytes, bool at_end) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (bytes + page) / page * page;
    guarded g = {.mapped = inner + 2 * page};
    g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map, page, PROT_NONE), 0);
    assert_int_equal(mprotect(g.map + page + inner, page, PROT_NONE), 0);
    g.data = at_end ? g.map + page + inner - bytes : g.map + page;
    memset(g.map + page, 0xa5, inner);
    return g;
}

static void unguard(guarded g) {
    munmap(g.map, g.mapped);
}

static float *floats(const guarded *g) {
    return (float *)(void *)g->data;
}

static void fill(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = random_float();
}

/* ---- each instruction set ---- */

typedef struct isa {
    const attend__cpu_kernels *kernels;
    unsigned needs;
} isa;

static const isa isas[] = {
#define ATTEND_X(name, needs) {&attend__cpu_kernels_##name, needs},
#include "cpu_kernels.inc"
#undef ATTEND_X
};

static void for_each_isa(void (*test)(const attend__stage_kernels *kernels)) {
    for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
        if ((isas[i].needs & ~attend__cpu_features()) != 0) continue;
        print_message("%s\n", isas[i].kernels->isa);
        test(isas[i].kernels->stages);
    }
}

/* ---- conversions ---- */

static int64_t width(attend_type type) {
    return type == ATTEND_F32 ? 4 : 2;
}

static uint32_t load_bits(const char *p, attend_type type) {
    uint32_t wide = 0;
    uint16_t half = 0;
    if (type == ATTEND_F32)
        memcpy(&wide, p, sizeof wide);
    else
        memcpy(&half, p, sizeof half);
    if (type == ATTEND_F16) return attend__float_bits(attend__f16_to_f32(half));
    return type == ATTEND_BF16 ? (uint32_t)half << 16 : wide;
}

static bool same_float(uint32_t a, uint32_t b) {
    const bool nan_a = (a & 0x7fffffffu) > 0x7f800000u, nan_b = (b & 0x7fffffffu) > 0x7f800000u;
    return nan_a || nan_b ? nan_a && nan_b : a == b;
}

static void widen_case(const attend__stage_kernels *kernels, attend_type type, int64_t n,
                       int64_t stride, bool at_end) {
    const int64_t extent = n > 0 ? (n - 1) * stride + 1 : 0;
    const guarded from = guard((size_t)(extent * width(type)), at_end),
                  to = guard((size_t)n * 4, at_end);
    for (int64_t i = 0; i < extent * width(type); i++)
        from.data[i] = (char)random_bits();
    kernels->widen((attend__span){from.data, type, stride}, n, floats(&to));
    for (int64_t i = 0; i < n; i++)
        assert_true(same_float(load_bits(from.data + i * stride * width(type), type),
                               attend__float_bits(floats(&to)[i])));
    unguard(from);
    unguard(to);
}

/* Values of every exponent, ties between neighbours, subnormals, infinities, NaN. */
static float any_float(void) {
    const uint32_t tie = random_bits() % 4 == 0 ? 0xffffe000u : 0xffffffffu;
    return attend__bits_float((uint32_t)random_bits() & tie);
}

static void narrow_case(const attend__stage_kernels *kernels, attend_type type, int64_t n,
                        int64_t stride, bool at_end) {
    const int64_t extent = n > 0 ? (n - 1) * stride + 1 : 0;
    const guarded from = guard((size_t)n * 4, at_end),
                  to = guard((size_t)(extent * width(type)), at_end);
    for (int64_t i = 0; i < n; i++)
        floats(&from)[i] = any_float();
    kernels->narrow(floats(&from), n, (attend__span){to.data, type, stride});
    for (int64_t i = 0; i < extent; i++) {
        const char *const at = to.data + i * width(type);
        if (i % stride != 0) {
            assert_memory_equal(at, "\xa5\xa5\xa5\xa5", (size_t)width(type));
            continue;
        }
        const float x = floats(&from)[i / stride];
        const uint16_t half = type == ATTEND_F16 ? attend__f32_to_f16(x) : attend__f32_to_bf16(x);
        const uint32_t want =
            type == ATTEND_F32 ? attend__float_bits(x) : load_bits((const char *)&half, type);
        assert_true(same_float(load_bits(at, type), want));
    }
    unguard(from);
    unguard(to);
}

static void conversions(const attend__stage_kernels *kernels) {
    for (size_t t = 0; t < 3; t++) {
        for (int64_t n = 0; n <= 2 * kernels->panel_columns + 1; n++) {
            for (int64_t stride = 1; stride <= 3; stride++) {
                widen_case(kernels, types[t], n, stride, n % 2 != 0);
                narrow_case(kernels, types[t], n, stride, n % 2 == 0);
            }
            widen_case(kernels, types[t], n, 1, n % 2 == 0);
            narrow_case(kernels, types[t], n, 1, n % 2 != 0);
        }
        narrow_case(kernels, types[t], 20000, 1, true);
    }
}

static void test_conversions(void **state) {
    (void)state;
    for_each_isa(conversions);
}

/* ---- rows: every tail gives what the middle of a long row gives, in place too ---- */

enum { LONG = 200 };

static void check_tails(void (*apply)(const attend__stage_kernels *, const float *, int64_t,
                                      float *),
                        const attend__stage_kernels *kernels) {
    float x[LONG], whole[LONG];
    fill(x, LONG);
    x[5] = NAN;
    apply(kernels, x, LONG, whole);
    for (int64_t n = 0; n <= 2 * kernels->panel_columns + 1 && n <= LONG; n++) {
        const guarded g = guard((size_t)n * 4, n % 2 != 0);
        if (n > 0) memcpy(g.data, x + LONG - n, (size_t)n * 4);
        apply(kernels, floats(&g), n, floats(&g));
        for (int64_t i = 0; i < n; i++)
            assert_true(same_float(attend__float_bits(floats(&g)[i]),
                                   attend__float_bits(whole[LONG - n + i])));
        unguard(g);
    }
}

static attend_activation current;

static void apply_activation(const attend__stage_kernels *kernels, const float *x, int64_t n,
                             float *y) {
    kernels->activate(current, x, n, y);
}

static void apply_combine(const attend__stage_kernels *kernels, const float *x, int64_t n,
                          float *y) {
    kernels->combine(x, x, x, n, y);
}

static void apply_norm(const attend__stage_kernels *kernels, const float *x, int64_t n, float *y) {
    const attend__norm_scale scale = {0.25f, 0.001f, 3.0f, x, x};
    kernels->norm_apply(x, n, &scale, y);
}

static void rows_of_kernels(const attend__stage_kernels *kernels) {
    for (int activation = 0; activation <= (int)ATTEND_TANH; activation++) {
        current = (attend_activation)activation;
        check_tails(apply_activation, kernels);
    }
    check_tails(apply_combine, kernels);
    check_tails(apply_norm, kernels);
}

static void test_rows(void **state) {
    (void)state;
    for_each_isa(rows_of_kernels);
}

/* ---- sums of norms ---- */

static void norm_sums(const attend__stage_kernels *kernels) {
    for (int64_t n = 0; n <= 1024; n += 1 + (n > 140) * 61) {
        const guarded g = guard((size_t)n * 4, n % 2 != 0);
        const float center = 0.3f;
        attend__norm_sums sums = {1.0, 2.0};
        double sum = 0, squares = 0, size = 0;
        fill(floats(&g), n);
        kernels->norm_sum(floats(&g), n, center, &sums);
        for (int64_t i = 0; i < n; i++) {
            const double d = (double)floats(&g)[i] - (double)center;
            sum += d;
            squares += d * d;
            size += fabs(d);
        }
        /* each term is rounded, then at most 1024 / 4 lanes and a tree of additions */
        const double unit = u * (4 + 2 * sqrt((double)n));
        assert_true(fabs(sums.sum - 1 - sum) <= unit * size + 1e-15);
        assert_true(fabs(sums.squares - 2 - squares) <= 2 * unit * squares + 1e-15);
        unguard(g);
    }
}

static void test_norm_sums(void **state) {
    (void)state;
    for_each_isa(norm_sums);
}

int main(void) {
    const char *const seed = getenv("ATTEND_TEST_SEED");
    state_of_random = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    printf("ATTEND_TEST_SEED=%llu\n", (unsigned long long)state_of_random);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_norm_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
