/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers that are enqueued, released while their work waits, and run by many threads at once. */
#include "layer_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const attend_tensor none;

/* ---- enqueued
 * ------------------------------------------------------------------------------------ */

static attend_tensor in_buffer(attend_context *context, const attend_tensor *t,
                               attend_buffer **buffer) {
    succeeds(attend_buffer_create(context, bytes_of(t), buffer));
    succeeds(attend_buffer_write(*buffer, 0, t->data, bytes_of(t)));
    return attend_tensor_in(*buffer, 0, t->type, t->rank, t->sizes, NULL);
}

enum { IN, MEMORY, KEYS, MEMORY_KEYS, BIAS, OUT, WEIGHTS, MEAN, BUFFERS };

static void to_buffers(attend_context *context, attend_block_args *a,
                       attend_buffer *buffers[BUFFERS]) {
    attend_tensor *const members[BUFFERS] = {
        &a->x,           &a->memory, &a->key_mask, &a->memory_key_mask,
        &a->memory_bias, &a->out,    &a->weights,  &a->memory_weights_mean};
    for (int i = 0; i < BUFFERS; i++)
        *members[i] = in_buffer(context, members[i], &buffers[i]);
}

static void holds(attend_buffer *buffer, const attend_tensor *want) {
    attend_tensor got = empty_tensor(want->type, want->rank, want->sizes);
    succeeds(attend_buffer_read(buffer, 0, got.data, bytes_of(&got)));
    same_bits(&got, want);
}

/* The layer is released while its work waits for an event of ours. */
static void enqueued_equals_run_and_outlives_release(void **state) {
    attend_context *context = *state;
    decoder d;
    fill_decoder(&d, true);
    attend_block *block = NULL;
    succeeds(attend_block_create(context, &d.desc, &block));
    attend_block_args queued = d.args;
    attend_buffer *buffers[BUFFERS];
    to_buffers(context, &queued, buffers);
    succeeds(attend_block_run(block, &d.args));
    attend_event *start = NULL, *done = NULL;
    succeeds(attend_user_event_create(context, &start));
    succeeds(attend_block_enqueue(block, &queued, 1, &start, &done));
    memset(&queued, 0, sizeof queued);
    attend_block_release(block);
    int32_t complete = 1;
    succeeds(attend_event_query(done, &complete));
    assert_int_equal(complete, 0);
    succeeds(attend_user_event_complete(start, ATTEND_OK));
    succeeds(attend_event_wait(done, -1));
    holds(buffers[OUT], &d.args.out);
    holds(buffers[WEIGHTS], &d.args.weights);
    holds(buffers[MEAN], &d.args.memory_weights_mean);
    attend_event_release(start);
    attend_event_release(done);
    for (int i = 0; i < BUFFERS; i++)
        attend_buffer_release(buffers[i]);
}

static void failed_wait_fails_the_layer(void **state) {
    attend_context *context = *state;
    decoder d;
    fill_decoder(&d, false);
    attend_block *block = NULL;
    succeeds(attend_block_create(context, &d.desc, &block));
    attend_block_args queued = d.args;
    attend_buffer *buffers[BUFFERS];
    to_buffers(context, &queued, buffers);
    attend_event *start = NULL, *done = NULL;
    succeeds(attend_user_event_create(context, &start));
    succeeds(attend_block_enqueue(block, &queued, 1, &start, &done));
    succeeds(attend_user_event_complete(start, ATTEND_IO));
    assert_int_equal(attend_event_wait(done, -1), ATTEND_IO);
    holds(buffers[OUT], &d.args.out); /* still as it was made */
    assert_int_equal(attend_finish(context), ATTEND_IO);
    attend_event_release(start);
    attend_event_release(done);
    attend_block_release(block);
    for (int i = 0; i < BUFFERS; i++)
        attend_buffer_release(buffers[i]);
}

/* ---- threads
 * ------------------------------------------------------------------------------------------ */

typedef struct worker {
    attend_block *block;
    attend_block_args args;
    const attend_tensor *want;
    int wrong;
} worker;

static void *work(void *argument) {
    worker *w = argument;
    for (int i = 0; i < 20; i++) {
        memset(w->args.out.data, 0xff, bytes_of(&w->args.out));
        w->wrong += attend_block_run(w->block, &w->args) != ATTEND_OK;
        w->wrong += memcmp(w->args.out.data, w->want->data, bytes_of(&w->args.out)) != 0;
    }
    return NULL;
}

/* Odd threads run the first sample alone: its bits are those it has in the batch. */
static void threads_share_a_layer(void **state) {
    attend_context *context = *state;
    decoder d;
    fill_decoder(&d, true);
    attend_block *block = NULL;
    succeeds(attend_block_create(context, &d.desc, &block));
    succeeds(attend_block_run(block, &d.args));
    enum { THREADS = 4 };
    worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        worker *w = &workers[i];
        *w = (worker){.block = block, .args = d.args, .want = &d.args.out};
        w->args.out = EMPTY(ATTEND_F32, i % 2 ? 1 : B, L, M);
        w->args.weights = EMPTY(ATTEND_F32, i % 2 ? 1 : B, H, L, L);
        w->args.memory_weights_mean = none;
        if (i % 2)
            w->args.x.sizes[0] = w->args.memory.sizes[0] = w->args.key_mask.sizes[0] =
                w->args.memory_key_mask.sizes[0] = 1;
        assert_int_equal(pthread_create(&threads[i], NULL, work, w), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
    attend_block_release(block);
}

#define TEST(function) cmocka_unit_test_teardown(function, give_back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(enqueued_equals_run_and_outlives_release),
        TEST(failed_wait_fails_the_layer),
        TEST(threads_share_a_layer),
    };
    return RUN_LAYER_TESTS(tests);
}
