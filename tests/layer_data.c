/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of layers share; see the header. */
#include "layer_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- data ------------------------------------------------------------------------------------ */

/* Everything a test takes is given back at its end. */
static void *taken[256];
static int taken_count;

static void *take(size_t bytes) {
    void *memory = calloc(bytes + 1, 1);
    assert_non_null(memory);
    assert_true(taken_count < 256);
    return taken[taken_count++] = memory;
}

int give_back(void **state) {
    (void)state;
    while (taken_count > 0)
        free(taken[--taken_count]);
    return 0;
}

static uint16_t half_bits(float x, attend_type type) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if (type == ATTEND_BF16) return (uint16_t)(u >> 16);
    /* normal values below 2 only */
    return (
        uint16_t)((u >> 16 & 0x8000u) |
                  ((u & 0x7fffffffu) < 0x38800000u ? 0u : ((u & 0x7fffffffu) - 0x38000000u) >> 13));
}

size_t count_of(const attend_tensor *t) {
    size_t n = 1;
    for (int32_t d = 0; d < t->rank; d++)
        n *= (size_t)t->sizes[d];
    return n;
}

size_t bytes_of(const attend_tensor *t) {
    return count_of(t) * attend_type_bytes(t->type);
}

attend_tensor empty_tensor(attend_type type, int32_t rank, const int64_t *sizes) {
    attend_tensor t = attend_tensor_nd(NULL, type, rank, sizes);
    t.data = take(bytes_of(&t));
    memset(t.data, 0xff, bytes_of(&t));
    return t;
}

/* Values in -scale..scale. */
attend_tensor random_tensor(attend_type type, int32_t rank, const int64_t *sizes, float scale) {
    static uint32_t seed = 1;
    attend_tensor t = empty_tensor(type, rank, sizes);
    for (size_t i = 0; i < count_of(&t); i++) {
        seed = seed * 1664525u + 1013904223u;
        const float x = ((float)(seed >> 8) / 8388608.0f - 1.0f) * scale;
        if (type == ATTEND_F32)
            ((float *)t.data)[i] = x;
        else
            ((uint16_t *)t.data)[i] = half_bits(x, type);
    }
    return t;
}

attend_tensor random_mask(int64_t n0, int64_t n1) {
    attend_tensor t = attend_tensor_2d(NULL, ATTEND_BOOL, n0, n1);
    uint8_t *truths = take(bytes_of(&t));
    for (int64_t i = 0; i < n0 * n1; i++)
        truths[i] = i * 7 % 5 != 1;
    t.data = truths;
    return t;
}

void same_bits(const attend_tensor *a, const attend_tensor *b) {
    assert_int_equal(bytes_of(a), bytes_of(b));
    assert_memory_equal(a->data, b->data, bytes_of(a));
}

static bool runs_on(attend_context *context, const char *backend) {
    attend_decision d = {.size = sizeof d};
    succeeds(attend_context_decision(context, &d));
    return strcmp(d.backend, backend) == 0;
}

static void agree_nearly(const attend_tensor *got, const attend_tensor *want) {
    const float *a = got->data, *b = want->data;
    for (size_t i = 0; i < count_of(want); i++)
        if (!(fabsf(a[i] - b[i]) <= 5e-5f + 5e-5f * fabsf(b[i])))
            fail_msg("element %zu: %g instead of %g", i, (double)a[i], (double)b[i]);
}

/* Products by CLBlast depend on the number of rows. */
void agree(attend_context *context, const attend_tensor *got, const attend_tensor *want) {
    if (runs_on(context, "clblast"))
        agree_nearly(got, want);
    else
        same_bits(got, want);
}

/* cpu, and opencl on CPUs, sum the keys of few queries in another order. */
void agree_in_steps(attend_context *context, const attend_tensor *got, const attend_tensor *want) {
    const char *const kernels = getenv("ATTEND_KERNELS");
    if (runs_on(context, "cpu") ||
        (runs_on(context, "opencl") && (kernels == NULL || strcmp(kernels, "rows") == 0)))
        agree_nearly(got, want);
    else
        agree(context, got, want);
}

/* Tokens at .. at + n - 1 of a tensor whose second dimension is theirs. */
attend_tensor tokens_of(attend_tensor t, int64_t at, int64_t n) {
    t.offset += at * t.strides[1];
    t.sizes[1] = n;
    return t;
}

void succeeds(attend_status status) {
    if (status != ATTEND_OK) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

/* ---- descriptions
 * --------------------------------------------------------------------------------- */

attend_multihead_desc random_heads(attend_type type, int64_t width_k) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = H;
    d.kv_heads = G;
    d.w_q = RANDOM(type, 0.4f, H * D, M);
    d.w_k = RANDOM(type, 0.4f, G * D, width_k);
    d.w_v = RANDOM(type, 0.4f, G * E, width_k);
    d.w_o = RANDOM(type, 0.3f, M, H * E);
    d.b_q = RANDOM(type, 0.2f, H * D);
    d.b_v = RANDOM(type, 0.2f, G * E);
    d.b_o = RANDOM(type, 0.2f, M);
    return d;
}

attend_multihead_desc rotated_heads(attend_type type, int64_t width_k) {
    attend_multihead_desc d = random_heads(type, width_k);
    d.rope_cos = EMPTY(ATTEND_F32, P, D / 4);
    d.rope_sin = EMPTY(ATTEND_F32, P, D / 4);
    succeeds(attend_rope_tables(P, D / 2, 100.0, d.rope_cos.data, d.rope_sin.data));
    d.rope_dim = D / 2;
    d.rope_interleaved = 1;
    d.causal = 1;
    d.position = ATTEND_BOTTOM_RIGHT;
    d.window_left = 6;
    d.softcap = 4;
    d.sinks = RANDOM(ATTEND_F32, 1, H);
    d.alibi_slopes = EMPTY(ATTEND_F32, H);
    succeeds(attend_alibi_slopes(H, d.alibi_slopes.data));
    return d;
}

attend_feedforward_desc random_feedforward(attend_type type) {
    attend_feedforward_desc d = attend_feedforward_default();
    d.w_1 = RANDOM(type, 0.4f, F, M);
    d.w_gate = RANDOM(type, 0.4f, F, M);
    d.w_2 = RANDOM(type, 0.3f, M, F);
    d.b_1 = RANDOM(type, 0.2f, F);
    d.b_gate = RANDOM(type, 0.2f, F);
    d.b_2 = RANDOM(type, 0.2f, M);
    d.activation = ATTEND_SILU;
    return d;
}

void fill_decoder(decoder *d, bool norm_first) {
    d->self = rotated_heads(ATTEND_F32, M);
    d->cross = random_heads(ATTEND_F32, W);
    d->inner = random_feedforward(ATTEND_F32);
    d->desc = attend_block_default();
    d->desc.self_attention = &d->self;
    d->desc.cross_attention = &d->cross;
    d->desc.feedforward = &d->inner;
    d->desc.norm_self_weight = RANDOM(ATTEND_F32, 1, M);
    d->desc.norm_self_bias = RANDOM(ATTEND_F32, 1, M);
    d->desc.norm_cross_weight = RANDOM(ATTEND_F32, 1, M);
    d->desc.norm_feedforward_bias = RANDOM(ATTEND_F32, 1, M);
    d->desc.norm = norm_first ? ATTEND_RMS_NORM : ATTEND_LAYER_NORM;
    d->desc.norm_first = norm_first;
    d->args = attend_block_args_default();
    d->args.x = RANDOM(ATTEND_F32, 1, B, L, M);
    d->args.memory = RANDOM(ATTEND_F32, 1, B, S, W);
    d->args.key_mask = random_mask(B, L);
    d->args.memory_key_mask = random_mask(B, S);
    d->args.memory_bias = RANDOM(ATTEND_F32, 1, H, L, S);
    d->args.out = EMPTY(ATTEND_F32, B, L, M);
    d->args.weights = EMPTY(ATTEND_F32, B, H, L, L);
    d->args.memory_weights_mean = EMPTY(ATTEND_F32, B, L, S);
}

/* ---- backends ---- */

static int open_backend(void **state, const char *backend) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = backend;
    if (attend_open(&options, &context)) {
        print_error("%s\n", attend_error_text());
        return 1;
    }
    *state = context;
    return 0;
}

int open_chosen(void **state) {
    return open_backend(state, NULL);
}

int open_cpu(void **state) {
    return open_backend(state, "cpu");
}

int open_reference(void **state) {
    return open_backend(state, "reference");
}

int close_backend(void **state) {
    attend_close(*state);
    return 0;
}
