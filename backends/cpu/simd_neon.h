/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector verbs (contract: simd_scalar.h) on AArch64 Advanced SIMD: 4 lanes, 32 registers, part
 * of every processor of that kind. Intrinsics stay in this file. Sources: Arm C Language Extensions
 * (Neon intrinsics), Arm Architecture Reference Manual for A-profile, chapter C7. */
#ifndef ATTEND_CPU_SIMD_NEON_H
#define ATTEND_CPU_SIMD_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VF_LANES 4
#define VF_REGISTERS 32

/* No function: gcc 12 drops calls of one that does nothing but prefetch. */
#define vf_prefetch(p) __builtin_prefetch((const void *)(p))

#define VF_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define VF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VF_UNROLL _Pragma("GCC unroll 32")
#endif

typedef float32x4_t vf;
typedef uint32x4_t vm; /* all bits of a lane, or none */

/* A table of verbs. */
/* clang-format off */
static inline vf vf_set(float x) { return vdupq_n_f32(x); }
static inline vf vf_zero(void) { return vdupq_n_f32(0.0f); }
static inline vf vf_iota(void) {
    static const float lane[VF_LANES] = {0, 1, 2, 3};
    return vld1q_f32(lane);
}
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline void vf_store(float *p, vf x) { vst1q_f32(p, x); }
/* There is no masked access: lane by lane. */
static inline vf vf_load_n(const float *p, int n) {
    vf x = vf_zero();
    if (n > 0) x = vld1q_lane_f32(p, x, 0);
    if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
    if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
    if (n > 3) x = vld1q_lane_f32(p + 3, x, 3);
    return x;
}
static inline void vf_store_n(float *p, vf x, int n) {
    if (n > 0) vst1q_lane_f32(p, x, 0);
    if (n > 1) vst1q_lane_f32(p + 1, x, 1);
    if (n > 2) vst1q_lane_f32(p + 2, x, 2);
    if (n > 3) vst1q_lane_f32(p + 3, x, 3);
}

static inline uint16x4_t load_u16_n(const uint16_t *p, int n) {
    uint16x4_t h = vdup_n_u16(0);
    if (n > 0) h = vld1_lane_u16(p, h, 0);
    if (n > 1) h = vld1_lane_u16(p + 1, h, 1);
    if (n > 2) h = vld1_lane_u16(p + 2, h, 2);
    if (n > 3) h = vld1_lane_u16(p + 3, h, 3);
    return h;
}
static inline void store_u16_n(uint16_t *p, uint16x4_t h, int n) {
    if (n > 0) vst1_lane_u16(p, h, 0);
    if (n > 1) vst1_lane_u16(p + 1, h, 1);
    if (n > 2) vst1_lane_u16(p + 2, h, 2);
    if (n > 3) vst1_lane_u16(p + 3, h, 3);
}
static inline vf from_f16(uint16x4_t h) { return vcvt_f32_f16(vreinterpret_f16_u16(h)); }
static inline uint16x4_t to_f16(vf x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }
static inline vf vf_load_f16(const uint16_t *p) { return from_f16(vld1_u16(p)); }
static inline vf vf_load_f16_n(const uint16_t *p, int n) { return from_f16(load_u16_n(p, n)); }
static inline void vf_store_f16(uint16_t *p, vf x) { vst1_u16(p, to_f16(x)); }
static inline void vf_store_f16_n(uint16_t *p, vf x, int n) { store_u16_n(p, to_f16(x), n); }
/* Integers: BFCVT is an extension, and what it does with subnormals is up to the system. */
static inline vf from_bf16(uint16x4_t h) { return vreinterpretq_f32_u32(vshll_n_u16(h, 16)); }
static inline uint16x4_t to_bf16(vf x) {
    const uint32x4_t u = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}
static inline vf vf_load_bf16(const uint16_t *p) { return from_bf16(vld1_u16(p)); }
static inline vf vf_load_bf16_n(const uint16_t *p, int n) { return from_bf16(load_u16_n(p, n)); }
static inline void vf_store_bf16(uint16_t *p, vf x) { vst1_u16(p, to_bf16(x)); }
static inline void vf_store_bf16_n(uint16_t *p, vf x, int n) { store_u16_n(p, to_bf16(x), n); }

static inline vf vf_load_i8(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
}
static inline vf vf_load_i8_n(const int8_t *p, int n) {
    int8_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n);
    return vf_load_i8(row);
}
static inline vf vf_load_fours(const int8_t *p) { return vreinterpretq_f32_s8(vld1q_s8(p)); }
static inline vf vf_i8_of(vf x, int place) {
    const int32x4_t u = vreinterpretq_s32_f32(x);
    const int32x4_t top = place == 0   ? vshlq_n_s32(u, 24)
                          : place == 1 ? vshlq_n_s32(u, 16)
                          : place == 2 ? vshlq_n_s32(u, 8)
                                       : u;
    return vcvtq_f32_s32(vshrq_n_s32(top, 24));
}
static inline vf vf_load_pairs(const uint16_t *p) {
    return vreinterpretq_f32_u16(vld1q_u16(p));
}
static inline vf vf_even_bf16(vf x) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 16));
}
static inline vf vf_odd_bf16(vf x) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0xffff0000u)));
}

#define vf_prefetch_far(p) __builtin_prefetch((const void *)(p), 0, 2)
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
static inline vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
static inline vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
/* FMAX gives NaN where either is, FMAXNM the number: the contract asks for b. */
static inline vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline vf vf_sqrt(vf x) { return vsqrtq_f32(x); }
static inline vf vf_abs(vf x) { return vabsq_f32(x); }
static inline vf vf_copysign(vf magnitude, vf sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude);
}
static inline vf vf_round(vf x) { return vrndnq_f32(x); }
/* In two steps, of which only the second can round. */
static inline vf vf_scale2(vf x, vf n) {
    const int32x4_t bias = vdupq_n_s32(127);
    const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    const int32x4_t rest = vsubq_s32(whole, half);
    const vf first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const vf second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(x, first), second);
}
static inline vf vf_power(vf x) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 23));
}

static inline vm vm_first(int n) {
    static const int32_t lane[VF_LANES] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lane), vdupq_n_s32(n));
}
static inline vm vm_bytes(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, sizeof four);
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    const uint32x4_t wide = vmovl_u16(vget_low_u16(vmovl_u8(bytes)));
    return vtstq_u32(wide, wide);
}
static inline vm vm_bytes_n(const uint8_t *p, int n) {
    uint8_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n);
    return vm_bytes(row);
}
static inline vm vm_bit(const uint32_t *words, uint32_t bit) {
    return vtstq_u32(vld1q_u32(words), vdupq_n_u32(bit));
}
/* Each byte that is not 0 keeps the bit of its place; the sum of eight such bytes is their bits. */
static inline uint32_t vm_gather(const uint8_t *p) {
    static const uint8_t place[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint32_t bits = 0;
    for (int i = 0; i < 32; i += 16) {
        const uint8x16_t bytes = vld1q_u8(p + i);
        const uint8x16_t set = vandq_u8(vtstq_u8(bytes, bytes), vld1q_u8(place));
        bits |= (uint32_t)vaddv_u8(vget_low_u8(set)) << i;
        bits |= (uint32_t)vaddv_u8(vget_high_u8(set)) << (i + 8);
    }
    return bits;
}
static inline vm vf_less(vf a, vf b) { return vcltq_f32(a, b); }
static inline vm vf_equal(vf a, vf b) { return vceqq_f32(a, b); }
static inline vf vf_select(vm m, vf yes, vf no) { return vbslq_f32(m, yes, no); }

/* Neighbours, then halves. */
static inline float vf_sum(vf x) { return vaddvq_f32(x); }
static inline float vf_highest(vf x) { return vmaxvq_f32(x); }

/* Neighbouring lanes of pairs of rows are exchanged, then 64-bit halves. */
static inline void vf_transpose(vf *x) {
    const float32x4x2_t upper = vtrnq_f32(x[0], x[1]), lower = vtrnq_f32(x[2], x[3]);
    for (int i = 0; i < 2; i++) {
        x[i] = vcombine_f32(vget_low_f32(upper.val[i]), vget_low_f32(lower.val[i]));
        x[i + 2] = vcombine_f32(vget_high_f32(upper.val[i]), vget_high_f32(lower.val[i]));
    }
}
/* Lane i: all lanes of x[i], added in the same order for each. Changes x. */
static inline vf vf_sums(vf *x) {
    vf_transpose(x);
    for (int n = VF_LANES / 2; n > 0; n /= 2) {
        for (int i = 0; i < n; i++) x[i] = vf_add(x[i], x[i + n]);
    }
    return x[0];
}
/* clang-format on */

#endif
