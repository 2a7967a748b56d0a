/* SPDX-License-Identifier: Apache-2.0
 *
 * Spans of any floating-point type and stride to float32 and back, over the vector verbs. */
#ifndef ATTEND_CPU_CONVERT_TMPL_H
#define ATTEND_CPU_CONVERT_TMPL_H

#include "base/half.h"
#include "stage_kernels.h"

static inline vf widen_vector(const char *p, attend_type type) {
    const void *const at = p;
    if (type == ATTEND_F32) return vf_load(at);
    return type == ATTEND_F16 ? vf_load_f16(at) : vf_load_bf16(at);
}

static inline vf widen_vector_n(const char *p, attend_type type, int n) {
    const void *const at = p;
    if (type == ATTEND_F32) return vf_load_n(at, n);
    return type == ATTEND_F16 ? vf_load_f16_n(at, n) : vf_load_bf16_n(at, n);
}

static inline void narrow_vector(char *p, attend_type type, vf x) {
    void *const at = p;
    if (type == ATTEND_F32)
        vf_store(at, x);
    else if (type == ATTEND_F16)
        vf_store_f16(at, x);
    else
        vf_store_bf16(at, x);
}

static inline void narrow_vector_n(char *p, attend_type type, vf x, int n) {
    void *const at = p;
    if (type == ATTEND_F32)
        vf_store_n(at, x, n);
    else if (type == ATTEND_F16)
        vf_store_f16_n(at, x, n);
    else
        vf_store_bf16_n(at, x, n);
}

static inline void widen_strided(attend__span from, int64_t n, float *to) {
    const void *const first = from.first;
    if (from.type == ATTEND_F32) {
        const float *const p = first;
        for (int64_t i = 0; i < n; i++)
            to[i] = p[i * from.stride];
        return;
    }
    const uint16_t *const p = first;
    const bool f16 = from.type == ATTEND_F16;
    for (int64_t i = 0; i < n; i++) {
        const uint16_t h = p[i * from.stride];
        to[i] = f16 ? attend__f16_to_f32(h) : attend__bf16_to_f32(h);
    }
}

static inline void narrow_strided(const float *from, int64_t n, attend__span to) {
    void *const first = to.first;
    if (to.type == ATTEND_F32) {
        float *const p = first;
        for (int64_t i = 0; i < n; i++)
            p[i * to.stride] = from[i];
        return;
    }
    uint16_t *const p = first;
    const bool f16 = to.type == ATTEND_F16;
    for (int64_t i = 0; i < n; i++)
        p[i * to.stride] = f16 ? attend__f32_to_f16(from[i]) : attend__f32_to_bf16(from[i]);
}

static void widen(attend__span from, int64_t n, float *to) {
    if (from.stride != 1) {
        widen_strided(from, n, to);
        return;
    }
    const int64_t bytes = from.type == ATTEND_F32 ? 4 : 2;
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        vf_store(to + i, widen_vector(from.first + i * bytes, from.type));
    if (i < n) {
        const int rest = (int)(n - i);
        vf_store_n(to + i, widen_vector_n(from.first + i * bytes, from.type, rest), rest);
    }
}

static void narrow(const float *from, int64_t n, attend__span to) {
    if (to.stride != 1) {
        narrow_strided(from, n, to);
        return;
    }
    const int64_t bytes = to.type == ATTEND_F32 ? 4 : 2;
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES)
        narrow_vector(to.first + i * bytes, to.type, vf_load(from + i));
    if (i < n) {
        const int rest = (int)(n - i);
        narrow_vector_n(to.first + i * bytes, to.type, vf_load_n(from + i, rest), rest);
    }
}

#endif
