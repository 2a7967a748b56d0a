/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processor and its operating system allow, asked of the machine itself. */
#ifndef ATTEND_BASE_CPU_FEATURES_H
#define ATTEND_BASE_CPU_FEATURES_H

enum {
    ATTEND__CPU_AVX2 = 1,   /* AVX2, FMA, F16C and saved YMM state */
    ATTEND__CPU_AVX512 = 2, /* the former, AVX-512 F, BW, VL, DQ and saved ZMM and mask state */
    ATTEND__CPU_BF16 = 4,   /* the former and AVX512-BF16 */
    ATTEND__CPU_FMA = 8     /* FMA and saved YMM state; part of AVX2 above */
};

/* Bits of the above; 0 on other machines than x86: NEON is part of AArch64. Any thread. */
unsigned attend__cpu_features(void);

/* The processor's own name, "CPU" where it has none. `name` ends in 0. */
void attend__cpu_name(char name[49]);

#endif
