/* SPDX-License-Identifier: Apache-2.0
 *
 * Long sequences on `opencl` and `clblast`, whichever way attention is computed: the workspace
 * grows with the length and not with its square, and 16384 queries over as many keys give what the
 * definition gives, on rows spread over all of them, in memory that the whole process, a driver for
 * the CPU included, has little more of than before; not where attention is composed of CLBlast's
 * products, whose own copies live until they have run (backends/clblast/README.md). The backend is
 * the program's argument. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { LONGEST = 16384, HEADS = 8, HEAD = 64, SMALL_HEAD = 16, ROWS = 33 };

static attend_context *context;
static const char *backend = "opencl";

static attend_attention description(float *q, float *k, float *v, float *out, int64_t heads,
                                    int64_t length, int64_t head) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, heads, length, head);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, heads, length, head);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, heads, length, head);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, heads, length, head);
    return a;
}

/* Of a plan up to that length; tensors of a plan's description need no memory. */
static size_t workspace(int64_t length) {
    const attend_attention a = description(NULL, NULL, NULL, NULL, HEADS, length, HEAD);
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    const size_t bytes = attend_plan_workspace_bytes(plan);
    attend_plan_release(plan);
    return bytes;
}

static void test_workspace_grows_with_the_length(void **state) {
    (void)state;
    size_t before = workspace(LONGEST / 4);
    for (int64_t length = LONGEST / 2; length <= LONGEST; length *= 2) {
        const size_t bytes = workspace(length), scores = (size_t)(HEADS * length * length) * 4;
        assert_true(bytes <= 2 * before + (1 << 20));
        assert_true(bytes <= scores / 8);
        before = bytes;
    }
}

/* Between -1 and 1, the same in every run. */
static void fill(float *x, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
}

static void define(const attend_attention *a, int64_t row, double *out) {
    const float *const q = (const float *)a->q.data + row * SMALL_HEAD, *const k = a->k.data,
                       *const v = a->v.data;
    double sum = 0;
    for (int e = 0; e < SMALL_HEAD; e++)
        out[e] = 0;
    for (int64_t j = 0; j < LONGEST; j++) {
        double score = 0;
        for (int d = 0; d < SMALL_HEAD; d++)
            score += (double)q[d] * (double)k[j * SMALL_HEAD + d];
        const double weight = exp(score / 4); /* sqrt(SMALL_HEAD); |score| <= 16 */
        sum += weight;
        for (int e = 0; e < SMALL_HEAD; e++)
            out[e] += weight * (double)v[j * SMALL_HEAD + e];
    }
    for (int e = 0; e < SMALL_HEAD; e++)
        out[e] /= sum;
}

/* The most memory that the process had so far; Linux counts KiB. */
static size_t peak_bytes(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (size_t)usage.ru_maxrss * 1024;
}

static void test_longest(void **state) {
    (void)state;
    const size_t count = (size_t)LONGEST * SMALL_HEAD;
    float *const memory = malloc(4 * count * sizeof *memory);
    assert_non_null(memory);
    fill(memory, 3 * count, 7);
    fill(memory + 3 * count, count, 8); /* none of it stays */
    const attend_attention a = description(memory, memory + count, memory + 2 * count,
                                           memory + 3 * count, 1, LONGEST, SMALL_HEAD);
    attend_plan *plan = NULL; /* compiles, which takes memory, too */
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    const size_t before = peak_bytes();
    assert_int_equal(attend_plan_run(plan, &a), ATTEND_OK);
    const size_t scores = (size_t)LONGEST * LONGEST * sizeof(float), more = peak_bytes() - before;
    const char *const composed = getenv("ATTEND_CLBLAST_ATTENTION");
    const int copies = composed && !strcmp(composed, "composed");
    if (!copies && more > scores / 16) fail_msg("%zu bytes more than before the run", more);
    attend_plan_release(plan);
    for (int i = 0; i < ROWS; i++) {
        const int64_t row = (int64_t)i * (LONGEST - 1) / (ROWS - 1);
        double want[SMALL_HEAD];
        define(&a, row, want);
        /* docs/numerics.md: u (16 a + |s| + |lse| + t), with a, |s| <= 4, |lse| <= 14, t <= 136,
         * twice for e and m, times sum of w |v| <= 1 */
        const double bound = 0x1p-24 * (2 * (16 * 4 + 4 + 14) + 136);
        for (int e = 0; e < SMALL_HEAD; e++)
            assert_true(fabs(want[e] -
                             (double)memory[3 * count + (size_t)(row * SMALL_HEAD + e)]) <= bound);
    }
    free(memory);
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    attend_options options = attend_options_default();
    options.backend = backend;
    const attend_status status = attend_open(&options, &context);
    if (status == ATTEND_NO_DEVICE) return 77;
    if (status != ATTEND_OK) {
        fprintf(stderr, "%s\n", attend_error_text());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workspace_grows_with_the_length),
        cmocka_unit_test(test_longest),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    attend_close(context);
    return failed;
}
