/* SPDX-License-Identifier: Apache-2.0
 *
 * What may share memory, against the addresses themselves: random views of one small array are
 * copied into each other. Sharing is never accepted, memory apart by range never refused, and
 * packed arrays may be written side by side. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

enum { BYTES = 256 };

static attend_context *context;
static union {
    double aligned;
    unsigned char bytes[BYTES];
} memory;

static int open(void **state) {
    (void)state;
    return attend_open(NULL, &context) == ATTEND_OK ? 0 : -1;
}

static int close(void **state) {
    (void)state;
    attend_close(context);
    return 0;
}

static uint32_t seed = 12345;
static int below(int limit) { /* xorshift32 (Marsaglia 2003) */
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return (int)(seed % (uint32_t)limit);
}

/* Counts for each byte how many elements of the view cover it; false if it leaves the memory. */
static bool cover(const attend_tensor *t, int *counts) {
    const int element = (int)attend_type_bytes(t->type);
    int64_t total = 1;
    memset(counts, 0, BYTES * sizeof *counts);
    for (int32_t d = 0; d < t->rank; d++)
        total *= t->sizes[d];
    for (int64_t i = 0; i < total; i++) {
        int64_t at = t->offset, rest = i;
        for (int32_t d = 0; d < t->rank; d++) {
            at += rest % t->sizes[d] * t->strides[d];
            rest /= t->sizes[d];
        }
        if ((at + 1) * element > BYTES) return false;
        for (int k = 0; k < element; k++)
            counts[at * element + k]++;
    }
    return true;
}

static attend_tensor random_view(attend_type type, const int64_t *sizes) {
    attend_tensor t = attend_tensor_nd(memory.bytes, type, 3, sizes);
    t.offset = below(24);
    for (int d = 0; d < 3; d++)
        t.strides[d] = below(3) == 0 ? 8 : below(12);
    return t;
}

static bool covers_twice(const int *counts) {
    for (int i = 0; i < BYTES; i++) {
        if (counts[i] > 1) return true;
    }
    return false;
}

static bool covers_both(const int *a, const int *b) {
    for (int i = 0; i < BYTES; i++) {
        if (a[i] > 0 && b[i] > 0) return true;
    }
    return false;
}

static bool ranges_meet(const int *a, const int *b) {
    int first[2] = {BYTES, BYTES}, last[2] = {-1, -1};
    const int *const both[2] = {a, b};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < BYTES; i++) {
            if (both[k][i] == 0) continue;
            if (first[k] == BYTES) first[k] = i;
            last[k] = i;
        }
    return first[0] <= last[1] && first[1] <= last[0];
}

static void test_random_views(void **state) {
    (void)state;
    int shared = 0, twice = 0, meshed = 0, apart = 0, cautious = 0;
    for (int n = 0; n < 200000; n++) {
        const int64_t sizes[3] = {1 + below(3), 1 + below(3), 1 + below(4)};
        static const attend_type types[] = {ATTEND_F32, ATTEND_F16};
        int in[BYTES], out[BYTES];
        attend_copy c = attend_copy_default();
        c.x = random_view(types[below(2)], sizes);
        c.out = random_view(types[below(2)], sizes);
        if (!cover(&c.x, in) || !cover(&c.out, out)) continue;
        const attend_status status = attend_copy_run(context, &c);
        const bool refused = status == ATTEND_OVERLAP || status == ATTEND_STRIDE;
        assert_true(refused || status == ATTEND_OK);
        if (covers_twice(out)) {
            twice++;
            assert_true(refused);
        } else if (covers_both(in, out)) {
            shared++;
            assert_int_equal(status, ATTEND_OVERLAP);
        } else if (ranges_meet(in, out)) {
            meshed += !refused;
            cautious += refused;
        } else {
            apart += !refused;
        }
    }
    /* each answer must have been put to the test; caution is allowed, but not as the rule */
    assert_true(twice > 1000 && shared > 1000 && apart > 1000 && meshed > 1000);
    assert_true(cautious < 8 * meshed);
}

/* [rows, 2, M]: the norm into one half, the sum into the other. */
static void test_halves(void **state) {
    (void)state;
    enum { ROWS = 3, M = 4 };
    static float x[ROWS * M], both[ROWS][2][M];
    for (int i = 0; i < ROWS * M; i++)
        x[i] = (float)i;
    attend_norm n = attend_norm_default();
    n.x = attend_tensor_2d(x, ATTEND_F32, ROWS, M);
    n.sum = n.out = attend_tensor_2d(both, ATTEND_F32, ROWS, M);
    n.sum.strides[0] = n.out.strides[0] = 2 * M;
    n.sum.offset = M;
    assert_int_equal(attend_norm_run(context, &n), ATTEND_OK);
    for (int i = 0; i < ROWS; i++)
        assert_memory_equal(both[i][1], x + i * M, M * sizeof *x);
    n.sum.offset = M - 1;
    assert_int_equal(attend_norm_run(context, &n), ATTEND_OVERLAP);
    n.sum.offset = M + 1;
    assert_int_equal(attend_norm_run(context, &n), ATTEND_OVERLAP);
}

/* [B, L, 4, H, D]: q, k, v and the output packed as one array. */
static void test_packed(void **state) {
    (void)state;
    enum { B = 2, L = 3, H = 2, D = 4 };
    static float packed[B][L][4][H][D];
    const int64_t sizes[4] = {B, H, L, D};
    attend_attention a = attend_attention_default();
    attend_tensor *const parts[4] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++) {
        *parts[i] = attend_tensor_nd(packed, ATTEND_F32, 4, sizes);
        parts[i]->offset = i * H * D;
        parts[i]->strides[0] = L * 4 * H * D;
        parts[i]->strides[1] = D;
        parts[i]->strides[2] = 4 * H * D;
    }
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++)
            for (int h = 0; h < H; h++)
                for (int d = 0; d < D; d++)
                    packed[b][i][2][h][d] = (float)(8 * b + h); /* the same for all keys */
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
    for (int b = 0; b < B; b++)
        for (int i = 0; i < L; i++)
            for (int h = 0; h < H; h++)
                for (int d = 0; d < D; d++)
                    assert_true(packed[b][i][3][h][d] > 8 * b + h - 1e-5f &&
                                packed[b][i][3][h][d] < 8 * b + h + 1e-5f);
    a.out.offset -= 1;
    assert_int_equal(attend_run(context, &a), ATTEND_OVERLAP);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_views),
                                       cmocka_unit_test(test_halves),
                                       cmocka_unit_test(test_packed)};
    return cmocka_run_group_tests(tests, open, close);
}
