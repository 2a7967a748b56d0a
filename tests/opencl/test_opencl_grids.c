/* SPDX-License-Identifier: Apache-2.0
 *
 * Grids of more groups in dimension 1 than the 65535 that some drivers take in one command (the
 * layer tamper.c refuses more): rows of a projection, of parts to be joined, of attention's
 * queries and its side outputs, and pieces of split keys. The family of kernels is the program's
 * argument, else `tile`. */
#include <attend/attend.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST = 65535,
    PROJECTED = MOST * 128 + 70, /* rows: 64 or 128 to a group */
    JOINED = MOST * 8 + 9,       /* 8 */
    QUERIES = MOST * 16 + 17,    /* 16 */
    KEYS = MOST * 256 + 300      /* 256 to a piece, or 128 */
};

static attend_context *context;
static const char *family = "tile";

static float *numbers(size_t count, unsigned seed) {
    float *const x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}

static void done(attend_status status) {
    if (status != ATTEND_OK) fail_msg("%s", attend_error_text());
}

static void check_close(const char *what, size_t i, double value, double expected) {
    if (!(fabs(value - expected) <= 2e-5))
        fail_msg("%s %zu: %.9g, not %.9g", what, i, value, expected);
}

static void rows_of_a_projection(void **state) {
    float *const x = numbers(PROJECTED, 1), *const out = numbers(PROJECTED, 2), w[] = {2.0f};
    attend_projection p = attend_projection_default();
    (void)state;
    p.x = attend_tensor_2d(x, ATTEND_F32, PROJECTED, 1);
    p.w = attend_tensor_2d(w, ATTEND_F32, 1, 1);
    p.out = attend_tensor_2d(out, ATTEND_F32, PROJECTED, 1);
    done(attend_project(context, &p));
    for (size_t i = 0; i < PROJECTED; i++)
        if (out[i] != 2.0f * x[i]) fail_msg("row %zu: %.9g of %.9g", i, out[i], x[i]);
    free(x);
    free(out);
}

static void rows_that_are_joined(void **state) {
    enum { PARTS = 2 };
    const int64_t parts[] = {PARTS, 1, 1, JOINED, 1};
    float *const x = numbers(PARTS * JOINED, 3), *const lse = numbers(PARTS * JOINED, 4);
    float *const out = numbers(JOINED, 5);
    attend_merging m = attend_merging_default();
    (void)state;
    m.parts = attend_tensor_nd(x, ATTEND_F32, 5, parts);
    m.part_lse = attend_tensor_4d(lse, ATTEND_F32, PARTS, 1, 1, JOINED);
    m.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, JOINED, 1);
    done(attend_merge(context, &m));
    for (size_t i = 0; i < JOINED; i++) {
        const double a = exp((double)lse[i]), b = exp((double)lse[JOINED + i]);
        check_close("row", i, out[i], (a * x[i] + b * x[JOINED + i]) / (a + b));
    }
    free(x);
    free(lse);
    free(out);
}

/* Head size 1, which is packed, and 2 keys; scores are asked for. */
static void queries(void **state) {
    float *const q = numbers(QUERIES, 6), *const out = numbers(QUERIES, 7);
    float *const scores = numbers((size_t)2 * QUERIES, 8), k[] = {0.5f, -1.5f}, v[] = {2.0f, 3.0f};
    attend_attention a = attend_attention_default();
    (void)state;
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, QUERIES, 1);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, 1, 2, 1);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, 1, 2, 1);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, QUERIES, 1);
    a.scores = attend_tensor_4d(scores, ATTEND_F32, 1, 1, QUERIES, 2);
    done(attend_run(context, &a));
    for (size_t i = 0; i < QUERIES; i++) {
        const double one = exp(0.5 * q[i]), other = exp(-1.5 * q[i]);
        check_close("row", i, out[i], (2 * one + 3 * other) / (one + other));
        check_close("score", i, scores[2 * i + 1], -1.5 * q[i]);
    }
    free(q);
    free(out);
    free(scores);
}

static void pieces_of_keys(void **state) {
    (void)state;
    if (strcmp(family, "tile") != 0) skip(); /* others would pack them into gigabytes */
    float *const k = numbers(KEYS, 9), *const v = numbers(KEYS, 10), q[] = {3.0f}, out[1];
    attend_attention a = attend_attention_default();
    double sum = 0, mass = 0;
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, 1, 1);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, 1, KEYS, 1);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, 1, KEYS, 1);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, 1, 1, 1);
    for (size_t i = 0; i < KEYS; i++) {
        v[i] += i >= KEYS / 2; /* a half that is left out would be missed */
        const double weight = exp(3.0 * k[i]);
        sum += weight * v[i];
        mass += weight;
    }
    done(attend_run(context, &a));
    check_close("mean", 0, out[0], sum / mass);
    free(k);
    free(v);
}

int main(int argc, char **argv) {
    attend_options options = attend_options_default();
    options.backend = "opencl";
    if (argc > 1) family = argv[1];
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) || setenv("ATTEND_TEST_GROUPS", "1", 1) ||
        setenv("ATTEND_KERNELS", family, 1))
        return 1;
    if (attend_open(&options, &context) != ATTEND_OK) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_projection),
        cmocka_unit_test(rows_that_are_joined),
        cmocka_unit_test(queries),
        cmocka_unit_test(pieces_of_keys),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    attend_close(context);
    return failed;
}
