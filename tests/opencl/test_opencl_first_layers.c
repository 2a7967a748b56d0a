/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers compile when they are created, caches too. A call of a layer that knows its largest sizes
 * makes and takes nothing, the first one too, but for options that a layer does not plan for: then
 * the first call makes objects, of programs that are there. A layer that does not know its sizes
 * compiles nothing either, but for calls of few rows a sample, which have kernels of their own.
 * Weights and scores are nowhere planned for: their kernels compile when they are first asked. */
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 3, L = 40, S = 50, M = 32, HEADS = 2, HIDDEN = 48, TOKENS = 400, MOST = 1 << 20 };

static attend_context *context;
static float *zeros;
static attend_buffer *input, *output, *truths;
static bool pocl;

/* ---- layers ---------------------------------------------------------------------------------- */

static attend_tensor matrix(int64_t rows, int64_t columns) {
    return attend_tensor_2d(zeros, ATTEND_F32, rows, columns);
}

static attend_tensor vector(int64_t n) {
    return attend_tensor_1d(zeros, ATTEND_F32, n);
}

typedef enum known { UNKNOWN, KNOWN } known;

static attend_multihead_desc heads_of(bool causal, known sizes) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = HEADS;
    d.w_q = d.w_k = d.w_v = d.w_o = matrix(M, M);
    d.b_q = d.b_k = d.b_v = d.b_o = vector(M);
    d.causal = causal;
    if (causal) {
        d.rope_cos = d.rope_sin = attend_tensor_2d(zeros, ATTEND_F32, TOKENS, M / HEADS / 2);
    }
    if (sizes == UNKNOWN) return d;
    d.max_batch = B;
    d.max_query_length = L;
    return d;
}

static attend_feedforward_desc inner_of(bool gated, known sizes) {
    attend_feedforward_desc d = attend_feedforward_default();
    d.w_1 = matrix(HIDDEN, M);
    d.w_2 = matrix(M, HIDDEN);
    d.b_1 = vector(HIDDEN);
    d.b_2 = vector(M);
    if (gated) d.w_gate = d.w_1;
    d.activation = gated ? ATTEND_SILU : ATTEND_GELU;
    d.max_rows = sizes == KNOWN ? B * L : 0;
    return d;
}

/* A decoder with a cross-attention, norms first, or an encoder. */
static attend_block *make_block(bool decoder, known sizes) {
    const attend_multihead_desc self = heads_of(decoder, sizes);
    attend_multihead_desc cross = heads_of(false, sizes);
    const attend_feedforward_desc inner = inner_of(decoder, sizes);
    attend_block_desc d = attend_block_default();
    attend_block *block = NULL;
    if (sizes == KNOWN) cross.max_key_length = S;
    d.self_attention = &self;
    d.cross_attention = decoder ? &cross : NULL;
    d.feedforward = &inner;
    d.norm_first = decoder;
    d.norm = decoder ? ATTEND_RMS_NORM : ATTEND_LAYER_NORM;
    d.norm_self_weight = d.norm_feedforward_weight = vector(M);
    if (decoder) d.norm_cross_weight = vector(M);
    if (attend_block_create(context, &d, &block) != ATTEND_OK) fail_msg("%s", attend_error_text());
    return block;
}

/* ---- calls ----------------------------------------------------------------------------------- */

typedef enum option { PLAIN, LENGTHS, MASK, PACKED, BIAS } option;

static attend_tensor in(attend_buffer *buffer, int64_t i, int64_t j, int64_t k) {
    return attend_tensor_in(buffer, 0, ATTEND_F32, 3, (int64_t[]){i, j, k}, NULL);
}

static int32_t lengths[B + 1], cu[B + 1];

static attend_block_args call_of(bool decoder, int64_t samples, int64_t rows, option with) {
    attend_block_args a = attend_block_args_default();
    const int64_t places[] = {1, 1, rows, rows}, heads[] = {1, HEADS, rows, rows};
    const bool packed = with == PACKED;
    for (int b = 0; b <= B; b++) {
        lengths[b] = (int32_t)rows;
        cu[b] = (int32_t)(b * rows);
    }
    a.x = in(input, packed ? 1 : samples, packed ? samples * rows : rows, M);
    a.out = a.x;
    a.out.buffer = output;
    if (decoder) a.memory = in(input, packed ? 1 : samples, packed ? samples * rows : S, M);
    if (with == LENGTHS) a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, samples);
    if (with == MASK) a.mask = attend_tensor_in(truths, 0, ATTEND_BOOL, 4, places, NULL);
    if (with == BIAS) a.bias = attend_tensor_in(input, 0, ATTEND_F32, 4, heads, NULL);
    if (packed) a.cu_query_lengths = attend_tensor_1d(cu, ATTEND_I32, samples + 1);
    if (packed && decoder) a.memory_cu_key_lengths = a.cu_query_lengths;
    return a;
}

static void run(attend_block *block, const attend_block_args *a, watch_level level,
                const char *what) {
    const watch_mark before = watch_now(context);
    if (attend_block_run(block, a) != ATTEND_OK) fail_msg("%s: %s", what, attend_error_text());
    watch_check(&before, level, what);
}

static void run_all(bool decoder, known sizes) {
    static const struct {
        int64_t samples, rows;
        option with;
    } calls[] = {
        {B, L, PLAIN},   {1, 1, PLAIN},   {2, 7, PLAIN}, {B, 2, PLAIN},
        {B, L, LENGTHS}, {1, 9, LENGTHS}, {B, L, MASK},  {2, 20, MASK},
        {B, L, PACKED},  {2, 5, PACKED},  {1, L, BIAS},  {1, 3, BIAS},
    };
    const int before = watch_compiled();
    attend_block *const block = make_block(decoder, sizes);
    if (pocl && sizes == UNKNOWN && !decoder) assert_true(watch_compiled() > before);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char name[100];
        const attend_block_args a =
            call_of(decoder, calls[i].samples, calls[i].rows, calls[i].with);
        const bool planned = sizes == KNOWN && calls[i].with < BIAS;
        const bool few = calls[i].rows < 9 && !(decoder && calls[i].rows == 1);
        if (sizes == UNKNOWN && few) continue;
        (void)snprintf(name, sizeof name, "%s of %s sizes, %d samples of %d rows, option %d",
                       decoder ? "decoder" : "encoder", sizes == KNOWN ? "known" : "unknown",
                       (int)calls[i].samples, (int)calls[i].rows, (int)calls[i].with);
        run(block, &a, planned ? NOTHING_TAKEN : NOTHING_COMPILED, name);
        run(block, &a, NOTHING_TAKEN, name);
    }
    attend_block_release(block);
}

static void test_layers_of_unknown_sizes(void **state) {
    (void)state;
    run_all(false, UNKNOWN);
    run_all(true, UNKNOWN);
}

static void test_layers_of_known_sizes(void **state) {
    (void)state;
    run_all(false, KNOWN);
    run_all(true, KNOWN);
}

/* ---- windows ----------------------------------------------------------------------------------
 */

/* Windows that bind no call, or some; a layer that knows its sizes plans for calls of all of them,
 * the other one for a few rows. */
static void slide(int64_t window, known sizes) {
    static const int64_t rows[] = {32, L, 20, 1};
    attend_multihead_desc desc = heads_of(true, sizes);
    attend_multihead *layer = NULL;
    desc.window_left = window;
    desc.softcap = 30.0; /* no other test has planned for such layers */
    assert_int_equal(attend_multihead_create(context, &desc, &layer), ATTEND_OK);
    for (int i = 0; i < (sizes == KNOWN ? 4 : 1); i++) {
        char name[80];
        attend_multihead_args a = attend_multihead_args_default();
        a.x_q = in(input, 1, rows[i], M);
        a.out = in(output, 1, rows[i], M);
        (void)snprintf(name, sizeof name, "a window of %d, %s sizes, %d rows", (int)window,
                       sizes == KNOWN ? "known" : "unknown", (int)rows[i]);
        const watch_mark before = watch_now(context);
        if (attend_multihead_run(layer, &a) != ATTEND_OK)
            fail_msg("%s: %s", name, attend_error_text());
        /* memory: that of the layer's intermediate results */
        watch_check(&before, sizes == KNOWN ? NOTHING_TAKEN : NOTHING_MADE, name);
    }
    attend_multihead_release(layer);
}

static void test_windows(void **state) {
    (void)state;
    static const int64_t windows[] = {4 * L, 70, 8};
    for (int i = 0; i < 3; i++) {
        slide(windows[i], KNOWN);
        slide(windows[i], UNKNOWN);
    }
}

/* ---- caches ---------------------------------------------------------------------------------- */

static attend_cache *make_cache(void) {
    attend_cache_desc d = attend_cache_desc_default();
    attend_cache *cache = NULL;
    d.batch = B;
    d.kv_heads = HEADS;
    d.head_size = M / HEADS;
    d.capacity = TOKENS;
    d.type = ATTEND_F32;
    assert_int_equal(attend_cache_create(context, &d, &cache), ATTEND_OK);
    return cache;
}

/* A prompt, then tokens: the layer's and the cache's creation compiled for all of them. */
static void decode(known sizes) {
    attend_multihead_desc desc = heads_of(true, sizes);
    attend_multihead *layer = NULL;
    assert_int_equal(attend_multihead_create(context, &desc, &layer), ATTEND_OK);
    attend_cache *const cache = make_cache();
    for (int i = 0; i < 12; i++) {
        char name[60];
        const int64_t rows = i == 0 ? L : i % 3 == 2 ? (sizes == KNOWN ? 4 : 9) : 1;
        attend_multihead_args a = attend_multihead_args_default();
        a.x_q = in(input, B, rows, M);
        a.out = in(output, B, rows, M);
        a.cache = cache;
        (void)snprintf(name, sizeof name, "%s sizes, step %d of %d tokens",
                       sizes == KNOWN ? "known" : "unknown", i, (int)rows);
        const watch_mark before = watch_now(context);
        if (attend_multihead_run(layer, &a) != ATTEND_OK)
            fail_msg("%s: %s", name, attend_error_text());
        watch_check(&before, i < 3 ? NOTHING_COMPILED : NOTHING_TAKEN, name);
    }
    attend_cache_release(cache);
    attend_multihead_release(layer);
}

static attend_tensor tokens_in(attend_buffer *buffer, int64_t n) {
    const int64_t sizes[] = {B, HEADS, n, M / HEADS};
    return attend_tensor_in(buffer, 0, ATTEND_F32, 4, sizes, NULL);
}

/* An append of as many tokens as fit, or of one, has its plan by the cache's creation. */
static void test_appends(void **state) {
    (void)state;
    attend_cache *const cache = make_cache();
    static const int64_t counts[] = {L, 1, 7, TOKENS - 64};
    for (int i = 0; i < 4; i++) {
        const attend_tensor rows = tokens_in(input, counts[i]);
        char name[60];
        (void)snprintf(name, sizeof name, "%d tokens", (int)counts[i]);
        const watch_mark before = watch_now(context);
        assert_int_equal(attend_cache_append(cache, &rows, &rows, NULL), ATTEND_OK);
        watch_check(&before, NOTHING_TAKEN, name);
    }
    attend_cache_release(cache);
}

/* That of a layer that was made for more samples, too: its first call makes the kernels of the
 * attention alone. */
static void test_layer_over_a_smaller_cache(void **state) {
    (void)state;
    if (strcmp(own_backend, "opencl") != 0) return;
    attend_multihead_desc desc = heads_of(true, KNOWN);
    attend_multihead *layer = NULL;
    attend_plan *plan = NULL;
    const attend_tensor none = {0};
    desc.rope_cos = desc.rope_sin = none;
    desc.max_batch = 2 * B;
    assert_int_equal(attend_multihead_create(context, &desc, &layer), ATTEND_OK);
    attend_cache *const cache = make_cache();
    attend_attention a = attend_attention_default();
    a.q = tokens_in(input, L);
    a.out = tokens_in(output, L);
    a.cache = cache;
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    long before = own_log_position();
    assert_int_equal(attend_plan_create(context, &a, &plan), ATTEND_OK);
    const int kernels = own_calls(before, "clCreateKernel", 0);
    attend_multihead_args args = attend_multihead_args_default();
    args.x_q = in(input, B, L, M);
    args.out = in(output, B, L, M);
    args.cache = cache;
    before = own_log_position();
    assert_int_equal(attend_multihead_run(layer, &args), ATTEND_OK);
    assert_int_equal(own_calls(before, "clCreateKernel", 0), kernels);
    attend_plan_release(plan);
    attend_cache_release(cache);
    attend_multihead_release(layer);
}

static void test_caches(void **state) {
    (void)state;
    decode(UNKNOWN);
    decode(KNOWN);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool make_buffers(void) {
    return attend_buffer_create(context, MOST * sizeof *zeros, &input) == ATTEND_OK &&
           attend_buffer_create(context, MOST * sizeof *zeros, &output) == ATTEND_OK &&
           attend_buffer_create(context, MOST, &truths) == ATTEND_OK &&
           attend_buffer_write(truths, 0, zeros, MOST) == ATTEND_OK &&
           attend_buffer_write(input, 0, zeros, MOST * sizeof *zeros) == ATTEND_OK;
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    zeros = calloc(MOST, sizeof *zeros);
    if (zeros == NULL || !watch_start()) return 1;
    own_opencl own;
    attend_options options = attend_options_default();
    options.backend = own_backend;
    int failures = 77;
    if (own_find(&own) && attend_open(&options, &context) == ATTEND_OK && make_buffers()) {
        pocl = own_is_pocl(&own);
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_layers_of_unknown_sizes),
            cmocka_unit_test(test_layers_of_known_sizes),
            cmocka_unit_test(test_windows),
            cmocka_unit_test(test_appends),
            cmocka_unit_test(test_layer_over_a_smaller_cache),
            cmocka_unit_test(test_caches),
        };
        failures = cmocka_run_group_tests(tests, NULL, NULL);
        attend_buffer_release(input);
        attend_buffer_release(output);
        attend_buffer_release(truths);
        attend_close(context);
    }
    watch_end();
    free(zeros);
    return failures;
}
