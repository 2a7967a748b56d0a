/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementary functions over the vector verbs, included after a simd_*.h. Coefficients are minimax
 * fits made for this file (iteratively reweighted least squares on Chebyshev nodes, in multiple
 * precision). They need none of the finite-math options: NaN gives NaN, infinities their limits.
 * Largest errors against float64, checked by tests/test_cpu_math.c, in units of the result's last
 * place, or 2^-142 where that is more (a product with a subnormal number has lost places):
 *
 *   vf_exp         1 ulp, subnormal results too; > 88.73 gives infinity, < -104 gives 0;
 *                  exp(0) is exactly 1
 *   vf_exp2_below  2.25 ulp down to 2^-126, and 0 to 2^-126 below; <= -127 gives 0; 2^0 is exactly
 * 1; without fused fma |factor x| ulp more, as that product is rounded vf_tanh        2 ulp
 *   vf_sigmoid     3 ulp
 *   vf_silu        3 ulp
 *   vf_gelu        6 ulp; for x < -1 without fused fma x^2 ulp more, as x^2 / 2 is rounded
 *   vf_gelu_tanh   4 ulp; for x < 0 3 |2 u| ulp more, as 2 u is rounded up to four times */
#ifndef ATTEND_CPU_VEC_MATH_H
#define ATTEND_CPU_VEC_MATH_H

enum { VF_ABREAST = VF_REGISTERS / 8 }; /* most vectors of one vf_exp_below, vf_exp2_below */

/* exp of `count` vectors of numbers up to 89, or NaN: exp(x) = 2^n exp(r), n = round(x / ln 2),
 * r = x - n ln 2 with ln 2 in two parts, of which the first has so few bits that n times it is
 * exact. Adding 1.5 * 2^23 rounds, as in vf_round. Below -104 the result is 0 anyway; NaN passes
 * that bound. The vectors go through side by side, because a chain of dependent operations at a
 * time would fill the processor's queue with waiting ones (16 vectors in a row: 1.6 ns each
 * against 2.1). */
VF_INLINE void vf_exp_below(vf *x, const int count) {
    const vf shift = vf_set(12582912.0f);
    vf n[VF_ABREAST], r[VF_ABREAST], p[VF_ABREAST];
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_max(vf_set(-104.0f), x[i]);
        n[i] = vf_sub(vf_fma(x[i], vf_set(0x1.715476p+0f), shift), shift);
    }
    VF_UNROLL for (int i = 0; i < count; i++) r[i] = vf_fma(n[i], vf_set(-0x1.62e4p-1f), x[i]);
    VF_UNROLL for (int i = 0; i < count; i++) r[i] = vf_fma(n[i], vf_set(-0x1.7f7d1cp-20f), r[i]);
    VF_UNROLL for (int i = 0; i < count; i++) {
        p[i] = vf_fma(vf_set(0x1.6a23cep-10f), r[i], vf_set(0x1.123a2p-7f));
    }
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], r[i], vf_set(0x1.5558f2p-5f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], r[i], vf_set(0x1.555492p-3f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], r[i], vf_set(0x1.fffffcp-2f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], vf_mul(r[i], r[i]), r[i]);
    VF_UNROLL for (int i = 0; i < count; i++) x[i] = vf_scale2(vf_add(p[i], vf_set(1.0f)), n[i]);
}

/* 2^(factor x) of `count` vectors of x <= 0, or NaN: n = round(factor x), r = factor x - n, 2^n
 * 2^r. Attention takes its weights from this: its scores come with a factor anyway, and log2(e)
 * joins it. x is the difference of two scores, taken before it is multiplied, so that no size of
 * scores overflows. least: -127 / factor. */
#ifdef VF_FINE_POWER
/* n is rounded to a multiple of 1/32, whose power comes from a table: of r a polynomial of degree 2
 * is left, and 5 operations for the units that multiply instead of 8. */
VF_INLINE void vf_exp2_below(vf *x, const int count, vf factor, vf least) {
    const vf shift = vf_set(0x1.8p18f);
    vf n[VF_ABREAST], p[VF_ABREAST];
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_max(least, x[i]);
        n[i] = vf_fma(x[i], factor, shift);
    }
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_fma(x[i], factor, vf_sub(shift, n[i]));
        n[i] = vf_fine_power(n[i]);
    }
    VF_UNROLL for (int i = 0; i < count; i++) {
        p[i] = vf_fma(vf_set(0x1.ebfd7p-3f), x[i], vf_set(0x1.62e586p-1f));
    }
    VF_UNROLL for (int i = 0; i < count; i++) x[i] = vf_fma(p[i], vf_mul(x[i], n[i]), n[i]);
}
#else
VF_INLINE void vf_exp2_below(vf *x, const int count, vf factor, vf least) {
    const vf shift = vf_set(12583039.0f); /* 1.5 * 2^23 rounds, 127 is for vf_power */
    vf n[VF_ABREAST], p[VF_ABREAST];
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_max(least, x[i]);
        n[i] = vf_fma(x[i], factor, shift);
    }
    VF_UNROLL for (int i = 0; i < count; i++) {
        x[i] = vf_fma(x[i], factor, vf_sub(shift, n[i]));
    }
    VF_UNROLL for (int i = 0; i < count; i++) {
        p[i] = vf_fma(vf_set(0x1.5bba14p-10f), x[i], vf_set(0x1.3cea88p-7f));
    }
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(0x1.c6b752p-5f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(0x1.ebf9bcp-3f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(0x1.62e42ap-1f));
    VF_UNROLL for (int i = 0; i < count; i++) p[i] = vf_fma(p[i], x[i], vf_set(1.0f));
    VF_UNROLL for (int i = 0; i < count; i++) x[i] = vf_mul(p[i], vf_power(n[i]));
}
#endif

/* The bound is where the result is infinite anyway; NaN passes it. */
static inline vf vf_exp(vf x) {
    vf bounded[1] = {vf_min(vf_set(89.0f), x)};
    vf_exp_below(bounded, 1);
    return bounded[0];
}

/* |x| < 0.625: x + x^3 P(x^2). Beyond: 1 - 2 / (exp(2 |x|) + 1), without cancellation there. */
static inline vf vf_tanh(vf x) {
    const vf z = vf_mul(x, x), a = vf_abs(x);
    vf p = vf_set(-0x1.75d518p-8f);
    p = vf_fma(p, z, vf_set(0x1.5223e2p-6f));
    p = vf_fma(p, z, vf_set(-0x1.b83bf4p-5f));
    p = vf_fma(p, z, vf_set(0x1.110724p-3f));
    p = vf_fma(p, z, vf_set(-0x1.555532p-2f));
    const vf near_zero = vf_fma(p, vf_mul(z, x), x);
    const vf grown = vf_add(vf_exp(vf_add(a, a)), vf_set(1.0f));
    const vf far_out = vf_sub(vf_set(1.0f), vf_div(vf_set(2.0f), grown));
    return vf_select(vf_less(a, vf_set(0.625f)), near_zero, vf_copysign(far_out, x));
}

static inline vf vf_sigmoid(vf x) {
    const vf one = vf_set(1.0f), e = vf_exp(vf_sub(vf_zero(), vf_abs(x)));
    return vf_div(vf_select(vf_less(x, vf_zero()), e, one), vf_add(one, e));
}

/* |x| < 1: x (1/2 + x P(x^2)). */
static inline vf vf_gelu_inside(vf x) {
    const vf z = vf_mul(x, x);
    vf p = vf_set(-0x1.f4b4f6p-18f);
    p = vf_fma(p, z, vf_set(0x1.d9bc74p-14f));
    p = vf_fma(p, z, vf_set(-0x1.36d862p-10f));
    p = vf_fma(p, z, vf_set(0x1.46cc3ap-7f));
    p = vf_fma(p, z, vf_set(-0x1.105826p-4f));
    p = vf_fma(p, z, vf_set(0x1.988454p-2f));
    return vf_fma(p, z, vf_mul(vf_set(0.5f), x));
}

/* x Phi(x). Phi(-a) = erfc(a / sqrt 2) / 2 keeps its relative accuracy in the tail: with t = a /
 * sqrt 2 and q = 1 / (1 + t / 2), erfc(t) = exp(-t^2) q P(q) (form: Abramowitz & Stegun 7.1.26).
 * exp(-a^2 / 2) takes the rounding error of a^2 along. Beyond 15 Phi(-a) is 0 in float32. */
static inline vf vf_gelu(vf x) {
    const vf size = vf_abs(x), a = vf_min(vf_set(15.0f), size), one = vf_set(1.0f),
             half = vf_set(0.5f);
    const vf q = vf_div(one, vf_fma(a, vf_set(0x1.6a09e6p-2f), one));
    vf p = vf_set(0x1.3e3e4p-4f);
    p = vf_fma(p, q, vf_set(-0x1.72531p-3f));
    p = vf_fma(p, q, vf_set(0x1.ced97ep-6f));
    p = vf_fma(p, q, vf_set(0x1.87dceap-4f));
    p = vf_fma(p, q, vf_set(0x1.53ee6ep-3f));
    p = vf_fma(p, q, vf_set(0x1.ff5af2p-3f));
    p = vf_fma(p, q, vf_set(0x1.207e3ap-2f));
    p = vf_fma(p, q, vf_set(0x1.20e228p-2f));
    const vf square = vf_mul(a, a);
    const vf rest = vf_fma(a, a, vf_sub(vf_zero(), square));
    const vf e = vf_exp(vf_mul(vf_set(-0.5f), square));
    const vf e_exact = vf_fma(vf_mul(vf_set(-0.5f), rest), e, e);
    const vf tail = vf_mul(vf_mul(half, e_exact), vf_mul(q, p));
    const vf below = vf_mul(vf_copysign(a, x), tail);
    const vf outside = vf_select(vf_less(x, vf_zero()), below, vf_sub(x, below));
    return vf_select(vf_less(size, one), vf_gelu_inside(x), outside);
}

/* x sigmoid(z), z of the sign of x: with e = exp(-|z|) in 0 .. 1 neither side cancels, and results
 * stay right down to 1e-37, where exp(-z) would have overflowed. Below `zero` e is 0: that bound
 * keeps -inf from being NaN. */
static inline vf weighted_by_sigmoid(vf x, vf z, float zero) {
    const vf e = vf_exp(vf_sub(vf_zero(), vf_abs(z)));
    const vf below = vf_mul(vf_max(vf_set(zero), x), e);
    return vf_div(vf_select(vf_less(x, vf_zero()), below, x), vf_add(vf_set(1.0f), e));
}

/* x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static inline vf vf_gelu_tanh(vf x) {
    const vf cubic = vf_mul(vf_mul(x, x), vf_set(0.044715f));
    const vf z = vf_mul(vf_set(0x1.988454p+0f), vf_fma(cubic, x, x));
    return weighted_by_sigmoid(x, z, -15.0f);
}

static inline vf vf_silu(vf x) {
    return weighted_by_sigmoid(x, x, -105.0f);
}

#endif
