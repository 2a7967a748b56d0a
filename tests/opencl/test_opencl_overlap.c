/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls at once over the same host memory, on a device that says it is a GPU and shares the host's
 * memory: never do two buffers lie over the same bytes, nor does a command copy bytes under one,
 * which drivers of such devices do not bear. The functions of OpenCL are the loader's, but for
 * those that are watched. POSIX only. */
#define CL_TARGET_OPENCL_VERSION 120
#include "own_opencl.h"

#include <CL/cl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static own_opencl own;

/* ---- what is watched ------------------------------------------------------------------------- */

enum { MOST = 32 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct live {
    cl_mem memory;
    uintptr_t start, end;
    int references;
} live[MOST];
static int live_count, made, retained, overlaps;

static bool under_live(const void *memory, size_t bytes) {
    const uintptr_t start = (uintptr_t)memory;
    for (int i = 0; i < MOST; i++)
        if (live[i].memory && start < live[i].end && live[i].start < start + bytes) return true;
    return false;
}

static cl_mem CL_API_CALL create(cl_context context, cl_mem_flags flags, size_t bytes, void *host,
                                 cl_int *error) {
    const cl_mem memory = clCreateBuffer(context, flags, bytes, host, error);
    if (memory == NULL || !(flags & CL_MEM_USE_HOST_PTR)) return memory;
    pthread_mutex_lock(&lock);
    overlaps += under_live(host, bytes);
    for (int i = 0; i < MOST; i++) {
        if (live[i].memory) continue;
        live[i] = (struct live){memory, (uintptr_t)host, (uintptr_t)host + bytes, 1};
        break;
    }
    live_count++;
    made++;
    pthread_mutex_unlock(&lock);
    return memory;
}

static void count(cl_mem memory, int change) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++) {
        if (live[i].memory != memory) continue;
        retained += change > 0;
        live[i].references += change;
        if (live[i].references > 0) continue;
        live[i].memory = NULL;
        live_count--;
    }
    pthread_mutex_unlock(&lock);
}

static cl_int CL_API_CALL retain(cl_mem memory) {
    count(memory, 1);
    return clRetainMemObject(memory);
}

/* Counted after the call: it is live until then. */
static cl_int CL_API_CALL release(cl_mem memory) {
    const cl_int error = clReleaseMemObject(memory);
    count(memory, -1);
    return error;
}

static void look(const void *memory, size_t bytes) {
    pthread_mutex_lock(&lock);
    overlaps += under_live(memory, bytes);
    pthread_mutex_unlock(&lock);
}

/* OpenCL's, more than functions of ours have. */
#define COPY_PARAMETERS(type)                                                                      \
    (cl_command_queue q, cl_mem m, cl_bool block, size_t at, size_t bytes, type * host, cl_uint n, \
     const cl_event *waits, cl_event *event)

static cl_int CL_API_CALL read_buffer COPY_PARAMETERS(void) {
    look(host, bytes);
    return clEnqueueReadBuffer(q, m, block, at, bytes, host, n, waits, event);
}

static cl_int CL_API_CALL write_buffer COPY_PARAMETERS(const void) {
    look(host, bytes);
    return clEnqueueWriteBuffer(q, m, block, at, bytes, host, n, waits, event);
}

static cl_int CL_API_CALL device_info(cl_device_id d, cl_device_info what, size_t bytes,
                                      void *value, size_t *needed) {
    const cl_int error = clGetDeviceInfo(d, what, bytes, value, needed);
    const cl_device_type gpu = CL_DEVICE_TYPE_GPU;
    if (error == CL_SUCCESS && value && what == CL_DEVICE_TYPE) memcpy(value, &gpu, sizeof gpu);
    return error;
}

static void *symbol(void *user, const char *name) {
    static const struct {
        const char *name;
        void (*function)(void);
    } watched[] = {{"clCreateBuffer", (void (*)(void))create},
                   {"clRetainMemObject", (void (*)(void))retain},
                   {"clReleaseMemObject", (void (*)(void))release},
                   {"clEnqueueReadBuffer", (void (*)(void))read_buffer},
                   {"clEnqueueWriteBuffer", (void (*)(void))write_buffer},
                   {"clGetDeviceInfo", (void (*)(void))device_info}};
    (void)user;
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
        if (strcmp(watched[i].name, name) != 0) continue;
        void *address;
        memcpy(&address, &watched[i].function, sizeof address);
        return address;
    }
    return dlsym(dlopen(NULL, RTLD_LAZY), name); /* the program is linked with the loader */
}

static int watch(const int *value) {
    pthread_mutex_lock(&lock);
    const int now = *value;
    pthread_mutex_unlock(&lock);
    return now;
}

static void wait_for(const int *value, int wanted) {
    const struct timespec pause = {0, 2000000};
    for (int i = 0; i < 5000 && watch(value) != wanted; i++)
        (void)nanosleep(&pause, NULL);
    assert_int_equal(watch(value), wanted);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Tokens are as long as a vector of cache: 64 of them fill a page. */
enum { D = 16, ROWS = 16, TOKENS = 256, PAGE_TOKENS = 64, PAGE = 4096, GAP = PAGE };

typedef struct memory {
    float *q[2], *k, *v, *out[2];
} memory;

static float *pages(size_t tokens, unsigned seed) {
    const size_t bytes = (tokens * D * sizeof(float) + PAGE - 1) / PAGE * PAGE + GAP;
    float *const x = aligned_alloc(PAGE, bytes);
    assert_non_null(x);
    for (size_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = (float)((i * 7 + seed) % 33) / 16 - 1;
    return x;
}

static memory make_memory(void) {
    memory m;
    for (unsigned i = 0; i < 2; i++) {
        m.q[i] = pages(ROWS, 3 + i);
        m.out[i] = pages(ROWS, 0);
    }
    m.k = pages(TOKENS, 5);
    m.v = pages(TOKENS, 8);
    return m;
}

static void free_memory(const memory *m) {
    for (int i = 0; i < 2; i++) {
        free(m->q[i]);
        free(m->out[i]);
    }
    free(m->k);
    free(m->v);
}

/* Over tokens `from` to `to`; one of two queries and outputs. */
static attend_attention over(const memory *m, int which, int64_t from, int64_t to) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(m->q[which], ATTEND_F32, 1, 1, ROWS, D);
    a.k = attend_tensor_4d(m->k + from * D, ATTEND_F32, 1, 1, to - from, D);
    a.v = attend_tensor_4d(m->v + from * D, ATTEND_F32, 1, 1, to - from, D);
    a.out = attend_tensor_4d(m->out[which], ATTEND_F32, 1, 1, ROWS, D);
    return a;
}

static void check(const attend_attention *a) {
    float out[ROWS * D];
    attend_options options = attend_options_default();
    attend_context *cpu = NULL;
    options.backend = "cpu";
    assert_int_equal(attend_open(&options, &cpu), ATTEND_OK);
    attend_attention want = *a;
    want.out.data = out;
    assert_int_equal(attend_run(cpu, &want), ATTEND_OK);
    attend_close(cpu);
    own_check_close(a->out.data, out, ROWS * D);
    memset(a->out.data, 0, sizeof out);
}

typedef struct call {
    attend_context *context;
    attend_attention a;
    attend_status status;
    pthread_t thread;
} call;

static void *run(void *argument) {
    call *const c = argument;
    c->status = attend_run(c->context, &c->a);
    return NULL;
}

static void start(call *c) {
    c->status = ATTEND_INTERNAL;
    assert_int_equal(pthread_create(&c->thread, NULL, run, c), 0);
}

static void finish(call *c) {
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    assert_int_equal(c->status, ATTEND_OK);
    check(&c->a);
}

static attend_context *open_on(cl_command_queue queue) {
    attend_opencl_objects objects = own_objects(&own);
    attend_context *context = NULL;
    objects.symbol = symbol;
    objects.queue = queue;
    assert_int_equal(setenv("ATTEND_TRANSFERS", "share", 1), 0);
    assert_int_equal(setenv("ATTEND_KERNELS", "rows", 1), 0);
    const attend_status status = attend_open_opencl(&objects, NULL, &context);
    if (status != ATTEND_OK) fail_msg("%s", attend_error_text());
    assert_int_equal(unsetenv("ATTEND_TRANSFERS"), 0);
    assert_int_equal(unsetenv("ATTEND_KERNELS"), 0);
    return context;
}

/* What the application's queue gets from here on waits. */
static cl_event close_queue(void) {
    cl_int error;
    cl_event gate = clCreateUserEvent(own.context, &error);
    assert_int_equal(error, CL_SUCCESS);
    assert_int_equal(clEnqueueBarrierWithWaitList(own.queue, 1, &gate, NULL), CL_SUCCESS);
    return gate;
}

static void open_queue(cl_event gate) {
    assert_int_equal(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
    assert_int_equal(clReleaseEvent(gate), CL_SUCCESS);
}

/* ---- two calls at once ----------------------------------------------------------------------- */

static void run_beside(attend_context *context, const attend_attention *a, uint64_t copied_tokens,
                       uint64_t in_place_tokens) {
    attend_decision d = {.size = sizeof d};
    if (attend_run(context, a) != ATTEND_OK) fail_msg("%s", attend_error_text());
    assert_int_equal(attend_context_decision(context, &d), ATTEND_OK);
    assert_int_equal(d.copied_bytes, copied_tokens * D * sizeof(float));
    assert_int_equal(d.in_place_bytes, in_place_tokens * D * sizeof(float));
    check(a);
}

/* Of two contexts, the second over more, the same and fewer of the first's keys; then alone. */
static void test_contexts(void **state) {
    (void)state;
    static const int64_t ranges[][2] = {{0, 192}, {0, 128}, {64, 128}, {64, 192}};
    cl_int error;
    own_open(&own, 0);
    const cl_command_queue queue = clCreateCommandQueue(own.context, own.device, 0, &error);
    assert_int_equal(error, CL_SUCCESS);
    const memory m = make_memory();
    call c = {.context = open_on(own.queue), .a = over(&m, 0, 0, 128)};
    attend_context *const second = open_on(queue);
    run_beside(c.context, &c.a, 0, 2 * ROWS + 2 * 128);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const uint64_t tokens = (uint64_t)(ranges[i][1] - ranges[i][0]);
        const attend_attention a = over(&m, 1, ranges[i][0], ranges[i][1]);
        const cl_event gate = close_queue();
        start(&c);
        wait_for(&live_count, 4);
        run_beside(second, &a, 2 * tokens, 2 * ROWS);
        open_queue(gate);
        finish(&c);
        run_beside(second, &a, 0, 2 * ROWS + 2 * tokens);
    }
    attend_close(c.context);
    attend_close(second);
    assert_int_equal(live_count, 0);
    assert_int_equal(overlaps, 0);
    free_memory(&m);
    assert_int_equal(clReleaseCommandQueue(queue), CL_SUCCESS);
    own_close(&own);
}

/* Of one context: keys that the other call's buffer holds are used there. */
static void test_one_context(void **state) {
    (void)state;
    own_open(&own, 0);
    const memory m = make_memory();
    attend_context *const context = open_on(own.queue);
    call first = {.context = context, .a = over(&m, 0, 0, 192)};
    call second = {.context = context, .a = over(&m, 1, PAGE_TOKENS, 128)};
    run_beside(context, &first.a, 0, 2 * ROWS + 2 * 192);
    run_beside(context, &second.a, 0, 2 * ROWS + 2 * 64);
    const int before = made;
    retained = 0;
    const cl_event gate = close_queue();
    start(&first);
    wait_for(&live_count, 4);
    start(&second);
    wait_for(&live_count, 6);
    wait_for(&retained, 2);
    open_queue(gate);
    finish(&first);
    finish(&second);
    assert_int_equal(made - before, 6);
    attend_close(context);
    assert_int_equal(live_count, 0);
    assert_int_equal(overlaps, 0);
    free_memory(&m);
    own_close(&own);
}

/* Of one context, an output that another call writes close to keys: nothing is shared. */
static void test_written(void **state) {
    (void)state;
    own_open(&own, 0);
    const memory m = make_memory();
    attend_context *const context = open_on(own.queue);
    call first = {.context = context, .a = over(&m, 0, 0, 128)};
    call second = {.context = context, .a = over(&m, 1, 0, 128)};
    first.a.out.data = m.k + 128 * D;
    run_beside(context, &second.a, 0, 2 * ROWS + 2 * 128);
    const int before = made;
    retained = 0;
    const cl_event gate = close_queue();
    start(&first);
    wait_for(&live_count, 3);
    start(&second);
    wait_for(&retained, 1); /* of the values alone */
    wait_for(&live_count, 5);
    open_queue(gate);
    finish(&first);
    finish(&second);
    assert_int_equal(made - before, 5);
    attend_close(context);
    assert_int_equal(live_count, 0);
    assert_int_equal(overlaps, 0);
    free_memory(&m);
    own_close(&own);
}

int main(void) {
    if (!own_find(&own)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_one_context),
        cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
