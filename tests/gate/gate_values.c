/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers (SplitMix64, Steele et al. 2014) and typed elements; written apart from src/base
 * so that a fault there cannot hide. */
#include "gate.h"

#include <math.h>
#include <string.h>

uint64_t gate_bits(gate_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double gate_uniform(gate_random *r) {
    return (double)(gate_bits(r) >> 11) * 0x1p-53;
}

/* Sum of twelve uniforms: no function whose last bit differs between C libraries. */
double gate_normal(gate_random *r) {
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += gate_uniform(r);
    return sum;
}

int64_t gate_range(gate_random *r, int64_t low, int64_t high) {
    return low + (int64_t)(gate_uniform(r) * (double)(high - low + 1));
}

int64_t gate_log_range(gate_random *r, int64_t low, int64_t high) {
    const double x = exp(log((double)low) + gate_uniform(r) * log((high + 1.0) / (double)low));
    return x < (double)low ? low : x >= (double)high ? high : (int64_t)x;
}

bool gate_chance(gate_random *r, double probability) {
    return gate_uniform(r) < probability;
}

static double half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    const double x = exponent == 31  ? (fraction ? (double)NAN : HUGE_VAL)
                     : exponent == 0 ? ldexp(fraction, -24)
                                     : ldexp(fraction + 1024, exponent - 25);
    return h & 0x8000 ? -x : x;
}

/* Spacing of values with `digits` bits after the leading one near x, smallest normal exponent
 * `low`. */
static double spacing(double x, int digits, int low) {
    int exponent = low + 1;
    if (x != 0) (void)frexp(x, &exponent);
    return ldexp(1, (exponent - 1 < low ? low : exponent - 1) - digits);
}

static uint16_t half_bits(double value) {
    const double unit = spacing(value, 10, -14), x = nearbyint(value / unit) * unit;
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(value)) return 0x7e00;
    if (fabs(x) > 65504) return (uint16_t)(sign | 0x7c00);
    if (fabs(x) < 0x1p-14) return (uint16_t)(sign | (uint16_t)(fabs(x) * 0x1p24));
    int exponent;
    const double fraction = frexp(fabs(x), &exponent);
    return (uint16_t)(sign | (exponent + 14) << 10 | ((int)(fraction * 2048) - 1024));
}

static int64_t place(const attend_tensor *t, const int64_t *index) {
    int64_t at = t->offset;
    for (int32_t d = 0; d < t->rank; d++)
        at += index[d] * t->strides[d];
    return at;
}

double gate_load(const attend_tensor *t, const int64_t *index) {
    const int64_t at = place(t, index);
    uint32_t bits;
    float x;
    switch (t->type) {
    case ATTEND_F32:
        return (double)((const float *)t->data)[at];
    case ATTEND_F16:
        return half_value(((const uint16_t *)t->data)[at]);
    case ATTEND_BF16:
        bits = (uint32_t)((const uint16_t *)t->data)[at] << 16;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    case ATTEND_I8:
        return ((const int8_t *)t->data)[at];
    case ATTEND_I32:
        return ((const int32_t *)t->data)[at];
    case ATTEND_I64:
        return (double)((const int64_t *)t->data)[at];
    default:
        return ((const uint8_t *)t->data)[at];
    }
}

void gate_store(const attend_tensor *t, const int64_t *index, double value) {
    const int64_t at = place(t, index);
    uint32_t bits;
    float x;
    switch (t->type) {
    case ATTEND_F32:
        ((float *)t->data)[at] = (float)value;
        break;
    case ATTEND_F16:
        ((uint16_t *)t->data)[at] = half_bits(value);
        break;
    case ATTEND_BF16:
        x = (float)value;
        if (!isinf(value))
            x = (float)(nearbyint(value / spacing(value, 7, -126)) * spacing(value, 7, -126));
        memcpy(&bits, &x, sizeof bits);
        ((uint16_t *)t->data)[at] = (uint16_t)(bits >> 16);
        break;
    case ATTEND_I8:
        ((int8_t *)t->data)[at] = (int8_t)value;
        break;
    case ATTEND_I32:
        ((int32_t *)t->data)[at] = (int32_t)value;
        break;
    case ATTEND_I64:
        ((int64_t *)t->data)[at] = (int64_t)value;
        break;
    default:
        ((uint8_t *)t->data)[at] = (uint8_t)value;
        break;
    }
}

double gate_half_unit(attend_type type, double x) {
    if (type == ATTEND_F16) return spacing(x, 10, -14) / 2;
    if (type == ATTEND_BF16) return spacing(x, 7, -126) / 2;
    return 0;
}
