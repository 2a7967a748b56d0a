/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversions between float32 and the 16-bit types, on integers, so that every compiler and machine
 * gives the same bits: round to nearest even, subnormals kept, overflow to infinity, NaN stays a
 * (quiet) NaN with its sign. IEEE 754-2019 section 3.4 for binary16; bfloat16 is the upper half of
 * binary32. */
#ifndef ATTEND_BASE_HALF_H
#define ATTEND_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t attend__float_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float attend__bits_float(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float attend__bf16_to_f32(uint16_t h) {
    return attend__bits_float((uint32_t)h << 16);
}

static inline uint16_t attend__f32_to_bf16(float x) {
    const uint32_t u = attend__float_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static inline float attend__f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) /* infinity and NaN: all exponent bits set, payload moved up */
        return attend__bits_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13 |
                                  (magnitude > 0x7c00u ? 0x400000u : 0u));
    if (magnitude >= 0x0400u) return attend__bits_float(sign | ((magnitude << 13) + (112u << 23)));
    /* subnormal: an integer times 2^-24, exact in float32 */
    return attend__bits_float(sign | attend__float_bits((float)magnitude * 0x1p-24f));
}

static inline uint16_t attend__f32_to_f16(float x) {
    const uint32_t u = attend__float_bits(x);
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    const uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u); /* >= 65520 rounds to infinity */
    if (magnitude < 0x38800000u) {
        /* below 2^-14: adding 2^-1 * 2^-13 lets the float32 adder round to a multiple of 2^-24 */
        const float shifted = attend__bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (attend__float_bits(shifted) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
}

#endif
