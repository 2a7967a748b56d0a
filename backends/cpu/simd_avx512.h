/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector verbs (contract: simd_scalar.h) on AVX-512 F, BW, VL and DQ: 16 lanes, 32 registers.
 * Intrinsics stay in this file. bfloat16 is rounded on integers, because vcvtneps2bf16 flushes
 * subnormals. Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. */
#ifndef ATTEND_CPU_SIMD_AVX512_H
#define ATTEND_CPU_SIMD_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VF_LANES 16
#define VF_REGISTERS 32

/* No function: gcc 12 drops calls of one that does nothing but prefetch. */
#define vf_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#define VF_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define VF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VF_UNROLL _Pragma("GCC unroll 32")
#endif

typedef __m512 vf;
typedef __mmask16 vm;

static inline vm vm_first(int n) {
    return (vm)((1u << n) - 1u);
}

/* A table of verbs. */
/* clang-format off */
static inline vf vf_set(float x) { return _mm512_set1_ps(x); }
static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_iota(void) {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf vf_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
static inline void vf_store(float *p, vf x) { _mm512_storeu_ps(p, x); }
static inline void vf_store_n(float *p, vf x, int n) { _mm512_mask_storeu_ps(p, vm_first(n), x); }

static inline vf vf_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_load_f16_n(const uint16_t *p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vm_first(n), p));
}
static inline __m256i to_f16(vf x) {
    return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline void vf_store_f16(uint16_t *p, vf x) {
    _mm256_storeu_si256((__m256i *)(void *)p, to_f16(x));
}
static inline void vf_store_f16_n(uint16_t *p, vf x, int n) {
    _mm256_mask_storeu_epi16(p, vm_first(n), to_f16(x));
}
static inline vf from_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
static inline vf vf_load_bf16(const uint16_t *p) {
    return from_bf16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_load_bf16_n(const uint16_t *p, int n) {
    return from_bf16(_mm256_maskz_loadu_epi16(vm_first(n), p));
}
static inline __m256i to_bf16(vf x) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i kept = _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u,
                                              _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}
static inline void vf_store_bf16(uint16_t *p, vf x) {
    _mm256_storeu_si256((__m256i *)(void *)p, to_bf16(x));
}
static inline void vf_store_bf16_n(uint16_t *p, vf x, int n) {
    _mm256_mask_storeu_epi16(p, vm_first(n), to_bf16(x));
}
static inline vf vf_load_i8(const int8_t *p) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
static inline vf vf_load_i8_n(const int8_t *p, int n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(vm_first(n), p)));
}
static inline vf vf_load_fours(const int8_t *p) {
    return _mm512_castsi512_ps(_mm512_loadu_si512((const void *)p));
}
static inline vf vf_i8_of(vf x, int place) {
    const __m512i u = _mm512_castps_si512(x);
    const __m512i top = place == 0   ? _mm512_slli_epi32(u, 24)
                        : place == 1 ? _mm512_slli_epi32(u, 16)
                        : place == 2 ? _mm512_slli_epi32(u, 8)
                                     : u;
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24));
}
static inline vf vf_load_pairs(const uint16_t *p) {
    return _mm512_castsi512_ps(_mm512_loadu_si512((const void *)p));
}
static inline vf vf_even_bf16(vf x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 16));
}
static inline vf vf_odd_bf16(vf x) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), high));
}
#if defined(VF_BF16_PAIRS)
static inline vf vf_both_bf16(vf even, vf odd) {
    const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_castps_si512(odd)));
}
static inline vf vf_join_bf16(vf even, vf odd) {
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
    const __m512i order = _mm512_setr_epi32(0x100000, 0x110001, 0x120002, 0x130003, 0x140004,
                                            0x150005, 0x160006, 0x170007, 0x180008, 0x190009,
                                            0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e,
                                            0x1f000f);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves));
}
static inline vf vf_dot_bf16(vf sum, vf a, vf b) {
    const __m512i x = _mm512_castps_si512(a), y = _mm512_castps_si512(b);
    return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
}
#endif

/* Into the second-level cache: the first is full of what the products read over and over. */
#define vf_prefetch_far(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf vf_sqrt(vf x) { return _mm512_sqrt_ps(x); }
static inline vf vf_abs(vf x) { return _mm512_abs_ps(x); }
static inline vf vf_copysign(vf magnitude, vf sign) {
    return _mm512_or_ps(vf_abs(magnitude), _mm512_and_ps(_mm512_set1_ps(-0.0f), sign));
}
static inline vf vf_round(vf x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vf vf_scale2(vf x, vf n) { return _mm512_scalef_ps(x, n); }
static inline vf vf_power(vf x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x), 23));
}

/* 2^(k / 32), k the integer that the last place of 1.5 * 2^18 counts: its low five bits choose a
 * fraction, the rest goes to the exponent. 0 for k = -127 * 32; less than 2^-126 for the next 31.
 */
#define VF_FINE_POWER
/* 2^(i / 32) less what the shift of k leaves of i in the fraction. */
static const uint32_t fine_powers[32] = {
    0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
    0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
    0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
    0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3,
};
static inline vf vf_fine_power(vf k) {
    const __m512i bits = _mm512_castps_si512(k);
    const __m512i low = _mm512_loadu_si512(fine_powers);
    const __m512i high = _mm512_loadu_si512(fine_powers + 16);
    const __m512i fraction = _mm512_permutex2var_epi32(low, bits, high);
    return _mm512_castsi512_ps(_mm512_add_epi32(fraction, _mm512_slli_epi32(bits, 18)));
}

static inline vm vm_bytes(const uint8_t *p) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm_test_epi8_mask(bytes, bytes);
}
static inline vm vm_bytes_n(const uint8_t *p, int n) {
    const __m128i bytes = _mm_maskz_loadu_epi8(vm_first(n), p);
    return _mm_test_epi8_mask(bytes, bytes);
}
static inline vm vm_bit(const uint32_t *words, uint32_t bit) {
    return _mm512_test_epi32_mask(_mm512_loadu_si512(words), _mm512_set1_epi32((int)bit));
}
static inline uint32_t vm_gather(const uint8_t *p) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm256_test_epi8_mask(bytes, bytes);
}
static inline vm vf_less(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm vf_equal(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vf vf_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }

/* Halves, then quarters, and so on. */
static inline float vf_sum(vf x) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
static inline float vf_highest(vf x) {
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/* Four times 4x4 inside the 128-bit quarters of each four rows, then the quarters are exchanged. */
static inline void vf_transpose(vf *x) {
    vf pair[16], four[16];
    for (int i = 0; i < 16; i += 2) {
        pair[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        pair[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int k = 0; k < 2; k++) {
            four[i + 2 * k] = _mm512_shuffle_ps(pair[i + k], pair[i + 2 + k], 0x44);
            four[i + 2 * k + 1] = _mm512_shuffle_ps(pair[i + k], pair[i + 2 + k], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        const vf low = _mm512_shuffle_f32x4(four[i], four[i + 4], 0x88);
        const vf low_odd = _mm512_shuffle_f32x4(four[i], four[i + 4], 0xdd);
        const vf high = _mm512_shuffle_f32x4(four[i + 8], four[i + 12], 0x88);
        const vf high_odd = _mm512_shuffle_f32x4(four[i + 8], four[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(low, high, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(low, high, 0xdd);
        x[i + 4] = _mm512_shuffle_f32x4(low_odd, high_odd, 0x88);
        x[i + 12] = _mm512_shuffle_f32x4(low_odd, high_odd, 0xdd);
    }
}
static inline vf vf_sums(vf *x) {
    vf two[8], four[4], eight[2];
    for (int i = 0; i < 8; i++)
        two[i] = vf_add(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]),
                        _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
    for (int i = 0; i < 4; i++)
        four[i] = vf_add(_mm512_shuffle_ps(two[2 * i], two[2 * i + 1], 0x44),
                         _mm512_shuffle_ps(two[2 * i], two[2 * i + 1], 0xee));
    for (int i = 0; i < 2; i++)
        eight[i] = vf_add(_mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0x88),
                          _mm512_shuffle_f32x4(four[2 * i], four[2 * i + 1], 0xdd));
    return vf_add(_mm512_shuffle_f32x4(eight[0], eight[1], 0x88),
                  _mm512_shuffle_f32x4(eight[0], eight[1], 0xdd));
}
/* clang-format on */

#endif
