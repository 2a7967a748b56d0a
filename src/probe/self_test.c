/* SPDX-License-Identifier: Apache-2.0
 *
 * self_test.h. A few seconds at most on a slow device, but every option that changes which keys
 * count, odd sizes that fill no tile, and a length beyond one tile. Wrong numbers are what a broken
 * driver compiler makes, so each call runs twice: the second finds its kernel built and its
 * buffers used. */
#include "self_test.h"

#include "base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct trial {
    const char *name;
    attend_type type;
    int64_t B, H, G, L, S, D, E;
    bool causal, lengths, mask, bias;
    int64_t window;
    double softcap;
} trial;

static const trial trials[] = {
    {.name = "plain", .type = ATTEND_F32, .B = 1, .H = 2, .G = 2, .L = 5, .S = 7, .D = 8, .E = 8},
    {.name = "causal with grouped heads and lengths",
     .type = ATTEND_F32,
     .B = 2,
     .H = 4,
     .G = 2,
     .L = 37,
     .S = 41,
     .D = 33,
     .E = 17,
     .causal = true,
     .lengths = true},
    {.name = "mask, bias, window and softcap",
     .type = ATTEND_F32,
     .B = 2,
     .H = 3,
     .G = 1,
     .L = 19,
     .S = 150,
     .D = 64,
     .E = 64,
     .mask = true,
     .bias = true,
     .window = 60,
     .softcap = 3.0},
    {.name = "one query, many keys",
     .type = ATTEND_F32,
     .B = 1,
     .H = 2,
     .G = 2,
     .L = 1,
     .S = 1029,
     .D = 40,
     .E = 24},
    {.name = "float16",
     .type = ATTEND_F16,
     .B = 1,
     .H = 2,
     .G = 1,
     .L = 21,
     .S = 23,
     .D = 32,
     .E = 32,
     .causal = true},
};

/* Weights are at most 1 and values lie in -1..1, so errors are absolute: float32 sums of a thousand
 * terms, or one rounding of a float16 result and a half more. */
static double tolerance(attend_type type) {
    return type == ATTEND_F32 ? 5e-5 : 1.5e-3;
}

typedef struct arrays {
    char *q, *k, *v, *out, *expected;
    float *bias;
    unsigned char *mask;
    int32_t query_lengths[2], key_lengths[2];
} arrays;

/* Values in -1..1 from a linear congruence (Knuth's MMIX constants), upper bits. */
static double next_value(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(int64_t)(*state >> 33) / 1073741824.0 - 1.0;
}

static void *make_values(attend_type type, int64_t count, uint64_t *state) {
    char *values = calloc((size_t)count, 4);
    for (int64_t i = 0; values && i < count; i++) {
        const float value = (float)next_value(state);
        const uint16_t half = attend__f32_to_f16(value);
        if (type == ATTEND_F32)
            memcpy(values + 4 * i, &value, 4);
        else
            memcpy(values + 2 * i, &half, 2);
    }
    return values;
}

static double value_at(const char *values, attend_type type, int64_t i) {
    float value;
    uint16_t half;
    if (type == ATTEND_F32) {
        memcpy(&value, values + 4 * i, 4);
        return (double)value;
    }
    memcpy(&half, values + 2 * i, 2);
    return (double)attend__f16_to_f32(half);
}

static bool make_arrays(const trial *t, arrays *a) {
    uint64_t state = 7;
    memset(a, 0, sizeof *a);
    a->q = make_values(t->type, t->B * t->H * t->L * t->D, &state);
    a->k = make_values(t->type, t->B * t->G * t->S * t->D, &state);
    a->v = make_values(t->type, t->B * t->G * t->S * t->E, &state);
    a->bias = make_values(ATTEND_F32, t->H * t->L * t->S, &state);
    a->out = make_values(t->type, t->B * t->H * t->L * t->E, &state);
    a->expected = make_values(t->type, t->B * t->H * t->L * t->E, &state);
    a->mask = calloc((size_t)(t->B * t->L * t->S), 1);
    if (!a->q || !a->k || !a->v || !a->bias || !a->out || !a->expected || !a->mask) return false;
    for (int64_t i = 0; i < t->B * t->L * t->S; i++)
        a->mask[i] = next_value(&state) > -0.5; /* a quarter is excluded */
    memset(a->mask, 0, (size_t)t->S);           /* the first row has no key at all */
    for (int b = 0; b < 2; b++) {
        a->query_lengths[b] = (int32_t)(t->L - 3 * b);
        a->key_lengths[b] = (int32_t)(t->S - 5 * b);
    }
    return true;
}

static void free_arrays(arrays *a) {
    void *const all[] = {a->q, a->k, a->v, a->out, a->expected, a->bias, a->mask};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static attend_attention describe(const trial *t, arrays *a, char *out) {
    attend_attention d = attend_attention_default();
    d.q = attend_tensor_4d(a->q, t->type, t->B, t->H, t->L, t->D);
    d.k = attend_tensor_4d(a->k, t->type, t->B, t->G, t->S, t->D);
    d.v = attend_tensor_4d(a->v, t->type, t->B, t->G, t->S, t->E);
    d.out = attend_tensor_4d(out, t->type, t->B, t->H, t->L, t->E);
    d.causal = t->causal;
    d.softcap = t->softcap;
    d.position = ATTEND_BOTTOM_RIGHT;
    if (t->window) d.window_left = t->window;
    if (t->mask) d.mask = attend_tensor_4d(a->mask, ATTEND_BOOL, t->B, 1, t->L, t->S);
    if (t->bias) d.bias = attend_tensor_3d(a->bias, ATTEND_F32, t->H, t->L, t->S);
    if (t->lengths) {
        d.query_lengths = attend_tensor_1d(a->query_lengths, ATTEND_I32, t->B);
        d.key_lengths = attend_tensor_1d(a->key_lengths, ATTEND_I32, t->B);
    }
    return d;
}

static bool compare(const trial *t, const arrays *a, char *reason, size_t bytes) {
    const int64_t count = t->B * t->H * t->L * t->E;
    for (int64_t i = 0; i < count; i++) {
        const double got = value_at(a->out, t->type, i), wanted = value_at(a->expected, t->type, i);
        if (fabs(got - wanted) <= tolerance(t->type)) continue; /* false for NaN */
        snprintf(reason, bytes, "wrong numbers: %s: element %lld of the result is %g, not %g",
                 t->name, (long long)i, got, wanted);
        return false;
    }
    return true;
}

static attend_status run_trial(attend_context *device, attend_context *reference, const trial *t,
                               arrays *a, char *reason, size_t bytes) {
    const attend_attention wanted = describe(t, a, a->expected);
    attend_status status = attend_run(reference, &wanted);
    if (status != ATTEND_OK) {
        snprintf(reason, bytes, "%s: the reference fails: %s", t->name, attend_error_text());
        return status;
    }
    const attend_attention tried = describe(t, a, a->out);
    const size_t result_bytes = (size_t)(t->B * t->H * t->L * t->E) * attend_type_bytes(t->type);
    for (int round = 0; round < 2; round++) {
        memset(a->out, 0xff, result_bytes); /* NaN: an element that is not written shows */
        status = attend_run(device, &tried);
        if (status != ATTEND_OK) {
            snprintf(reason, bytes, "%s: %s", t->name, attend_error_text());
            return status;
        }
        if (!compare(t, a, reason, bytes)) return ATTEND_INTERNAL;
    }
    return ATTEND_OK;
}

attend_status self_test(attend_context *device, uint32_t types, char *reason, size_t bytes) {
    attend_options options = attend_options_default();
    options.backend = "reference";
    options.device = "reference:0";
    attend_context *reference = NULL;
    attend_status status = attend_open(&options, &reference);
    if (status != ATTEND_OK) {
        snprintf(reason, bytes, "the reference does not open: %s", attend_error_text());
        return status;
    }
    for (size_t i = 0; status == ATTEND_OK && i < sizeof trials / sizeof *trials; i++) {
        const trial *t = &trials[i];
        if (!(types & 1u << t->type)) continue;
        arrays a;
        if (make_arrays(t, &a)) {
            status = run_trial(device, reference, t, &a, reason, bytes);
        } else {
            snprintf(reason, bytes, "no memory");
            status = ATTEND_OUT_OF_MEMORY;
        }
        free_arrays(&a);
    }
    attend_close(reference);
    return status;
}
