/* SPDX-License-Identifier: Apache-2.0
 *
 * Shows that the bound is tight enough: plain float32 attention passes it, and the same with a key
 * lost, a key counted twice, a scale of 1/sqrt(D + 1), or scores rounded to bfloat16 does not, at
 * 128 and at 4096 keys. */
#include "gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { D = 64, ROWS = 16, MOST = 4096 };

typedef enum fault { NONE, LOST_KEY, DOUBLED_KEY, WRONG_SCALE, BF16_SCORES, FAULTS } fault;
static const char *const fault_text[FAULTS] = {"no fault", "lost key", "doubled key",
                                               "scale 1/sqrt(D+1)", "scores in bf16"};

static float as_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One row in float32, sums in partials of 256 as a kernel would. */
static void plain_row(const attend_attention *a, int64_t i, fault f, float *out) {
    static float w[MOST + 1];
    const int64_t S = a->k.sizes[2];
    const float *q = (const float *)a->q.data + i * D, *k = a->k.data, *v = a->v.data;
    const float scale = 1 / sqrtf(f == WRONG_SCALE ? D + 1.0f : (float)D);
    const int64_t odd = S / 3; /* the key that is lost or doubled */
    float top = -HUGE_VALF, sum = 0;
    for (int64_t j = 0; j < S; j++) {
        float dot = 0;
        for (int64_t d = 0; d < D; d++)
            dot += q[d] * k[j * D + d];
        w[j] = f == BF16_SCORES ? as_bf16(dot * scale) : dot * scale;
        if (w[j] > top) top = w[j];
    }
    for (int64_t j = 0; j < S; j++) {
        w[j] = expf(w[j] - top);
        if (j == odd) w[j] *= f == LOST_KEY ? 0.0f : f == DOUBLED_KEY ? 2.0f : 1.0f;
        sum += w[j];
    }
    for (int64_t d = 0; d < D; d++) {
        float total = 0;
        for (int64_t block = 0; block < S; block += 256) {
            float part = 0;
            for (int64_t j = block; j < S && j < block + 256; j++)
                part += w[j] * v[j * D + d];
            total += part;
        }
        out[d] = total / sum;
    }
}

static double worst_ratio(const attend_attention *a, fault f, gate_row *row) {
    float out[D];
    double worst = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        gate_row_compute(row, a, 0, 0, i);
        plain_row(a, i, f, out);
        for (int64_t e = 0; e < D; e++) {
            double bound;
            const double want = gate_row_output(row, a, 0, 0, e, &bound);
            const double ratio = gate_ratio((double)out[e], want, bound, ATTEND_F32);
            if (ratio > worst) worst = ratio;
        }
    }
    return worst;
}

int main(void) {
    static float q[ROWS * D], k[MOST * D], v[MOST * D];
    gate_random r = {20260101};
    for (int i = 0; i < ROWS * D; i++)
        q[i] = (float)gate_normal(&r);
    for (int i = 0; i < MOST * D; i++) {
        k[i] = (float)gate_normal(&r);
        v[i] = (float)gate_normal(&r);
    }
    gate_row row;
    if (!gate_row_make(&row, MOST)) return 1;
    int missed = 0;
    for (int64_t S = 128; S <= MOST; S *= 32) {
        attend_attention a = attend_attention_default();
        a.q = attend_tensor_4d(q, ATTEND_F32, 1, 1, ROWS, D);
        a.k = attend_tensor_4d(k, ATTEND_F32, 1, 1, S, D);
        a.v = attend_tensor_4d(v, ATTEND_F32, 1, 1, S, D);
        for (int f = 0; f < FAULTS; f++) {
            const double ratio = worst_ratio(&a, (fault)f, &row);
            const int as_expected = f == NONE ? ratio <= 1 : ratio > 1;
            printf("S %4d  %-18s %10.3f of the bound%s\n", (int)S, fault_text[f], ratio,
                   as_expected ? "" : "  WRONG");
            missed += !as_expected;
        }
    }
    gate_row_free(&row);
    return missed != 0;
}
