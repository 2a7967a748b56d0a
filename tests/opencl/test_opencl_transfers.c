/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls with host memory: the same bits, and those of an oracle in double precision, whether the
 * device computes in host memory as it lies, or copies come at once or in pieces. What was copied
 * and what was used in place is counted; memory between and around tensors is neither written nor
 * read past, inputs are never written. The backend is the program's argument. POSIX only. */
#include "guarded.h"
#include "transfer_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool shares(int way) {
    return way == SHARE || way == CHOSEN;
}

static attend_decision decision_of(const attend_context *context) {
    attend_decision d = {.size = sizeof d};
    assert_int_equal(attend_context_decision(context, &d), ATTEND_OK);
    return d;
}

/* ---- one problem in every way ---------------------------------------------------------------- */

static uint64_t elements(const attend_tensor *t, bool stored) {
    uint64_t count = 1;
    for (int32_t i = 0; i < t->rank; i++)
        if (!stored || t->strides[i] != 0) count *= (uint64_t)t->sizes[i];
    return count;
}

/* Bytes of the call, what broadcasts counted once. */
static uint64_t bytes_of(const attend_attention *a) {
    return sizeof(float) * (elements(&a->q, true) + elements(&a->k, true) + elements(&a->v, true) +
                            elements(&a->out, false));
}

/* `memory` holds all tensors; what is not the output's stays as it was. */
static void check_ways(const attend_attention *a, void *memory, size_t bytes) {
    char *const before = malloc(bytes), *const first = malloc(bytes);
    assert_true(before != NULL && first != NULL);
    memcpy(before, memory, bytes);
    for (int way = 0; way < WAYS; way++) {
        attend_context *const context = open_way(way);
        memcpy(memory, before, bytes);
        run(context, a);
        const attend_decision d = decision_of(context);
        assert_true(d.copied_bytes == (shares(way) ? 0 : bytes_of(a)));
        assert_true(d.in_place_bytes == (shares(way) ? bytes_of(a) : 0));
        if (way == COPY) memcpy(first, memory, bytes);
        assert_memory_equal(memory, first, bytes);
        attend_close(context);
    }
    check_oracle(a);
    /* what is not the output's is as before: put the output's back and compare */
    const size_t start = (size_t)((char *)a->out.data - (char *)memory);
    for (int64_t i = 0; i < (int64_t)elements(&a->out, false); i++) {
        const int64_t *const n = a->out.sizes, *const s = a->out.strides;
        const int64_t at = a->out.offset + i / n[3] / n[2] / n[1] * s[0] +
                           i / n[3] / n[2] % n[1] * s[1] + i / n[3] % n[2] * s[2] + i % n[3] * s[3];
        const size_t byte = start + (size_t)at * sizeof(float);
        memcpy(first + byte, before + byte, sizeof(float));
    }
    assert_memory_equal(first, before, bytes);
    free(before);
    free(first);
}

/* [B, L, (q k v out), H, D] with a gap behind each token: all four in one allocation. */
static void test_interleaved(void **state) {
    (void)state;
    enum { PITCH = 4 * ROW + 40, COUNT = B * L * PITCH };
    float *const x = memory_of(COUNT * sizeof *x);
    fill(x, COUNT);
    static const int64_t of_token[4] = {L * PITCH, D, PITCH, 1};
    int64_t strides[4][4];
    size_t at[4];
    for (int i = 0; i < 4; i++) {
        memcpy(strides[i], of_token, sizeof of_token);
        at[i] = (size_t)i * ROW * sizeof *x;
    }
    const attend_attention a = problem((char *)x, at, square, strides);
    check_ways(&a, x, COUNT * sizeof *x);
    free(x);
}

/* Each way that the four can lie in one array, and any place of its start. */
static void test_places(void **state) {
    (void)state;
    static const size_t starts[] = {0, 4, 36, 60, 64, 100, 128, 4092};
    enum { MOST = 5000, GAP = 8 };
    const size_t part = PART * sizeof(float), bytes = 4 * (part + GAP) + MOST;
    char *const memory = memory_of(bytes);
    fill((float *)(void *)memory, bytes / sizeof(float));
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
        size_t at[4];
        for (size_t i = 0; i < 4; i++) /* the output in front, between, behind */
            at[i] = starts[s] + (i + s) % 4 * (part + GAP);
        const attend_attention a = problem(memory, at, square, NULL);
        check_ways(&a, memory, bytes);
    }
    free(memory);
}

/* k and v the same memory, and q a part of it; dimensions that broadcast, in any order. */
static void test_shared_inputs(void **state) {
    (void)state;
    static const int64_t strides[][4][4] = {
        {{H * L * D, L * D, D, 1},
         {H * L * D, L * D, D, 1},
         {H * L * D, L * D, D, 1},
         {H * L * D, L * D, D, 1}},
        {{0, D, ROW, 1}, {0, 0, D, 1}, {0, L, 1, L * H}, {H * L * D, L * D, D, 1}},
        {{1, 2, 2 * H, 2 * H * L}, {L * D, 0, 1, L}, {0, 0, 0, 1}, {1, 2, 2 * H, 2 * H * L}},
    };
    const size_t bytes = 2 * PART * sizeof(float);
    float *const x = memory_of(bytes);
    fill(x, 2 * (size_t)PART);
    const size_t at[4] = {0, 0, 0, PART * sizeof(float)}, apart[4] = {64, 0, 4, at[3]};
    for (size_t s = 0; s < sizeof strides / sizeof *strides; s++) {
        attend_attention a = problem((char *)x, s == 0 ? at : apart, square, strides[s]);
        if (s == 2) a = problem((char *)x, at, square, strides[s]);
        check_ways(&a, x, bytes);
    }
    free(x);
}

static void test_sizes(void **state) {
    (void)state;
    static const int64_t sizes[][2][4] = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}},     {{1, 1, 1, 3}, {1, 1, 2, 3}},
        {{1, 2, 5, 8}, {1, 2, 1, 8}},     {{1, 1, 33, 17}, {1, 1, 9, 17}},
        {{1, 4, 1, 64}, {1, 4, 300, 64}}, {{3, 1, 20, 16}, {3, 1, 1000, 16}},
    };
    const size_t bytes = 1600 << 10;
    float *const x = memory_of(bytes);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        fill(x, bytes / sizeof *x);
        const size_t quarter = bytes / 4, at[4] = {0, quarter, 2 * quarter, 3 * quarter};
        const attend_attention a = problem((char *)x, at, sizes[s], NULL);
        check_ways(&a, x, bytes);
    }
    free(x);
}

/* Each tensor ends (or begins) at a page that may not be touched; inputs may not be written. */
static void test_edges_of_memory(void **state) {
    (void)state;
    const size_t bytes = PART * sizeof(float), at[4] = {0, bytes, 2 * bytes, 3 * bytes};
    float *const want = memory_of(4 * bytes);
    fill(want, 3 * (size_t)PART);
    attend_context *const copying = open_way(COPY), *const sharing = open_way(SHARE);
    attend_attention a = problem((char *)want, at, square, NULL);
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v, &a.out};
    run(copying, &a);
    for (int side = 0; side < 2; side++) {
        guarded memory[4];
        for (int i = 0; i < 4; i++) {
            memory[i] = guarded_create(bytes, side ? GUARDED_BEFORE : GUARDED_BEHIND);
            tensors[i]->data = memory[i].data;
            if (i == 3) continue;
            memcpy(memory[i].data, want + i * PART, bytes);
            assert_int_equal(
                mprotect(memory[i].mapping + 4096, memory[i].mapped_bytes - 8192, PROT_READ), 0);
        }
        run(sharing, &a);
        assert_int_equal(decision_of(sharing).copied_bytes, 0);
        assert_memory_equal(memory[3].data, want + 3 * PART, bytes);
        for (int i = 0; i < 4; i++)
            guarded_destroy(&memory[i]);
    }
    attend_close(sharing);
    attend_close(copying);
    free(want);
}

/* ---- what is counted, and other calls -------------------------------------------------------- */

/* What is chosen without being asked: on a CPU no byte is copied. */
static void test_default(void **state) {
    (void)state;
    const size_t bytes = PART * sizeof(float), at[4] = {0, bytes, 2 * bytes, 3 * bytes};
    float *const x = memory_of(4 * bytes);
    fill(x, 4 * (size_t)PART);
    attend_context *const context = open_way(CHOSEN);
    const attend_attention a = problem((char *)x, at, square, NULL);
    run(context, &a);
    assert_true(decision_of(context).in_place_bytes == 4 * bytes);
    assert_true(decision_of(context).copied_bytes == 0);
    check_oracle(&a);
    attend_buffer *buffer = NULL;
    attend_event *done = NULL;
    attend_attention there = a;
    attend_tensor *const tensors[] = {&there.q, &there.k, &there.v, &there.out};
    assert_int_equal(attend_buffer_create(context, 4 * bytes, &buffer), ATTEND_OK);
    assert_int_equal(attend_buffer_write(buffer, 0, x, 4 * bytes), ATTEND_OK);
    for (int i = 0; i < 4; i++)
        *tensors[i] = attend_tensor_in(buffer, i * PART, ATTEND_F32, 4, square[0], NULL);
    assert_int_equal(attend_enqueue(context, &there, 0, NULL, &done), ATTEND_OK);
    assert_true(decision_of(context).in_place_bytes == 0); /* it is the last call's */
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    there.q = a.q; /* one of both kinds */
    run(context, &there);
    assert_true(decision_of(context).in_place_bytes == bytes);
    assert_true(decision_of(context).copied_bytes == 0);
    attend_event_release(done);
    attend_buffer_release(buffer);
    attend_close(context);
    free(x);
}

/* In place, rows of a norm; and a projection with a residual. */
static void test_stages(void **state) {
    (void)state;
    enum { ROWS = 37, WIDTH = 20, ALL = ROWS * WIDTH };
    float x[WAYS][ALL], out[WAYS][ALL], w[WIDTH * WIDTH];
    fill(w, WIDTH * WIDTH);
    for (int way = 0; way < WAYS; way++) {
        attend_context *const context = open_way(way);
        fill(x[way], ALL);
        attend_norm n = attend_norm_default();
        n.x = n.out = attend_tensor_2d(x[way], ATTEND_F32, ROWS, WIDTH);
        assert_int_equal(attend_norm_run(context, &n), ATTEND_OK);
        attend_projection p = attend_projection_default();
        p.x = p.residual = n.out;
        p.w = attend_tensor_2d(w, ATTEND_F32, WIDTH, WIDTH);
        p.out = attend_tensor_2d(out[way], ATTEND_F32, ROWS, WIDTH);
        assert_int_equal(attend_project(context, &p), ATTEND_OK);
        const attend_decision d = decision_of(context);
        assert_true((shares(way) ? d.in_place_bytes : d.copied_bytes) == sizeof w + 3 * sizeof *x);
        assert_memory_equal(x[way], x[0], sizeof *x);
        assert_memory_equal(out[way], out[0], sizeof *out);
        attend_close(context);
    }
    double sum = 0, squares = 0, row = x[0][WIDTH + 3];
    for (int i = 0; i < WIDTH; i++) {
        sum += x[0][WIDTH + i];
        squares += (double)x[0][WIDTH + i] * x[0][WIDTH + i];
        row += (double)x[0][WIDTH + i] * w[3 * WIDTH + i];
    }
    assert_true(fabs(sum) < 1e-4 && fabs(squares / WIDTH - 1) < 1e-3); /* eps 1e-5 */
    assert_true(fabs(out[0][WIDTH + 3] - row) < 1e-5);
}

static void test_words(void **state) {
    (void)state;
    attend_context *context = NULL;
    attend_options options = attend_options_default();
    options.backend = transfer_backend;
    assert_int_equal(setenv("ATTEND_TRANSFERS", "sideways", 1), 0);
    assert_int_equal(attend_open(&options, &context), ATTEND_INVALID);
    assert_non_null(strstr(attend_error_text(), "ATTEND_TRANSFERS: \"sideways\""));
    assert_int_equal(unsetenv("ATTEND_TRANSFERS"), 0);
}

int main(int argc, char **argv) {
    int status;
    if (!transfer_choose_backend(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved),     cmocka_unit_test(test_places),
        cmocka_unit_test(test_shared_inputs),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_edges_of_memory), cmocka_unit_test(test_default),
        cmocka_unit_test(test_stages),          cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
