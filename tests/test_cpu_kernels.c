/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of attention of few rows, of every instruction set this machine has, against the
 * sentence that defines each, in double or plain C: all tails around the tiles, strides, types,
 * guard pages at both ends of every buffer. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "cpu_kernels.h"
#include "guarded.h"
#include "isas.h"

static const attend__cpu_kernels *tables[ISA_COUNT];
static int table_count;
static uint64_t seed = 20240607, state;

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static float random_float(void) {
    return (float)(int32_t)random_bits() * 0x1p-30f;
}

static int random_in(int from, int to) {
    return from + (int)(random_bits() % (uint32_t)(to - from + 1));
}

/* Guarded floats; the side alternates, so that every buffer meets both. */
typedef struct floats {
    guarded memory;
    float *x;
} floats;

static floats floats_of(int64_t count) {
    const guarded_side side = random_bits() & 1 ? GUARDED_BEHIND : GUARDED_BEFORE;
    floats f = {guarded_create((size_t)count * sizeof(float), side), NULL};
    f.x = f.memory.data;
    return f;
}

static floats random_floats(int64_t count) {
    floats f = floats_of(count);
    for (int64_t i = 0; i < count; i++)
        f.x[i] = random_float();
    return f;
}

/* count elements of a type, `stride` apart, and what they are as floats. */
typedef struct elements {
    guarded memory;
    attend__span span;
    float value[640];
} elements;

static void elements_create(elements *e, attend_type type, int64_t stride, int count) {
    const size_t bytes = type == ATTEND_F32 ? 4 : 2;
    const size_t extent = count > 0 ? (size_t)((count - 1) * stride + 1) : 0;
    e->memory = guarded_create(extent * bytes, random_bits() & 1 ? GUARDED_BEHIND : GUARDED_BEFORE);
    e->span.first = e->memory.data;
    e->span.type = type;
    e->span.stride = stride;
    for (int i = 0; i < count; i++) {
        const float x = random_float();
        void *const at = e->span.first + (size_t)(i * stride) * bytes;
        const uint16_t half = type == ATTEND_F16 ? attend__f32_to_f16(x) : attend__f32_to_bf16(x);
        if (type == ATTEND_F32)
            memcpy(at, &x, sizeof x);
        else
            memcpy(at, &half, sizeof half);
        e->value[i] = type == ATTEND_F32   ? x
                      : type == ATTEND_F16 ? attend__f16_to_f32(half)
                                           : attend__bf16_to_f32(half);
    }
}

static void expect_bits(float got, float expected, const char *what) {
    if (memcmp(&got, &expected, sizeof got) == 0) return;
    print_message("%s: %.9g instead of %.9g\n", what, (double)got, (double)expected);
    fail();
}

static void expect_near(double got, double expected, double bound, const char *what) {
    if (fabs(got - expected) <= bound) return;
    print_message("%s: %.9g instead of %.9g, bound %.3g\n", what, got, expected, bound);
    fail();
}

static const double unit = 0x1p-24;

/* ---- packing -------------------------------------------------------------------------------- */

static void test_pack_strip(void **unused) {
    (void)unused;
    static elements rows[ATTEND__STRIP_MOST];
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        for (int round = 0; round < 200; round++) {
            const int count = random_in(1, k->strip_rows),
                      depth = round < 70 ? round : random_in(1, 300);
            const attend_type type = (attend_type)random_in(ATTEND_F32, ATTEND_BF16);
            const int64_t stride = random_in(1, 3);
            attend__span spans[ATTEND__STRIP_MOST];
            for (int r = 0; r < count; r++) {
                elements_create(&rows[r], type, stride, depth);
                spans[r] = rows[r].span;
            }
            floats strip = floats_of((int64_t)depth * k->strip_rows);
            k->pack_strip(spans, count, depth, strip.x);
            for (int d = 0; d < depth; d++)
                for (int r = 0; r < k->strip_rows; r++)
                    expect_bits(strip.x[d * k->strip_rows + r], r < count ? rows[r].value[d] : 0.0f,
                                "pack_strip");
            for (int r = 0; r < count; r++)
                guarded_destroy(&rows[r].memory);
            guarded_destroy(&strip.memory);
        }
    }
}

/* ---- products ------------------------------------------------------------------------------- */

/* Rows that a kernel may write beyond `rows`: what its contract allows. */
static int64_t strip_floats(const attend__attention_kernels *k, int64_t stride, int64_t last_row) {
    return (k->strip_rows - 1) * stride + last_row;
}

static void test_dots(void **unused) {
    (void)unused;
    const int depths[] = {0, 1, 2, 63, 64, 65, 80, 128, 129, 257};
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        const int lanes = k->lanes, most = 2 * 4 + 1;
        for (int rows = 1; rows <= k->strip_rows; rows++) {
            for (int panels = 1; panels <= most; panels++) {
                const int depth = depths[(rows * most + panels) % 10], columns = panels * lanes;
                floats strip = random_floats((int64_t)depth * k->strip_rows);
                floats keys = random_floats((int64_t)depth * columns);
                floats scores = floats_of(strip_floats(k, ATTEND__SCORE_STRIDE, columns));
                const float scale = random_float();
                const attend__dots dots = {strip.x, keys.x, scores.x, depth, rows, panels, scale};
                k->dots(&dots);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++) {
                        double sum = 0, size = 0;
                        for (int d = 0; d < depth; d++) {
                            const double a = (double)strip.x[d * k->strip_rows + r];
                            const double b =
                                (double)
                                    keys.x[(int64_t)(c / lanes * depth + d) * lanes + c % lanes];
                            sum += a * b;
                            size += fabs(a * b);
                        }
                        const double bound =
                            unit * (2 * sqrt(depth) + 8) * size * fabs((double)scale);
                        expect_near((double)scores.x[r * ATTEND__SCORE_STRIDE + c],
                                    (double)scale * sum, bound, "dots");
                    }
                guarded_destroy(&strip.memory);
                guarded_destroy(&keys.memory);
                guarded_destroy(&scores.memory);
            }
        }
    }
}

/* A row's bits are the same alone, in any company, and in any place of the strip. */
static void test_company(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; t++) {
        const attend__attention_kernels *const k = tables[t]->attention;
        const int depth = 100, panels = 5, strip = k->strip_rows, columns = panels * k->lanes;
        floats all = random_floats((int64_t)depth * strip),
               keys = random_floats((int64_t)depth * columns);
        floats one = floats_of((int64_t)depth * strip);
        floats expected = floats_of(strip_floats(k, ATTEND__SCORE_STRIDE, columns));
        floats scores = floats_of(strip_floats(k, ATTEND__SCORE_STRIDE, columns));
        const attend__dots together = {all.x, keys.x, expected.x, depth, strip, panels, 0.3f};
        k->dots(&together);
        for (int rows = 1; rows <= strip; rows++) {
            for (int d = 0; d < depth; d++)
                for (int r = 0; r < strip; r++)
                    one.x[d * strip + r] = r < rows ? all.x[d * strip + (r + 1) % strip] : 0.0f;
            for (int p = 0; p < panels; p++) { /* panel by panel, another tile width */
                const attend__dots dots = {one.x,
                                           keys.x + (int64_t)p * depth * k->lanes,
                                           scores.x + p * k->lanes,
                                           depth,
                                           rows,
                                           1,
                                           0.3f};
                k->dots(&dots);
            }
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < columns; c++)
                    expect_bits(scores.x[r * ATTEND__SCORE_STRIDE + c],
                                expected.x[(r + 1) % strip * ATTEND__SCORE_STRIDE + c], "company");
        }
        guarded_destroy(&all.memory);
        guarded_destroy(&keys.memory);
        guarded_destroy(&one.memory);
        guarded_destroy(&expected.memory);
        guarded_destroy(&scores.memory);
    }
}

static void choose_tables(void) {
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const attend__cpu_kernels *const found = attend__cpu_select(isas[i]);
        if (found != NULL && strcmp(found->isa, isas[i]) == 0)
            tables[table_count++] = found;
        else
            print_message("skipped: this machine has no %s\n", isas[i]);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) sscanf(argv[1], "%" SCNu64, &seed);
    state = seed;
    print_message("seed %" PRIu64 "\n", seed);
    choose_tables();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_strip),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
