/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements of every type as double, and back with one rounding to nearest even. */
#include "handles.h"

#include <math.h>
#include <string.h>

static float half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, fraction = h & 1023;
    float x = exponent == 31  ? (fraction ? NAN : HUGE_VALF)
              : exponent == 0 ? ldexpf((float)fraction, -24)
                              : ldexpf((float)(fraction + 1024), exponent - 25);
    return h & 0x8000 ? -x : x;
}

/* x rounded to nearest even with `digits` bits after the leading one, smallest exponent `low`. */
static double rounded(double x, int digits, int low) {
    if (x == 0 || isnan(x) || isinf(x)) return x;
    int exponent;
    (void)frexp(x, &exponent);
    const int unit = (exponent - 1 < low ? low : exponent - 1) - digits;
    return ldexp(nearbyint(ldexp(x, -unit)), unit);
}

static uint16_t half_bits(double value) {
    const double x = rounded(value, 10, -14);
    const uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x)) return 0x7e00;
    if (fabs(x) > 65504) return sign | 0x7c00;
    if (fabs(x) < 0x1p-14) return (uint16_t)(sign | (uint16_t)(fabs(x) * 0x1p24));
    int exponent;
    const double fraction = frexp(fabs(x), &exponent);
    return (uint16_t)(sign | ((exponent + 14) << 10) | ((int)(fraction * 2048) - 1024));
}

double element(const attend_tensor *t, int64_t at) {
    uint32_t bits;
    float x;
    switch (t->type) {
    case ATTEND_F32:
        return (double)((const float *)t->data)[at];
    case ATTEND_F16:
        return (double)half_value(((const uint16_t *)t->data)[at]);
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

void set_element(const attend_tensor *t, int64_t at, double value) {
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
        x = (float)rounded(value, 7, -126);
        memcpy(&bits, &x, sizeof bits);
        ((uint16_t *)t->data)[at] = (uint16_t)(isnan(x) ? 0x7fc0 : bits >> 16);
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

size_t element_bytes(attend_type type) {
    return type == ATTEND_I64                          ? 8
           : type == ATTEND_F32 || type == ATTEND_I32  ? 4
           : type == ATTEND_F16 || type == ATTEND_BF16 ? 2
                                                       : 1;
}
