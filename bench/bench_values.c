/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_values.h. */
#include "bench_values.h"

#include "base/half.h"
#include "bench_keys.h"

#include <math.h>
#include <string.h>

typedef struct source {
    uint32_t seed;
    float amplitude; /* a power of two: the product is exact */
} source;

static float query_amplitude(bench_op op) {
    if (op == BENCH_SOFTMAX) return 16.0f;
    return op == BENCH_ATTENTION || op == BENCH_SCORES ? 4.0f : 1.0f;
}

static source source_of(const bench_case *c, bench_role role) {
    switch (role) {
    case BENCH_Q:
        return (source){1, query_amplitude(c->op)};
    case BENCH_K:
        return (source){2, 1.0f};
    case BENCH_V:
        return (source){3, 1.0f};
    case BENCH_W:
        return (source){2, 0.0625f};
    case BENCH_BIAS:
        return (source){3, 1.0f};
    case BENCH_SCORE_BIAS:
        return (source){11, 1.0f};
    default:
        if (role < BENCH_B_Q) return (source){2u + (uint32_t)(role - BENCH_W_Q), 0.0625f};
        return (source){6u + (uint32_t)(role - BENCH_B_Q), 1.0f};
    }
}

static int64_t layer_count(const bench_case *c, bench_role role) {
    if (role == BENCH_Q) return c->batch * c->queries * c->model_size;
    if (role == BENCH_SCORE_BIAS) return 0;
    if (role >= BENCH_B_Q) return c->model_size;
    return role >= BENCH_W_Q ? c->model_size * c->model_size : 0;
}

static int64_t attention_count(const bench_case *c, bench_role role) {
    const int64_t rows = c->packed ? bench_packed_rows(c) : c->batch * c->keys;
    if (role == BENCH_Q) return bench_case_rows(c) * c->head_size;
    if (role <= BENCH_V) return rows * c->kv_heads * c->head_size;
    return role == BENCH_SCORE_BIAS && c->bias ? c->heads * c->queries * c->keys : 0;
}

int64_t bench_input_count(const bench_case *c, bench_role role) {
    switch (c->op) {
    case BENCH_ATTENTION:
        return attention_count(c, role);
    case BENCH_LAYER:
        return layer_count(c, role);
    case BENCH_PROJECT:
        if (role == BENCH_Q) return c->rows * c->in;
        return role == BENCH_W ? c->out * c->in : role == BENCH_BIAS ? c->out : 0;
    case BENCH_SCORES:
        if (role == BENCH_Q) return c->batch * c->heads * c->queries * c->head_size;
        return role == BENCH_K ? c->batch * c->kv_heads * c->keys * c->head_size : 0;
    case BENCH_SOFTMAX:
        return role == BENCH_Q ? c->batch * c->heads * c->queries * c->keys : 0;
    case BENCH_MERGE:
        return role == BENCH_Q ? c->batch * c->heads * c->queries * c->head_size : 0;
    default:
        return 0;
    }
}

attend_type bench_input_type(const bench_case *c, bench_role role) {
    return role == BENCH_K || role == BENCH_V ? bench_kv_type(c) : c->type;
}

bool bench_same_input(const bench_case *a, const bench_case *b, bench_role role) {
    const source x = source_of(a, role), y = source_of(b, role);
    const int64_t count = bench_input_count(a, role);
    return count && count == bench_input_count(b, role) && x.seed == y.seed &&
           x.amplitude == y.amplitude && bench_input_type(a, role) == bench_input_type(b, role);
}

static float value(uint32_t n, source s) {
    return s.amplitude * ((float)(bench_hash(n, s.seed) >> 8) * 0x1p-23f - 1.0f);
}

void bench_input_fill(const bench_case *c, bench_role role, attend_type type, void *elements) {
    const source s = source_of(c, role);
    const int64_t count = bench_input_count(c, role);
    for (int64_t i = 0; i < count; ++i) {
        const float x = value((uint32_t)i, s);
        if (type == ATTEND_F32)
            ((float *)elements)[i] = x;
        else
            ((uint16_t *)elements)[i] =
                type == ATTEND_BF16 ? attend__f32_to_bf16(x) : attend__f32_to_f16(x);
    }
}

float bench_round(attend_type type, float x) {
    if (type == ATTEND_F16) return attend__f16_to_f32(attend__f32_to_f16(x));
    return type == ATTEND_BF16 ? attend__bf16_to_f32(attend__f32_to_bf16(x)) : x;
}

void bench_round_token(float *elements, int64_t count) {
    float largest = 0;
    for (int64_t i = 0; i < count; ++i)
        largest = fmaxf(largest, fabsf(elements[i]));
    const float scale = largest / 127;
    for (int64_t i = 0; i < count; ++i)
        elements[i] = scale > 0 ? rintf(elements[i] / scale) * scale : 0;
}
