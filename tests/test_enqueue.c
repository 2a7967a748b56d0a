/* SPDX-License-Identifier: Apache-2.0
 *
 * Enqueued work: the same result as running, in the order that waits ask for, with what it needs
 * held until it ended, and failures that reach all that waited. */
#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, L = 5, S = 7, D = 8, E = 6 };
enum {
    Q_SIZE = B * H * L * D,
    K_SIZE = B * G * S * D,
    V_SIZE = B * G * S * E,
    OUT_SIZE = B * H * L * E
};

static attend_context *context;

static int open(void **state) {
    (void)state;
    return attend_open(NULL, &context) == ATTEND_OK ? 0 : -1;
}

static int close(void **state) {
    (void)state;
    attend_close(context);
    return 0;
}

static void fill(float *values, int count, int step) {
    for (int i = 0; i < count; i++)
        values[i] = (float)((i * step) % 17 - 8) / 8;
}

/* `values` in a buffer, `lead` elements behind its start. */
static attend_buffer *buffer_of(const float *values, int count, int lead) {
    attend_buffer *buffer = NULL;
    const size_t bytes = (size_t)(count + lead) * sizeof *values;
    assert_int_equal(attend_buffer_create(context, bytes, &buffer), ATTEND_OK);
    assert_int_equal(attend_buffer_write(buffer, (size_t)lead * sizeof *values, values,
                                         bytes - (size_t)lead * sizeof *values),
                     ATTEND_OK);
    return buffer;
}

typedef struct problem {
    float q[Q_SIZE], k[K_SIZE], v[V_SIZE], out[OUT_SIZE];
    int32_t lengths[B];
    attend_attention host, device;
    attend_buffer *q_buffer, *k_buffer, *v_buffer, *out_buffer;
} problem;

static problem make(void) {
    problem p = {.lengths = {S, 3}};
    fill(p.q, Q_SIZE, 5);
    fill(p.k, K_SIZE, 7);
    fill(p.v, V_SIZE, 11);
    memset(p.out, 0x5a, sizeof p.out);
    p.q_buffer = buffer_of(p.q, Q_SIZE, 3);
    p.k_buffer = buffer_of(p.k, K_SIZE, 0);
    p.v_buffer = buffer_of(p.v, V_SIZE, 1);
    p.out_buffer = buffer_of(p.out, OUT_SIZE, 2);
    return p;
}

/* Descriptions are made where the problem has come to lie. */
static void describe(problem *p) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(p->q, ATTEND_F32, B, H, L, D);
    a.k = attend_tensor_4d(p->k, ATTEND_F32, B, G, S, D);
    a.v = attend_tensor_4d(p->v, ATTEND_F32, B, G, S, E);
    a.out = attend_tensor_4d(p->out, ATTEND_F32, B, H, L, E);
    a.causal = 1;
    a.position = ATTEND_BOTTOM_RIGHT;
    a.key_lengths = attend_tensor_1d(p->lengths, ATTEND_I32, B);
    p->host = p->device = a;
    p->device.q = attend_tensor_in(p->q_buffer, 3, ATTEND_F32, 4, a.q.sizes, NULL);
    p->device.k = attend_tensor_in(p->k_buffer, 0, ATTEND_F32, 4, a.k.sizes, NULL);
    p->device.v = attend_tensor_in(p->v_buffer, 1, ATTEND_F32, 4, a.v.sizes, NULL);
    p->device.out = attend_tensor_in(p->out_buffer, 2, ATTEND_F32, 4, a.out.sizes, NULL);
}

static void release_inputs(problem *p) {
    attend_buffer_release(p->q_buffer);
    attend_buffer_release(p->k_buffer);
    attend_buffer_release(p->v_buffer);
    p->q_buffer = p->k_buffer = p->v_buffer = NULL;
}

static void release(problem *p) {
    release_inputs(p);
    attend_buffer_release(p->out_buffer);
}

static void read_output(problem *p, float *out) {
    assert_int_equal(attend_buffer_read(p->out_buffer, 2 * sizeof(float), out, sizeof p->out),
                     ATTEND_OK);
}

static void check_same(problem *p) {
    float expected[OUT_SIZE];
    read_output(p, expected);
    p->lengths[0] = S;
    p->lengths[1] = 3;
    assert_int_equal(attend_run(context, &p->host), ATTEND_OK);
    assert_memory_equal(p->out, expected, sizeof expected);
}

static attend_event *user_event(void) {
    attend_event *event = NULL;
    assert_int_equal(attend_user_event_create(context, &event), ATTEND_OK);
    return event;
}

static void check_pending(attend_event *event) {
    int32_t complete = 1;
    assert_int_equal(attend_event_query(event, &complete), ATTEND_OK);
    assert_int_equal(complete, 0);
    assert_int_equal(attend_event_wait(event, 1000000), ATTEND_TIMEOUT);
}

/* ---- results and order ----------------------------------------------------------------------- */

static void test_same_as_run(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    attend_event *done = NULL;
    assert_int_equal(attend_enqueue(context, &p.device, 0, NULL, &done), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    int32_t complete = 0;
    assert_int_equal(attend_event_query(done, &complete), ATTEND_OK);
    assert_int_equal(complete, 1);
    attend_event_release(done);
    check_same(&p);
    release(&p);
}

/* Running takes buffers too, and host memory beside them. */
static void test_mixed_memory(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    p.device.k = p.host.k;
    assert_int_equal(attend_run(context, &p.device), ATTEND_OK);
    check_same(&p);
    release(&p);
}

/* What is small is copied; buffers, plan and waits may be released at once. */
static void test_nothing_needed_later(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    attend_plan *plan = NULL;
    assert_int_equal(attend_plan_create(context, &p.device, &plan), ATTEND_OK);
    attend_event *gate = user_event(), *done = NULL;
    assert_int_equal(attend_plan_enqueue(plan, &p.device, 1, &gate, &done), ATTEND_OK);
    p.lengths[0] = p.lengths[1] = 1;
    memset(&p.device, 0x11, sizeof p.device);
    attend_plan_release(plan);
    release_inputs(&p);
    check_pending(done);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    attend_event_release(gate);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    check_same(&p);
    release(&p);
}

/* out of the first is q of the second; nobody waits for the first but the second. */
static void test_chain(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    attend_tensor x = attend_tensor_in(p.q_buffer, 3, ATTEND_F32, 4, p.host.q.sizes, NULL);
    attend_elementwise e = attend_elementwise_default();
    e.x = e.residual = e.out = x; /* x + x */
    attend_event *gate = user_event(), *first = NULL, *second = NULL;
    assert_int_equal(attend_activate_enqueue(context, &e, 1, &gate, &first), ATTEND_OK);
    assert_int_equal(attend_enqueue(context, &p.device, 1, &first, &second), ATTEND_OK);
    attend_event_release(first);
    check_pending(second);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(second, -1), ATTEND_OK);
    attend_event_release(gate);
    attend_event_release(second);
    for (int i = 0; i < Q_SIZE; i++)
        p.q[i] *= 2;
    check_same(&p);
    release(&p);
}

static void test_many_waits(void **state) {
    (void)state;
    enum { COUNT = 40 };
    problem p = make();
    describe(&p);
    attend_event *gates[COUNT], *done = NULL;
    for (int i = 0; i < COUNT; i++)
        gates[i] = user_event();
    assert_int_equal(attend_enqueue(context, &p.device, COUNT, gates, &done), ATTEND_OK);
    for (int i = COUNT - 1; i >= 0; i--) {
        check_pending(done);
        assert_int_equal(attend_user_event_complete(gates[i], ATTEND_OK), ATTEND_OK);
        attend_event_release(gates[i]);
    }
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    check_same(&p);
    release(&p);
}

static void test_finish(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    assert_int_equal(attend_enqueue(context, &p.device, 0, NULL, NULL), ATTEND_OK);
    assert_int_equal(attend_finish(context), ATTEND_OK);
    check_same(&p);
    release(&p);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_failed_wait(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    attend_event *gate = user_event(), *first = NULL, *second = NULL;
    assert_int_equal(attend_enqueue(context, &p.device, 1, &gate, &first), ATTEND_OK);
    assert_int_equal(attend_enqueue(context, &p.device, 1, &first, &second), ATTEND_OK);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_IO), ATTEND_OK);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_INVALID);
    assert_int_equal(attend_event_wait(second, -1), ATTEND_IO);
    assert_int_equal(attend_event_wait(first, -1), ATTEND_IO);
    assert_int_equal(attend_finish(context), ATTEND_IO);
    assert_int_equal(attend_finish(context), ATTEND_OK);
    float out[OUT_SIZE];
    read_output(&p, out);
    assert_memory_equal(out, p.out, sizeof out); /* still the pattern */
    attend_event_release(gate);
    attend_event_release(first);
    attend_event_release(second);
    release(&p);
}

/* Work that is refused is not in the queue: finishing has nothing to report. */
static void test_refused(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    attend_event *done = NULL;
    p.device.k.sizes[3] = D - 1;
    assert_int_equal(attend_enqueue(context, &p.device, 0, NULL, &done), ATTEND_SHAPE);
    assert_null(done);
    assert_int_equal(attend_finish(context), ATTEND_OK);
    release(&p);
}

/* ---- nothing to do, and the other operations ------------------------------------------------- */

static void test_no_output(void **state) {
    (void)state;
    problem p = make();
    describe(&p);
    p.device.q.sizes[2] = p.device.out.sizes[2] = 0;
    attend_event *done = NULL;
    assert_int_equal(attend_enqueue(context, &p.device, 0, NULL, &done), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    float out[OUT_SIZE];
    read_output(&p, out);
    assert_memory_equal(out, p.out, sizeof out);
    release(&p);
}

static void test_prepared_weights(void **state) {
    (void)state;
    enum { ROWS = 6, K = 9, N = 4 };
    float x[ROWS * K], w[N * K], out[ROWS * N], expected[ROWS * N];
    fill(x, ROWS * K, 3);
    fill(w, N * K, 5);
    attend_projection d = attend_projection_default();
    d.x = attend_tensor_2d(x, ATTEND_F32, ROWS, K);
    d.out = attend_tensor_2d(expected, ATTEND_F32, ROWS, N);
    const attend_tensor matrix = attend_tensor_2d(w, ATTEND_F32, N, K);
    assert_int_equal(attend_weights_create(context, &matrix, &d.weights), ATTEND_OK);
    assert_int_equal(attend_project(context, &d), ATTEND_OK);
    for (int i = 0; i < ROWS * N; i++) {
        float sum = 0; /* multiples of 1/64 below 2^24 of them: exact */
        for (int k = 0; k < K; k++)
            sum += x[i / N * K + k] * w[i % N * K + k];
        assert_true(expected[i] == sum);
    }
    attend_buffer *in = buffer_of(x, ROWS * K, 0), *result = buffer_of(out, ROWS * N, 0);
    d.x = attend_tensor_in(in, 0, ATTEND_F32, 2, d.x.sizes, NULL);
    d.out = attend_tensor_in(result, 0, ATTEND_F32, 2, d.out.sizes, NULL);
    attend_event *gate = user_event(), *done = NULL;
    assert_int_equal(attend_project_enqueue(context, &d, 1, &gate, &done), ATTEND_OK);
    attend_weights_release(d.weights);
    attend_buffer_release(in);
    assert_int_equal(attend_user_event_complete(gate, ATTEND_OK), ATTEND_OK);
    assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(gate);
    attend_event_release(done);
    assert_int_equal(attend_buffer_read(result, 0, out, sizeof out), ATTEND_OK);
    assert_memory_equal(out, expected, sizeof out);
    attend_buffer_release(result);
}

/* Outputs with gaps: nothing between their elements is touched, also where the device has memory of
 * its own. */
static void test_gaps(void **state) {
    (void)state;
    enum { ROWS = 3, COLUMNS = 4, PITCH = 7 };
    float x[COLUMNS * ROWS], out[ROWS * PITCH * 2];
    fill(x, COLUMNS * ROWS, 1);
    for (int i = 0; i < ROWS * PITCH * 2; i++)
        out[i] = -99;
    attend_copy c = attend_copy_default();
    c.x = attend_tensor_2d(x, ATTEND_F32, COLUMNS, ROWS);
    c.x.sizes[0] = ROWS; /* transposed, and once more broadcast */
    c.x.sizes[1] = COLUMNS;
    c.x.strides[0] = 1;
    c.x.strides[1] = ROWS;
    c.out = attend_tensor_2d(out, ATTEND_F32, ROWS, COLUMNS);
    c.out.strides[0] = PITCH * 2;
    c.out.strides[1] = 2;
    c.out.offset = 1;
    assert_int_equal(attend_copy_run(context, &c), ATTEND_OK);
    for (int i = 0; i < ROWS * PITCH * 2; i++) {
        const int row = i / (PITCH * 2), column = (i % (PITCH * 2) - 1) / 2;
        const bool written = i % 2 == 1 && column < COLUMNS;
        assert_true(out[i] == (written ? x[column * ROWS + row] : -99));
    }
    c.x.strides[0] = 0;
    assert_int_equal(attend_copy_run(context, &c), ATTEND_OK);
    for (int row = 0; row < ROWS; row++)
        assert_true(out[row * PITCH * 2 + 1 + 2] == x[ROWS]);
}

static void test_heads(void **state) {
    (void)state;
    float merged[B * L * H * D], split[B * L * H * D], back[B * L * H * D];
    fill(merged, B * L * H * D, 13);
    attend_copy c = attend_copy_default();
    c.x = attend_tensor_3d(merged, ATTEND_F32, B, L, H * D);
    c.out = attend_tensor_4d(split, ATTEND_F32, B, H, L, D);
    assert_int_equal(attend_split_heads(context, &c), ATTEND_OK);
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int i = 0; i < L; i++)
                assert_memory_equal(&split[((b * H + h) * L + i) * D],
                                    &merged[(b * L + i) * H * D + h * D], D * sizeof(float));
    c.x = c.out;
    c.out = attend_tensor_3d(back, ATTEND_F32, B, L, H * D);
    assert_int_equal(attend_merge_heads(context, &c), ATTEND_OK);
    assert_memory_equal(back, merged, sizeof back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_run),
        cmocka_unit_test(test_mixed_memory),
        cmocka_unit_test(test_nothing_needed_later),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_many_waits),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_failed_wait),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_output),
        cmocka_unit_test(test_prepared_weights),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_heads),
    };
    return cmocka_run_group_tests(tests, open, close);
}
