/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums and scaling of layer norm and RMS norm on float32 rows, over the vector verbs. Lanes
 * add in float32 and are joined in float64; rows come in chunks (norm.c), so that long ones round
 * like short ones. */
#ifndef ATTEND_CPU_NORM_TMPL_H
#define ATTEND_CPU_NORM_TMPL_H

#include "stage_kernels.h"

enum { NORM_VECTORS = 4 }; /* accumulators, to hide the latency of additions */

VF_INLINE void norm_add(vf x, vf center, vf *sum, vf *squares) {
    const vf d = vf_sub(x, center);
    *sum = vf_add(*sum, d);
    *squares = vf_fma(d, d, *squares);
}

static void norm_sum(const float *x, int64_t n, float center, attend__norm_sums *sums) {
    vf sum[NORM_VECTORS], squares[NORM_VECTORS];
    const vf c = vf_set(center);
    for (int v = 0; v < NORM_VECTORS; v++)
        sum[v] = squares[v] = vf_zero();
    int64_t i = 0;
    for (; i + NORM_VECTORS * VF_LANES <= n; i += NORM_VECTORS * VF_LANES) {
        VF_UNROLL for (int v = 0; v < NORM_VECTORS; v++)
            norm_add(vf_load(x + i + v * VF_LANES), c, &sum[v], &squares[v]);
    }
    for (; i + VF_LANES <= n; i += VF_LANES)
        norm_add(vf_load(x + i), c, &sum[0], &squares[0]);
    if (i < n) {
        /* lanes beyond the end must add 0, not 0 - center */
        const int rest = (int)(n - i);
        const vf d = vf_select(vm_first(rest), vf_sub(vf_load_n(x + i, rest), c), vf_zero());
        norm_add(d, vf_zero(), &sum[0], &squares[0]);
    }
    for (int v = 0; v < NORM_VECTORS; v++) {
        sums->sum += (double)vf_sum(sum[v]);
        sums->squares += (double)vf_sum(squares[v]);
    }
}

VF_INLINE vf normed(vf x, const attend__norm_scale *s) {
    return vf_mul(vf_sub(vf_sub(x, vf_set(s->center)), vf_set(s->shift)), vf_set(s->factor));
}

static void norm_apply(const float *x, int64_t n, const attend__norm_scale *s, float *y) {
    int64_t i = 0;
    for (; i + VF_LANES <= n; i += VF_LANES) {
        vf v = normed(vf_load(x + i), s);
        if (s->weight != NULL) v = vf_mul(v, vf_load(s->weight + i));
        if (s->bias != NULL) v = vf_add(v, vf_load(s->bias + i));
        vf_store(y + i, v);
    }
    if (i == n) return;
    const int rest = (int)(n - i);
    vf v = normed(vf_load_n(x + i, rest), s);
    if (s->weight != NULL) v = vf_mul(v, vf_load_n(s->weight + i, rest));
    if (s->bias != NULL) v = vf_add(v, vf_load_n(s->bias + i, rest));
    vf_store_n(y + i, v, rest);
}

#endif
