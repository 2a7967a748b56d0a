/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers over a cache: fed step by step they give what one call over all tokens gives, with the
 * same bits on the backends whose sums do not depend on the number of queries, whatever the split
 * and the pages; what is refused leaves the cache as it was. */
#include "layer_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const attend_tensor none;

static attend_cache *new_cache(attend_context *context, attend_type type, int64_t capacity,
                               int64_t page_size) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D;
    d.value_size = E;
    d.capacity = capacity;
    d.page_size = page_size;
    d.type = type;
    attend_cache *cache = NULL;
    succeeds(attend_cache_create(context, &d, &cache));
    return cache;
}

static const int64_t splits[][8] = {{4, 1, 1, 5}, {L}, {1, 1, 1, 1, 1, 1, 1, 4}, {9, 2}};
static const int64_t page_sizes[] = {0, 1, 3, 64};

/* ---- equal to the whole ---------------------------------------------------------------------- */

static void step_multihead(attend_multihead *layer, attend_multihead_args whole,
                           attend_cache *cache, const int64_t *steps, const attend_tensor *out) {
    for (int64_t at = 0; at < L; at += *steps++) {
        attend_multihead_args a = whole;
        a.x_q = tokens_of(whole.x_q, at, *steps);
        a.out = tokens_of(*out, at, *steps);
        a.cache = cache;
        succeeds(attend_multihead_run(layer, &a));
    }
}

static void steps_equal_the_whole(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    d.position = ATTEND_POSITION_UNSET; /* TOP_LEFT without, AFTER_CACHE with a cache */
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    attend_multihead_args whole = attend_multihead_args_default();
    whole.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    whole.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_multihead_run(layer, &whole));
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        const attend_tensor out = EMPTY(ATTEND_F32, B, L, M);
        attend_cache *cache = new_cache(context, ATTEND_F32, L, page_sizes[i]);
        step_multihead(layer, whole, cache, splits[i], &out);
        agree_in_steps(context, &out, &whole.out);
        assert_int_equal(attend_cache_length(cache, 1), L);
        attend_cache_release(cache);
    }
    attend_multihead_release(layer);
}

/* A cache of a narrower type rounds keys and values and nothing else. */
static void narrow_caches_come_close(void **state) {
    attend_context *context = *state;
    const struct {
        attend_type type;
        float most;
    } types[] = {{ATTEND_F16, 0.004f}, {ATTEND_BF16, 0.03f}, {ATTEND_I8, 0.03f}};
    attend_multihead_desc d = random_heads(ATTEND_F32, M);
    d.causal = 1;
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    attend_multihead_args whole = attend_multihead_args_default();
    whole.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    whole.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_multihead_run(layer, &whole));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const attend_tensor out = EMPTY(ATTEND_F32, B, L, M);
        attend_cache *cache = new_cache(context, types[i].type, L, 2);
        step_multihead(layer, whole, cache, splits[0], &out);
        float worst = 0;
        for (size_t e = 0; e < count_of(&out); e++)
            worst = fmaxf(worst, fabsf(((float *)out.data)[e] - ((float *)whole.out.data)[e]));
        assert_true(worst > 0 && worst <= types[i].most);
        attend_cache_release(cache);
    }
    attend_multihead_release(layer);
}

/* Sample 0 has 4 tokens, sample 1 has 2, then each gets its own number more. */
static void ragged_steps_equal_the_whole(void **state) {
    enum { STEPS = 3 };
    static const int64_t counts[STEPS][B] = {{4, 2}, {1, 3}, {0, 5}};
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    d.position = ATTEND_POSITION_UNSET;
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    attend_multihead_args whole = attend_multihead_args_default();
    whole.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    whole.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_multihead_run(layer, &whole));
    const attend_tensor got = EMPTY(ATTEND_F32, B, L, M);
    attend_cache *cache = new_cache(context, ATTEND_F32, L, 3);
    int64_t at[B] = {0};
    for (int s = 0; s < STEPS; s++) {
        const attend_tensor x = EMPTY(ATTEND_F32, B, 5, M), out = EMPTY(ATTEND_F32, B, 5, M);
        for (int b = 0; b < B; b++)
            memcpy((float *)x.data + (size_t)b * 5 * M,
                   (float *)whole.x_q.data + (size_t)(b * L + at[b]) * M,
                   (size_t)counts[s][b] * M * sizeof(float));
        attend_multihead_args a = attend_multihead_args_default();
        a.x_q = x;
        a.out = out;
        a.query_lengths = attend_tensor_1d(counts[s], ATTEND_I64, B);
        a.cache = cache;
        succeeds(attend_multihead_run(layer, &a));
        for (int b = 0; b < B; b++) {
            memcpy((float *)got.data + (size_t)(b * L + at[b]) * M,
                   (float *)out.data + (size_t)b * 5 * M, (size_t)counts[s][b] * M * sizeof(float));
            at[b] += counts[s][b];
            assert_int_equal(attend_cache_length(cache, b), at[b]);
        }
    }
    for (int b = 0; b < B; b++) {
        const attend_tensor mine = attend_tensor_2d((float *)got.data + (size_t)b * L * M,
                                                    ATTEND_F32, at[b], M),
                            want = attend_tensor_2d((float *)whole.out.data + (size_t)b * L * M,
                                                    ATTEND_F32, at[b], M);
        agree_in_steps(context, &mine, &want);
    }
    attend_cache_release(cache);
    attend_multihead_release(layer);
}

/* ---- decoder layers -------------------------------------------------------------------------- */

/* Tokens at .. at + n - 1 of a decoder's call; side outputs go to their places in full arrays. */
static attend_block_args tokens_of_decoder(const attend_block_args *whole, int64_t at, int64_t n) {
    attend_block_args a = *whole;
    a.x = tokens_of(whole->x, at, n);
    a.out = tokens_of(whole->out, at, n);
    a.key_mask.sizes[1] = at + n;
    a.memory_bias.offset += at * S;
    a.memory_bias.sizes[1] = n;
    a.weights.offset += at * L;
    a.weights.sizes[2] = n;
    a.weights.sizes[3] = at + n;
    a.memory_weights_mean = tokens_of(whole->memory_weights_mean, at, n);
    return a;
}

static void decoder_steps_equal_the_whole(void **state) {
    attend_context *context = *state;
    for (int first = 0; first < 2; first++) {
        decoder d;
        fill_decoder(&d, first != 0);
        attend_block *block = NULL;
        succeeds(attend_block_create(context, &d.desc, &block));
        succeeds(attend_block_run(block, &d.args));
        for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
            attend_cache *own = new_cache(context, ATTEND_F32, L, page_sizes[i]),
                         *memory = new_cache(context, ATTEND_F32, S, page_sizes[3 - i]);
            attend_block_args parts = d.args;
            parts.out = EMPTY(ATTEND_F32, B, L, M);
            parts.weights = EMPTY(ATTEND_F32, B, H, L, L);
            parts.memory_weights_mean = EMPTY(ATTEND_F32, B, L, S);
            memset(parts.weights.data, 0, bytes_of(&parts.weights));
            const int64_t *step = splits[i];
            for (int64_t at = 0; at < L; at += *step++) {
                attend_block_args a = tokens_of_decoder(&parts, at, *step);
                a.cache = own;
                a.memory_cache = memory;
                if (at > 0) a.memory = none; /* kept from the first step */
                succeeds(attend_block_run(block, &a));
            }
            agree_in_steps(context, &parts.out, &d.args.out);
            agree_in_steps(context, &parts.weights, &d.args.weights);
            agree_in_steps(context, &parts.memory_weights_mean, &d.args.memory_weights_mean);
            attend_cache_release(own);
            attend_cache_release(memory);
        }
        attend_block_release(block);
    }
}

/* Both steps are enqueued behind a gate; lengths and tables are those of each call. */
static void enqueued_steps_equal_the_whole(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    d.position = ATTEND_POSITION_UNSET;
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    attend_multihead_args whole = attend_multihead_args_default();
    whole.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    whole.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_multihead_run(layer, &whole));
    attend_buffer *in = NULL, *out = NULL;
    succeeds(attend_buffer_create(context, bytes_of(&whole.x_q), &in));
    succeeds(attend_buffer_create(context, bytes_of(&whole.out), &out));
    succeeds(attend_buffer_write(in, 0, whole.x_q.data, bytes_of(&whole.x_q)));
    attend_cache *cache = new_cache(context, ATTEND_F32, L, 2);
    attend_event *gate = NULL, *first = NULL, *second = NULL;
    succeeds(attend_user_event_create(context, &gate));
    attend_multihead_args a = attend_multihead_args_default();
    const attend_tensor x = attend_tensor_in(in, 0, ATTEND_F32, 3, whole.x_q.sizes, NULL),
                        y = attend_tensor_in(out, 0, ATTEND_F32, 3, whole.out.sizes, NULL);
    a.cache = cache;
    a.x_q = tokens_of(x, 0, 7);
    a.out = tokens_of(y, 0, 7);
    succeeds(attend_multihead_enqueue(layer, &a, 1, &gate, &first));
    a.x_q = tokens_of(x, 7, L - 7);
    a.out = tokens_of(y, 7, L - 7);
    succeeds(attend_multihead_enqueue(layer, &a, 1, &first, &second));
    assert_int_equal(attend_cache_length(cache, 0), L);
    attend_cache_release(cache); /* its memory stays until the work has ended */
    succeeds(attend_user_event_complete(gate, ATTEND_OK));
    succeeds(attend_event_wait(second, -1));
    const attend_tensor got = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_buffer_read(out, 0, got.data, bytes_of(&got)));
    agree_in_steps(context, &got, &whole.out);
    attend_event_release(gate);
    attend_event_release(first);
    attend_event_release(second);
    attend_buffer_release(in);
    attend_buffer_release(out);
    attend_multihead_release(layer);
}

/* ---- refusals -------------------------------------------------------------------------------- */

typedef struct refusals {
    attend_context *context;
    decoder d;
    attend_block *block;
    attend_cache *own, *memory;
    attend_tensor before; /* what `out` held */
} refusals;

static void refused(refusals *r, const attend_block_args *a, attend_status status,
                    const char *start) {
    const attend_status got = attend_block_run(r->block, a);
    if (got != status || strncmp(attend_error_text(), start, strlen(start)) != 0)
        fail_msg("%s, \"%s\" instead of \"%s..\"", attend_status_name(got), attend_error_text(),
                 start);
    same_bits(&r->d.args.out, &r->before);
    assert_int_equal(attend_cache_length(r->own, 0), 3);
    assert_int_equal(attend_cache_length(r->memory, 1), S);
}

static void refuse_caches(refusals *r, const attend_block_args *good) {
    attend_block_args a = *good;
    a.cache = a.memory_cache;
    refused(r, &a, ATTEND_INVALID, "memory_cache: is the cache");
    a = *good;
    a.memory_cache = NULL;
    refused(r, &a, ATTEND_NULL_POINTER, "memory: ");
    attend_cache *few = new_cache(r->context, ATTEND_F32, 2, 1);
    a = *good;
    a.cache = few;
    refused(r, &a, ATTEND_OUT_OF_RANGE, "counts: sample 0 has 0 tokens, 4 more");
    assert_int_equal(attend_cache_length(few, 0), 0);
    attend_cache_release(few);
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = B;
    d.kv_heads = G;
    d.head_size = D + 1;
    d.value_size = E;
    d.capacity = L;
    d.type = ATTEND_F32;
    attend_cache *other = NULL;
    succeeds(attend_cache_create(r->context, &d, &other));
    a = *good;
    a.cache = other;
    refused(r, &a, ATTEND_SHAPE, "cache: head size 9");
    attend_cache_release(other);
    attend_context *elsewhere = NULL;
    succeeds(attend_open(NULL, &elsewhere));
    other = new_cache(elsewhere, ATTEND_F32, L, 1);
    a.cache = other;
    refused(r, &a, ATTEND_INVALID, "cache: belongs to another context");
    attend_cache_release(other);
    attend_close(elsewhere);
}

/* What is found after the tokens were counted in takes them out again. */
static void refuse_late(refusals *r, const attend_block_args *good) {
    attend_block_args a = *good;
    a.key_mask = random_mask(B, 6);
    refused(r, &a, ATTEND_SHAPE, "key_mask: ");
    a = *good;
    a.weights = EMPTY(ATTEND_F32, B, H, 4, 8);
    refused(r, &a, ATTEND_SHAPE, "weights: ");
    a = *good;
    a.memory_key_mask = random_mask(B, S + 1);
    refused(r, &a, ATTEND_SHAPE, "memory_key_mask: ");
    a = *good;
    const int64_t lengths[B] = {3, 3};
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I64, B);
    refused(r, &a, ATTEND_INVALID, "key_lengths: ");
    const int64_t long_lengths[B] = {3, S + 1};
    a = *good;
    a.memory_key_lengths = attend_tensor_1d(long_lengths, ATTEND_I64, B);
    refused(r, &a, ATTEND_OUT_OF_RANGE, "memory_key_lengths: ");
}

static void refusals_leave_the_cache(void **state) {
    refusals r = {.context = *state};
    fill_decoder(&r.d, true);
    succeeds(attend_block_create(r.context, &r.d.desc, &r.block));
    r.own = new_cache(r.context, ATTEND_F32, L, 2);
    r.memory = new_cache(r.context, ATTEND_F32, S, 0);
    attend_block_args a = tokens_of_decoder(&r.d.args, 0, 3);
    a.cache = r.own;
    a.memory_cache = r.memory;
    succeeds(attend_block_run(r.block, &a));
    r.before = EMPTY(ATTEND_F32, B, L, M);
    memcpy(r.before.data, r.d.args.out.data, bytes_of(&r.before));
    a = tokens_of_decoder(&r.d.args, 3, 4);
    a.cache = r.own;
    a.memory_cache = r.memory;
    a.memory = none;
    refuse_caches(&r, &a);
    refuse_late(&r, &a);
    succeeds(attend_block_run(r.block, &a));
    assert_int_equal(attend_cache_length(r.own, 0), 7);
    attend_cache_release(r.own);
    attend_cache_release(r.memory);
    attend_block_release(r.block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(steps_equal_the_whole, give_back),
        cmocka_unit_test_teardown(narrow_caches_come_close, give_back),
        cmocka_unit_test_teardown(ragged_steps_equal_the_whole, give_back),
        cmocka_unit_test_teardown(decoder_steps_equal_the_whole, give_back),
        cmocka_unit_test_teardown(enqueued_steps_equal_the_whole, give_back),
        cmocka_unit_test_teardown(refusals_leave_the_cache, give_back),
    };
    return RUN_LAYER_TESTS(tests);
}
