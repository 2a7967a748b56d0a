/* SPDX-License-Identifier: Apache-2.0
 *
 * 16 vectors of 16 as the columns they are: four rounds of interleaving vector i with vector i + 8,
 * each of which is one shuffle instruction of a CPU. */
#ifndef ATTEND_CL_TRANSPOSE_H
#define ATTEND_CL_TRANSPOSE_H

static float16 zip_low(float16 a, float16 b) {
    float16 x;
    x.even = a.lo;
    x.odd = b.lo;
    return x;
}

static float16 zip_high(float16 a, float16 b) {
    float16 x;
    x.even = a.hi;
    x.odd = b.hi;
    return x;
}

static void transpose16(float16 r[16]) {
    float16 t[16];
#pragma unroll
    for (int round = 0; round < 4; round += 2) {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            t[2 * i] = zip_low(r[i], r[i + 8]);
            t[2 * i + 1] = zip_high(r[i], r[i + 8]);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            r[2 * i] = zip_low(t[i], t[i + 8]);
            r[2 * i + 1] = zip_high(t[i], t[i + 8]);
        }
    }
}

#endif
