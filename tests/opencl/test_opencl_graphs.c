/* SPDX-License-Identifier: Apache-2.0
 *
 *     test_opencl_graphs [BACKEND [GRAPHS [SEED]]]
 *
 * Random graphs of work over shared memory on a queue that is out of order: attention, copies,
 * activations, projections and copies of the application's own, enqueued by several threads,
 * ordered by nothing but the events they wait for, some of them behind gates of either side that
 * open late and in any order. The memory ends as the backend cpu leaves it, step by step. */
#include "own_opencl.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { H = 2, L = 5, D = 8, COUNT = H * L * D, MEMORIES = 6, THREADS = 3, MOST_NODES = 14 };
enum { GATES = 3, MOST_WAITS = MOST_NODES + 1 };
typedef enum kind { ATTENTION, COPY, ACTIVATION, PROJECTION, OWN_COPY, KINDS } kind;

typedef struct node {
    kind what;
    int from[3], into;
    bool after[MOST_NODES]; /* the nodes it waits for */
    int gate;               /* or -1 */
    attend_event *event;    /* the library's, or an import of `native` */
    cl_event native;        /* of the application's own copy */
} node;

typedef struct graph {
    int count, enqueued;
    node nodes[MOST_NODES];
    cl_event own_gates[GATES];      /* gate 2 i is the application's, */
    attend_event *gates[2 * GATES]; /* and this the import of it; 2 i + 1 is the library's */
    attend_status status;
} graph;

static own_opencl own;
static attend_context *context, *cpu;
static cl_mem memory[MEMORIES];
static attend_buffer *buffers[MEMORIES];
static float host[MEMORIES][COUNT], matrix[D * D];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long graphs = 1000;
static uint64_t seed = 1;

/* SplitMix64. */
static uint64_t draw(uint64_t below) {
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

/* ---- what a node does, on the device and on the host ------------------------------------------
 */

static attend_tensor place(bool device, int m, int32_t rank) {
    static const int64_t four[] = {1, H, L, D}, two[] = {(int64_t)H * L, D};
    const int64_t *const sizes = rank == 4 ? four : two;
    return device ? attend_tensor_in(buffers[m], 0, ATTEND_F32, rank, sizes, NULL)
                  : attend_tensor_nd(host[m], ATTEND_F32, rank, sizes);
}

static attend_attention attention_of(bool device, const node *n) {
    attend_attention a = attend_attention_default();
    a.q = place(device, n->from[0], 4);
    a.k = place(device, n->from[1], 4);
    a.v = place(device, n->from[2], 4);
    a.out = place(device, n->into, 4);
    a.causal = 1;
    return a;
}

static attend_copy copy_of(bool device, const node *n) {
    attend_copy c = attend_copy_default();
    c.x = place(device, n->from[0], 2);
    c.out = place(device, n->into, 2);
    return c;
}

static attend_elementwise activation_of(bool device, const node *n) {
    attend_elementwise e = attend_elementwise_default();
    e.x = place(device, n->from[0], 2);
    e.out = place(device, n->into, 2);
    e.activation = ATTEND_TANH;
    return e;
}

static attend_weights *weights[2]; /* of the cpu, of the device */

static attend_projection projection_of(bool device, const node *n) {
    attend_projection p = attend_projection_default();
    p.x = place(device, n->from[0], 2);
    p.weights = weights[device];
    p.residual = place(device, n->from[1], 2);
    p.out = place(device, n->into, 2);
    return p;
}

static attend_status run_on_host(const node *n) {
    const attend_attention a = attention_of(false, n);
    const attend_copy c = copy_of(false, n);
    const attend_elementwise e = activation_of(false, n);
    const attend_projection p = projection_of(false, n);
    switch (n->what) {
    case ATTENTION:
        return attend_run(cpu, &a);
    case ACTIVATION:
        return attend_activate(cpu, &e);
    case PROJECTION:
        return attend_project(cpu, &p);
    default:
        return attend_copy_run(cpu, &c);
    }
}

static attend_status enqueue(node *n, size_t count, attend_event *const *waits) {
    const attend_attention a = attention_of(true, n);
    const attend_copy c = copy_of(true, n);
    const attend_elementwise e = activation_of(true, n);
    const attend_projection p = projection_of(true, n);
    switch (n->what) {
    case ATTENTION:
        return attend_enqueue(context, &a, count, waits, &n->event);
    case ACTIVATION:
        return attend_activate_enqueue(context, &e, count, waits, &n->event);
    case PROJECTION:
        return attend_project_enqueue(context, &p, count, waits, &n->event);
    default:
        return attend_copy_enqueue(context, &c, count, waits, &n->event);
    }
}

/* The application's own command, which waits for ours by their cl_event. */
static attend_status enqueue_own(node *n, size_t count, attend_event *const *waits) {
    cl_event natives[MOST_WAITS];
    for (size_t i = 0; i < count; i++) {
        const attend_status status = attend_event_to_cl(waits[i], &natives[i]);
        if (status != ATTEND_OK) return status;
    }
    const cl_int error =
        clEnqueueCopyBuffer(own.queue, memory[n->from[0]], memory[n->into], 0, 0, sizeof host[0],
                            (cl_uint)count, count ? natives : NULL, &n->native);
    if (error != CL_SUCCESS || clFlush(own.queue) != CL_SUCCESS)
        return attend_error_set(ATTEND_INTERNAL, "clEnqueueCopyBuffer");
    return attend_event_from_cl(context, n->native, &n->event);
}

/* ---- a graph ----------------------------------------------------------------------------------
 */

static bool touches(const node *n, int m, bool writing) {
    if (n->into == m) return true;
    const int inputs = n->what == ATTENTION ? 3 : n->what == PROJECTION ? 2 : 1;
    for (int i = 0; writing && i < inputs; i++)
        if (n->from[i] == m) return true;
    return false;
}

/* All earlier nodes whose order with this one matters, and a few for which it does not. */
static void find_waits(graph *g, int index) {
    node *const n = &g->nodes[index];
    for (int e = 0; e < index; e++) {
        n->after[e] = touches(&g->nodes[e], n->into, true) || draw(10) == 0;
        for (int i = 0; i < 3; i++)
            if (touches(&g->nodes[e], n->from[i], false)) n->after[e] = true;
    }
}

static void make_gates(graph *g) {
    for (int i = 0; i < GATES; i++) {
        cl_int error;
        g->own_gates[i] = clCreateUserEvent(own.context, &error);
        assert_int_equal(error, CL_SUCCESS);
        assert_int_equal(attend_event_from_cl(context, g->own_gates[i], &g->gates[2 * i]),
                         ATTEND_OK);
        assert_int_equal(attend_user_event_create(context, &g->gates[2 * i + 1]), ATTEND_OK);
    }
}

static void make_graph(graph *g) {
    memset(g, 0, sizeof *g);
    g->count = 3 + (int)draw(MOST_NODES - 2);
    make_gates(g);
    for (int i = 0; i < g->count; i++) {
        node *const n = &g->nodes[i];
        n->what = (kind)draw(KINDS);
        n->into = (int)draw(MEMORIES);
        for (int s = 0; s < 3; s++)
            n->from[s] = (n->into + 1 + (int)draw(MEMORIES - 1)) % MEMORIES;
        n->gate = draw(3) == 0 ? (int)draw(2 * GATES) : -1;
        find_waits(g, i);
    }
}

typedef struct part {
    graph *g;
    int thread;
} part;

/* Each thread enqueues its nodes in their order, as soon as what they wait for is enqueued. */
static void *enqueue_part(void *argument) {
    const part *const p = argument;
    graph *const g = p->g;
    for (int i = p->thread; i < g->count; i += THREADS) {
        node *const n = &g->nodes[i];
        attend_event *waits[MOST_WAITS];
        size_t count = 0;
        pthread_mutex_lock(&lock);
        for (int e = 0; e < i; e++) {
            while (n->after[e] && g->nodes[e].event == NULL && g->status == ATTEND_OK)
                pthread_cond_wait(&changed, &lock);
            if (n->after[e]) waits[count++] = g->nodes[e].event;
        }
        attend_status status = g->status;
        pthread_mutex_unlock(&lock);
        if (status != ATTEND_OK) return NULL;
        if (n->gate >= 0) waits[count++] = g->gates[n->gate];
        node done = *n;
        status =
            n->what == OWN_COPY ? enqueue_own(&done, count, waits) : enqueue(&done, count, waits);
        if (status != ATTEND_OK) (void)fprintf(stderr, "node %d: %s\n", i, attend_error_text());
        pthread_mutex_lock(&lock);
        *n = done;
        if (g->status == ATTEND_OK) g->status = status;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void open_gate(graph *g, int gate) {
    if (gate % 2)
        assert_int_equal(attend_user_event_complete(g->gates[gate], ATTEND_OK), ATTEND_OK);
    else
        assert_int_equal(clSetUserEventStatus(g->own_gates[gate / 2], CL_COMPLETE), CL_SUCCESS);
}

/* Some gates before, some while, some after the work is enqueued. */
static void run_graph(graph *g) {
    pthread_t threads[THREADS];
    part parts[THREADS];
    int order[2 * GATES];
    for (int i = 0; i < 2 * GATES; i++) {
        const int other = (int)draw((uint64_t)i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    const int before = (int)draw(3), during = before + (int)draw(3);
    for (int i = 0; i < before; i++)
        open_gate(g, order[i]);
    for (int t = 0; t < THREADS; t++) {
        parts[t] = (part){g, t};
        assert_int_equal(pthread_create(&threads[t], NULL, enqueue_part, &parts[t]), 0);
    }
    for (int i = before; i < during; i++)
        open_gate(g, order[i]);
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    for (int i = during; i < 2 * GATES; i++)
        open_gate(g, order[i]);
    assert_int_equal(g->status, ATTEND_OK);
    for (int i = g->count - 1; i >= 0; i--) {
        const attend_status status = attend_event_wait(g->nodes[i].event, 60000000000);
        if (status != ATTEND_OK) fail_msg("node %d: %s", i, attend_error_text());
    }
}

static void release_graph(graph *g) {
    for (int i = 0; i < g->count; i++) {
        attend_event_release(g->nodes[i].event);
        if (g->nodes[i].native) assert_int_equal(clReleaseEvent(g->nodes[i].native), CL_SUCCESS);
    }
    for (int i = 0; i < 2 * GATES; i++)
        attend_event_release(g->gates[i]);
    for (int i = 0; i < GATES; i++)
        assert_int_equal(clReleaseEvent(g->own_gates[i]), CL_SUCCESS);
}

static void check_memory(long number, uint64_t first) {
    float got[COUNT];
    for (int m = 0; m < MEMORIES; m++) {
        own_read(&own, memory[m], 0, got, sizeof got);
        for (int i = 0; i < COUNT; i++)
            if (!(fabsf(got[i] - host[m][i]) <= 1e-4F))
                fail_msg("graph %ld, seed %llu: memory %d, value %d is %.7g instead of %.7g",
                         number, (unsigned long long)first, m, i, (double)got[i],
                         (double)host[m][i]);
    }
}

static void test_graphs(void **state) {
    (void)state;
    static graph g;
    for (long number = 0; number < graphs; number++) {
        const uint64_t first = seed;
        for (int m = 0; m < MEMORIES; m++) {
            for (int i = 0; i < COUNT; i++)
                host[m][i] = (float)draw(2001) / 1000 - 1;
            assert_int_equal(clEnqueueWriteBuffer(own.queue, memory[m], CL_TRUE, 0, sizeof host[m],
                                                  host[m], 0, NULL, NULL),
                             CL_SUCCESS);
        }
        make_graph(&g);
        run_graph(&g);
        for (int i = 0; i < g.count; i++)
            assert_int_equal(run_on_host(&g.nodes[i]), ATTEND_OK);
        check_memory(number, first);
        release_graph(&g);
    }
}

static int open_all(void **state) {
    (void)state;
    attend_options options = attend_options_default();
    options.backend = "cpu";
    own_open(&own, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    context = own_attend(&own);
    if (attend_open(&options, &cpu) != ATTEND_OK) return -1;
    for (int m = 0; m < MEMORIES; m++) {
        memory[m] = own_memory(&own, CL_MEM_READ_WRITE, host[m], sizeof host[m]);
        if (attend_buffer_from_cl(context, memory[m], 0, sizeof host[m], &buffers[m]) != ATTEND_OK)
            return -1;
    }
    for (int i = 0; i < D * D; i++)
        matrix[i] = (float)(i * 5 % 7 - 3) / 32;
    const attend_tensor w = attend_tensor_2d(matrix, ATTEND_F32, D, D);
    return attend_weights_create(cpu, &w, &weights[0]) == ATTEND_OK &&
                   attend_weights_create(context, &w, &weights[1]) == ATTEND_OK
               ? 0
               : -1;
}

static int close_all(void **state) {
    (void)state;
    for (int m = 0; m < MEMORIES; m++) {
        attend_buffer_release(buffers[m]);
        (void)clReleaseMemObject(memory[m]);
    }
    attend_weights_release(weights[0]);
    attend_weights_release(weights[1]);
    attend_close(context);
    attend_close(cpu);
    own_close(&own);
    return 0;
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (argc > 2) graphs = strtol(argv[2], NULL, 10);
    if (argc > 3) seed = strtoull(argv[3], NULL, 10);
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_graphs)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
