/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads that call with host memory on one context, over the same inputs, or beside work that
 * may not start yet; and copies around the length of the pieces in which long ones go. The backend
 * is the program's argument. POSIX only. */
#include "transfer_data.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Lengths around the pieces, at an odd place. */
static void test_pieces(void **state) {
    (void)state;
    enum { PIECE = 2 << 20, MOST = 9 * PIECE + 5, AT = 3 };
    static const size_t lengths[] = {1, 2 * PIECE - 1, 2 * PIECE, 2 * PIECE + 1, 5 * PIECE, MOST};
    unsigned char *const from = malloc(MOST), *const to = malloc(MOST + 1);
    attend_context *const context = open_way(STAGE);
    attend_buffer *buffer = NULL;
    assert_true(from != NULL && to != NULL);
    assert_int_equal(attend_buffer_create(context, MOST + AT, &buffer), ATTEND_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t bytes = lengths[i];
        for (size_t j = 0; j < bytes; j++)
            from[j] = (unsigned char)(j * 31 + j / 4096 + i);
        memset(to, 0, MOST + 1);
        assert_int_equal(attend_buffer_write(buffer, AT, from, bytes), ATTEND_OK);
        assert_int_equal(attend_buffer_read(buffer, AT, to, bytes), ATTEND_OK);
        assert_true(memcmp(from, to, bytes) == 0 && to[bytes] == 0);
    }
    attend_buffer_release(buffer);
    attend_close(context);
    free(from);
    free(to);
}

enum { THREADS = 8, TURNS = 20, LARGE = 6 << 20 };
typedef struct share_of_work {
    attend_context *context;
    const float *inputs, *want;
    float *out;
    unsigned char *bytes; /* NULL: none to copy */
    int failures;
} share_of_work;

static void *work(void *argument) {
    share_of_work *const w = argument;
    attend_attention a = attend_attention_default();
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v};
    for (int i = 0; i < 3; i++)
        *tensors[i] =
            attend_tensor_nd((void *)(uintptr_t)(w->inputs + i * PART), ATTEND_F32, 4, square[0]);
    a.out = attend_tensor_nd(w->out, ATTEND_F32, 4, square[0]);
    attend_buffer *buffer = NULL;
    if (w->bytes) w->failures += attend_buffer_create(w->context, LARGE, &buffer) != ATTEND_OK;
    for (int turn = 0; turn < TURNS; turn++) {
        memset(w->out, 0, PART * sizeof(float));
        w->failures += attend_run(w->context, &a) != ATTEND_OK;
        w->failures += memcmp(w->out, w->want, PART * sizeof(float)) != 0;
        if (!buffer || turn % 5 != 0) continue;
        memset(w->bytes, turn + 1, LARGE);
        w->failures += attend_buffer_write(buffer, 0, w->bytes, LARGE) != ATTEND_OK;
        memset(w->bytes, 0, LARGE);
        w->failures += attend_buffer_read(buffer, 0, w->bytes, LARGE) != ATTEND_OK;
        w->failures += w->bytes[0] != turn + 1 || memcmp(w->bytes, w->bytes + 1, LARGE - 1) != 0;
    }
    attend_buffer_release(buffer);
    return NULL;
}

/* Threads read the same inputs and write outputs side by side, on one context. */
static void test_threads(void **state) {
    (void)state;
    float *const x = memory_of((4 + THREADS) * PART * sizeof *x);
    unsigned char *const bytes = malloc((size_t)THREADS * LARGE);
    assert_non_null(bytes);
    fill(x, 3 * (size_t)PART);
    for (int way = 0; way < WAYS; way++) {
        attend_context *const context = open_way(way);
        share_of_work works[THREADS];
        pthread_t threads[THREADS];
        works[0] = (share_of_work){.context = context, .inputs = x, .out = x + 3 * PART};
        works[0].want = works[0].out;
        const size_t at[4] = {0, PART * sizeof *x, 2 * PART * sizeof *x, 3 * PART * sizeof *x};
        const attend_attention a = problem((char *)x, at, square, NULL);
        run(context, &a);
        check_oracle(&a);
        for (int i = 0; i < THREADS; i++) {
            works[i] = (share_of_work){.context = context, .inputs = x, .want = x + 3 * PART};
            works[i].out = x + (4 + i) * PART;
            works[i].bytes = way == STAGE ? bytes + (size_t)i * LARGE : NULL;
            assert_int_equal(pthread_create(&threads[i], NULL, work, &works[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_int_equal(works[i].failures, 0);
        }
        attend_close(context);
    }
    free(x);
    free(bytes);
}

/* ---- closed gates ---------------------------------------------------------------------------- */

typedef struct writer {
    attend_buffer *buffer;
    const unsigned char *bytes;
    attend_status status;
} writer;
static atomic_bool writes, written, worked; /* writes: it is about to */

static void *write_late(void *argument) {
    writer *const w = argument;
    atomic_store(&writes, true);
    w->status = attend_buffer_write(w->buffer, 0, w->bytes, LARGE);
    atomic_store(&written, true);
    return NULL;
}

static void *work_beside(void *argument) {
    (void)work(argument);
    atomic_store(&worked, true);
    return NULL;
}

static void pause_for(int64_t milliseconds) {
    const struct timespec pause = {0, milliseconds * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Work of the main thread waits for an event that is not complete. Another thread's copies into and
 * out of memory that this work does not use go on, also while a third one's wait, whose buffer the
 * work does use: they come after it. */
static void check_closed_gate(int way, const float *x, float *out, unsigned char *bytes) {
    attend_context *const context = open_way(way);
    attend_buffer *there = NULL;
    attend_event *gate = NULL, *done = NULL;
    const size_t part = PART * sizeof *x;
    float result[PART];
    assert_int_equal(attend_buffer_create(context, LARGE, &there), ATTEND_OK);
    assert_int_equal(attend_buffer_write(there, 0, x, 3 * part), ATTEND_OK);
    attend_attention a = attend_attention_default();
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++)
        *tensors[i] = attend_tensor_in(there, i * PART, ATTEND_F32, 4, square[0], NULL);
    assert_int_equal(attend_user_event_create(context, &gate), ATTEND_OK);
    assert_int_equal(attend_enqueue(context, &a, 1, &gate, &done), ATTEND_OK);
    memset(bytes, 0, LARGE); /* the output, overwritten too, would become 0 of inputs of 0 */
    memset(bytes + 3 * part, 0x5a, part);
    writer w = {there, bytes, ATTEND_INTERNAL};
    share_of_work s = {.context = context, .inputs = x, .want = x + 3 * PART, .out = out};
    s.bytes = bytes + LARGE;
    pthread_t threads[2];
    atomic_store(&writes, false);
    atomic_store(&written, false);
    atomic_store(&worked, false);
    assert_int_equal(pthread_create(&threads[0], NULL, write_late, &w), 0);
    while (!atomic_load(&writes))
        pause_for(1);
    pause_for(20);
    assert_int_equal(pthread_create(&threads[1], NULL, work_beside, &s), 0);
    for (int i = 0; i < 500 && !atomic_load(&worked); i++)
        pause_for(20);
    pause_for(20);
    const bool beside = atomic_load(&worked), early = atomic_load(&written);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(beside);
    assert_false(early);
    assert_int_equal(w.status, ATTEND_OK);
    assert_int_equal(s.failures, 0);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    assert_int_equal(attend_buffer_read(there, 3 * part, result, part), ATTEND_OK);
    assert_memory_equal(result, bytes + 3 * part, part);
    attend_event_release(done);
    attend_event_release(gate);
    attend_buffer_release(there);
    attend_close(context);
}

static void test_closed_gate(void **state) {
    (void)state;
    float *const x = memory_of(5 * PART * sizeof *x);
    unsigned char *const bytes = malloc(2 * (size_t)LARGE);
    assert_non_null(bytes);
    fill(x, 3 * (size_t)PART);
    const size_t part = PART * sizeof *x, at[4] = {0, part, 2 * part, 3 * part};
    attend_context *const context = open_way(COPY);
    const attend_attention a = problem((char *)x, at, square, NULL);
    run(context, &a);
    attend_close(context);
    for (int way = 0; way < WAYS; way++)
        check_closed_gate(way, x, x + 4 * PART, bytes);
    free(x);
    free(bytes);
}

int main(int argc, char **argv) {
    int status;
    if (!transfer_choose_backend(argc, argv, &status)) return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_closed_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
