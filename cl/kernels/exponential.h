/* SPDX-License-Identifier: Apache-2.0
 *
 * e^x for x <= 0 as the softmax needs it, on one float, on 4 and on 16, with the same bits: 2^y for
 * y = x log2(e), y = n + f with |f| <= 1/2 and 2^f by a polynomial of degree 5 that is 1 at 0
 * (largest relative error 2.8 * 2^-24; the rounding of y adds |y| * 2^-24, which the bound of a
 * score has room for, docs/numerics.md). Drivers' own exp and rint are scalar on some CPUs, so n
 * comes from adding 1.5 * 2^23, whose last bits then hold n, biased for the exponent of a float.
 * Below 2^-126 the result is 0; NaN stays NaN; e^0 is exactly 1. */
#ifndef ATTEND_CL_EXPONENTIAL_H
#define ATTEND_CL_EXPONENTIAL_H

#include "elements.h"

#define DEFINE_EXPONENTIAL(name, real, whole, as_whole, as_real)                                   \
    static real name(real x) {                                                                     \
        const real y = x * 1.44269504f;                                                            \
        const real low = (real)(-126.0f), shift = (real)(12582912.0f + 127.0f);                    \
        const real sum = LARGER(y, low) + shift;                                                   \
        const real f = y - (sum - shift);                                                          \
        real p = (real)(1.326469937e-3f);                                                          \
        p = FMA(p, f, (real)(9.671533480e-3f));                                                    \
        p = FMA(p, f, (real)(5.550733954e-2f));                                                    \
        p = FMA(p, f, (real)(2.402224243e-1f));                                                    \
        p = FMA(p, f, (real)(6.931470037e-1f));                                                    \
        p = FMA(p, f, (real)(1.0f));                                                               \
        return select(p * as_real(as_whole(sum) << 23), (real)(0.0f), isless(y, low));             \
    }

DEFINE_EXPONENTIAL(exponential, float, int, as_int, as_float)
DEFINE_EXPONENTIAL(exponential4, float4, int4, as_int4, as_float4)
DEFINE_EXPONENTIAL(exponential16, float16, int16, as_int16, as_float16)

#endif
