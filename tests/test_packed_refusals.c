/* SPDX-License-Identifier: Apache-2.0
 *
 * Cumulative lengths that layers refuse: status, sentence, nothing written. And those that leave
 * nothing to do. */
#include "packed_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const attend_tensor none;

static void refuses(attend_block *block, const attend_block_args *args, attend_status status,
                    const char *sentence) {
    assert_int_equal(attend_block_run(block, args), status);
    if (strstr(attend_error_text(), sentence) != attend_error_text())
        fail_msg("\"%s\" does not begin with \"%s\"", attend_error_text(), sentence);
}

static void bad_lengths_are_refused(void **state) {
    attend_context *context = *state;
    decoder d;
    pack_decoder(&d, true);
    attend_block *block = NULL;
    succeeds(attend_block_create(context, &d.desc, &block));
    static int32_t late[] = {1, 4, 4, 11, 12, 23}, falling[] = {0, 4, 3, 11, 12, 23},
                   long_one[] = {0, 4, 4, 11, 12, 26}, below[] = {0, 4, 4, -1, 12, 23};
    const struct {
        int32_t *values;
        const char *sentence;
    } bad[] = {{late, "cu_query_lengths: element 0 is 1 instead of 0"},
               {falling, "cu_query_lengths: element 2 is 3, less than the one before it, 4"},
               {long_one, "cu_query_lengths: ends at 26, x has 25 rows"},
               {below, "cu_query_lengths: element 3 is -1, less"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        attend_block_args a = d.args;
        a.cu_query_lengths.data = bad[i].values;
        refuses(block, &a, ATTEND_OUT_OF_RANGE, bad[i].sentence);
    }
    attend_block_args a = d.args;
    a.memory_cu_key_lengths.sizes[0] = SAMPLES;
    refuses(block, &a, ATTEND_SHAPE, "memory_cu_key_lengths: 5 elements, cu_query_lengths has 6");
    a = d.args;
    a.memory_cu_key_lengths = none;
    refuses(block, &a, ATTEND_INVALID, "memory_cu_key_lengths: not given, though");
    a = d.args;
    a.cu_query_lengths = none;
    refuses(block, &a, ATTEND_INVALID, "memory_cu_key_lengths: given without cu_query_lengths");
    a = d.args;
    a.query_lengths = attend_tensor_1d(late, ATTEND_I32, SAMPLES);
    refuses(block, &a, ATTEND_INVALID, "query_lengths: given with cu_query_lengths");
    a = d.args;
    a.memory_key_lengths = attend_tensor_1d(late, ATTEND_I32, SAMPLES);
    refuses(block, &a, ATTEND_INVALID, "memory_key_lengths: given with cu_query_lengths");
    a = d.args;
    a.key_mask = random_mask(SAMPLES, LONGEST + 1);
    refuses(block, &a, ATTEND_SHAPE, "key_mask: ");
    a = d.args;
    a.memory.sizes[0] = 0;
    refuses(block, &a, ATTEND_SHAPE, "memory: batch 0 does not match x's 1");
    attend_buffer *buffer = NULL;
    a = d.args;
    a.cu_query_lengths = in_buffer(context, &d.args.cu_query_lengths, &buffer);
    refuses(block, &a, ATTEND_INVALID, "cu_query_lengths: must lie in host memory");
    attend_buffer_release(buffer);
    const unsigned char *bytes = d.args.out.data;
    for (size_t i = 0; i < bytes_of(&d.args.out); i++)
        assert_int_equal(bytes[i], 0xff);
    attend_block_release(block);
}

static void bad_multihead_arguments_are_refused(void **state) {
    attend_context *context = *state;
    const attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    const attend_multihead_args x = packed_args(ATTEND_F32);
    attend_multihead_args a = x;
    a.cu_key_lengths = lengths_of_keys();
    assert_int_equal(attend_multihead_run(layer, &a), ATTEND_INVALID);
    assert_string_equal(attend_error_text(),
                        "cu_key_lengths: given, but there are no other rows than the queries'");
    a = x;
    a.lse = EMPTY(ATTEND_F32, 1, H, QUERIES);
    assert_int_equal(attend_multihead_run(layer, &a), ATTEND_SHAPE);
    assert_string_equal(attend_error_text(), "lse: length 23 does not match x_q's 25");
    a = x;
    a.x_q = RANDOM(ATTEND_F32, 1, 2, QUERIES, M);
    assert_int_equal(attend_multihead_run(layer, &a), ATTEND_SHAPE);
    assert_string_equal(attend_error_text(), "x_q: batch 2, but packed rows have 1");
    /* a sample longer than the tables of positions, though all of them were not looked at */
    static int32_t long_one[] = {0, 0, 0, 0, 0, P + 1};
    a = x;
    a.key_mask = a.weights_mean = none;
    a.cu_query_lengths.data = long_one;
    assert_int_equal(attend_multihead_run(layer, &a), ATTEND_SHAPE);
    assert_string_equal(attend_error_text(), "rope_cos: 16 positions are fewer than the length 17");
    attend_multihead_release(layer);
}

static void no_rows_and_no_samples(void **state) {
    attend_context *context = *state;
    const attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    static int32_t zeros[SAMPLES + 1];
    attend_multihead_args x = packed_args(ATTEND_F32);
    x.key_mask = x.weights_mean = none;
    x.cu_query_lengths.data = zeros;
    succeeds(attend_multihead_run(layer, &x));
    x.cu_query_lengths.sizes[0] = 1;
    succeeds(attend_multihead_run(layer, &x));
    const unsigned char *bytes = x.out.data;
    for (size_t i = 0; i < bytes_of(&x.out); i++)
        assert_int_equal(bytes[i], 0xff);
    attend_multihead_release(layer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(bad_lengths_are_refused, give_back),
        cmocka_unit_test_teardown(bad_multihead_arguments_are_refused, give_back),
        cmocka_unit_test_teardown(no_rows_and_no_samples, give_back)};
    return RUN_LAYER_TESTS(tests);
}
