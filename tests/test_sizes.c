/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on sizes against 128-bit integers made of 32-bit digits: products and sums of
 * checked.h, and what the library says about views whose sizes, strides and offsets are random up
 * to the edge of int64. A view that does not fit gives OVERFLOW and allocates nothing. */
#include "base/checked.h"

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 20260101;

static uint64_t next(void) { /* splitmix64 (Steele, Lea, Flood 2014) */
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Numbers of all magnitudes, often beside a power of two. */
static uint64_t number(int bits) {
    const uint64_t width = next() % (uint64_t)(bits + 1);
    const uint64_t value = width == 0 ? 0 : next() >> (64 - width);
    switch (next() % 4) {
    case 0:
        return width == 0 || width == 64 ? value : (uint64_t)1 << (width - 1);
    case 1:
        return width == 0 || width == 64 ? value : ((uint64_t)1 << width) - 1;
    default:
        return value;
    }
}

/* ---- the oracle: eight digits of 32 bits ----------------------------------------------------- */

typedef struct wide {
    uint32_t digits[8];
} wide;

static wide wide_of(uint64_t value) {
    return (wide){{(uint32_t)value, (uint32_t)(value >> 32)}};
}

static wide wide_add(wide a, wide b) {
    uint64_t carry = 0;
    for (int i = 0; i < 8; i++) {
        carry += (uint64_t)a.digits[i] + b.digits[i];
        a.digits[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return a;
}

static wide wide_mul(wide a, uint64_t factor) {
    const uint32_t parts[2] = {(uint32_t)factor, (uint32_t)(factor >> 32)};
    wide sum = {{0}};
    for (int part = 0; part < 2; part++) {
        wide product = {{0}};
        uint64_t carry = 0;
        for (int i = 0; i + part < 8; i++) {
            carry += (uint64_t)a.digits[i] * parts[part];
            product.digits[i + part] = (uint32_t)carry;
            carry >>= 32;
        }
        sum = wide_add(sum, product);
    }
    return sum;
}

static bool wide_above(wide a, uint64_t limit) {
    for (int i = 2; i < 8; i++) {
        if (a.digits[i] != 0) return true;
    }
    return ((uint64_t)a.digits[1] << 32 | a.digits[0]) > limit;
}

static uint64_t wide_low(wide a) {
    return (uint64_t)a.digits[1] << 32 | a.digits[0];
}

/* ---- checked.h ------------------------------------------------------------------------------- */

static void test_checked(void **state) {
    (void)state;
    int overflows = 0;
    for (int n = 0; n < 40000; n++) {
        const uint64_t a = number(63), b = number(63), x = number(64), y = number(64);
        const wide product = wide_mul(wide_of(a), b), sum = wide_add(wide_of(a), wide_of(b));
        int64_t signed_result = -7;
        const bool product_fits = !wide_above(product, INT64_MAX);
        assert_int_equal(attend__mul_i64((int64_t)a, (int64_t)b, &signed_result), product_fits);
        assert_true(signed_result == (product_fits ? (int64_t)wide_low(product) : -7));
        signed_result = -7;
        const bool sum_fits = !wide_above(sum, INT64_MAX);
        assert_int_equal(attend__add_i64((int64_t)a, (int64_t)b, &signed_result), sum_fits);
        assert_true(signed_result == (sum_fits ? (int64_t)wide_low(sum) : -7));
        overflows += !product_fits;

        size_t size = 7;
        const wide whole = wide_mul(wide_of(x), y), total = wide_add(wide_of(x), wide_of(y));
        if (x > SIZE_MAX || y > SIZE_MAX) continue;
        assert_int_equal(attend__mul_size((size_t)x, (size_t)y, &size),
                         !wide_above(whole, SIZE_MAX));
        assert_true(size == (wide_above(whole, SIZE_MAX) ? 7 : (size_t)wide_low(whole)));
        size = 7;
        assert_int_equal(attend__add_size((size_t)x, (size_t)y, &size),
                         !wide_above(total, SIZE_MAX));
        assert_true(size == (wide_above(total, SIZE_MAX) ? 7 : (size_t)wide_low(total)));
    }
    assert_true(overflows > 4000 && overflows < 36000);
    int64_t untouched = -7;
    assert_false(attend__mul_i64(-1, 0, &untouched));
    assert_false(attend__mul_i64(2, -3, &untouched));
    assert_false(attend__add_i64(-1, 5, &untouched));
    assert_int_equal(untouched, -7);
}

/* ---- views ----------------------------------------------------------------------------------- */

static size_t allocations;

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    allocations++;
    return aligned_alloc(alignment < 16 ? 16 : alignment, (bytes + 127) / 128 * 128);
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static attend_context *open(void) {
    static const attend_allocator allocator = {allocate, release, NULL};
    attend_options options = attend_options_default();
    options.allocator = &allocator;
    attend_context *context = NULL;
    assert_int_equal(attend_open(&options, &context), ATTEND_OK);
    return context;
}

enum { BYTES = 4096 };

/* What copying this view out of a buffer of BYTES bytes must answer, by the oracle. */
static attend_status expected(const attend_tensor *x) {
    const uint64_t element = attend_type_bytes(x->type);
    wide count = wide_of(1), last = wide_of((uint64_t)x->offset);
    bool empty = false;
    for (int32_t i = 0; i < x->rank; i++) {
        if (x->sizes[i] == 0) empty = true;
    }
    if (empty) return ATTEND_OK;
    for (int32_t i = 0; i < x->rank; i++) {
        if (wide_above(count, INT64_MAX)) return ATTEND_OVERFLOW;
        count = wide_mul(count, (uint64_t)x->sizes[i]);
        last =
            wide_add(last, wide_mul(wide_of((uint64_t)x->strides[i]), (uint64_t)x->sizes[i] - 1));
    }
    if (wide_above(count, INT64_MAX)) return ATTEND_OVERFLOW;
    const wide bytes = wide_mul(wide_add(last, wide_of(1)), element);
    if (wide_above(bytes, PTRDIFF_MAX)) return ATTEND_OVERFLOW;
    return wide_above(bytes, BYTES) ? ATTEND_OUT_OF_RANGE : ATTEND_OK;
}

static attend_tensor random_view(attend_buffer *buffer) {
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_I64, ATTEND_U8};
    const int bits = next() % 4 == 0 ? 8 : 63;
    attend_tensor x = {
        .buffer = buffer, .type = types[next() % 4], .rank = (int32_t)(next() % 6) + 1};
    x.offset = (int64_t)number(next() % 4 == 0 ? 63 : 4);
    for (int32_t i = 0; i < x.rank; i++) {
        x.sizes[i] =
            (int64_t)(number(next() % 3 == 0 ? bits : 2) | (next() % 16 != 0)); /* seldom 0 */
        x.strides[i] = (int64_t)number(next() % 3 == 0 ? bits : 6);
    }
    return x;
}

/* A view that fits the buffer by its strides may still repeat more elements than `most` bytes hold.
 */
static bool repeats_too_much(const attend_tensor *x, uint64_t most) {
    wide bytes = wide_of(attend_type_bytes(x->type));
    for (int32_t i = 0; i < x->rank; i++) {
        if (x->sizes[i] == 0) return false;
    }
    for (int32_t i = 0; i < x->rank && !wide_above(bytes, most); i++)
        bytes = wide_mul(bytes, (uint64_t)x->sizes[i]);
    return wide_above(bytes, most);
}

/* The output has the sizes of x, so that x's own faults decide; it is told apart by its name in the
 * sentence. */
static void test_views(void **state) {
    (void)state;
    attend_context *context = open();
    attend_buffer *buffer = NULL;
    static unsigned char room[BYTES * 8];
    assert_int_equal(attend_buffer_create(context, BYTES, &buffer), ATTEND_OK);
    static unsigned char fill[BYTES];
    assert_int_equal(attend_buffer_write(buffer, 0, fill, BYTES), ATTEND_OK);
    int seen[3] = {0, 0, 0};
    for (int n = 0; n < 60000; n++) {
        attend_copy c = attend_copy_default();
        c.x = random_view(buffer);
        c.out = attend_tensor_nd(room, c.x.type, c.x.rank, c.x.sizes);
        for (int32_t i = 0; i < c.x.rank; i++) {
            if (c.out.strides[i] < 0)
                c.out.strides[i] = 1; /* wrapped around in a view without elements */
        }
        const attend_status wanted = expected(&c.x);
        if (wanted == ATTEND_OK && repeats_too_much(&c.x, sizeof room)) continue;
        const size_t before = allocations;
        const attend_status got = attend_copy_run(context, &c);
        if (got != wanted)
            fail_msg("view %d: %s \"%s\", not %s", n, attend_status_name(got), attend_error_text(),
                     attend_status_name(wanted));
        if (wanted == ATTEND_OVERFLOW) {
            assert_int_equal(allocations, before);
            assert_memory_equal(attend_error_text(), "x: ", 3);
        }
        seen[wanted == ATTEND_OK ? 0 : wanted == ATTEND_OVERFLOW ? 1 : 2]++;
    }
    assert_true(seen[0] > 10000 && seen[1] > 10000 && seen[2] > 3000);
    attend_buffer_release(buffer);
    attend_close(context);
}

/* Scores that no address space holds are refused before anything is allocated for them. */
static void test_attention(void **state) {
    (void)state;
    attend_context *context = open();
    static float room[64];
    const int64_t huge = INT64_C(1) << 40;
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(room, ATTEND_F32, 1, 1, huge, 1);
    a.k = a.v = attend_tensor_4d(room, ATTEND_F32, 1, 1, huge, 1);
    a.q.strides[2] = a.k.strides[2] = a.v.strides[2] = 0;
    a.out = attend_tensor_4d(room, ATTEND_F32, 1, 1, huge, 1);
    a.weights = attend_tensor_4d(room, ATTEND_F32, 1, 1, huge, huge);
    const size_t before = allocations;
    assert_int_equal(attend_run(context, &a), ATTEND_OVERFLOW);
    assert_memory_equal(attend_error_text(), "weights: ", 9);
    assert_int_equal(allocations, before);
    attend_close(context);
}

static void test_helpers(void **state) {
    (void)state;
    float nothing;
    assert_int_equal(attend_sinusoidal_positions(INT64_MAX, 2, &nothing), ATTEND_OVERFLOW);
    assert_int_equal(attend_sinusoidal_positions(INT64_MAX / 4 + 1, 1, &nothing), ATTEND_OVERFLOW);
    assert_int_equal(attend_rope_tables(INT64_MAX / 2, 8, 10000, &nothing, &nothing),
                     ATTEND_OVERFLOW);
    attend_t5_bias d = attend_t5_bias_default();
    d.table = d.bias = &nothing;
    d.heads = INT64_C(1) << 20;
    d.query_length = d.key_length = INT64_C(1) << 21;
    assert_int_equal(attend_t5_position_bias(&d), ATTEND_OVERFLOW);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_checked), cmocka_unit_test(test_views),
                                       cmocka_unit_test(test_attention),
                                       cmocka_unit_test(test_helpers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
