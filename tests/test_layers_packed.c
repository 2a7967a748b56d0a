/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers over packed batches: each sample has what it has alone and in a padded batch, with the
 * same bits where a backend promises that of its layers; over a cache too. */
#include "packed_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static attend_tensor compact(const attend_tensor *view) {
    attend_tensor t = empty_tensor(view->type, view->rank, view->sizes);
    const size_t row = (size_t)view->sizes[2] * attend_type_bytes(view->type);
    for (int64_t i = 0; i < view->sizes[1]; i++)
        memcpy((char *)t.data + (size_t)i * row,
               (const char *)view->data + (size_t)(view->offset / view->sizes[2] + i) * row, row);
    return t;
}

/* Rows of sample b of packed [1, U, .] rows, on their own. */
static attend_tensor queries_of(const attend_tensor *rows, int b) {
    const attend_tensor t =
        tokens_of(*rows, cu_queries[b], (int64_t)cu_queries[b + 1] - cu_queries[b]);
    return compact(&t);
}

static attend_tensor keys_of(const attend_tensor *rows, int b) {
    const attend_tensor t = tokens_of(*rows, cu_keys[b], cu_keys[b + 1] - cu_keys[b]);
    return compact(&t);
}

/* ---- multi-head ------------------------------------------------------------------------------ */

/* Entries of the averaged weights that belong to sample b are those of `alone`, the rest is 0. */
static void weights_agree(attend_context *context, const attend_tensor *padded, int b,
                          const attend_tensor *alone) {
    attend_tensor cut = empty_tensor(ATTEND_F32, 3, alone->sizes);
    const int64_t queries = alone->sizes[1], keys = alone->sizes[2];
    for (int64_t i = 0; i < padded->sizes[1]; i++)
        for (int64_t j = 0; j < padded->sizes[2]; j++) {
            const float w =
                ((float *)padded->data)[(b * padded->sizes[1] + i) * padded->sizes[2] + j];
            if (i < queries && j < keys)
                ((float *)cut.data)[i * keys + j] = w;
            else
                assert_true(w == 0);
        }
    agree(context, &cut, alone);
}

static void lse_agrees(attend_context *context, const attend_tensor *packed, int b,
                       const attend_tensor *alone) {
    attend_tensor cut = empty_tensor(ATTEND_F32, 3, alone->sizes);
    const int64_t count = alone->sizes[2], rows = packed->sizes[2];
    for (int64_t h = 0; h < H; h++)
        memcpy((float *)cut.data + h * count, (float *)packed->data + h * rows + cu_queries[b],
               (size_t)count * sizeof(float));
    if (count > 0) agree(context, &cut, alone);
}

/* The rows behind the last sample, as EMPTY made them. */
static void behind_is_untouched(const attend_tensor *out) {
    const size_t row = (size_t)out->sizes[2] * attend_type_bytes(out->type);
    const unsigned char *bytes = (const unsigned char *)out->data + QUERIES * row;
    for (size_t i = 0; i < BEHIND * row; i++)
        assert_int_equal(bytes[i], 0xff);
}

static attend_multihead_args alone_args(const attend_multihead_args *x, int b) {
    attend_multihead_args y = attend_multihead_args_default();
    y.x_q = queries_of(&x->x_q, b);
    y.residual = queries_of(&x->residual, b);
    y.out = empty_tensor(x->out.type, 3, y.x_q.sizes);
    const int64_t length = y.x_q.sizes[1];
    int64_t keys = length;
    if (x->x_kv.type != ATTEND_NO_TYPE) {
        y.x_kv = keys_of(&x->x_kv, b);
        keys = y.x_kv.sizes[1];
    }
    y.key_mask = x->key_mask;
    y.key_mask.offset = b * x->key_mask.strides[0];
    y.key_mask.sizes[0] = 1;
    y.key_mask.sizes[1] = keys;
    y.lse = EMPTY(ATTEND_F32, 1, H, length);
    y.weights_mean = EMPTY(ATTEND_F32, 1, length, keys);
    return y;
}

static void each_sample_as_alone(attend_context *context, attend_multihead *layer,
                                 const attend_multihead_args *x) {
    succeeds(attend_multihead_run(layer, x));
    for (int b = 0; b < SAMPLES; b++) {
        attend_multihead_args y = alone_args(x, b);
        succeeds(attend_multihead_run(layer, &y));
        const attend_tensor got = queries_of(&x->out, b);
        if (x->out.type == ATTEND_F32)
            agree(context, &got, &y.out);
        else
            same_bits(&got, &y.out);
        if (cu_queries[b + 1] == cu_queries[b]) continue;
        weights_agree(context, &x->weights_mean, b, &y.weights_mean);
        lse_agrees(context, &x->lse, b, &y.lse);
    }
    behind_is_untouched(&x->out);
}

static void self_attention_as_alone(void **state) {
    attend_context *context = *state;
    static const attend_type types[] = {ATTEND_F32, ATTEND_BF16};
    attend_decision decision = {.size = sizeof decision};
    succeeds(attend_context_decision(context, &decision));
    const int count = strcmp(decision.backend, "clblast") != 0 ? 2 : 1;
    for (int i = 0; i < count; i++) {
        const attend_multihead_desc d = rotated_heads(types[i], M);
        const attend_multihead_args x = packed_args(types[i]);
        attend_multihead *layer = NULL;
        succeeds(attend_multihead_create(context, &d, &layer));
        each_sample_as_alone(context, layer, &x);
        attend_multihead_release(layer);
    }
}

static void cross_attention_as_alone(void **state) {
    attend_context *context = *state;
    const attend_multihead_desc d = rotated_heads(ATTEND_F32, W);
    attend_multihead_args x = packed_args(ATTEND_F32);
    x.x_kv = RANDOM(ATTEND_F32, 1, 1, KEYS, W);
    x.cu_key_lengths = lengths_of_keys();
    x.key_mask = random_mask(SAMPLES, MOST_KEYS);
    x.weights_mean = EMPTY(ATTEND_F32, SAMPLES, LONGEST, MOST_KEYS);
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    each_sample_as_alone(context, layer, &x);
    attend_multihead_release(layer);
}

static void put_rows(const attend_tensor *from, int b, attend_tensor *padded) {
    const attend_tensor rows = queries_of(from, b);
    memcpy((float *)padded->data + b * padded->strides[0], rows.data, bytes_of(&rows));
}

static void self_attention_as_padded(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    d.position = ATTEND_POSITION_UNSET;
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    const attend_multihead_args x = packed_args(ATTEND_F32);
    int64_t lengths[SAMPLES];
    attend_multihead_args y = attend_multihead_args_default();
    y.x_q = RANDOM(ATTEND_F32, 1, SAMPLES, LONGEST, M);
    y.residual = RANDOM(ATTEND_F32, 1, SAMPLES, LONGEST, M);
    y.out = EMPTY(ATTEND_F32, SAMPLES, LONGEST, M);
    y.key_mask = x.key_mask;
    for (int b = 0; b < SAMPLES; b++) {
        lengths[b] = cu_queries[b + 1] - cu_queries[b];
        put_rows(&x.x_q, b, &y.x_q);
        put_rows(&x.residual, b, &y.residual);
    }
    y.query_lengths = y.key_lengths = attend_tensor_1d(lengths, ATTEND_I64, SAMPLES);
    succeeds(attend_multihead_run(layer, &x));
    succeeds(attend_multihead_run(layer, &y));
    for (int b = 0; b < SAMPLES; b++) {
        const attend_tensor got = queries_of(&x.out, b);
        attend_tensor want = y.out;
        want.sizes[0] = 1;
        want.sizes[1] = lengths[b];
        want.data = (float *)y.out.data + b * y.out.strides[0];
        if (lengths[b] > 0) agree(context, &got, &want);
    }
    attend_multihead_release(layer);
}

/* ---- over a cache ---------------------------------------------------------------------------- */

static attend_cache *new_cache(attend_context *context, int64_t batch) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = batch;
    d.kv_heads = G;
    d.head_size = D;
    d.value_size = E;
    d.capacity = P;
    d.page_size = 3;
    d.type = ATTEND_F32;
    attend_cache *cache = NULL;
    succeeds(attend_cache_create(context, &d, &cache));
    return cache;
}

/* Two packed appends, of 4, 0, 7, 1, 11 and of 1, 2, 1, 0, 3 tokens, as each sample alone. */
static void cache_as_alone(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, M);
    d.position = ATTEND_POSITION_UNSET;
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, &d, &layer));
    attend_cache *all = new_cache(context, SAMPLES), *one[SAMPLES];
    for (int b = 0; b < SAMPLES; b++)
        one[b] = new_cache(context, 1);
    static const int32_t seconds[SAMPLES + 1] = {0, 1, 3, 4, 4, 7};
    const int32_t *const steps[] = {cu_queries, seconds};
    for (int step = 0; step < 2; step++) {
        attend_multihead_args x = attend_multihead_args_default();
        const int32_t *cu = steps[step];
        x.x_q = RANDOM(ATTEND_F32, 1, 1, cu[SAMPLES], M);
        x.out = EMPTY(ATTEND_F32, 1, cu[SAMPLES], M);
        x.cu_query_lengths = attend_tensor_1d((void *)(uintptr_t)cu, ATTEND_I32, SAMPLES + 1);
        x.cache = all;
        succeeds(attend_multihead_run(layer, &x));
        for (int b = 0; b < SAMPLES; b++) {
            attend_multihead_args y = attend_multihead_args_default();
            y.x_q = tokens_of(x.x_q, cu[b], cu[b + 1] - cu[b]);
            y.out = empty_tensor(ATTEND_F32, 3, y.x_q.sizes);
            y.cache = one[b];
            succeeds(attend_multihead_run(layer, &y));
            const attend_tensor view = tokens_of(x.out, cu[b], cu[b + 1] - cu[b]),
                                got = compact(&view);
            agree(context, &got, &y.out);
        }
    }
    for (int b = 0; b < SAMPLES; b++)
        attend_cache_release(one[b]);
    attend_cache_release(all);
    attend_multihead_release(layer);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void decoder_as_alone(void **state) {
    attend_context *context = *state;
    for (int norm_first = 0; norm_first < 2; norm_first++) {
        decoder d;
        pack_decoder(&d, norm_first != 0);
        attend_block *block = NULL;
        succeeds(attend_block_create(context, &d.desc, &block));
        succeeds(attend_block_run(block, &d.args));
        behind_is_untouched(&d.args.out);
        for (int b = 0; b < SAMPLES; b++) {
            attend_block_args y = attend_block_args_default();
            y.x = queries_of(&d.args.x, b);
            y.memory = keys_of(&d.args.memory, b);
            y.out = empty_tensor(ATTEND_F32, 3, y.x.sizes);
            succeeds(attend_block_run(block, &y));
            const attend_tensor got = queries_of(&d.args.out, b);
            agree(context, &got, &y.out);
        }
        attend_tensor want = queries_of(&d.args.out, 4);
        d.args.out = d.args.x; /* in place */
        succeeds(attend_block_run(block, &d.args));
        attend_tensor got = queries_of(&d.args.x, 4);
        same_bits(&got, &want);
        attend_block_release(block);
    }
}

/* The lengths are copied before the call returns: they are spoilt while the work waits. */
static void enqueued_as_run(void **state) {
    attend_context *context = *state;
    decoder d;
    pack_decoder(&d, true);
    attend_block *block = NULL;
    succeeds(attend_block_create(context, &d.desc, &block));
    attend_block_args queued = d.args;
    attend_buffer *x, *memory, *out;
    queued.x = in_buffer(context, &d.args.x, &x);
    queued.memory = in_buffer(context, &d.args.memory, &memory);
    queued.out = in_buffer(context, &d.args.out, &out);
    int32_t queries[SAMPLES + 1];
    int64_t keys[SAMPLES + 1];
    memcpy(queries, cu_queries, sizeof queries);
    memcpy(keys, cu_keys, sizeof keys);
    queued.cu_query_lengths.data = queries;
    queued.memory_cu_key_lengths.data = keys;
    attend_event *start = NULL, *done = NULL;
    succeeds(attend_user_event_create(context, &start));
    succeeds(attend_block_enqueue(block, &queued, 1, &start, &done));
    memset(queries, 0, sizeof queries);
    memset(keys, 0, sizeof keys);
    succeeds(attend_user_event_complete(start, ATTEND_OK));
    succeeds(attend_event_wait(done, -1));
    attend_tensor got = EMPTY(ATTEND_F32, 1, QUERIES + BEHIND, M);
    succeeds(attend_buffer_read(out, 0, got.data, bytes_of(&got)));
    succeeds(attend_block_run(block, &d.args));
    same_bits(&got, &d.args.out);
    attend_event_release(start);
    attend_event_release(done);
    attend_buffer_release(x);
    attend_buffer_release(memory);
    attend_buffer_release(out);
    attend_block_release(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(self_attention_as_alone, give_back),
        cmocka_unit_test_teardown(cross_attention_as_alone, give_back),
        cmocka_unit_test_teardown(self_attention_as_padded, give_back),
        cmocka_unit_test_teardown(cache_as_alone, give_back),
        cmocka_unit_test_teardown(decoder_as_alone, give_back),
        cmocka_unit_test_teardown(enqueued_as_run, give_back)};
    return RUN_LAYER_TESTS(tests);
}
