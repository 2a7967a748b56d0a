/* SPDX-License-Identifier: Apache-2.0
 *
 * The products and the softmax of lane_kernels.h on every instruction set this machine has, against
 * the sentence that defines each, in double: all tails around the tiles, guard pages at both ends
 * of every buffer. And what makes rows independent of their company: the bits of a lane change with
 * nothing but its own keys. */
#include "lane_data.h"

#include <math.h>
#include <string.h>

static const double unit = 0x1p-24;

static int64_t most_vectors(const attend__lane_kernels *k) {
    return k->lane_rows / k->lanes;
}

/* ---- scores --------------------------------------------------------------------------------- */

/* Keys of `depth` elements, side by side or across. */
typedef struct keys {
    floats memory;
    int64_t stride, step;
} keys;

static keys random_keys(int count, int depth) {
    const bool across = lane_random_in(0, 2) == 0;
    const int64_t wide = (across ? count : depth) + lane_random_in(0, 3);
    keys m = {.stride = across ? 1 : wide, .step = across ? wide : 1};
    m.memory = random_floats(depth > 0 ? (count - 1) * m.stride + (depth - 1) * m.step + 1 : 0);
    return m;
}

static void check_dots(const attend__lane_kernels *k, int vectors, int count, int depth) {
    const int rows = k->lane_rows, used = vectors * k->lanes;
    floats queries = random_lanes(k, depth, vectors), scores = lanes_of(k, count, vectors);
    floats highest = random_floats(used);
    keys m = random_keys(count, depth);
    float before[ATTEND__LANE_ROWS_MOST];
    memcpy(before, highest.x, (size_t)used * sizeof *before);
    const bool wanted = lane_random_in(0, 3) > 0;
    const attend__lane_dots dots = {.queries = queries.x,
                                    .keys = m.memory.x,
                                    .scores = scores.x,
                                    .highest = wanted ? highest.x : NULL,
                                    .key_stride = m.stride,
                                    .depth_stride = m.step,
                                    .depth = depth,
                                    .vectors = vectors,
                                    .count = count,
                                    .ahead = {lane_random_in(0, 1) << 20, 1, 3}};
    k->dots(&dots);
    for (int r = 0; r < used; r++) {
        float most = before[r];
        for (int j = 0; j < count; j++) {
            const float got = scores.x[j * rows + r];
            double sum = 0, size = 0;
            for (int d = 0; d < depth; d++) {
                const double term =
                    (double)queries.x[d * rows + r] * (double)m.memory.x[j * m.stride + d * m.step];
                sum += term;
                size += fabs(term);
            }
            expect_near((double)got, sum, unit * (2 * sqrt(depth) + 8) * size, "dots");
            most = wanted && got > most ? got : most;
        }
        assert_true(highest.x[r] == most);
    }
    floats_free(&queries, &scores);
    floats_free(&highest, &m.memory);
}

static void test_dots(void **unused) {
    (void)unused;
    static const int depths[] = {0, 1, 2, 3, 40, 63, 64, 65, 80, 128, 129, 257};
    for (int t = 0; t < lane_table_count; t++) {
        for (int vectors = 1; vectors <= most_vectors(lane_tables[t]); vectors++) {
            for (int count = 1; count <= ATTEND__LANE_KEYS; count++)
                check_dots(lane_tables[t], vectors, count, depths[lane_random_in(0, 11)]);
            for (int d = 0; d < 12; d++)
                check_dots(lane_tables[t], vectors, 1 + 2 * d, depths[d]);
        }
    }
}

/* NaN of a query or a key is in its scores and nowhere else; the highest is of the others. */
static void test_dots_nan(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        const int vectors = (int)most_vectors(k), depth = 70, count = 13, rows = k->lane_rows;
        floats queries = random_lanes(k, depth, vectors), scores = lanes_of(k, count, vectors);
        floats highest = floats_of(rows), key = random_floats(count * depth);
        for (int r = 0; r < rows; r++)
            highest.x[r] = -INFINITY;
        queries.x[5 * rows + rows - 1] = NAN;
        key.x[7 * depth + 66] = NAN;
        const attend__lane_dots dots = {.queries = queries.x,
                                        .keys = key.x,
                                        .scores = scores.x,
                                        .highest = highest.x,
                                        .key_stride = depth,
                                        .depth_stride = 1,
                                        .depth = depth,
                                        .vectors = vectors,
                                        .count = count};
        k->dots(&dots);
        for (int r = 0; r < rows; r++) {
            float most = -INFINITY;
            for (int j = 0; j < count; j++) {
                const float got = scores.x[j * rows + r];
                assert_true(isnan(got) == (r == rows - 1 || j == 7));
                most = got > most ? got : most;
            }
            assert_true(highest.x[r] == most);
        }
        floats_free(&queries, &scores);
        floats_free(&highest, &key);
    }
}

/* A lane's scores: the same bits in any company, in any vector, and key by key. */
static void test_dots_company(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        const int most = (int)most_vectors(k), depth = 150, rows = k->lane_rows;
        floats all = random_lanes(k, depth, most), one = random_lanes(k, depth, most);
        floats expected = lanes_of(k, ATTEND__LANE_KEYS, most);
        floats scores = lanes_of(k, ATTEND__LANE_KEYS, most);
        floats key = random_floats(ATTEND__LANE_KEYS * depth);
        attend__lane_dots dots = {.queries = all.x,
                                  .keys = key.x,
                                  .scores = expected.x,
                                  .key_stride = depth,
                                  .depth_stride = 1,
                                  .depth = depth,
                                  .vectors = most,
                                  .count = ATTEND__LANE_KEYS};
        k->dots(&dots);
        for (int round = 0; round < 200; round++) {
            const int r = lane_random_in(0, rows - 1), at = lane_random_in(0, rows - 1);
            const int from = lane_random_in(0, ATTEND__LANE_KEYS - 1);
            const int count = lane_random_in(1, ATTEND__LANE_KEYS - from);
            const int skipped = lane_random_in(0, at / k->lanes);
            for (int d = 0; d < depth; d++)
                one.x[d * rows + at] = all.x[d * rows + r];
            dots.queries = one.x + skipped * k->lanes;
            dots.keys = key.x + from * depth;
            dots.scores = scores.x + skipped * k->lanes;
            dots.vectors = lane_random_in(at / k->lanes - skipped + 1, most - skipped);
            dots.count = count;
            k->dots(&dots);
            for (int j = 0; j < count; j++)
                expect_bits(scores.x[j * rows + at], expected.x[(from + j) * rows + r], "company");
        }
        floats_free(&all, &one);
        floats_free(&expected, &scores);
        floats_free(&key, NULL);
    }
}

/* ---- output --------------------------------------------------------------------------------- */

/* Weights beyond the end of a vector are NaN: they are nobody's. */
static void check_mix(const attend__lane_kernels *k, int vectors, int columns, int longest) {
    const int rows = k->lane_rows, used = vectors * k->lanes;
    const int64_t stride = columns + lane_random_in(0, 5);
    floats weights = random_lanes(k, longest, vectors), shrink = random_floats(used);
    floats out = random_lanes(k, columns, vectors), before = lanes_of(k, columns, vectors);
    floats values = random_floats(longest > 0 ? (longest - 1) * stride + columns : 0);
    const bool fresh = lane_random_in(0, 2) == 0;
    attend__lane_mix mix = {.weights = weights.x,
                            .values = values.x,
                            .shrink = shrink.x,
                            .out = out.x,
                            .value_stride = stride,
                            .columns = columns,
                            .vectors = vectors,
                            .fresh = fresh,
                            .ahead = {lane_random_in(0, 1) << 20, 0, 2}};
    for (int v = vectors - 1; v >= 0; v--)
        mix.ends[v] = v == vectors - 1 ? longest : lane_random_in(0, mix.ends[v + 1]);
    for (int j = 0; j < longest; j++)
        for (int r = 0; r < used; r++)
            if (j >= mix.ends[r / k->lanes]) weights.x[j * rows + r] = NAN;
    for (int e = 0; e < columns; e++)
        for (int r = 0; r < used; r++) {
            before.x[e * rows + r] = fresh ? 0.0f : out.x[e * rows + r];
            if (fresh) out.x[e * rows + r] = NAN;
        }
    k->mix(&mix);
    for (int e = 0; e < columns; e++)
        for (int r = 0; r < used; r++) {
            double sum = (double)before.x[e * rows + r] * (double)shrink.x[r], size = fabs(sum);
            for (int j = 0; j < mix.ends[r / k->lanes]; j++) {
                const double w = (double)weights.x[j * rows + r];
                sum += w * (double)values.x[j * stride + e];
                size += fabs(w * (double)values.x[j * stride + e]);
            }
            const double bound = unit * (2 * sqrt(longest) + 8) * size;
            expect_near((double)out.x[e * rows + r], sum, bound, "mix");
        }
    floats_free(&weights, &shrink);
    floats_free(&out, &before);
    floats_free(&values, NULL);
}

static void test_mix(void **unused) {
    (void)unused;
    for (int t = 0; t < lane_table_count; t++)
        for (int vectors = 1; vectors <= most_vectors(lane_tables[t]); vectors++) {
            for (int columns = 1; columns <= 70; columns++)
                check_mix(lane_tables[t], vectors, columns, lane_random_in(0, ATTEND__LANE_KEYS));
            for (int longest = 0; longest <= ATTEND__LANE_KEYS; longest++)
                check_mix(lane_tables[t], vectors, lane_random_in(1, 40), longest);
        }
}

/* The same bits alone, and with keys of weight 0 before and behind. */
static void test_mix_company(void **unused) {
    (void)unused;
    enum { KEYS = ATTEND__LANE_KEYS, COLUMNS = 37 };
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        const int most = (int)most_vectors(k), rows = k->lane_rows;
        floats weights = random_lanes(k, KEYS, most), values = random_floats(KEYS * COLUMNS);
        floats start = random_lanes(k, COLUMNS, most), shrink = random_floats(rows);
        floats expected = lanes_of(k, COLUMNS, most), out = lanes_of(k, COLUMNS, most);
        for (int round = 0; round < 60; round++) {
            const int v = lane_random_in(0, most - 1), from = lane_random_in(0, KEYS - 1);
            const int to = lane_random_in(from, KEYS), lane = v * k->lanes;
            for (int j = 0; j < KEYS; j++)
                for (int r = lane; r < lane + k->lanes; r++)
                    weights.x[j * rows + r] =
                        j >= from && j < to ? (float)lane_random_in(1, 999) * 0x1.1p-10f : 0.0f;
            memcpy(expected.x, start.x, (size_t)(COLUMNS * rows) * sizeof(float));
            memcpy(out.x, start.x, (size_t)(COLUMNS * rows) * sizeof(float));
            attend__lane_mix mix = {.weights = weights.x,
                                    .values = values.x,
                                    .shrink = shrink.x,
                                    .out = expected.x,
                                    .value_stride = COLUMNS,
                                    .columns = COLUMNS,
                                    .vectors = most};
            for (int i = 0; i < most; i++)
                mix.ends[i] = KEYS;
            k->mix(&mix);
            for (int e = 0; e < COLUMNS; e++) { /* column by column: another tile */
                const attend__lane_mix one = {.weights = weights.x + from * rows + lane,
                                              .values = values.x + from * COLUMNS + e,
                                              .shrink = shrink.x + lane,
                                              .out = out.x + e * rows + lane,
                                              .value_stride = COLUMNS,
                                              .columns = 1,
                                              .vectors = 1,
                                              .ends = {to - from}};
                k->mix(&one);
                for (int r = lane; r < lane + k->lanes; r++)
                    expect_bits(out.x[e * rows + r], expected.x[e * rows + r], "mix alone");
            }
        }
        floats_free(&weights, &values);
        floats_free(&start, &shrink);
        floats_free(&expected, &out);
    }
}

/* ---- softmax -------------------------------------------------------------------------------- */

/* 2.25 ulp of vec_math.h, or 4.5 units at the low end; without fused fma the product is rounded,
 * too. */
static double weight_bound(const attend__lane_kernels *k, double exponent) {
    return unit * (4.5 + (k->lanes == 1 ? 2 * fabs(exponent) : 0));
}

/* What lanes hold: r % 8. */
enum { PLAIN, NOTHING, SOME, WITH_NAN, WITH_INFINITY, BELOW, WIDE, FIRST };

static float score_of(int kind, int j, int count) {
    const float x = lane_random_float() * 4.0f;
    if (kind == NOTHING || (kind == SOME && j % 3 != 1)) return -INFINITY;
    if (kind == WITH_NAN && j == count / 2) return NAN;
    if (kind == WITH_INFINITY && j == count / 3) return INFINITY;
    if (kind == WIDE) return j % 2 ? 3e38f : -3e38f;
    return kind == BELOW ? x - 20.0f : x;
}

static void check_lane(const attend__lane_kernels *k, const attend__lane_soften *s, int r,
                       const float *x, float earlier, float sum_before) {
    const float after = fmaxf(s->block_highest[r], earlier);
    const double base = after == -INFINITY ? 0 : (double)after, factor = (double)s->factor;
    if (r % 8 == WITH_NAN || r % 8 == WITH_INFINITY) {
        assert_true(isnan(s->sum[r]));
        return;
    }
    const double change = factor * (double)(earlier - (float)base), shrink = exp2(change);
    double sum = (double)sum_before * shrink;
    assert_true(s->highest[r] == after && (earlier < after || change < 0 || s->shrink[r] == 1.0f));
    expect_near((double)s->shrink[r], shrink,
                shrink > 0 ? weight_bound(k, change) * shrink + 0x1p-126 : 0, "shrink");
    for (int j = 0; j < s->count; j++) {
        const double by = factor * (double)(x[j * k->lane_rows + r] - (float)base);
        const double w = exp2(by), got = (double)s->scores[j * k->lane_rows + r];
        expect_near(got, w, w > 0 ? weight_bound(k, by) * w + 0x1p-126 : 0, "weight");
        assert_true(got <= 1.0);
        sum += w;
    }
    expect_near((double)s->sum[r], sum, unit * (s->count + 16) * (sum + 0x1p-100) * 4, "sum");
}

static void check_soften(const attend__lane_kernels *k, int vectors, int count, float factor) {
    const int rows = k->lane_rows, used = vectors * k->lanes;
    floats x = lanes_of(k, count, vectors), most = floats_of(used), highest = floats_of(used);
    floats sum = floats_of(used), shrink = floats_of(used), before = lanes_of(k, count, vectors);
    float earlier[ATTEND__LANE_ROWS_MOST], sums[ATTEND__LANE_ROWS_MOST];
    for (int r = 0; r < used; r++) {
        const int kind = r % 8;
        most.x[r] = -INFINITY;
        for (int j = 0; j < count; j++) {
            const float score = score_of(kind, j, count);
            x.x[j * rows + r] = before.x[j * rows + r] = score;
            most.x[r] = score > most.x[r] ? score : most.x[r];
        }
        const bool first = kind == FIRST || kind == NOTHING;
        highest.x[r] = earlier[r] = first ? -INFINITY : lane_random_float();
        sum.x[r] = sums[r] = first ? 0.0f : 1.0f + fabsf(lane_random_float());
    }
    const attend__lane_soften s = {.scores = x.x,
                                   .block_highest = most.x,
                                   .highest = highest.x,
                                   .sum = sum.x,
                                   .shrink = shrink.x,
                                   .factor = factor,
                                   .vectors = vectors,
                                   .count = count};
    k->soften(&s);
    for (int r = 0; r < used; r++)
        check_lane(k, &s, r, before.x, earlier[r], sums[r]);
    floats_free(&x, &most);
    floats_free(&highest, &sum);
    floats_free(&shrink, &before);
}

static void test_soften(void **unused) {
    (void)unused;
    static const float factors[] = {0x1.715476p+0f, 0.18f, 1e-29f, 3e29f, 20.0f};
    for (int t = 0; t < lane_table_count; t++)
        for (int vectors = 1; vectors <= most_vectors(lane_tables[t]); vectors++)
            for (int count = 1; count <= ATTEND__LANE_KEYS; count++)
                check_soften(lane_tables[t], vectors, count, factors[count % 5]);
}

/* Alone, and without keys that are excluded before and behind: the same bits. */
static void test_soften_company(void **unused) {
    (void)unused;
    enum { KEYS = ATTEND__LANE_KEYS };
    for (int t = 0; t < lane_table_count; t++) {
        const attend__lane_kernels *const k = lane_tables[t];
        const int most = (int)most_vectors(k), rows = k->lane_rows;
        for (int round = 0; round < 100; round++) {
            const int from = lane_random_in(0, KEYS - 1), to = lane_random_in(from + 1, KEYS);
            const int lane = lane_random_in(0, most - 1) * k->lanes;
            floats x = random_lanes(k, KEYS, most), alone = lanes_of(k, KEYS, most);
            floats state = random_floats(4 * rows), other = random_floats(4 * rows);
            for (int j = 0; j < KEYS; j++)
                for (int r = lane; r < lane + k->lanes; r++)
                    if (j < from || j >= to) x.x[j * rows + r] = -INFINITY;
            memcpy(alone.x, x.x, (size_t)(KEYS * rows) * sizeof(float));
            memcpy(other.x, state.x, (size_t)(4 * rows) * sizeof(float));
            float *const a = state.x, *const o = other.x + lane;
            const attend__lane_soften all = {x.x,          a,    a + rows, a + 2 * rows,
                                             a + 3 * rows, 0.7f, most,     KEYS};
            float *const own = alone.x + from * rows + lane;
            const attend__lane_soften one = {own,          o,    o + rows, o + 2 * rows,
                                             o + 3 * rows, 0.7f, 1,        to - from};
            k->soften(&all);
            k->soften(&one);
            for (int r = lane; r < lane + k->lanes; r++) {
                for (int j = from; j < to; j++)
                    expect_bits(alone.x[j * rows + r], x.x[j * rows + r], "weight alone");
                for (int i = 1; i < 4; i++)
                    expect_bits(other.x[i * rows + r], state.x[i * rows + r], "sum alone");
            }
            floats_free(&x, &alone);
            floats_free(&state, &other);
        }
    }
}

int main(int argc, char **argv) {
    lane_start(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dots),           cmocka_unit_test(test_dots_nan),
        cmocka_unit_test(test_dots_company),   cmocka_unit_test(test_mix),
        cmocka_unit_test(test_mix_company),    cmocka_unit_test(test_soften),
        cmocka_unit_test(test_soften_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
