/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans compile, runs do not. A run of a plan, the first one too, whatever it needs within what was
 * planned, compiles nothing and makes no object; over buffers it takes no memory of the device
 * either. (Over host memory each range becomes a buffer for the call, on a CPU.) */
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 22 }; /* elements of a tensor */

static attend_context *context;
static float *zeros, *results;
static attend_buffer *zeros_buffer, *results_buffer; /* as large as both */
static bool pocl;
static cl_uint compute_units;

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

static void put_in_buffers(attend_attention *a) {
    attend_tensor *const tensors[] = {&a->q,      &a->k,    &a->v,       &a->out,
                                      &a->mask,   &a->bias, &a->weights, &a->weights_mean,
                                      &a->scores, &a->lse};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        attend_tensor *const t = tensors[i];
        const float *const data = t->data;
        if (data == NULL) continue;
        const bool input = data >= zeros && data < zeros + MOST;
        t->buffer = input ? zeros_buffer : results_buffer;
        t->offset = (data - (input ? zeros : results)) * 4 / (int64_t)attend_type_bytes(t->type);
        t->data = NULL;
    }
}

/* Apart: rows whose elements are no neighbours. */
typedef enum where { HOST, HOST_APART, BUFFERS, BUFFERS_APART } where;

static void run(attend_plan *plan, const shape *s, int64_t L, int64_t S, where at,
                watch_level level) {
    const bool host = at == HOST || at == HOST_APART,
               apart = at == HOST_APART || at == BUFFERS_APART;
    char name[100];
    attend_attention a = description(s, L, S);
    if (apart) spread(&a.q);
    if (at == HOST_APART) spread(&a.out);
    if (!host) put_in_buffers(&a);
    (void)snprintf(name, sizeof name, "%s: %d rows, %d keys%s%s", s->name, (int)L, (int)S,
                   host ? "" : ", in buffers", apart ? ", every other element" : "");
    const watch_mark before = watch_now(context);
    const attend_status status = attend_plan_run(plan, &a);
    if (status != ATTEND_OK) fail_msg("%s: %s", name, attend_error_text());
    watch_check(&before, level, name);
}

static void test_plans_compile(void **state) {
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        const shape *const s = &shapes[i];
        const attend_attention largest = description(s, s->L, s->S);
        attend_plan *plan = NULL;
        const int before = watch_compiled();
        const attend_status status = attend_plan_create(context, &largest, &plan);
        if (status != ATTEND_OK) fail_msg("%s: %s", s->name, attend_error_text());
        if (pocl && i == 0) assert_true(watch_compiled() > before);
        run(plan, s, s->L, s->S, BUFFERS, NOTHING_TAKEN);
        run(plan, s, s->L, s->S, BUFFERS_APART, NOTHING_TAKEN);
        run(plan, s, s->L, s->S, HOST, NOTHING_MADE);
        for (int64_t L = 1; L < s->L && L <= 16; L *= 2)
            run(plan, s, L, s->S, BUFFERS, NOTHING_TAKEN);
        run(plan, s, 1, (s->S + 1) / 2, BUFFERS_APART, NOTHING_TAKEN);
        attend_plan_release(plan);
    }
}

/* Kernels that are made with a plan of so many heads, over all keys of long rows. */
static int kernels_of_plan(int64_t heads, bool sides) {
    const shape s = {.B = 1, .H = heads, .G = heads, .L = 20, .S = 600, .D = 16, .sides = sides};
    const attend_attention largest = description(&s, s.L, s.S);
    const long before = own_log_position();
    attend_plan *plan = NULL;
    const attend_status status = attend_plan_create(context, &largest, &plan);
    if (status != ATTEND_OK) fail_msg("%d heads: %s", (int)heads, attend_error_text());
    attend_plan_release(plan);
    return own_calls(before, "clCreateKernel", 0);
}

/* Those of weights and scores where they are asked for, the one that joins split keys where heads
 * may be too few to keep the device busy. */
static void test_plans_make_what_runs_may_need(void **state) {
    (void)state;
    if (strcmp(own_backend, "opencl") != 0) return;
    const int few = kernels_of_plan(1, false);
    assert_int_equal(kernels_of_plan(4 * (int64_t)compute_units, false), few - 1);
    assert_true(kernels_of_plan(1, true) > few);
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
    const int before = watch_compiled();
    for (int64_t rows = 1; rows <= 200; rows = rows * 3 + 1) {
        stages(rows);
        if (watch_compiled() != before) fail_msg("%d rows: compiled %s", (int)rows, watch_newest());
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
    const int before = watch_compiled();
    for (int i = 0; i < 20; i++)
        step(cache, 1);
    if (watch_compiled() != before) fail_msg("a token compiled %s", watch_newest());
    attend_cache_release(cache);
}

/* ---- copied operands ------------------------------------------------------------------------- */

/* Where operands are copied, their memory is kept: a call of other shapes up to the largest so far
 * takes none, rows with gaps between their elements neither. */
static void test_copies_take_memory_once(void **state) {
    (void)state;
    static const char *const ways[] = {"copy", "stage"};
    const shape *const s = &shapes[1];
    for (int i = 0; i < 2; i++) {
        attend_context *const before = context;
        attend_plan *plan = NULL;
        const attend_attention largest = description(s, s->L, s->S);
        context = own_copying(ways[i]);
        assert_int_equal(attend_plan_create(context, &largest, &plan), ATTEND_OK);
        run(plan, s, s->L, s->S, HOST, NOTHING_MADE);
        for (int64_t L = s->L; L > 0; L /= 3) {
            run(plan, s, L, s->S, HOST, NOTHING_TAKEN);
            run(plan, s, L, s->S / 2, HOST_APART, NOTHING_TAKEN);
        }
        attend_plan_release(plan);
        attend_close(context);
        context = before;
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool prepare(void) {
    zeros = calloc(MOST, sizeof *zeros);
    results = calloc(MOST, sizeof *results);
    return zeros && results && watch_start();
}

static bool make_buffers(void) {
    const size_t bytes = MOST * sizeof *zeros;
    return attend_buffer_create(context, bytes, &zeros_buffer) == ATTEND_OK &&
           attend_buffer_create(context, bytes, &results_buffer) == ATTEND_OK &&
           attend_buffer_write(zeros_buffer, 0, zeros, bytes) == ATTEND_OK;
}

int main(int argc, char **argv) {
    own_choose_backend(argc, argv);
    if (!prepare()) return 1;
    own_opencl own;
    attend_options options = attend_options_default();
    options.backend = own_backend;
    int failures = 77;
    if (own_find(&own) && attend_open(&options, &context) == ATTEND_OK && make_buffers()) {
        pocl = own_is_pocl(&own);
        (void)clGetDeviceInfo(own.device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof compute_units,
                              &compute_units, NULL);
        const struct CMUnitTest all[] = {
            cmocka_unit_test(test_plans_compile),
            cmocka_unit_test(test_plans_make_what_runs_may_need),
            cmocka_unit_test(test_copies_take_memory_once),
            cmocka_unit_test(test_stages_compile_once),
            cmocka_unit_test(test_tokens_behind_a_prompt),
        };
        const struct CMUnitTest stages_alone[] = {
            cmocka_unit_test(test_stages_compile_once),
            cmocka_unit_test(test_tokens_behind_a_prompt),
        };
        /* fused, attention over `clblast` is that of `opencl` */
        const bool same =
            strcmp(own_backend, "clblast") == 0 && getenv("ATTEND_CLBLAST_ATTENTION") == NULL;
        failures = same ? cmocka_run_group_tests(stages_alone, NULL, NULL)
                        : cmocka_run_group_tests(all, NULL, NULL);
        attend_buffer_release(zeros_buffer);
        attend_buffer_release(results_buffer);
        attend_close(context);
    }
    watch_end();
    free(zeros);
    free(results);
    return failures;
}
