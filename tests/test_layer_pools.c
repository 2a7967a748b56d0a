/* SPDX-License-Identifier: Apache-2.0
 *
 * An encoder layer on threads of the library's, on a pool of the application's and on one thread:
 * the same bits. The library's threads sleep soon after the last call, so that the application's
 * own (OpenMP's, say) have the processors. */
#include "layer_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Sizes of which every product is shared out. */
enum { ROWS = 96, WIDTH = 128, HIDDEN = 256, HEADS = 4 };

static attend_tensor run_block(attend_context *context, const attend_block_desc *d,
                               const attend_tensor *x) {
    attend_block *block = NULL;
    succeeds(attend_block_create(context, d, &block));
    attend_block_args a = attend_block_args_default();
    a.x = *x;
    a.out = EMPTY(ATTEND_F32, 1, ROWS, WIDTH);
    succeeds(attend_block_run(block, &a));
    attend_block_release(block);
    return a.out;
}

static attend_context *open_with(attend_options *options) {
    attend_context *context = NULL;
    options->backend = "cpu";
    succeeds(attend_open(options, &context));
    return context;
}

/* ---- a pool of the application's ------------------------------------------------------------- */

typedef struct share {
    void (*task)(void *argument, int32_t index);
    void *argument;
    int32_t index;
} share;

static void *do_share(void *argument) {
    const share *s = argument;
    s->task(s->argument, s->index);
    return NULL;
}

/* A thread for each index, the last begun first; counts the calls. */
static void threads_of_ours(void *user, int32_t count, void (*task)(void *argument, int32_t index),
                            void *argument) {
    share shares[16];
    pthread_t threads[16];
    atomic_fetch_add((atomic_int *)user, 1);
    assert_in_range(count, 1, 16);
    for (int32_t i = count - 1; i >= 0; i--) {
        shares[i] = (share){task, argument, i};
        assert_int_equal(pthread_create(&threads[i], NULL, do_share, &shares[i]), 0);
    }
    for (int32_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void every_pool_gives_the_same_bits(void **state) {
    (void)state;
    attend_multihead_desc heads = attend_multihead_default();
    heads.heads = HEADS;
    heads.w_q = RANDOM(ATTEND_F32, 0.1f, WIDTH, WIDTH);
    heads.w_k = RANDOM(ATTEND_F32, 0.1f, WIDTH, WIDTH);
    heads.w_v = RANDOM(ATTEND_F32, 0.1f, WIDTH, WIDTH);
    heads.w_o = RANDOM(ATTEND_F32, 0.1f, WIDTH, WIDTH);
    attend_feedforward_desc inner = attend_feedforward_default();
    inner.w_1 = RANDOM(ATTEND_F32, 0.1f, HIDDEN, WIDTH);
    inner.w_2 = RANDOM(ATTEND_F32, 0.1f, WIDTH, HIDDEN);
    inner.activation = ATTEND_GELU;
    attend_block_desc d = attend_block_default();
    d.self_attention = &heads;
    d.feedforward = &inner;
    const attend_tensor x = RANDOM(ATTEND_F32, 1, 1, ROWS, WIDTH);

    attend_tensor results[4];
    const int32_t threads[4] = {1, 2, 3, 3};
    atomic_int calls = 0;
    for (int i = 0; i < 4; i++) {
        attend_options options = attend_options_default();
        options.threads = threads[i];
        if (i == 3) {
            options.parallel = threads_of_ours;
            options.parallel_user = &calls;
        }
        attend_context *context = open_with(&options);
        results[i] = run_block(context, &d, &x);
        attend_close(context);
        same_bits(&results[i], &results[0]);
    }
    /* six products and the attention */
    assert_true(atomic_load(&calls) >= 7);
}

/* ---- idle threads ---------------------------------------------------------------------------- */

static double processor_seconds(void) {
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void idle_threads_sleep(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.threads = 4;
    attend_context *context = open_with(&options);
    attend_projection p = attend_projection_default();
    p.x = RANDOM(ATTEND_F32, 1, ROWS, WIDTH);
    p.w = RANDOM(ATTEND_F32, 0.1f, WIDTH, WIDTH);
    p.out = EMPTY(ATTEND_F32, ROWS, WIDTH);
    succeeds(attend_project(context, &p));
    /* 40 us of looking for work each; a thread that went on would use all of this time */
    const struct timespec pause = {0, 200 * 1000 * 1000};
    const double before = processor_seconds();
    assert_int_equal(nanosleep(&pause, NULL), 0);
    assert_true(processor_seconds() - before < 0.1);
    attend_close(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(every_pool_gives_the_same_bits, give_back),
        cmocka_unit_test_teardown(idle_threads_sleep, give_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
