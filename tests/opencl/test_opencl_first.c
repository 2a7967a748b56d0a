/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans compile, runs do not. A run of a plan, the first one too, whatever it needs within what was
 * planned, builds no program, makes no kernel object and no queue (counted by a layer of the
 * loader, layer.c), and over PoCL, which compiles a kernel when it is launched, leaves no new file
 * in PoCL's folder of compiled kernels, which is empty when the test begins. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "own_opencl.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 22 }; /* elements of a tensor */

static attend_context *context;
static float *zeros, *results;
static bool pocl;
static char folder[4096];

/* ---- what was compiled ----------------------------------------------------------------------- */

static int libraries;
static char newest[300];

static int count(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts;
    (void)place;
    const size_t length = strlen(path);
    if (kind != FTW_F || length < 3 || strcmp(path + length - 3, ".so") != 0) return 0;
    libraries++;
    (void)snprintf(newest, sizeof newest, "%s", path + strlen(folder));
    return 0;
}

static int compiled(void) {
    libraries = 0;
    assert_int_equal(nftw(folder, count, 8, FTW_PHYS), 0);
    return libraries;
}

static int erase(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

typedef struct mark {
    long calls;
    int libraries;
} mark;

static mark mark_now(void) {
    return (mark){own_log_position(), compiled()};
}

static void nothing_compiled(const mark *before, const char *what) {
    static const char *const names[] = {"clCreateProgramWithSource", "clCreateProgramWithBinary",
                                        "clBuildProgram", "clCreateKernel", "clCreateCommandQueue"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (own_calls(before->calls, names[i], 0) != 0) fail_msg("%s: calls %s", what, names[i]);
    if (own_calls(before->calls, "clEnqueueNDRangeKernel", 0) == 0)
        fail_msg("%s: runs no kernel", what);
    const int now = compiled();
    if (now != before->libraries)
        fail_msg("%s: %d kernels were compiled, one of them %s", what, now - before->libraries,
                 newest);
}

/* ---- attention ------------------------------------------------------------------------------- */

typedef struct shape {
    const char *name;
    int64_t B, H, G, L, S, D;
    attend_type type;
    bool causal, mask, bias, key_lengths, query_lengths, offsets, sides, packed, pages;
} shape;

/* Few head sizes: each has kernels of its own, which take a second to compile. */
static const shape shapes[] = {
    {.name = "encoder", .B = 2, .H = 4, .G = 4, .L = 40, .S = 40, .D = 16},
    {.name = "prefill", .B = 1, .H = 4, .G = 2, .L = 70, .S = 300, .D = 16, .causal = true},
    {.name = "decode", .B = 2, .H = 8, .G = 2, .L = 1, .S = 600, .D = 16},
    {.name = "few rows", .B = 1, .H = 3, .G = 3, .L = 9, .S = 500, .D = 16},
    {.name = "mask", .B = 2, .H = 2, .G = 2, .L = 33, .S = 50, .D = 16, .mask = true},
    {.name = "bias", .B = 1, .H = 2, .G = 1, .L = 20, .S = 200, .D = 16, .bias = true},
    {.name = "lengths",
     .B = 3,
     .H = 2,
     .G = 2,
     .L = 30,
     .S = 30,
     .D = 16,
     .key_lengths = true,
     .query_lengths = true},
    {.name = "offsets",
     .B = 2,
     .H = 2,
     .G = 2,
     .L = 24,
     .S = 90,
     .D = 16,
     .causal = true,
     .offsets = true},
    {.name = "float16", .B = 1, .H = 2, .G = 2, .L = 25, .S = 60, .D = 16, .type = ATTEND_F16},
    {.name = "bfloat16", .B = 1, .H = 2, .G = 2, .L = 3, .S = 60, .D = 16, .type = ATTEND_BF16},
    {.name = "side outputs", .B = 1, .H = 2, .G = 2, .L = 20, .S = 40, .D = 16, .sides = true},
    {.name = "packed", .B = 3, .H = 2, .G = 2, .L = 22, .S = 22, .D = 16, .packed = true},
    {.name = "pages",
     .B = 2,
     .H = 4,
     .G = 2,
     .L = 20,
     .S = 128,
     .D = 16,
     .causal = true,
     .key_lengths = true,
     .pages = true},
    {.name = "large heads", .B = 1, .H = 1, .G = 1, .L = 20, .S = 140, .D = 520},
    /* PoCL has other kernels for wide grids, and for the second part of a grid that is cut */
    {.name = "many rows", .B = 1, .H = 1, .G = 1, .L = 70000, .S = 8, .D = 16},
    {.name = "many samples", .B = 5000, .H = 8, .G = 8, .L = 1, .S = 2, .D = 16},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static int32_t cu[8], key_lengths[8], offsets[8], table[16];

static attend_tensor ints(const int32_t *x, int64_t n) {
    return attend_tensor_1d(x, ATTEND_I32, n);
}

/* How many there are of it in L rows and S keys. */
static void add_options(const shape *s, attend_attention *a, int64_t L, int64_t S) {
    a->causal = s->causal;
    a->position = s->offsets ? ATTEND_AT_OFFSETS : s->causal ? ATTEND_BOTTOM_RIGHT : 0;
    if (s->mask) a->mask = attend_tensor_4d(zeros, ATTEND_U8, 1, 1, L, S);
    if (s->bias) a->bias = attend_tensor_4d(zeros, ATTEND_F32, 1, s->H, L, S);
    for (int b = 0; b < 8; b++) {
        key_lengths[b] = (int32_t)(S > b ? S - b : S);
        offsets[b] = b;
        cu[b] = (int32_t)(b * L);
    }
    if (s->key_lengths) a->key_lengths = ints(key_lengths, s->B);
    if (s->query_lengths) a->query_lengths = ints(cu + 1, s->B);
    if (s->query_lengths)
        for (int b = 1; b < 8; b++)
            cu[b] = (int32_t)(L > b ? L - b : L);
    if (s->offsets) a->query_offsets = ints(offsets, s->B);
    if (s->packed) a->cu_query_lengths = a->cu_key_lengths = ints(cu, s->B + 1);
    if (!s->sides) return;
    a->weights = attend_tensor_4d(results + MOST / 2, ATTEND_F32, s->B, s->H, L, S);
    a->weights_mean = attend_tensor_3d(results + MOST / 4, ATTEND_F32, s->B, L, S);
    a->scores = attend_tensor_4d(results + MOST / 4 * 3, ATTEND_F32, s->B, s->H, L, S);
    a->lse = attend_tensor_3d(results + MOST / 8, ATTEND_F32, s->B, s->H, L);
}

static attend_attention description(const shape *s, int64_t L, int64_t S) {
    const attend_type type = s->type ? s->type : ATTEND_F32;
    attend_attention a = attend_attention_default();
    const int64_t B = s->packed ? 1 : s->B, times = s->packed ? s->B : 1, page = 16;
    a.q = attend_tensor_4d(zeros, type, B, s->H, times * L, s->D);
    a.k = a.v = attend_tensor_4d(zeros, type, B, s->G, times * (s->packed ? L : S), s->D);
    a.out = attend_tensor_4d(results, type, B, s->H, times * L, s->D);
    if (s->pages) {
        a.k = a.v = attend_tensor_4d(zeros, type, 16, s->G, page, s->D);
        a.page_table = attend_tensor_2d(table, ATTEND_I32, s->B, s->S / page);
    }
    add_options(s, &a, L, S);
    return a;
}

/* Every other element of a row. */
static void spread(attend_tensor *t) {
    for (int i = 0; i < 4; i++)
        t->strides[i] *= 2;
}

static void run(attend_plan *plan, const shape *s, int64_t L, int64_t S, bool apart) {
    char name[100];
    attend_attention a = description(s, L, S);
    if (apart) spread(&a.q);
    (void)snprintf(name, sizeof name, "%s: %d rows, %d keys%s", s->name, (int)L, (int)S,
                   apart ? ", every other element" : "");
    const mark before = mark_now();
    const attend_status status = attend_plan_run(plan, &a);
    if (status != ATTEND_OK) fail_msg("%s: %s", name, attend_error_text());
    nothing_compiled(&before, name);
}

static void test_plans_compile(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        const shape *const s = &shapes[i];
        const attend_attention largest = description(s, s->L, s->S);
        attend_plan *plan = NULL;
        const int before = compiled();
        const attend_status status = attend_plan_create(context, &largest, &plan);
        if (status != ATTEND_OK) fail_msg("%s: %s", s->name, attend_error_text());
        if (pocl && i == 0) assert_true(compiled() > before);
        run(plan, s, s->L, s->S, false);
        run(plan, s, s->L, s->S, true);
        for (int64_t L = 1; L < s->L && L <= 16; L *= 2)
            run(plan, s, L, s->S, false);
        run(plan, s, 1, (s->S + 1) / 2, true);
        attend_plan_release(plan);
    }
}

/* ---- stages and caches ----------------------------------------------------------------------- */

/* Each of them with `rows` rows; these have no plans to be made beforehand. */
static void stages(int64_t rows) {
    const attend_tensor x = attend_tensor_2d(zeros, ATTEND_F32, rows, 48);
    const attend_tensor out = attend_tensor_2d(results, ATTEND_F32, rows, 48);
    attend_projection p = attend_projection_default();
    p.x = x;
    p.w = attend_tensor_2d(zeros, ATTEND_F32, 48, 48);
    p.out = out;
    assert_int_equal(attend_project(context, &p), ATTEND_OK);
    attend_norm n = attend_norm_default();
    n.x = x;
    n.out = out;
    assert_int_equal(attend_norm_run(context, &n), ATTEND_OK);
    attend_elementwise e = attend_elementwise_default();
    e.x = x;
    e.out = out;
    e.activation = ATTEND_SILU;
    assert_int_equal(attend_activate(context, &e), ATTEND_OK);
    attend_rope r = attend_rope_default();
    r.x = attend_tensor_4d(zeros, ATTEND_F32, 1, 3, rows, 16);
    r.out = attend_tensor_4d(results, ATTEND_F32, 1, 3, rows, 16);
    r.cos = r.sin = attend_tensor_2d(zeros, ATTEND_F32, 200, 8);
    assert_int_equal(attend_rope_run(context, &r), ATTEND_OK);
    attend_embedding m = attend_embedding_default();
    m.table = attend_tensor_2d(zeros, ATTEND_F32, 200, 48);
    m.out = out;
    assert_int_equal(attend_embed(context, &m), ATTEND_OK);
    attend_copy c = attend_copy_default();
    c.x = x;
    c.out = attend_tensor_2d(results, ATTEND_F16, rows, 48);
    assert_int_equal(attend_copy_run(context, &c), ATTEND_OK);
}

/* Other numbers of rows make other plans, of kernels that are there. */
static void test_stages_compile_once(void **state) {
    (void)state;
    stages(130);
    const int before = compiled();
    for (int64_t rows = 1; rows <= 200; rows = rows * 3 + 1) {
        stages(rows);
        if (compiled() != before) fail_msg("%d rows: compiled %s", (int)rows, newest);
    }
}

static void step(attend_cache *cache, int64_t tokens) {
    const attend_tensor rows = attend_tensor_4d(zeros, ATTEND_F32, 1, 2, tokens, 32);
    attend_attention a = attend_attention_default();
    assert_int_equal(attend_cache_append(cache, &rows, &rows, NULL), ATTEND_OK);
    a.q = attend_tensor_4d(zeros, ATTEND_F32, 1, 4, tokens, 32);
    a.out = attend_tensor_4d(results, ATTEND_F32, 1, 4, tokens, 32);
    a.cache = cache;
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    assert_int_equal(attend_run(context, &a), ATTEND_OK);
}

/* The prompt compiles what the tokens behind it need. */
static void test_tokens_behind_a_prompt(void **state) {
    (void)state;
    attend_cache_desc d = attend_cache_desc_default();
    attend_cache *cache = NULL;
    d.batch = 1;
    d.kv_heads = 2;
    d.head_size = 32;
    d.capacity = 400;
    d.type = ATTEND_F32;
    assert_int_equal(attend_cache_create(context, &d, &cache), ATTEND_OK);
    step(cache, 150);
    const int before = compiled();
    for (int i = 0; i < 20; i++)
        step(cache, 1);
    if (compiled() != before) fail_msg("a token compiled %s", newest);
    attend_cache_release(cache);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool prepare(void) {
    const int length = snprintf(folder, sizeof folder, "%s/first-XXXXXX", ATTEND_TEST_SCRATCH);
    if (length < 0 || (size_t)length >= sizeof folder || mkdtemp(folder) == NULL) return false;
    zeros = calloc(MOST, sizeof *zeros);
    results = calloc(MOST, sizeof *results);
    return zeros && results && setenv("POCL_CACHE_DIR", folder, 1) == 0 &&
           setenv("ATTEND_CACHE", "off", 1) == 0 && own_log_start();
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (!prepare()) return 1;
    own_opencl own;
    attend_options options = attend_options_default();
    options.backend = own_backend;
    int failures = 77;
    if (own_find(&own) && attend_open(&options, &context) == ATTEND_OK) {
        char name[100] = "";
        (void)clGetPlatformInfo(own.platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
        pocl = strstr(name, "Portable Computing Language") != NULL;
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_plans_compile),
            cmocka_unit_test(test_stages_compile_once),
            cmocka_unit_test(test_tokens_behind_a_prompt),
        };
        failures = cmocka_run_group_tests(tests, NULL, NULL);
        attend_close(context);
    }
    own_log_end();
    (void)nftw(folder, erase, 8, FTW_DEPTH | FTW_PHYS);
    free(zeros);
    free(results);
    return failures;
}
