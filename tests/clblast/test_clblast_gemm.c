/* SPDX-License-Identifier: Apache-2.0
 *
 * Products by CLBlast as the backend `clblast` calls it: right for any offset, stride and pitch, on
 * both sides of the size at which CLBlast goes from its direct to its indirect path. The batched
 * routine by itself is tried on the same operands; where it is wrong is printed, and it has to be
 * right where attend__clblast_safe says so. */
#include "clblast_gemm.h"

#include <clblast_c.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SKIPPED = 77, GUARD = 64 };

static const ocl_api *cl;
static cl_device_id device;
static cl_context context;
static cl_command_queue queue;

/* ---- matrices -------------------------------------------------------------------------------- */

typedef struct host_matrix {
    int64_t rows, columns, floats;
    float *values;
    clblast_matrix device;
} host_matrix;

/* `gap`: by which the pitch is larger than a row; `spread`: -1 = one matrix for all. */
static host_matrix matrix_make(int64_t rows, int64_t columns, int64_t count, int64_t offset,
                               int64_t gap, int64_t spread, float fill) {
    host_matrix x = {.rows = rows, .columns = columns};
    const int64_t pitch = columns + gap;
    x.device.offset = offset;
    x.device.pitch = pitch;
    x.device.stride = spread < 0 ? 0 : rows * pitch + spread;
    x.floats = offset + (count - 1) * x.device.stride + rows * pitch + GUARD;
    x.values = malloc((size_t)x.floats * sizeof(float));
    assert_non_null(x.values);
    uint32_t seed = 12345;
    for (int64_t i = 0; i < x.floats; i++) {
        seed = seed * 1664525u + 1013904223u;
        x.values[i] = fill == 0 ? (float)(seed >> 8) / 16777216.0f - 0.5f : fill;
    }
    cl_int error;
    x.device.memory = cl->clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                         (size_t)x.floats * sizeof(float), x.values, &error);
    assert_int_equal(error, CL_SUCCESS);
    return x;
}

static void matrix_write(const host_matrix *x) {
    assert_int_equal(cl->clEnqueueWriteBuffer(queue, x->device.memory, CL_TRUE, 0,
                                              (size_t)x->floats * sizeof(float), x->values, 0, NULL,
                                              NULL),
                     CL_SUCCESS);
}

static void matrix_free(host_matrix *x) {
    (void)cl->clReleaseMemObject(x->device.memory);
    free(x->values);
}

static float at(const host_matrix *x, int64_t i, int64_t row, int64_t column) {
    return x->values[x->device.offset + i * x->device.stride + row * x->device.pitch + column];
}

/* ---- one case -------------------------------------------------------------------------------- */

typedef struct gemm_case {
    int64_t m, n, k, count;
    int64_t a_offset, a_gap, a_spread;
    int64_t b_offset, b_gap, b_spread;
    int64_t c_offset, c_gap, c_spread;
    bool transposed, add;
} gemm_case;

/* Which elements of the result belong to C, and whether all are as they should be. */
static bool result_is_right(const gemm_case *g, const host_matrix *a, const host_matrix *b,
                            const host_matrix *c, const float *got) {
    char *const inside = calloc((size_t)c->floats, 1);
    assert_non_null(inside);
    bool right = true;
    for (int64_t i = 0; i < g->count; i++)
        for (int64_t row = 0; row < g->m; row++)
            for (int64_t column = 0; column < g->n; column++) {
                const int64_t place =
                    c->device.offset + i * c->device.stride + row * c->device.pitch + column;
                double sum = g->add ? (double)c->values[place] : 0, bound = fabs(sum);
                for (int64_t k = 0; k < g->k; k++) {
                    const double x =
                        (double)at(a, i, row, k) *
                        (double)(g->transposed ? at(b, i, column, k) : at(b, i, k, column));
                    sum += x;
                    bound += fabs(x);
                }
                inside[place] = 1;
                if (!(fabs((double)got[place] - sum) <= 1e-5 * (bound + 1))) right = false;
            }
    for (int64_t i = 0; i < c->floats; i++)
        if (!inside[i] && memcmp(&got[i], &c->values[i], sizeof(float)) != 0) right = false;
    free(inside);
    return right;
}

static int raw_product(const clblast_product *p) {
    return (int)CLBlastSgemmStridedBatched(
        CLBlastLayoutRowMajor, CLBlastTransposeNo,
        p->transposed ? CLBlastTransposeYes : CLBlastTransposeNo, (size_t)p->m, (size_t)p->n,
        (size_t)p->k, 1.0f, p->a.memory, (size_t)p->a.offset, (size_t)p->a.pitch,
        (size_t)p->a.stride, p->b.memory, (size_t)p->b.offset, (size_t)p->b.pitch,
        (size_t)p->b.stride, p->add ? 1.0f : 0.0f, p->c.memory, (size_t)p->c.offset,
        (size_t)p->c.pitch, (size_t)p->c.stride, (size_t)p->count, &queue, NULL);
}

static bool run_case(const gemm_case *g, bool raw, bool *safe) {
    host_matrix a = matrix_make(g->m, g->k, g->count, g->a_offset, g->a_gap, g->a_spread, 0);
    host_matrix b = matrix_make(g->transposed ? g->n : g->k, g->transposed ? g->k : g->n, g->count,
                                g->b_offset, g->b_gap, g->b_spread, 0);
    /* what C held does not matter unless it is added to */
    host_matrix c =
        matrix_make(g->m, g->n, g->count, g->c_offset, g->c_gap, g->c_spread, g->add ? 0.25f : NAN);
    matrix_write(&c);
    const clblast_product p = {.m = g->m,
                               .n = g->n,
                               .k = g->k,
                               .a = a.device,
                               .b = b.device,
                               .c = c.device,
                               .transposed = g->transposed,
                               .add = g->add,
                               .batched = true,
                               .count = g->count};
    *safe = attend__clblast_safe(&p.a, a.rows, a.columns) &&
            attend__clblast_safe(&p.b, b.rows, b.columns) &&
            attend__clblast_safe(&p.c, c.rows, c.columns);
    assert_int_equal(raw ? raw_product(&p) : attend__clblast_gemm(queue, &p), 0);
    float *const got = malloc((size_t)c.floats * sizeof(float));
    assert_non_null(got);
    assert_int_equal(cl->clEnqueueReadBuffer(queue, c.device.memory, CL_TRUE, 0,
                                             (size_t)c.floats * sizeof(float), got, 0, NULL, NULL),
                     CL_SUCCESS);
    const bool right = result_is_right(g, &a, &b, &c, got);
    free(got);
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&c);
    return right;
}

/* ---- both paths ------------------------------------------------------------------------------ */

/* 128 x 128 x 64 is whole tiles under all of CLBlast's parameters. */
static const struct { int64_t m, n, k; } sizes[] = {{128, 128, 64}, {33, 47, 20}, {1, 64, 64}};
static const struct {
    int64_t offset, gap, spread;
} places[] = {{0, 0, 0},    {64, 0, 0}, {0, 0, 128}, {0, 0, -1},
              {64, 0, 384}, {7, 16, 5}, {0, 16, -1}};

static void choose_path(size_t least_indirect) {
    static const char *name = "XGEMM_MIN_INDIRECT_SIZE";
    assert_int_equal(CLBlastOverrideParameters(device, "GemmRoutine", CLBlastPrecisionSingle, 1,
                                               &name, &least_indirect),
                     CLBlastSuccess);
}

typedef struct tally {
    int cases, wrong, taken_apart, raw_wrong;
} tally;

static void try_case(const gemm_case *g, tally *t) {
    bool safe;
    t->cases++;
    if (!run_case(g, false, &safe)) t->wrong++;
    if (!safe) t->taken_apart++;
    if (run_case(g, true, &safe)) return;
    t->raw_wrong++;
    assert_false(safe);
}

static tally try_all(void) {
    tally t = {0};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++)
            for (int which = 0; which < 3; which++)
                for (int form = 0; form < 4; form++) {
                    gemm_case g = {.m = sizes[s].m, .n = sizes[s].n, .k = sizes[s].k, .count = 3};
                    int64_t *const fields[3] = {&g.a_offset, &g.b_offset, &g.c_offset};
                    if (which == 2 && places[p].spread < 0) continue; /* C needs a stride */
                    fields[which][0] = places[p].offset;
                    fields[which][1] = places[p].gap;
                    fields[which][2] = places[p].spread;
                    g.transposed = form & 1;
                    g.add = form & 2;
                    try_case(&g, &t);
                }
    return t;
}

static void try_path(const char *name, size_t least_indirect) {
    choose_path(least_indirect);
    const tally t = try_all();
    print_message(
        "%s path: %d products, ours wrong in %d; CLBlast's batched routine alone wrong in "
        "%d of the %d that are taken apart\n",
        name, t.cases, t.wrong, t.raw_wrong, t.taken_apart);
    assert_int_equal(t.wrong, 0);
}

static void test_direct(void **state) {
    (void)state;
    try_path("direct", 100000);
}

static void test_indirect(void **state) {
    (void)state;
    try_path("indirect", 1);
}

/* ---- edges ----------------------------------------------------------------------------------- */

static void test_sizes_of_zero(void **state) {
    (void)state;
    clblast_product p = {.m = 4, .n = 4, .k = 0, .batched = true, .count = 2};
    assert_int_equal(attend__clblast_gemm(queue, &p), 0);
    p.k = 4;
    p.count = 0;
    assert_int_equal(attend__clblast_gemm(queue, &p), 0);
}

static void test_too_far(void **state) {
    (void)state;
    host_matrix x = matrix_make(4, 4, 1, 0, 0, 0, 1);
    clblast_product p = {.m = 4, .n = 4, .k = 4, .a = x.device, .b = x.device, .c = x.device};
    p.b.offset = INT32_MAX - 15;
    assert_int_equal(attend__clblast_gemm(queue, &p), CLBlastInvalidDimension);
    matrix_free(&x);
}

/* Equal terms are off by at most a quarter of their number, in units of 2^-24 of the sum. */
static void test_partial(void **state) {
    (void)state;
    for (int64_t k = 1; k <= 65536; k = k * 5 / 4 + 1) {
        const int64_t partial = attend__clblast_partial(k), terms = k < partial ? k : partial;
        const double parts = ceil((double)k / (double)partial);
        assert_int_equal(partial % 32, 0);
        assert_true((double)terms / 4 + parts / 4 <= 2 * sqrt((double)k) + 8);
    }
}

static int open_device(void **state) {
    (void)state;
    cl_int error = CL_SUCCESS;
    context = cl->clCreateContext(NULL, 1, &device, NULL, NULL, &error);
    if (error != CL_SUCCESS) return -1;
    queue = cl->clCreateCommandQueue(context, device, 0, &error);
    return error == CL_SUCCESS ? 0 : -1;
}

static int close_device(void **state) {
    (void)state;
    attend__clblast_clear();
    (void)cl->clReleaseCommandQueue(queue);
    (void)cl->clReleaseContext(context);
    return 0;
}

/* The first device of the first platform that has one. */
static bool find_device(void) {
    const char *reason;
    cl_platform_id platforms[16];
    cl_uint count = 0, devices = 0;
    cl = attend__ocl_api(&reason);
    if (cl == NULL || cl->clGetPlatformIDs(16, platforms, &count) != CL_SUCCESS) return false;
    for (cl_uint i = 0; i < count && i < 16; i++)
        if (cl->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device, &devices) ==
                CL_SUCCESS &&
            devices > 0)
            return true;
    return false;
}

int main(void) {
    if (!find_device()) return SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),  cmocka_unit_test(test_indirect),
        cmocka_unit_test(test_too_far), cmocka_unit_test(test_sizes_of_zero),
        cmocka_unit_test(test_partial),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
