/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows into lanes and back, the terms of a score and the bits of masks, of lane_kernels.h on every
 * instruction set this machine has, against the sentence that defines each: all types, strides and
 * tails, with guard pages at both ends of every row and matrix. */
#include "lane_data.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

enum { LONGEST = 70 };

static int most_vectors(const attend__lane_kernels *k) {
    return k->lane_rows / k->lanes;
}

static int vectors_for(const attend__lane_kernels *k, int rows) {
    return (rows + k->lanes - 1) / k->lanes;
}

/* ---- rows in memory ------------------------------------------------------------------------- */

typedef struct lines {
    guarded memory[ATTEND__LANE_ROWS_MOST];
    char *first[ATTEND__LANE_ROWS_MOST];
    attend__lane_rows rows;
} lines;

static float element(const lines *l, int r, int64_t i) {
    const char *const at = l->first[r] + i * l->rows.stride * (l->rows.type == ATTEND_F32 ? 4 : 2);
    uint16_t half;
    float x;
    memcpy(&half, at, sizeof half);
    if (l->rows.type == ATTEND_F16) return attend__f16_to_f32(half);
    if (l->rows.type == ATTEND_BF16) return attend__bf16_to_f32(half);
    memcpy(&x, at, sizeof x);
    return x;
}

static void put(const lines *l, int r, int64_t i, float x) {
    char *const at = l->first[r] + i * l->rows.stride * (l->rows.type == ATTEND_F32 ? 4 : 2);
    const uint16_t half =
        l->rows.type == ATTEND_F16 ? attend__f32_to_f16(x) : attend__f32_to_bf16(x);
    if (l->rows.type == ATTEND_F32)
        memcpy(at, &x, sizeof x);
    else
        memcpy(at, &half, sizeof half);
}

static void lines_create(lines *l, attend_type type, int count, int64_t stride, int64_t n) {
    const int64_t bytes = type == ATTEND_F32 ? 4 : 2, extent = n > 0 ? (n - 1) * stride + 1 : 0;
    l->rows = (attend__lane_rows){l->first, type, count, stride, n};
    for (int r = 0; r < count; r++) {
        l->memory[r] = guarded_create((size_t)(extent * bytes),
                                      lane_random_in(0, 1) ? GUARDED_BEHIND : GUARDED_BEFORE);
        l->first[r] = l->memory[r].data;
        for (int64_t i = 0; i < n; i++)
            put(l, r, i, lane_random_float());
    }
}

static void lines_free(lines *l) {
    for (int r = 0; r < l->rows.count; r++)
        guarded_destroy(&l->memory[r]);
}

/* Every count and length in turn; types and strides by chance. */
static void random_lines(lines *l, const attend__lane_kernels *k, int round) {
    static const int64_t strides[] = {1, 1, 2, 3, 7};
    lines_create(l, (attend_type)lane_random_in(ATTEND_F32, ATTEND_BF16), 1 + round % k->lane_rows,
                 strides[lane_random_in(0, 4)],
                 round < 2 * LONGEST ? round / 2 : lane_random_in(0, LONGEST));
}

static void test_pack_rows(void **unused) {
    (void)unused;
    static lines l;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 300; round++) {
            random_lines(&l, k, round);
            const int used = vectors_for(k, l.rows.count) * k->lanes;
            floats to = lanes_of(k, l.rows.n, vectors_for(k, l.rows.count));
            k->prefetch_rows(&l.rows);
            k->pack_rows(&l.rows, to.x);
            for (int64_t i = 0; i < l.rows.n; i++)
                for (int r = 0; r < used; r++)
                    expect_bits(to.x[i * k->lane_rows + r],
                                r < l.rows.count ? element(&l, r, i) : 0.0f, "pack_rows");
            floats_free(&to, NULL);
            lines_free(&l);
        }
    }
}

static float rounded(attend_type type, float x) {
    if (type == ATTEND_F16) return attend__f16_to_f32(attend__f32_to_f16(x));
    return type == ATTEND_BF16 ? attend__bf16_to_f32(attend__f32_to_bf16(x)) : x;
}

/* Numbers of every kind; a factor of 0 hides them. */
static float any_number(void) {
    static const float numbers[] = {0.0f,      -0.0f,  INFINITY, -INFINITY, 3e38f,
                                    -70000.0f, 1e-40f, -1e-7f,   0x1p-126f, 65519.9f};
    const int i = lane_random_in(0, 40);
    return i < 10 ? numbers[i] : i == 10 ? NAN : lane_random_float();
}

static void test_unpack_rows(void **unused) {
    (void)unused;
    static lines l;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 300; round++) {
            random_lines(&l, k, round);
            const int vectors = vectors_for(k, l.rows.count), used = vectors * k->lanes;
            floats from = lanes_of(k, l.rows.n, vectors);
            floats factor = random_floats(used), tail = random_floats(used);
            const bool whole = lane_random_in(0, 2) == 0;
            for (int64_t i = 0; i < l.rows.n; i++)
                for (int r = 0; r < used; r++)
                    from.x[i * k->lane_rows + r] = any_number();
            for (int r = 0; r < used; r += 3) {
                factor.x[r] = r % 2 ? 0.0f : -0.0f;
                tail.x[r] = NAN;
            }
            for (int r = 1; r < used; r += 3)
                tail.x[r] = 1.0f;
            k->unpack_rows(from.x, whole ? NULL : factor.x, whole ? NULL : tail.x, &l.rows);
            for (int64_t i = 0; i < l.rows.n; i++)
                for (int r = 0; r < l.rows.count; r++) {
                    const float x = from.x[i * k->lane_rows + r];
                    const float scaled = x * factor.x[r] * tail.x[r] + 0.0f;
                    const float want = rounded(l.rows.type, whole                 ? x
                                                            : factor.x[r] == 0.0f ? 0.0f
                                                                                  : scaled);
                    const float got = element(&l, r, i);
                    if (isnan(want))
                        assert_true(isnan(got));
                    else if (want == 0.0f) /* a product below all numbers may keep its sign */
                        assert_true(got == 0.0f);
                    else
                        expect_bits(got, want, "unpack_rows");
                }
            floats_free(&from, &factor);
            floats_free(&tail, NULL);
            lines_free(&l);
        }
    }
}

/* What lies between the elements of a row belongs to others. */
static void test_unpack_gaps(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int stride = 2; stride < 4; stride++) {
            uint16_t line[3 * 33];
            char *first[1] = {(char *)line};
            floats from = random_lanes(k, 33, 1);
            const attend__lane_rows rows = {first, ATTEND_F16, 1, stride, 33};
            memset(line, 0x5a, sizeof line);
            k->unpack_rows(from.x, NULL, NULL, &rows);
            for (int i = 0; i < 3 * 33; i++)
                assert_true((line[i] == 0x5a5a) == (i % stride != 0 || i >= 33 * stride));
            floats_free(&from, NULL);
        }
    }
}

static void test_add_rows(void **unused) {
    (void)unused;
    static lines l;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 300; round++) {
            random_lines(&l, k, round);
            const int vectors = vectors_for(k, l.rows.count);
            floats x = lanes_of(k, l.rows.n, vectors), before = lanes_of(k, l.rows.n, vectors);
            for (int64_t i = 0; i < l.rows.n; i++)
                for (int r = 0; r < vectors * k->lanes; r++) {
                    const int64_t at = i * k->lane_rows + r;
                    x.x[at] = before.x[at] = any_number();
                    if (r < l.rows.count && lane_random_in(0, 5) == 0)
                        put(&l, r, i, lane_random_in(0, 1) ? -INFINITY : NAN);
                }
            k->add_rows(&l.rows, x.x);
            for (int64_t i = 0; i < l.rows.n; i++)
                for (int r = 0; r < l.rows.count; r++) {
                    const float b = element(&l, r, i), got = x.x[i * k->lane_rows + r];
                    const float want = b == -INFINITY ? b : before.x[i * k->lane_rows + r] + b;
                    assert_true(isnan(want) ? isnan(got) : got == want);
                }
            floats_free(&x, &before);
            lines_free(&l);
        }
    }
}

static void test_finite_rows(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 300; round++) {
            const int vectors = 1 + round % most_vectors(k), n = round / 3;
            const int used = vectors * k->lanes;
            floats x = random_lanes(k, n, vectors);
            bool bad[ATTEND__LANE_ROWS_MOST] = {false}, finite[ATTEND__LANE_ROWS_MOST];
            for (int r = 0; r < used && n > 0; r += lane_random_in(1, 9)) {
                const float other = r % 3 == 0 ? NAN : r % 3 == 1 ? INFINITY : -INFINITY;
                bad[r] = r % 4 != 3;
                x.x[lane_random_in(0, n - 1) * k->lane_rows + r] = bad[r] ? other : 3.4e38f;
            }
            k->finite_rows(x.x, n, vectors, finite);
            for (int r = 0; r < used; r++)
                assert_true(finite[r] == !bad[r]);
            floats_free(&x, NULL);
        }
    }
}

/* ---- terms of a score ----------------------------------------------------------------------- */

static void expect_close(float got, double expected, double bound, const char *what) {
    if (isnan(expected) ? isnan(got) : fabs((double)got - expected) <= bound) return;
    print_message("%s: %.9g instead of %.9g, bound %.3g\n", what, (double)got, expected, bound);
    fail();
}

typedef struct scores {
    int count, vectors;
    floats x, before;
} scores;

static scores random_scores(const attend__lane_kernels *k, int round) {
    scores s = {.count = 1 + round % ATTEND__LANE_KEYS, .vectors = 1 + round % most_vectors(k)};
    s.x = random_lanes(k, s.count, s.vectors);
    s.before = lanes_of(k, s.count, s.vectors);
    for (int j = 0; j < s.count; j++)
        for (int r = 0; r < s.vectors * k->lanes; r++) {
            const int64_t at = j * k->lane_rows + r;
            const int kind = lane_random_in(0, 99);
            if (kind < 3) s.x.x[at] = kind == 0 ? NAN : kind == 1 ? -INFINITY : -1e30f;
            s.before.x[at] = s.x.x[at];
        }
    return s;
}

static void test_terms(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 400; round++) {
            scores s = random_scores(k, round);
            const int kind = round % 4, used = s.vectors * k->lanes;
            const float factor = lane_random_float(), cap = 0.5f + fabsf(lane_random_float());
            floats slope = random_floats(used), place = random_floats(used);
            if (kind == 0) k->scale(s.x.x, s.count, s.vectors, factor);
            if (kind == 1) k->cap(s.x.x, s.count, s.vectors, cap);
            if (kind == 2) k->slope(s.x.x, s.count, s.vectors, slope.x, place.x);
            if (kind == 3) k->cap(s.x.x, s.count, s.vectors, 1e37f); /* changes nothing */
            for (int j = 0; j < s.count; j++)
                for (int r = 0; r < used; r++) {
                    const float got = s.x.x[j * k->lane_rows + r];
                    const double x = (double)s.before.x[j * k->lane_rows + r];
                    const double apart = fabs((double)place.x[r] - j), by = (double)slope.x[r];
                    if (kind % 2 == 0 && isinf(x)) {
                        assert_true(isinf(got));
                        continue;
                    }
                    const double want = kind == 0   ? x * (double)factor
                                        : kind == 1 ? (double)cap * tanh(x / (double)cap)
                                        : kind == 2 ? x - by * apart
                                        : isinf(x)  ? -(double)1e37f
                                                    : x;
                    const double size = kind == 2 ? fabs(x) + fabs(by) * apart : fabs(want);
                    expect_close(got, want, (kind == 3 ? 0 : 0x1p-24 * (kind == 1 ? 6 : 3)) * size,
                                 "term");
                }
            floats_free(&slope, &place);
            floats_free(&s.x, &s.before);
        }
    }
}

static void test_weigh(void **unused) {
    (void)unused;
    static const float factors[] = {0x1.715476p+0f, 0.01f, 1e-29f};
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 300; round++) {
            scores s = random_scores(k, round);
            const int used = s.vectors * k->lanes;
            const float factor = factors[round % 3];
            floats reference = random_floats(used), by = random_floats(used);
            for (int r = 0; r < used; r++) {
                reference.x[r] += 4.0f;
                if (r % 7 == 3) by.x[r] = 0.0f;
                if (r % 11 == 10) by.x[r] = NAN;
            }
            k->weigh(s.x.x, s.count, s.vectors, factor, reference.x, by.x);
            for (int j = 0; j < s.count; j++)
                for (int r = 0; r < used; r++) {
                    const float x = s.before.x[j * k->lane_rows + r];
                    const double below = (double)factor * (double)(x - reference.x[r]);
                    const double want = x == -INFINITY ? 0 : exp2(below) * (double)by.x[r];
                    const double fused = k->lanes == 1 ? 2 * fabs(below) : 0;
                    expect_close(s.x.x[j * k->lane_rows + r], want,
                                 want == 0 ? 0 : 0x1p-24 * (5 + fused) * fabs(want) + 0x1p-125,
                                 "weigh");
                }
            floats_free(&reference, &by);
            floats_free(&s.x, &s.before);
        }
    }
}

static void test_keep(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        for (int round = 0; round < 400; round++) {
            scores s = random_scores(k, round);
            const int used = s.vectors * k->lanes, words = (s.count + 31) / 32;
            const bool all = round % 5 == 0, zero = round % 7 == 0;
            floats bits = lanes_of(k, words, s.vectors), highest = random_floats(used);
            float before[ATTEND__LANE_ROWS_MOST];
            for (int r = 0; r < used; r++) {
                if (r % 3) highest.x[r] = -INFINITY;
                before[r] = highest.x[r];
            }
            uint32_t *const keep = (uint32_t *)(void *)bits.x;
            for (int w = 0; w < words; w++)
                for (int r = 0; r < used; r++)
                    keep[w * k->lane_rows + r] = (uint32_t)lane_random_in(0, 0xffff) << 16 |
                                                 (uint32_t)lane_random_in(0, 0xffff);
            const attend__lane_keep how = {.scores = s.x.x,
                                           .highest = highest.x,
                                           .bits = all ? NULL : keep,
                                           .other = zero ? 0.0f : -INFINITY,
                                           .vectors = s.vectors,
                                           .count = s.count};
            k->keep(&how);
            for (int r = 0; r < used; r++) {
                float most = before[r];
                for (int j = 0; j < s.count; j++) {
                    const float x = s.before.x[j * k->lane_rows + r];
                    const bool kept = all || (keep[j / 32 * k->lane_rows + r] >> j % 32 & 1);
                    expect_bits(s.x.x[j * k->lane_rows + r], kept ? x : how.other, "keep");
                    most = kept && x > most ? x : most;
                }
                assert_true(zero || highest.x[r] == most);
            }
            floats_free(&bits, &highest);
            floats_free(&s.x, &s.before);
        }
    }
}

static void test_bits_of_bytes(void **unused) {
    (void)unused;
    static const uint8_t values[] = {0, 0, 1, 2, 128, 255};
    for (int t = 0; t < lane_table_count; t++)
        for (int n = 1; n <= ATTEND__LANE_KEYS; n++)
            for (int stride = 0; stride <= 3; stride++) {
                guarded memory =
                    guarded_create((size_t)((n - 1) * stride + 1), (guarded_side)(n % 2));
                guarded words =
                    guarded_create((size_t)((n + 31) / 32) * sizeof(uint32_t), GUARDED_BEHIND);
                uint8_t *const bytes = memory.data;
                uint32_t *const bits = words.data;
                for (int i = 0; i < n; i++)
                    bytes[i * stride] = values[lane_random_in(0, 5)];
                lane_tables[t]->bits_of_bytes(bytes, stride, n, bits);
                for (int i = 0; i < (n + 31) / 32 * 32; i++)
                    assert_int_equal(bits[i / 32] >> i % 32 & 1, i < n && bytes[i * stride] != 0);
                guarded_destroy(&memory);
                guarded_destroy(&words);
            }
}

int main(int argc, char **argv) {
    lane_start(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_rows),     cmocka_unit_test(test_unpack_rows),
        cmocka_unit_test(test_unpack_gaps),   cmocka_unit_test(test_add_rows),
        cmocka_unit_test(test_finite_rows),   cmocka_unit_test(test_terms),
        cmocka_unit_test(test_weigh),         cmocka_unit_test(test_keep),
        cmocka_unit_test(test_bits_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
