/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations and their companions (multiplier, residual) on float32 rows, over the vector verbs.
 * Infinities give the limits: GELU, its tanh form and SiLU of -inf are 0, not the NaN of -inf times
 * 0. */
#ifndef ATTEND_CPU_ELEMENTWISE_TMPL_H
#define ATTEND_CPU_ELEMENTWISE_TMPL_H

#include <string.h>

#include "stage_kernels.h"
#include "vec_math.h"

/* NaN is not less than 0, so it stays. */
static inline vf relu(vf x) {
    return vf_select(vf_less(x, vf_zero()), vf_zero(), x);
}

static inline vf activated(attend_activation activation, vf x) {
    switch (activation) {
    case ATTEND_RELU:
        return relu(x);
    case ATTEND_GELU:
        return vf_gelu(x);
    case ATTEND_GELU_TANH:
        return vf_gelu_tanh(x);
    case ATTEND_SILU:
        return vf_silu(x);
    case ATTEND_SIGMOID:
        return vf_sigmoid(x);
    case ATTEND_TANH:
        return vf_tanh(x);
    default:
        return x;
    }
}

/* Inlined once for each activation, so that the choice is outside the loop. */
VF_INLINE void activate_all(const attend_activation activation, const float *x, int64_t n,
                            float *y) {
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store(y + i, activated(activation, vf_load(x + i)));
    if (i < n) {
        const int rest = (int)(n - i);
        vf_store_n(y + i, activated(activation, vf_load_n(x + i, rest)), rest);
    }
}

static void activate(attend_activation activation, const float *x, int64_t n, float *y) {
    switch (activation) {
    case ATTEND_RELU:
        activate_all(ATTEND_RELU, x, n, y);
        return;
    case ATTEND_GELU:
        activate_all(ATTEND_GELU, x, n, y);
        return;
    case ATTEND_GELU_TANH:
        activate_all(ATTEND_GELU_TANH, x, n, y);
        return;
    case ATTEND_SILU:
        activate_all(ATTEND_SILU, x, n, y);
        return;
    case ATTEND_SIGMOID:
        activate_all(ATTEND_SIGMOID, x, n, y);
        return;
    case ATTEND_TANH:
        activate_all(ATTEND_TANH, x, n, y);
        return;
    default:
        activate_all(ATTEND_NO_ACTIVATION, x, n, y);
        return;
    }
}

static inline vf combined(vf x, const float *multiplier, const float *residual) {
    if (multiplier != NULL) x = vf_mul(x, vf_load(multiplier));
    return residual != NULL ? vf_add(x, vf_load(residual)) : x;
}

static void combine(const float *x, const float *multiplier, const float *residual, int64_t n,
                    float *y) {
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store(y + i, combined(vf_load(x + i), multiplier != NULL ? multiplier + i : NULL,
                                 residual != NULL ? residual + i : NULL));
    if (i == n) return;
    const int rest = (int)(n - i);
    vf v = vf_load_n(x + i, rest);
    if (multiplier != NULL) v = vf_mul(v, vf_load_n(multiplier + i, rest));
    if (residual != NULL) v = vf_add(v, vf_load_n(residual + i, rest));
    vf_store_n(y + i, v, rest);
}

#endif
