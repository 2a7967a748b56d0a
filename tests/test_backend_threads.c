/* SPDX-License-Identifier: Apache-2.0
 *
 * 8 threads x 1,000 calls on one backend (the program's argument, else cpu), on one context that
 * all share and on a context of each thread's own. The values are chosen so that every result is
 * exact: keys of 0 weigh all keys alike, and means of 1, 2 or 4 multiples of 4 need no rounding. */
#include <attend/attend.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 8, CALLS = 1000, B = 2, H = 2, L = 3, S = 4, D = 5, N = 6 };
enum { OUT_SIZE = B * H * L * D, KEY_SIZE = B * H * S * D };

static const char *backend = "cpu";
static int calls = CALLS;

typedef struct worker {
    pthread_t thread;
    int number;
    attend_context *context; /* shared, or NULL: its own */
    attend_plan *plan;       /* of the shared context */
    attend_weights *weights;
    char fault[200];
} worker;

static float value(int number, int round, int at) {
    return (float)(4 * ((number * 31 + round * 7 + at * 13) % 64));
}

static bool fails(worker *w, attend_status status, const char *what) {
    if (status == ATTEND_OK) return false;
    snprintf(w->fault, sizeof w->fault, "%s: %.150s", what, attend_error_text());
    return true;
}

static bool wrong(worker *w, float got, float want, const char *what) {
    if (got == want) return false;
    snprintf(w->fault, sizeof w->fault, "%s: got %.9g, want %.9g", what, (double)got, (double)want);
    return true;
}

/* out = mean of the first keys of v; a plan that all share, or the context's own. */
static bool attention(worker *w, attend_context *context, int round) {
    float q[OUT_SIZE], k[KEY_SIZE], v[KEY_SIZE], out[OUT_SIZE];
    const int32_t lengths[B] = {1 << round % 3, 1 << (round + w->number) % 3};
    for (int i = 0; i < OUT_SIZE; i++)
        q[i] = 1;
    memset(k, 0, sizeof k);
    for (int i = 0; i < KEY_SIZE; i++)
        v[i] = value(w->number, round, i);
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, B, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, B, H, S, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, B, H, S, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, B, H, L, D);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    const attend_status status =
        w->plan && round % 2 ? attend_plan_run(w->plan, &a) : attend_run(context, &a);
    if (fails(w, status, "attention")) return false;
    for (int i = 0; i < OUT_SIZE; i++) {
        const int d = i % D, h = i / D / L % H, b = i / D / L / H;
        float sum = 0;
        for (int j = 0; j < lengths[b]; j++)
            sum += v[((b * H + h) * S + j) * D + d];
        if (wrong(w, out[i], sum / (float)lengths[b], "attention")) return false;
    }
    return true;
}

static float weight(int n, int k) {
    return (float)(n == k ? 2 : (n + k) % 2);
}

static bool project(worker *w, attend_context *context, attend_weights *weights, int round) {
    float x[2 * D], out[2 * N], want;
    for (int i = 0; i < 2 * D; i++)
        x[i] = value(w->number, round, i);
    attend_projection p = attend_projection_default();
    p.x = attend_tensor_2d(x, ATTEND_F32, 2, D);
    p.weights = weights;
    p.out = attend_tensor_2d(out, ATTEND_F32, 2, N);
    if (fails(w, attend_project(context, &p), "project")) return false;
    for (int i = 0; i < 2 * N; i++) {
        want = 0;
        for (int k = 0; k < D; k++)
            want += x[i / N * D + k] * weight(i % N, k);
        if (wrong(w, out[i], want, "project")) return false;
    }
    return true;
}

/* Through a buffer: what was enqueued last is what is read. */
static bool copy(worker *w, attend_context *context, attend_buffer *buffer, int round) {
    float x[8], out[8];
    for (int i = 0; i < 8; i++)
        x[i] = value(w->number, round, i);
    const int64_t n = 8;
    attend_copy c = attend_copy_default();
    c.x = attend_tensor_in(buffer, 0, ATTEND_F32, 1, &n, NULL);
    c.out = attend_tensor_in(buffer, 8, ATTEND_F32, 1, &n, NULL);
    attend_event *done = NULL;
    if (fails(w, attend_buffer_write(buffer, 0, x, sizeof x), "write") ||
        fails(w, attend_copy_enqueue(context, &c, 0, NULL, &done), "copy"))
        return false;
    const attend_status status = attend_event_wait(done, -1);
    attend_event_release(done);
    if (fails(w, status, "wait") ||
        fails(w, attend_buffer_read(buffer, sizeof x, out, sizeof out), "read"))
        return false;
    for (int i = 0; i < 8; i++)
        if (wrong(w, out[i], x[i], "copy")) return false;
    return true;
}

static attend_context *open_context(void) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = backend;
    options.threads = 2;
    return attend_open(&options, &context) == ATTEND_OK ? context : NULL;
}

static attend_weights *make_weights(attend_context *context) {
    float matrix[N * D];
    for (int i = 0; i < N * D; i++)
        matrix[i] = weight(i / D, i % D);
    const attend_tensor w = attend_tensor_2d(matrix, ATTEND_F32, N, D);
    attend_weights *weights = NULL;
    return attend_weights_create(context, &w, &weights) == ATTEND_OK ? weights : NULL;
}

static void *work(void *argument) {
    worker *const w = argument;
    attend_context *const context = w->context ? w->context : open_context();
    attend_weights *const weights = w->weights ? w->weights : make_weights(context);
    attend_buffer *buffer = NULL;
    if (!context || !weights ||
        fails(w, attend_buffer_create(context, 16 * sizeof(float), &buffer), "buffer"))
        snprintf(w->fault, sizeof w->fault, "not opened: %.150s", attend_error_text());
    for (int i = 0; i < calls && !*w->fault; i++) {
        if (i % 4 == 0 && !project(w, context, weights, i)) break;
        if (i % 4 == 1 && !copy(w, context, buffer, i)) break;
        if (i % 4 > 1 && !attention(w, context, i)) break;
    }
    attend_buffer_release(buffer);
    if (!w->weights) attend_weights_release(weights);
    if (!w->context) attend_close(context);
    return NULL;
}

static void run_all(attend_context *context, attend_plan *plan, attend_weights *weights) {
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.number = i, .context = context, .plan = plan, .weights = weights};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++)
        if (*workers[i].fault) fail_msg("thread %d: %s", i, workers[i].fault);
}

static void test_shared_context(void **state) {
    attend_attention a = attend_attention_default();
    const int32_t lengths[B] = {S, S};
    float none[KEY_SIZE];
    a.q = attend_tensor_4d(none, ATTEND_F32, B, H, L, D);
    a.k = a.v = attend_tensor_4d(none, ATTEND_F32, B, H, S, D);
    a.out = attend_tensor_4d(none, ATTEND_F32, B, H, L, D);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(*state, &a, &plan), ATTEND_OK);
    attend_weights *const weights = make_weights(*state);
    assert_non_null(weights);
    run_all(*state, plan, weights);
    attend_weights_release(weights);
    attend_plan_release(plan);
}

static void test_own_contexts(void **state) {
    (void)state;
    run_all(NULL, NULL, NULL);
}

static int open_shared(void **state) {
    return (*state = open_context()) ? 0 : -1;
}

static int close_shared(void **state) {
    attend_close(*state);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) backend = argv[1];
    attend_context *const there = open_context();
    if (!there) {
        printf("skipped: %s\n", attend_error_text());
        return 77;
    }
    attend_close(there);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shared_context, open_shared, close_shared),
        cmocka_unit_test(test_own_contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
