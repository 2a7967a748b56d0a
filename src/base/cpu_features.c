/* SPDX-License-Identifier: Apache-2.0
 *
 * CPUID and XGETBV. An instruction set counts only if the operating system saves its registers,
 * which XCR0 tells: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1,
 * sections 14.3 and 15.2. */
#include "base/cpu_features.h"

#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
static void ask(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
    __cpuidex((int *)registers, (int)leaf, (int)subleaf);
}
static uint64_t saved_state(void) {
    return _xgetbv(0);
}
#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
static void ask(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
    __cpuid_count(leaf, subleaf, registers[0], registers[1], registers[2], registers[3]);
}
static uint64_t saved_state(void) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#else
static void ask(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
    (void)leaf;
    (void)subleaf;
    memset(registers, 0, 4 * sizeof registers[0]);
}
static uint64_t saved_state(void) {
    return 0;
}
#endif

enum { EAX, EBX, ECX, EDX };

static int all(uint64_t set, uint64_t wanted) {
    return (set & wanted) == wanted;
}

unsigned attend__cpu_features(void) {
    const uint64_t ymm = 0x6, zmm = 0xe6;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28,
                   f16c = 1u << 29; /* leaf 1, ECX */
    const uint32_t avx2 = 1u << 5;  /* leaf 7, EBX */
    const uint32_t bf16 = 1u << 5;  /* leaf 7.1, EAX */
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    uint32_t r[4];
    ask(0, 0, r);
    const uint32_t last = r[EAX];
    if (last < 1) return 0;
    ask(1, 0, r);
    if (!all(r[ECX], fma | osxsave | avx)) return 0;
    const uint64_t state = saved_state();
    if (!all(state, ymm)) return 0;
    if (last < 7 || !all(r[ECX], f16c)) return ATTEND__CPU_FMA;
    ask(7, 0, r);
    if (!all(r[EBX], avx2)) return ATTEND__CPU_FMA;
    const unsigned found = ATTEND__CPU_FMA | ATTEND__CPU_AVX2;
    if (!all(r[EBX], f | dq | bw | vl) || !all(state, zmm)) return found;
    const uint32_t subleaves = r[EAX];
    memset(r, 0, sizeof r);
    if (subleaves >= 1) ask(7, 1, r);
    return found | ATTEND__CPU_AVX512 | (all(r[EAX], bf16) ? ATTEND__CPU_BF16 : 0u);
}

void attend__cpu_name(char name[49]) {
    uint32_t r[4];
    memset(name, 0, 49);
    ask(0x80000000u, 0, r);
    if (r[EAX] >= 0x80000004u) {
        for (uint32_t i = 0; i < 3; i++) {
            ask(0x80000002u + i, 0, r);
            memcpy(name + 16 * i, r, sizeof r);
        }
    }
    const size_t blanks = strspn(name, " ");
    memmove(name, name + blanks, 49 - blanks);
    for (size_t n = strlen(name); n > 0 && name[n - 1] == ' '; n--)
        name[n - 1] = 0;
    if (name[0] == 0) memcpy(name, "CPU", 4);
}
