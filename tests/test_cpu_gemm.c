/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of the projection, of every instruction set that this machine has, on memory that
 * ends at a page that must not be touched: packing of weights and of rows of x (bit by bit), the
 * product (against float64, roundings counted), and what follows it (against the kernels that do
 * one part each). */
#include "base/cpu_features.h"
#include "base/half.h"
#include "cpu_kernels.h"
#include "guarded.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE = ATTEND__GEMM_LINE };
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

static int64_t width(attend_type type) {
    return type == ATTEND_F32 ? 4 : 2;
}

/* Element i, as float32. */
static float load(const void *p, int64_t i, attend_type type) {
    uint16_t half;
    float x;
    if (type == ATTEND_F32) {
        memcpy(&x, (const char *)p + i * 4, sizeof x);
        return x;
    }
    memcpy(&half, (const char *)p + i * 2, sizeof half);
    return type == ATTEND_F16 ? attend__f16_to_f32(half) : attend__bf16_to_f32(half);
}

/* Guarded elements between -1 and 1. */
static guarded numbers(int64_t count, attend_type type) {
    const guarded g = guarded_create((size_t)(count * width(type)), GUARDED_BEHIND);
    for (int64_t i = 0; i < count; i++) {
        const float x = (float)((double)(random_bits() >> 11) * 0x1p-52 - 1.0);
        const uint16_t half = type == ATTEND_F16 ? attend__f32_to_f16(x) : attend__f32_to_bf16(x);
        memcpy((char *)g.data + i * width(type),
               type == ATTEND_F32 ? (const void *)&x : (const void *)&half, (size_t)width(type));
    }
    return g;
}

static void for_each_isa(void (*test)(const attend__stage_kernels *kernels)) {
    static const struct {
        const attend__cpu_kernels *kernels;
        unsigned needs;
    } isas[] = {
#define ATTEND_X(name, needs) {&attend__cpu_kernels_##name, needs},
#include "cpu_kernels.inc"
#undef ATTEND_X
    };
    for (size_t i = 0; i < sizeof isas / sizeof isas[0]; i++) {
        if ((isas[i].needs & ~attend__cpu_features()) != 0) continue;
        print_message("%s\n", isas[i].kernels->isa);
        test(isas[i].kernels->stages);
    }
}

/* ---- packing weights: panel[k][n] = w[n][k], 0 beyond the rows that exist ---- */

static void pack_panel_case(const attend__stage_kernels *kernels, attend_type type, int32_t count,
                            int32_t depth, bool by_rows) {
    const int64_t columns = kernels->panel_columns, gap = 3;
    attend__w_block w = {NULL,  type, by_rows ? depth + gap : 1, by_rows ? 1 : count + gap,
                         count, depth};
    guarded from = numbers((count - 1) * w.n_stride + (depth - 1) * w.k_stride + 1, type);
    guarded panel = guarded_create((size_t)(columns * depth) * 4, GUARDED_BEHIND);
    w.first = from.data;
    kernels->pack_panel(&w, panel.data);
    for (int64_t k = 0; k < depth; k++) {
        for (int64_t n = 0; n < columns; n++) {
            const float want = n < count ? load(w.first, n * w.n_stride + k * w.k_stride, type) : 0;
            assert_true(((const float *)panel.data)[k * columns + n] == want);
        }
    }
    guarded_destroy(&from);
    guarded_destroy(&panel);
}

static void pack_panels(const attend__stage_kernels *kernels) {
    for (int32_t count = 1; count <= kernels->panel_columns; count++) {
        for (int32_t depth = 1; depth <= 35; depth += 1 + (depth > 4) * 3) {
            pack_panel_case(kernels, types[depth % 3], count, depth, true);
            pack_panel_case(kernels, types[count % 3], count, depth, false);
        }
    }
}

static void test_pack_panel(void **state) {
    (void)state;
    for_each_isa(pack_panels);
}

/* ---- packing rows of x ---- */

static int64_t packed_at(int32_t rows, int32_t row, int32_t k) {
    return (int64_t)(k / LINE) * rows * LINE + row * LINE + k % LINE;
}

static void pack_rows_case(const attend__stage_kernels *kernels, attend_type type, int32_t rows,
                           int32_t depth, int64_t stride) {
    enum { COLUMN = 5, MOST = 16 };
    char *first[MOST];
    guarded from[MOST];
    guarded to =
        guarded_create((size_t)(packed_at(rows, rows - 1, depth - 1) + 1) * 4, GUARDED_BEHIND);
    for (int32_t r = 0; r < rows; r++) {
        from[r] = numbers((COLUMN + depth - 1) * stride + 1, type);
        first[r] = from[r].data;
    }
    const attend__lines x = {first, type, stride, COLUMN};
    kernels->pack_rows(&x, rows, depth, to.data);
    for (int32_t r = 0; r < rows; r++) {
        for (int32_t k = 0; k < depth; k++)
            assert_true(((const float *)to.data)[packed_at(rows, r, k)] ==
                        load(first[r], (COLUMN + k) * stride, type));
        guarded_destroy(&from[r]);
    }
    guarded_destroy(&to);
}

static void pack_all_rows(const attend__stage_kernels *kernels) {
    for (int32_t rows = 1; rows <= kernels->tile_rows; rows++) {
        for (int32_t depth = 1; depth <= 3 * LINE + 1; depth += 3) {
            pack_rows_case(kernels, types[(rows + depth) % 3], rows, depth, 1);
            pack_rows_case(kernels, types[(rows + depth) % 3], rows, depth, 2);
        }
    }
}

static void test_pack_rows(void **state) {
    (void)state;
    for_each_isa(pack_all_rows);
}

/* ---- products ---- */

enum { GAP = 3 }; /* floats between the results of two panels */

static double product_of(const attend__tile *t, int64_t columns, int32_t row, int64_t column,
                         double *size) {
    double sum = 0;
    *size = 0;
    for (int32_t k = 0; k < t->depth; k++) {
        const int64_t at = column / columns * t->panel_distance + k * columns + column % columns;
        const double w = (double)load(t->panel, at, t->type);
        const double term = (double)t->x[packed_at(t->rows, row, k)] * w;
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* The last row alone gives the same bits. */
static void check_alone(const attend__stage_kernels *kernels, const attend__tile *t,
                        const float *before) {
    attend__tile alone = *t;
    const int64_t line = (int64_t)(t->rows - 1) * kernels->panel_columns;
    guarded x = guarded_create((size_t)t->depth * 4, GUARDED_BEHIND);
    guarded c = guarded_create((size_t)(t->c_distance * t->panels) * 4, GUARDED_BEHIND);
    for (int32_t k = 0; k < t->depth; k++)
        ((float *)x.data)[k] = t->x[packed_at(t->rows, t->rows - 1, k)];
    memcpy(c.data, before, (size_t)(t->c_distance * t->panels) * 4);
    alone.x = x.data;
    alone.rows = 1;
    alone.c = (float *)c.data + line;
    kernels->multiply(&alone);
    for (int32_t p = 0; p < t->panels; p++)
        assert_memory_equal(alone.c + p * t->c_distance, t->c + line + p * t->c_distance,
                            (size_t)kernels->panel_columns * 4);
    guarded_destroy(&x);
    guarded_destroy(&c);
}

static void product_case(const attend__stage_kernels *kernels, attend_type type, int32_t rows,
                         int32_t panels, int32_t depth) {
    const int64_t columns = kernels->panel_columns, block = rows * columns;
    const int64_t c_floats = panels * (block + GAP);
    guarded x = numbers(depth > 0 ? packed_at(rows, rows - 1, depth - 1) + 1 : 0, ATTEND_F32);
    guarded w = numbers(panels * depth * columns, type);
    guarded c = numbers(c_floats, ATTEND_F32);
    float *const before = malloc((size_t)c_floats * 4);
    assert_non_null(before);
    memcpy(before, c.data, (size_t)c_floats * 4);
    const attend__tile t = {
        x.data, w.data, type,      depth * columns,     c.data, block + GAP, rows,
        panels, depth,  depth % 2, (const char *)x.data};
    kernels->multiply(&t);
    for (int64_t i = 0; i < c_floats; i++) {
        const int64_t p = i / t.c_distance, in = i % t.c_distance;
        if (in >= block) {
            assert_true(t.c[i] == before[i]);
            continue;
        }
        double size;
        const double start = t.add != 0 ? (double)before[i] : 0;
        const double want = start + product_of(&t, columns, (int32_t)(in / columns),
                                               p * columns + in % columns, &size);
        assert_true(fabs((double)t.c[i] - want) <=
                    u * (2 * sqrt(depth) + 8) * (size + fabs(start)));
    }
    check_alone(kernels, &t, before);
    free(before);
    guarded_destroy(&x);
    guarded_destroy(&w);
    guarded_destroy(&c);
}

static void products(const attend__stage_kernels *kernels) {
    static const int32_t depths[] = {0, 1, 2, 15, 17, 63, 64, 65, 127, 128, 129, 200};
    for (int32_t rows = 1; rows <= kernels->tile_rows; rows++) {
        for (int32_t panels = 1; panels <= 2 * ATTEND__GEMM_WIDEST + 1; panels++)
            for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++)
                product_case(kernels, types[(d + (size_t)panels) % 3], rows, panels, depths[d]);
    }
}

static void test_products(void **state) {
    (void)state;
    for_each_isa(products);
}

/* ---- what follows the product ---- */

/* Rows of a matrix from its second column on. */
typedef struct operand {
    guarded memory;
    char *first[16];
    attend__lines lines;
} operand;

static void make_operand(operand *o, attend_type type, int32_t rows, int32_t columns,
                         int64_t stride) {
    const int64_t row = (columns + 1) * stride;
    o->memory = numbers(rows * row - (stride - 1), type);
    for (int32_t r = 0; r < rows; r++)
        o->first[r] = (char *)o->memory.data + r * row * width(type);
    o->lines = (attend__lines){o->first, type, stride, 1};
}

static attend__span row_of(const operand *o, int32_t row) {
    const attend__lines *const l = &o->lines;
    const attend__span span = {l->rows[row] + l->column * l->stride * width(l->type), l->type,
                               l->stride};
    return span;
}

/* The row as its parts give it, in `y` (of the type of `out`). */
static void row_by_parts(const attend__stage_kernels *kernels, const attend__results *t,
                         const operand *multiplier, const operand *residual, int32_t row, char *y) {
    float sum[64], part[64], bias[64], m[64], r[64];
    const bool any = t->multiplier.rows != NULL || t->residual.rows != NULL;
    memcpy(sum, t->c + (int64_t)row * kernels->panel_columns, (size_t)t->columns * 4);
    if (t->bias.first != NULL) {
        kernels->widen(t->bias, t->columns, bias);
        kernels->combine(sum, NULL, bias, t->columns, sum);
    }
    kernels->activate(t->activation, sum, t->columns, part);
    if (t->multiplier.rows != NULL) kernels->widen(row_of(multiplier, row), t->columns, m);
    if (t->residual.rows != NULL) kernels->widen(row_of(residual, row), t->columns, r);
    if (any)
        kernels->combine(part, t->multiplier.rows != NULL ? m : NULL,
                         t->residual.rows != NULL ? r : NULL, t->columns, part);
    const attend__span to = {y, t->out.type, 1};
    kernels->narrow(part, t->columns, to);
}

static void finish_case(const attend__stage_kernels *kernels, int32_t rows, int32_t columns) {
    const uint64_t bits = random_bits();
    const attend_type type = types[bits % 3];
    operand bias, multiplier, residual, out;
    guarded c = numbers((int64_t)rows * kernels->panel_columns, ATTEND_F32);
    make_operand(&bias, type, 1, columns, 1 + (int64_t)(bits >> 8 & 1));
    make_operand(&multiplier, type, rows, columns, 1 + (int64_t)(bits >> 9 & 1));
    make_operand(&residual, type, rows, columns, 1 + (int64_t)(bits >> 10 & 1));
    make_operand(&out, type, rows, columns, 1 + (int64_t)(bits >> 11 & 1));
    attend__results t = {c.data, rows, columns, (attend_activation)(bits >> 16 & 7),
                         {0},    {0},  {0},     out.lines};
    if ((bits >> 12 & 1) != 0) t.bias = row_of(&bias, 0);
    if ((bits >> 13 & 1) != 0) t.multiplier = multiplier.lines;
    if ((bits >> 14 & 1) != 0) t.residual = residual.lines;
    if ((bits >> 15 & 1) != 0 && t.residual.rows != NULL) t.out = residual.lines;
    if (t.activation > ATTEND_TANH) t.activation = ATTEND_NO_ACTIVATION;
    char want[16 * 64 * 4];
    for (int32_t r = 0; r < rows; r++)
        row_by_parts(kernels, &t, &multiplier, &residual, r, want + r * 64 * 4);
    kernels->finish(&t);
    const operand *const result = t.out.rows == residual.first ? &residual : &out;
    for (int32_t r = 0; r < rows; r++) {
        const attend__span got = row_of(result, r);
        for (int32_t i = 0; i < columns; i++)
            assert_memory_equal(got.first + i * got.stride * width(type),
                                want + r * 64 * 4 + i * width(type), (size_t)width(type));
    }
    guarded_destroy(&c);
    guarded_destroy(&bias.memory);
    guarded_destroy(&multiplier.memory);
    guarded_destroy(&residual.memory);
    guarded_destroy(&out.memory);
}

static void finishes(const attend__stage_kernels *kernels) {
    for (int32_t columns = 1; columns <= kernels->panel_columns; columns++)
        for (int32_t i = 0; i < 40; i++)
            finish_case(kernels, 1 + i % kernels->tile_rows, columns);
}

static void test_finish(void **state) {
    (void)state;
    for_each_isa(finishes);
}

int main(void) {
    const char *const seed = getenv("ATTEND_TEST_SEED");
    state_of_random = seed != NULL ? strtoull(seed, NULL, 0) : 1;
    printf("ATTEND_TEST_SEED=%llu\n", (unsigned long long)state_of_random);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_panel),
        cmocka_unit_test(test_pack_rows),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
