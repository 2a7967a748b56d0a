/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations (attend/stage.h) on LANES floats. Everything rests on e^x for x <= 0
 * (exponential.h), so that nothing overflows and no difference cancels; infinities give the limits,
 * NaN gives NaN. The polynomials are the ones of backends/cpu/vec_math.h, minimax fits. Drivers'
 * erf, tanh and exp are not used: OpenCL allows them 16, 5 and 3 ulp, and erf leaves nothing of the
 * negative tail. Largest errors over all exponents, measured against long double: gelu 6 ulp, silu
 * 5, sigmoid 3, tanh 2, gelu_tanh 2 for x >= 0 and below 0 3 |2 u| ulp more, as 2 u is rounded up
 * to four times (bounds of docs/numerics.md have that in them); results below 1e-37 may become 0.
 */
#ifndef ATTEND_CL_ACTIVATION_H
#define ATTEND_CL_ACTIVATION_H

#include "exponential.h"
#include "stage_rows.h"

#if LANES == 1
#define exponential_lanes exponential
#else
#define exponential_lanes exponential16
#endif

/* The numbers of attend_activation. */
#define ACTIVATION_RELU 1
#define ACTIVATION_GELU 2
#define ACTIVATION_GELU_TANH 3
#define ACTIVATION_SILU 4
#define ACTIVATION_SIGMOID 5
#define ACTIVATION_TANH 6

/* |x| < 0.625: x + x^3 P(x^2). Beyond: (1 - e) / (1 + e), e = exp(-2 |x|) < 0.29. */
static lanes tanh_lanes(lanes x) {
    const lanes z = x * x, a = fabs(x);
    lanes p = (lanes)(-0x1.75d518p-8f);
    p = FMA(p, z, (lanes)(0x1.5223e2p-6f));
    p = FMA(p, z, (lanes)(-0x1.b83bf4p-5f));
    p = FMA(p, z, (lanes)(0x1.110724p-3f));
    p = FMA(p, z, (lanes)(-0x1.555532p-2f));
    const lanes inside = FMA(p, z * x, x);
    const lanes e = exponential_lanes(-2.0f * a);
    const lanes outside = copysign((1.0f - e) / (1.0f + e), x);
    return select(outside, inside, isless(a, (lanes)(0.625f)));
}

static lanes sigmoid_lanes(lanes x) {
    const lanes e = exponential_lanes(-fabs(x));
    return select((lanes)(1.0f), e, isless(x, (lanes)(0.0f))) / (1.0f + e);
}

/* |x| < 1: x (1/2 + x P(x^2)). */
static lanes gelu_inside(lanes x) {
    const lanes z = x * x;
    lanes p = (lanes)(-0x1.f4b4f6p-18f);
    p = FMA(p, z, (lanes)(0x1.d9bc74p-14f));
    p = FMA(p, z, (lanes)(-0x1.36d862p-10f));
    p = FMA(p, z, (lanes)(0x1.46cc3ap-7f));
    p = FMA(p, z, (lanes)(-0x1.105826p-4f));
    p = FMA(p, z, (lanes)(0x1.988454p-2f));
    return FMA(p, z, 0.5f * x);
}

/* x Phi(x). Phi(-a) = erfc(a / sqrt 2) / 2 keeps its relative accuracy in the tail: with t = a /
 * sqrt 2 and q = 1 / (1 + t / 2), erfc(t) = exp(-t^2) q P(q) (form: Abramowitz & Stegun 7.1.26).
 * exp(-a^2 / 2) takes the rounding error of a^2 along, for which fma must be exact. */
static lanes gelu_lanes(lanes x) {
    const lanes size = fabs(x), most = (lanes)(15.0f);
    const lanes a = select(size, most, isgreater(size, most)); /* NaN stays */
    const lanes q = 1.0f / FMA(a, (lanes)(0x1.6a09e6p-2f), (lanes)(1.0f));
    lanes p = (lanes)(0x1.3e3e4p-4f);
    p = FMA(p, q, (lanes)(-0x1.72531p-3f));
    p = FMA(p, q, (lanes)(0x1.ced97ep-6f));
    p = FMA(p, q, (lanes)(0x1.87dceap-4f));
    p = FMA(p, q, (lanes)(0x1.53ee6ep-3f));
    p = FMA(p, q, (lanes)(0x1.ff5af2p-3f));
    p = FMA(p, q, (lanes)(0x1.207e3ap-2f));
    p = FMA(p, q, (lanes)(0x1.20e228p-2f));
    const lanes square = a * a, rest = fma(a, a, -square);
    const lanes e = exponential_lanes(-0.5f * square);
    const lanes tail = 0.5f * FMA(-0.5f * rest, e, e) * (q * p);
    const lanes below = copysign(a, x) * tail;
    const lanes outside = select(x - below, below, isless(x, (lanes)(0.0f)));
    return select(outside, gelu_inside(x), isless(size, (lanes)(1.0f)));
}

/* x sigmoid(z), z of the sign of x. exp(-|z|) is the square of e, which does not underflow while
 * the product with x is not 0; there `zero` keeps -inf from becoming NaN. */
static lanes weighted_by_sigmoid(lanes x, lanes z, float zero) {
    const lanes e = exponential_lanes(-0.5f * fabs(z)), least = (lanes)(zero);
    const lanes below = select(x, least, isless(x, least)) * e * e;
    return select(x, below, isless(x, (lanes)(0.0f))) / FMA(e, e, (lanes)(1.0f));
}

/* x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static lanes gelu_tanh_lanes(lanes x) {
    const lanes cubic = x * x * 0.044715f;
    return weighted_by_sigmoid(x, 0x1.988454p+0f * FMA(cubic, x, x), -15.0f);
}

static lanes activated(int activation, lanes x) {
    switch (activation) {
    case ACTIVATION_RELU:
        return select(x, (lanes)(0.0f), isless(x, (lanes)(0.0f))); /* NaN is not less */
    case ACTIVATION_GELU:
        return gelu_lanes(x);
    case ACTIVATION_GELU_TANH:
        return gelu_tanh_lanes(x);
    case ACTIVATION_SILU:
        return weighted_by_sigmoid(x, x, -120.0f);
    case ACTIVATION_SIGMOID:
        return sigmoid_lanes(x);
    case ACTIVATION_TANH:
        return tanh_lanes(x);
    default:
        return x;
    }
}

#endif
