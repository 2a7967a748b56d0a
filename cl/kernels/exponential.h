/* SPDX-License-Identifier: Apache-2.0
 *
 * e^x for x <= 0 as the softmax needs it, on one float and on 16, with the same bits:
 * x = n ln 2 + r with |r| <= ln(2) / 2, and e^r by the first eight terms of its series (the rest is
 * below 1e-8). Drivers' own exp is scalar on some CPUs. Below 2^-126 the result is 0; NaN stays
 * NaN; e^0 is exactly 1. */
#ifndef ATTEND_CL_EXPONENTIAL_H
#define ATTEND_CL_EXPONENTIAL_H

#include "elements.h"

#define DEFINE_EXPONENTIAL(name, real, whole, convert, as_real)                                    \
    static real name(real x) {                                                                     \
        const real y = x * 1.44269504f;                                                            \
        const real low = (real)(-126.0f);                                                          \
        const real in = select(y, low, isless(y, low)); /* NaN is not less and stays */            \
        const real n = rint(in);                                                                   \
        const real t = FMA(n, (real)(-0.693359375f), x); /* ln 2 in two parts: n * t is exact */   \
        const real r = FMA(n, (real)(2.12194440e-4f), t);                                          \
        real p = (real)(1.98412698e-4f);                                                           \
        p = FMA(p, r, (real)(1.38888889e-3f));                                                     \
        p = FMA(p, r, (real)(8.33333333e-3f));                                                     \
        p = FMA(p, r, (real)(4.16666667e-2f));                                                     \
        p = FMA(p, r, (real)(1.66666667e-1f));                                                     \
        p = FMA(p, r, (real)(0.5f));                                                               \
        p = FMA(p, r * r, r) + (real)(1.0f);                                                       \
        const whole e = (convert(select(n, (real)(0.0f), isnan(x))) + 127) << 23;                  \
        return select(p * as_real(e), (real)(0.0f), isless(y, low));                               \
    }

DEFINE_EXPONENTIAL(exponential, float, int, convert_int, as_float)
DEFINE_EXPONENTIAL(exponential16, float16, int16, convert_int16, as_float16)

#endif
