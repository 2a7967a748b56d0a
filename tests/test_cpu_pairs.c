/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of pair_kernels.h against the sentences that define them, bit by bit: all tails
 * around the tiles, odd numbers of elements and keys, guard pages at both ends of every buffer. */
#include "lane_data.h"

#include <math.h>
#include <string.h>

#include "base/half.h"

static const attend__cpu_kernels *table;

static float flushed(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

/* Elements of bfloat16 that end with the page behind them, or begin with the one before. */
typedef struct halves {
    floats memory;
    uint16_t *x;
} halves;

static halves random_halves(int64_t count) {
    halves h = {.memory = floats_of((count + 1) / 2)};
    h.x = (uint16_t *)(void *)h.memory.x;
    if (count % 2 != 0 && lane_random_in(0, 1)) h.x++; /* the last one ends the memory */
    for (int64_t i = 0; i < count; i++)
        h.x[i] = attend__f32_to_bf16(lane_random_float());
    return h;
}

static float half_at(const halves *h, int64_t i) {
    return attend__bf16_to_f32(h->x[i]);
}

static void expect_pair(float got, uint16_t even, uint16_t odd, const char *what) {
    const uint32_t pair = (uint32_t)odd << 16 | even;
    float expected;
    memcpy(&expected, &pair, sizeof expected);
    expect_bits(got, expected, what);
}

/* ---- rows become pairs ----------------------------------------------------------------------- */

static uint16_t rounded(const float *x) {
    return x == NULL ? 0 : attend__f32_to_bf16(flushed(*x));
}

static void check_join(int vectors, int n) {
    const int rows = table->lanes->lane_rows, used = vectors * table->lanes->lanes;
    const int pairs = (n + 1) / 2;
    floats from = random_lanes(table->lanes, n, vectors);
    floats to = lanes_of(table->lanes, pairs, vectors);
    static const float ends[] = {0.0f, -0.0f, 0x1p-130f, 0x1p-126f, 0x1.01p0f, 0x1.03p0f, INFINITY};
    for (int j = 0; j < n; j++)
        from.x[j * rows + j % used] = ends[j % 7];
    const attend__pair_join join = {from.x, to.x, n, vectors};
    table->pairs->join(&join);
    for (int i = 0; i < pairs; i++)
        for (int r = 0; r < used; r++) {
            const float *const low = &from.x[2 * i * rows + r];
            expect_pair(to.x[i * rows + r], rounded(low),
                        rounded(2 * i + 1 == n ? NULL : low + rows), "join");
        }
    floats_free(&from, &to);
}

static void test_join(void **unused) {
    (void)unused;
    for (int vectors = 1; vectors <= 3; vectors++)
        for (int n = 0; n < 40; n++)
            check_join(vectors, n);
}

static void test_too_far(void **unused) {
    (void)unused;
    static const struct {
        float x;
        bool far;
    } cases[] = {{0.0f, false},        {-0.0f, false},    {0x1p-126f, false}, {0x1.fcp63f, false},
                 {-0x1.fcp63f, false}, {0x1p-127f, true}, {-0x1p-133f, true}, {0x1p64f, true},
                 {-0x1p127f, true},    {INFINITY, true},  {NAN, true}};
    const int rows = table->lanes->lane_rows;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int vectors = 1; vectors <= 3; vectors++) {
            const int used = vectors * table->lanes->lanes, at = lane_random_in(0, used - 1);
            const int depth = lane_random_in(1, 70);
            floats queries = random_lanes(table->lanes, depth, vectors);
            bool far[ATTEND__LANE_ROWS_MOST];
            queries.x[lane_random_in(0, depth - 1) * rows + at] = cases[c].x;
            table->pairs->too_far(queries.x, depth, vectors, far);
            for (int r = 0; r < used; r++)
                assert_int_equal(far[r], r == at && cases[c].far);
            floats_free(&queries, NULL);
        }
}

/* ---- scores ---------------------------------------------------------------------------------- */

static float element(const halves *queries, int64_t d, int r, int used) {
    return half_at(queries, d * used + r);
}

/* What one lane has to give: partials of 64 elements, the odd one of a pair first. */
static float chain(const halves *queries, int r, int used, const halves *keys, int64_t key,
                   int depth) {
    float all = 0.0f;
    for (int begin = 0; begin == 0 || begin < depth; begin += 64) {
        const int end = depth - begin > 64 ? begin + 64 : depth;
        float sum = 0.0f;
        for (int d = begin; d < end; d += 2) {
            if (d + 1 < end)
                sum = fmaf(element(queries, d + 1, r, used), half_at(keys, key + d + 1), sum);
            sum = fmaf(element(queries, d, r, used), half_at(keys, key + d), sum);
        }
        all = begin == 0 ? sum : all + sum;
    }
    return all;
}

static void check_dots(int vectors, int count, int depth) {
    const int rows = table->lanes->lane_rows, used = vectors * table->lanes->lanes;
    const int64_t stride = depth + lane_random_in(0, 3), pairs = (depth + 1) / 2;
    halves elements = random_halves((int64_t)depth * used);
    halves keys = random_halves(depth > 0 && count > 0 ? (count - 1) * stride + depth : 0);
    floats queries = lanes_of(table->lanes, pairs, vectors);
    floats scores = lanes_of(table->lanes, count, vectors), highest = random_floats(used);
    float before[ATTEND__LANE_ROWS_MOST];
    memcpy(before, highest.x, (size_t)used * sizeof *before);
    for (int64_t d = 0; d < 2 * pairs; d++)
        for (int r = 0; r < used; r++)
            ((uint16_t *)(void *)queries.x)[(d / 2 * rows + r) * 2 + d % 2] =
                d < depth ? elements.x[d * used + r] : 0;
    const attend__lane_dots dots = {.queries = queries.x,
                                    .keys = keys.x,
                                    .scores = scores.x,
                                    .highest = depth % 3 ? highest.x : NULL,
                                    .key_stride = stride,
                                    .depth_stride = 1,
                                    .depth = depth,
                                    .vectors = vectors,
                                    .count = count,
                                    .ahead = {lane_random_in(0, 1) << 20, 1, 3}};
    table->pairs->dots(&dots);
    for (int r = 0; r < used; r++) {
        float most = before[r];
        for (int j = 0; j < count; j++) {
            const float expected = chain(&elements, r, used, &keys, j * stride, depth);
            expect_bits(scores.x[j * rows + r], expected, "dots");
            most = depth % 3 && expected > most ? expected : most;
        }
        assert_true(highest.x[r] == most);
    }
    floats_free(&elements.memory, &keys.memory);
    floats_free(&queries, &scores);
    floats_free(&highest, NULL);
}

static void test_dots(void **unused) {
    (void)unused;
    static const int depths[] = {0, 1, 2, 3, 31, 32, 33, 40, 63, 64, 65, 80, 127, 128, 129, 257};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++)
        for (int vectors = 1; vectors <= 3; vectors++)
            for (int count = 0; count < 20; count++)
                check_dots(vectors, count, depths[i]);
    check_dots(3, ATTEND__LANE_KEYS, 80);
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* Half a unit of bfloat16, and what the kernel may be off besides. */
static const double weight_error = 0x1p-8 + 0x1p-12;

static void check_softened(const floats *scores, const attend__pair_soften *t, int r,
                           double before_sum, double before_highest) {
    const int rows = table->lanes->lane_rows, pairs = (t->of.count + t->shift + 1) / 2;
    const uint16_t *const weights = (const uint16_t *)(const void *)t->of.scores;
    const double highest = (double)t->of.highest[r], factor = (double)t->of.factor;
    double most = before_highest, sum = 0;
    for (int j = 0; j < t->of.count; j++) { /* by fmax gcc 12 for 64-bit ARM fails */
        const double score = (double)scores->x[j * rows + r];
        most = score > most ? score : most;
    }
    assert_true(highest == most);
    for (int k = 0; k < 2 * pairs; k++) {
        const int j = k - t->shift;
        const bool real = j >= 0 && j < t->of.count;
        const double score = real ? (double)scores->x[j * rows + r] : -(double)INFINITY;
        const double expected = most == -(double)INFINITY ? 0 : exp2(factor * (score - most));
        const float got = attend__bf16_to_f32(weights[2 * (k / 2 * rows + r) + k % 2]);
        if (isfinite(score) && score == most) assert_true(got == 1.0f);
        expect_near((double)got, expected, expected * weight_error + 0x1p-126, "weight");
        sum += expected;
    }
    const double shrink = before_highest == most || most == -(double)INFINITY
                              ? 1
                              : exp2(factor * (before_highest - most));
    if (most > -(double)INFINITY)
        expect_near((double)t->of.shrink[r], shrink, shrink * 0x1p-16, "shrink");
    sum += before_sum * shrink;
    expect_near((double)t->of.sum[r], sum, sum * 0x1p-12, "sum");
}

static void check_soften(int vectors, int count, int shift) {
    const int rows = table->lanes->lane_rows, used = vectors * table->lanes->lanes;
    floats scores = random_lanes(table->lanes, count + 1, vectors);
    floats original = lanes_of(table->lanes, count + 1, vectors);
    floats highest = random_floats(used), sum = random_floats(used);
    floats shrink = random_floats(used), block = floats_of(used);
    float before[2][ATTEND__LANE_ROWS_MOST];
    for (int r = 0; r < used; r++) {
        block.x[r] = -INFINITY;
        if (r % 5 == 0) highest.x[r] = -INFINITY;
        sum.x[r] = r % 5 == 0 ? 0.0f : fabsf(sum.x[r]);
        for (int j = 0; j < count; j++) {
            float *const x = &scores.x[j * rows + r];
            *x = (r + j) % 7 == 0 || r % 10 == 0 ? -INFINITY : *x * (r % 3 ? 1.0f : 40.0f);
            original.x[j * rows + r] = *x;
            block.x[r] = fmaxf(block.x[r], *x);
        }
        before[0][r] = sum.x[r];
        before[1][r] = highest.x[r];
    }
    const attend__pair_soften soften = {.of = {.scores = scores.x,
                                               .block_highest = block.x,
                                               .highest = highest.x,
                                               .sum = sum.x,
                                               .shrink = shrink.x,
                                               .factor = 1.5f,
                                               .vectors = vectors,
                                               .count = count},
                                        .shift = shift};
    table->pairs->soften(&soften);
    for (int r = 0; r < used; r++)
        check_softened(&original, &soften, r, (double)before[0][r], (double)before[1][r]);
    floats_free(&scores, &original);
    floats_free(&highest, &sum);
    floats_free(&shrink, &block);
}

static void test_soften(void **unused) {
    (void)unused;
    for (int vectors = 1; vectors <= 3; vectors++)
        for (int count = 1; count < 20; count++)
            for (int shift = 0; shift < 2; shift++)
                check_soften(vectors, count, shift);
    check_soften(3, ATTEND__LANE_KEYS - 1, 1);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void check_values(int columns, int first, int count) {
    const int64_t pairs = (first + count + 1) / 2;
    const char *rows[ATTEND__LANE_KEYS];
    halves memory = random_halves((int64_t)columns * count);
    floats to = floats_of(pairs * columns);
    for (int j = 0; j < count; j++)
        rows[j] = (const char *)(memory.x + (int64_t)j * columns);
    const attend__pair_values values = {rows, to.x, columns, first, count};
    table->pairs->values(&values);
    for (int64_t i = first / 2; i < pairs && count > 0; i++)
        for (int e = 0; e < columns; e++) {
            const int64_t low = 2 * i - first, high = low + 1;
            expect_pair(to.x[i * columns + e], low >= 0 ? memory.x[low * columns + e] : 0,
                        high < count ? memory.x[high * columns + e] : 0, "values");
        }
    floats_free(&memory.memory, &to);
}

static void test_values(void **unused) {
    (void)unused;
    for (int columns = 1; columns < 40; columns++)
        for (int first = 0; first < 5; first++)
            check_values(columns, first, lane_random_in(0, ATTEND__LANE_KEYS - first));
    check_values(64, 0, ATTEND__LANE_KEYS);
}

/* Weights beyond the end of a vector are NaN: they are nobody's. */
static void check_mix(int vectors, int columns, int longest) {
    const int rows = table->lanes->lane_rows, lanes = table->lanes->lanes, used = vectors * lanes;
    const int64_t stride = columns + lane_random_in(0, 3);
    halves w = random_halves((int64_t)longest * 2 * rows);
    halves v = random_halves(longest > 0 ? ((longest - 1) * stride + columns) * 2 : 0);
    floats out = random_lanes(table->lanes, columns, vectors), shrink = random_floats(used);
    floats before = lanes_of(table->lanes, columns, vectors);
    attend__lane_mix mix = {.weights = w.memory.x,
                            .values = v.memory.x,
                            .shrink = shrink.x,
                            .out = out.x,
                            .value_stride = stride,
                            .columns = columns,
                            .vectors = vectors,
                            .fresh = lane_random_in(0, 2) == 0};
    for (int i = vectors - 1; i >= 0; i--)
        mix.ends[i] = i == vectors - 1 ? longest : lane_random_in(0, mix.ends[i + 1]);
    for (int j = 0; j < longest; j++)
        for (int r = 0; r < used; r++)
            if (j >= mix.ends[r / lanes]) w.memory.x[j * rows + r] = NAN;
    for (int e = 0; e < columns; e++)
        for (int r = 0; r < used; r++)
            before.x[e * rows + r] = mix.fresh ? 0.0f : out.x[e * rows + r];
    table->pairs->mix(&mix);
    for (int e = 0; e < columns; e++)
        for (int r = 0; r < used; r++) {
            float sum = 0.0f;
            for (int j = 0; j < 2 * mix.ends[r / lanes]; j++) {
                const int k = j ^ 1; /* the odd key of a pair first */
                sum = fmaf(half_at(&w, 2 * (k / 2 * rows + r) + k % 2),
                           half_at(&v, 2 * (k / 2 * stride + e) + k % 2), sum);
            }
            expect_bits(out.x[e * rows + r], fmaf(before.x[e * rows + r], shrink.x[r], sum), "mix");
        }
    floats_free(&w.memory, &v.memory);
    floats_free(&out, &before);
    floats_free(&shrink, NULL);
}

static void test_mix(void **unused) {
    (void)unused;
    for (int vectors = 1; vectors <= 3; vectors++) {
        for (int columns = 1; columns <= 70; columns++)
            check_mix(vectors, columns, lane_random_in(0, 20));
        for (int longest = 0; longest <= ATTEND__LANE_KEYS / 2; longest += 7)
            check_mix(vectors, 17, longest);
    }
}

/* ---- a machine without ----------------------------------------------------------------------- */

/* The table below has everything else in common, and no pairs. */
static void test_lower(void **unused) {
    (void)unused;
    const attend__cpu_kernels *const lower = attend__cpu_select("avx512");
    assert_non_null(lower);
    assert_null(lower->pairs);
    assert_ptr_equal(lower->lanes, table->lanes);
}

int main(int argc, char **argv) {
    lane_start(argc, argv);
    table = attend__cpu_select("avx512bf16");
    if (table == NULL || table->pairs == NULL) {
        print_message("skipped: this machine has no pairs\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),   cmocka_unit_test(test_too_far), cmocka_unit_test(test_dots),
        cmocka_unit_test(test_soften), cmocka_unit_test(test_values),  cmocka_unit_test(test_mix),
        cmocka_unit_test(test_lower),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
