/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed access to elements of host tensors: every type is read as double, and stored with one
 * rounding. */
#ifndef ATTEND_REFERENCE_TENSOR_H
#define ATTEND_REFERENCE_TENSOR_H

#include "attend/plugin.h"
#include "base/half.h"

#include <math.h>
#include <stdbool.h>

static inline bool given(const attend_tensor *t) {
    return t->type != ATTEND_NO_TYPE;
}

static inline int64_t at4(const attend_tensor *t, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
    return t->offset + i0 * t->strides[0] + i1 * t->strides[1] + i2 * t->strides[2] +
           i3 * t->strides[3];
}

static inline int64_t at3(const attend_tensor *t, int64_t i0, int64_t i1, int64_t i2) {
    return t->offset + i0 * t->strides[0] + i1 * t->strides[1] + i2 * t->strides[2];
}

static inline float load_float(const attend_tensor *t, int64_t at) {
    switch ((int)t->type) {
    case ATTEND_F32:
        return ((const float *)t->data)[at];
    case ATTEND_F16:
        return attend__f16_to_f32(((const uint16_t *)t->data)[at]);
    case ATTEND_BF16:
        return attend__bf16_to_f32(((const uint16_t *)t->data)[at]);
    case ATTEND_I8:
        return (float)((const int8_t *)t->data)[at];
    default:
        return NAN; /* the host lets no other tensors through */
    }
}

static inline double load(const attend_tensor *t, int64_t at) {
    return (double)load_float(t, at);
}

static inline bool load_bool(const attend_tensor *t, int64_t at) {
    return ((const uint8_t *)t->data)[at] != 0;
}

/* double to float, rounded to odd: a second rounding to a type of at most 22 bits then gives what
 * one rounding would have given (Boldo & Melquiond 2008, "Emulation of FMA and correctly rounded
 * sums"). */
static inline float odd_float(double x) {
    const float nearest = (float)x;
    if (isnan(x) || (double)nearest == x) return nearest;
    uint32_t bits = attend__float_bits(nearest);
    if (fabs((double)nearest) > fabs(x)) bits--;
    return attend__bits_float(bits | 1u);
}

static inline void store_float(const attend_tensor *t, int64_t at, float x) {
    switch ((int)t->type) {
    case ATTEND_F32:
        ((float *)t->data)[at] = x;
        break;
    case ATTEND_F16:
        ((uint16_t *)t->data)[at] = attend__f32_to_f16(x);
        break;
    case ATTEND_BF16:
        ((uint16_t *)t->data)[at] = attend__f32_to_bf16(x);
        break;
    default:
        break;
    }
}

static inline void store(const attend_tensor *t, int64_t at, double x) {
    store_float(t, at, t->type == ATTEND_F32 ? (float)x : odd_float(x));
}

/* Sum of x[i] * t[at + i * stride]; the type is looked at once a row, not once an element. */
static inline double dot(const double *x, const attend_tensor *t, int64_t at, int64_t stride,
                         int64_t n) {
    double sum = 0;
    if (t->type == ATTEND_F32) {
        const float *const y = (const float *)t->data + at;
        for (int64_t i = 0; i < n; i++)
            sum += x[i] * (double)y[i * stride];
        return sum;
    }
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * load(t, at + i * stride);
    return sum;
}

static inline void read_row(const attend_tensor *t, int64_t at, int64_t stride, int64_t n,
                            double *x) {
    for (int64_t i = 0; i < n; i++)
        x[i] = load(t, at + i * stride);
}

static inline int64_t clamped(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

#endif
