/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector verbs for machines without a vector header of their own: vectors of one lane. Kernels
 * are written once over these verbs (the *_tmpl.h files) and compiled once per instruction set.
 * This file is also the contract of the verbs; the other simd_*.h only implement it.
 *
 *   VF_LANES       lanes of a vector, a power of two
 *   VF_REGISTERS   vector registers a kernel may plan with
 *   vf, vm         a vector of floats; one truth value per lane
 *   _n             the first n lanes, 0 <= n <= VF_LANES: no byte beyond them is touched, loads
 *                  give 0 there
 *   pointers       need the alignment of their element only
 *   f16, bf16      exact when widened, round to nearest even when narrowed (bits as base/half.h)
 *   vf_load_i8     widened, exact
 *   vf_load_fours  4 VF_LANES int8 as they are; vf_i8_of(x, i) widens element i of each lane's four
 *   vf_load_pairs  2 VF_LANES 16-bit elements as they are; vf_even_bf16 and vf_odd_bf16 widen the
 *                  even or the odd ones
 *   with VF_BF16_PAIRS, in simd_avx512.h alone, pairs of bfloat16 in a lane (pair_kernels.h):
 *   vf_both_bf16   of two vectors of widened bfloat16, the first the even ones; exact
 *   vf_join_bf16   of two vectors rounded to nearest even, subnormal numbers to 0
 *   vf_dot_bf16    sum + the products of the odd ones, then of the even ones, each added with one
 *                  rounding to nearest even; subnormal numbers are 0, going in and coming out
 *   vf_prefetch    brings the line of an address into the caches; any address will do
 *   vf_fma         a * b + c; fused in the vector headers, two roundings here
 *   vf_max, vf_min a > b ? a : b, a < b ? a : b: b where either is NaN
 *   vf_round       to the nearest integer, ties to even, |x| <= 2^22
 *   vf_prefetch_far  into a cache behind the first
 *   vf_scale2      x * 2^n for integral n in -252 .. 252, rounded once
 *   vf_sum, vf_highest  of all lanes in an order fixed by the header; vf_highest may lose NaN
 *   vf_iota        lane i holds i
 *   vf_transpose   lane j of vector i becomes lane i of vector j
 *   vf_sums        lane i is the sum over all lanes of vector i of VF_LANES, in the same order for
 *                  each; changes the vectors
 *   VF_INLINE      a kernel body that must be inlined with its constant sizes
 *   VF_UNROLL      the loop that follows has a constant trip count, and must become straight code
 */
#ifndef ATTEND_CPU_SIMD_SCALAR_H
#define ATTEND_CPU_SIMD_SCALAR_H

#include "base/half.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VF_LANES 1
#define VF_REGISTERS 16
#define vf_prefetch(p) ((void)(p))

#if defined(__GNUC__)
#define VF_INLINE static inline __attribute__((always_inline))
#else
#define VF_INLINE static inline
#endif
#define VF_UNROLL

typedef float vf;
typedef bool vm;

/* A table of verbs. */
/* clang-format off */
static inline vf vf_set(float x) { return x; }
static inline vf vf_zero(void) { return 0.0f; }
static inline vf vf_iota(void) { return 0.0f; }
static inline vf vf_load(const float *p) { return *p; }
static inline vf vf_load_n(const float *p, int n) { return n > 0 ? *p : 0.0f; }
static inline void vf_store(float *p, vf x) { *p = x; }
static inline void vf_store_n(float *p, vf x, int n) {
    if (n > 0) *p = x;
}
static inline vf vf_load_f16(const uint16_t *p) { return attend__f16_to_f32(*p); }
static inline vf vf_load_f16_n(const uint16_t *p, int n) { return n > 0 ? vf_load_f16(p) : 0.0f; }
static inline void vf_store_f16(uint16_t *p, vf x) { *p = attend__f32_to_f16(x); }
static inline void vf_store_f16_n(uint16_t *p, vf x, int n) {
    if (n > 0) vf_store_f16(p, x);
}
static inline vf vf_load_bf16(const uint16_t *p) { return attend__bf16_to_f32(*p); }
static inline vf vf_load_bf16_n(const uint16_t *p, int n) { return n > 0 ? vf_load_bf16(p) : 0.0f; }
static inline void vf_store_bf16(uint16_t *p, vf x) { *p = attend__f32_to_bf16(x); }
static inline void vf_store_bf16_n(uint16_t *p, vf x, int n) {
    if (n > 0) vf_store_bf16(p, x);
}
static inline vf vf_load_i8(const int8_t *p) { return (float)*p; }
static inline vf vf_load_i8_n(const int8_t *p, int n) { return n > 0 ? vf_load_i8(p) : 0.0f; }
static inline vf vf_load_fours(const int8_t *p) {
    const uint32_t low = (uint32_t)(uint8_t)p[1] << 8 | (uint8_t)p[0];
    return attend__bits_float((uint32_t)(uint8_t)p[3] << 24 | (uint32_t)(uint8_t)p[2] << 16 | low);
}
static inline vf vf_i8_of(vf x, int place) {
    return (float)(int8_t)(attend__float_bits(x) >> 8 * place);
}
static inline vf vf_load_pairs(const uint16_t *p) {
    return attend__bits_float((uint32_t)p[1] << 16 | p[0]);
}
static inline vf vf_even_bf16(vf x) { return attend__bits_float(attend__float_bits(x) << 16); }
static inline vf vf_odd_bf16(vf x) {
    return attend__bits_float(attend__float_bits(x) & 0xffff0000u);
}

#define vf_prefetch_far(p) ((void)(p))
static inline vf vf_add(vf a, vf b) { return a + b; }
static inline vf vf_sub(vf a, vf b) { return a - b; }
static inline vf vf_mul(vf a, vf b) { return a * b; }
static inline vf vf_div(vf a, vf b) { return a / b; }
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
static inline vf vf_max(vf a, vf b) { return a > b ? a : b; }
static inline vf vf_min(vf a, vf b) { return a < b ? a : b; }
static inline vf vf_sqrt(vf x) { return sqrtf(x); }
static inline vf vf_abs(vf x) { return fabsf(x); }
static inline vf vf_copysign(vf magnitude, vf sign) { return copysignf(magnitude, sign); }
/* Adding 1.5 * 2^23 leaves no fraction bits, so that the adder rounds. */
static inline vf vf_round(vf x) { return (x + 12582912.0f) - 12582912.0f; }
/* In two steps, of which only the second can round. */
static inline vf vf_scale2(vf x, vf n) {
    const int32_t whole = n == n ? (int32_t)n : 0, half = whole / 2;
    return x * attend__bits_float((uint32_t)(half + 127) << 23) *
           attend__bits_float((uint32_t)(whole - half + 127) << 23);
}
/* 2^n from n + 127 in the lowest bits, as the sum n + 127 + 1.5 * 2^23 has it; 0 for n = -127. */
static inline vf vf_power(vf x) { return attend__bits_float(attend__float_bits(x) << 23); }

static inline vm vm_first(int n) { return n > 0; }
/* Lanes whose byte is not zero. */
static inline vm vm_bytes(const uint8_t *p) { return *p != 0; }
static inline vm vm_bytes_n(const uint8_t *p, int n) { return n > 0 && *p != 0; }
/* Lanes whose word has the bit. */
static inline vm vm_bit(const uint32_t *words, uint32_t bit) { return (*words & bit) != 0; }
/* Bit i: byte i of 32 is not 0. */
static inline uint32_t vm_gather(const uint8_t *p) {
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(p[i] != 0) << i;
    return bits;
}
static inline vm vf_less(vf a, vf b) { return a < b; }
static inline vm vf_equal(vf a, vf b) { return a == b; }
static inline vf vf_select(vm m, vf yes, vf no) { return m ? yes : no; }

static inline float vf_sum(vf x) { return x; }
static inline float vf_highest(vf x) { return x; }
static inline void vf_transpose(vf *x) { (void)x; }
static inline vf vf_sums(vf *x) { return x[0]; }
/* clang-format on */

#endif
