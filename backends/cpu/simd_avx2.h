/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector verbs (contract: simd_scalar.h) on AVX2 with FMA and F16C: 8 lanes, 16 registers.
 * Intrinsics stay in this file. Sources: Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 2. */
#ifndef ATTEND_CPU_SIMD_AVX2_H
#define ATTEND_CPU_SIMD_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VF_LANES 8
#define VF_REGISTERS 16

/* No function: gcc 12 drops calls of one that does nothing but prefetch. */
#define vf_prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#define VF_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define VF_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VF_UNROLL _Pragma("GCC unroll 32")
#endif

typedef __m256 vf;
typedef __m256 vm; /* all bits of a lane, or none */

static inline __m256i vi_first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* A table of verbs. */
/* clang-format off */
static inline vf vf_set(float x) { return _mm256_set1_ps(x); }
static inline vf vf_zero(void) { return _mm256_setzero_ps(); }
static inline vf vf_iota(void) {
    return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
}
static inline vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
static inline vf vf_load_n(const float *p, int n) { return _mm256_maskload_ps(p, vi_first(n)); }
static inline void vf_store(float *p, vf x) { _mm256_storeu_ps(p, x); }
static inline void vf_store_n(float *p, vf x, int n) { _mm256_maskstore_ps(p, vi_first(n), x); }

static inline vf vf_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline void vf_store_f16(uint16_t *p, vf x) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
static inline vf vf_load_bf16(const uint16_t *p) {
    const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
static inline void vf_store_bf16(uint16_t *p, vf x) {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i h = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    _mm_storeu_si128((__m128i *)(void *)p, _mm_packus_epi32(_mm256_castsi256_si128(h),
                                                            _mm256_extracti128_si256(h, 1)));
}
/* AVX2 has no masked 16-bit access: short rows go through a full vector's copy. */
static inline vf vf_load_f16_n(const uint16_t *p, int n) {
    uint16_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n * sizeof *p);
    return vf_load_f16(row);
}
static inline vf vf_load_bf16_n(const uint16_t *p, int n) {
    uint16_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n * sizeof *p);
    return vf_load_bf16(row);
}
static inline void vf_store_f16_n(uint16_t *p, vf x, int n) {
    uint16_t row[VF_LANES];
    vf_store_f16(row, x);
    memcpy(p, row, (size_t)n * sizeof *p);
}
static inline void vf_store_bf16_n(uint16_t *p, vf x, int n) {
    uint16_t row[VF_LANES];
    vf_store_bf16(row, x);
    memcpy(p, row, (size_t)n * sizeof *p);
}
static inline vf vf_load_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}
static inline vf vf_load_i8_n(const int8_t *p, int n) {
    int8_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n);
    return vf_load_i8(row);
}
static inline vf vf_load_fours(const int8_t *p) {
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_i8_of(vf x, int place) {
    const __m256i u = _mm256_castps_si256(x);
    const __m256i top = place == 0   ? _mm256_slli_epi32(u, 24)
                        : place == 1 ? _mm256_slli_epi32(u, 16)
                        : place == 2 ? _mm256_slli_epi32(u, 8)
                                     : u;
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(top, 24));
}
static inline vf vf_load_pairs(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline vf vf_even_bf16(vf x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 16));
}
static inline vf vf_odd_bf16(vf x) {
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}

/* Into the second-level cache: the first is full of what the products read over and over. */
#define vf_prefetch_far(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
static inline vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
static inline vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
static inline vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf vf_sqrt(vf x) { return _mm256_sqrt_ps(x); }
static inline vf vf_abs(vf x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline vf vf_copysign(vf magnitude, vf sign) {
    return _mm256_or_ps(vf_abs(magnitude), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign));
}
static inline vf vf_round(vf x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* In two steps, of which only the second can round. */
static inline vf vf_scale2(vf x, vf n) {
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half);
    const vf first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const vf second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, first), second);
}
static inline vf vf_power(vf x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 23));
}

static inline vm vm_first(int n) { return _mm256_castsi256_ps(vi_first(n)); }
static inline vm vm_bytes(const uint8_t *p) {
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(bytes, _mm256_setzero_si256()));
}
static inline vm vm_bytes_n(const uint8_t *p, int n) {
    uint8_t row[VF_LANES] = {0};
    memcpy(row, p, (size_t)n);
    return vm_bytes(row);
}
static inline vm vm_bit(const uint32_t *words, uint32_t bit) {
    const __m256i mask = _mm256_set1_epi32((int)bit);
    const __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)words);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(word, mask), mask));
}
static inline uint32_t vm_gather(const uint8_t *p) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)p);
    const __m256i zero = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
    return ~(uint32_t)_mm256_movemask_epi8(zero);
}
static inline vm vf_less(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm vf_equal(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vf vf_select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }

/* Halves, then quarters, then pairs. */
static inline float vf_sum(vf x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
static inline float vf_highest(vf x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/* Pairs of rows are interleaved, then pairs of pairs, then 128-bit halves exchanged. */
static inline void vf_transpose(vf *x) {
    vf pair[8], four[8];
    for (int i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int k = 0; k < 2; k++) {
            four[i + 2 * k] = _mm256_shuffle_ps(pair[i + k], pair[i + 2 + k], 0x44);
            four[i + 2 * k + 1] = _mm256_shuffle_ps(pair[i + k], pair[i + 2 + k], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
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
