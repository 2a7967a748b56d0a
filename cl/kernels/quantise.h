/* SPDX-License-Identifier: Apache-2.0
 *
 * I8 of attend/cache.h, where all backends store the same bytes: scale = amax / 127 and element =
 * rint(x / scale), quotients correctly rounded. A device's own division may be 2.5 units off and
 * may flush subnormals (OpenCL 1.2, section 7.4), so it serves only where no rounding is near. */
#ifndef ATTEND_CL_QUANTISE_H
#define ATTEND_CL_QUANTISE_H

#include "elements.h"

#define MAGNITUDE 0x7fffffffu
#define NOT_FINITE 0x7f800000u /* bits of magnitudes from here on */
#define NAN_SCALE 0x7fc00000u

/* The fraction of a finite float above 0 as 2^23 .. 2^24 - 1; *exponent: of 2^23. */
static uint fraction_of(uint bits, int *exponent) {
    const uint fraction = bits & 0x7fffff;
    const int biased = (int)(bits >> 23);
    if (biased > 0) {
        *exponent = biased;
        return fraction | 0x800000;
    }
    const int shift = (int)clz(fraction) - 8;
    *exponent = 1 - shift;
    return fraction << shift;
}

/* a / b of the bits of finite floats, b > 0, rounded half to even, for quotients that do not
 * overflow. */
static uint divide_bits(uint a, uint b) {
    if (a == 0) return 0;
    int top, bottom;
    const ulong dividend = (ulong)fraction_of(a, &top) << 26;
    const uint divisor = fraction_of(b, &bottom);
    uint q = (uint)(dividend / divisor); /* 2^25 + 1 .. 2^27 - 1 */
    uint lost = (ulong)q * divisor != dividend;
    int exponent = top - bottom + 127;
    if (q < 1u << 26) {
        q <<= 1;
        exponent--;
    }
    if (exponent <= 0) { /* subnormal */
        const int shift = min(1 - exponent, 28);
        lost |= (q & ((1u << shift) - 1)) != 0;
        q >>= shift;
        exponent = 1;
    }
    const uint rest = (q & 7) << 1 | lost, whole = q >> 3;
    const uint up = rest > 8 || (rest == 8 && (whole & 1));
    return ((uint)(exponent - 1) << 23) + whole + up;
}

static uint scale_of(uint amax) {
    return amax < NOT_FINITE ? divide_bits(amax, as_uint(127.0f)) : NAN_SCALE;
}

/* |x| / scale as a whole number. A scale so small that it was rounded far, to 0 even, may give more
 * than 127. */
static int whole_of(uint x, uint scale) {
    return min((int)rint(as_float(divide_bits(x, scale))), 127);
}

/* Ties are near where the device's quotient is within 2^-12 of one: 3 units of 127 are 2^-15. */
#define NEAR_TIE (0.5f - 0x1p-12f)
#define SMALL_SCALE 0x0d800000u /* 2^-100: above, a flushed x would be 0 all the same */

static int quantise(float x, uint scale) {
    const uint size = as_uint(x) & MAGNITUDE;
    if (scale == 0 || scale >= NOT_FINITE) return 0;
    const float ratio = fabs(x) / as_float(scale), near = rint(ratio);
    int n = min((int)near, 127);
    if (scale < SMALL_SCALE || fabs(ratio - near) > NEAR_TIE) n = whole_of(size, scale);
    return as_int(x) < 0 ? -n : n;
}

/* 16 at once where that is safe. */
static char16 quantise16(float16 x, uint scale) {
    if (scale >= SMALL_SCALE && scale < NOT_FINITE) {
        const float16 ratio = x / as_float(scale), near = rint(ratio);
        if (all(fabs(ratio - near) <= NEAR_TIE))
            return convert_char16(clamp(near, -127.0f, 127.0f));
    }
    float lanes[16];
    char n[16];
    vstore16(x, 0, lanes);
    for (int i = 0; i < 16; i++)
        n[i] = (char)quantise(lanes[i], scale);
    return vload16(0, n);
}

#endif
