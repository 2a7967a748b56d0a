/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a row of attention, and the pieces of a row whose keys are split: what the kernels of
 * all classes share, so that a row has the same bits whichever way it was computed. EC columns from
 * `column` on are at hand. */
#ifndef ATTEND_CL_ATTENTION_FINISH_H
#define ATTEND_CL_ATTENTION_FINISH_H

#include "score.h"

/* Where a call's results go, and the sinks that join its rows. */
typedef struct results {
    __global const float *sinks;
    __global uchar *out;
    __global float *lse, *scratch;
} results;

/* Maximum and sum of a row, or of a part of its keys. */
typedef struct mass {
    float maximum, sum;
} mass;

/* Where piece `piece` of the row of this number lies. */
static __global float *piece_head(const attention_params *p, __global float *scratch, i64 row,
                                  int piece) {
    return scratch + p->partial_at + (row * p->pieces + piece) * 2;
}

static __global float *piece_values(const attention_params *p, __global float *scratch, i64 row,
                                    int piece) {
    const i64 heads = p->rows * p->pieces * 2;
    return scratch + p->partial_at + heads + (row * p->pieces + piece) * p->EP;
}

static void keep_piece(const attention_params *p, __global float *scratch, i64 row, int piece,
                       int column, mass m, const float *values) {
    __global float *const head = piece_head(p, scratch, row, piece);
    head[0] = m.maximum;
    head[1] = m.sum;
    __global float *const to = piece_values(p, scratch, row, piece) + column;
    for (int e = 0; e < EC; e += 16)
        vstore16(vload16(0, values + e), 0, to + e);
}

/* The sink joins the row; `write`: this work-item stores its log-sum-exp, and for weights its
 * maximum and sum. Returns what the sums of values are multiplied with, first x and then y: 0 for
 * a row without an allowed key, whose sum is 0, since the largest score alone adds 1. y is 1 but
 * for keys so far below the sink that each of their weights would be subnormal, and flushed, while
 * the values' sum times the weight is not: half the distance each reaches to e^-174, where the
 * largest float32 becomes 0, too. */
static float2 close_row(const attention_params *p, const row_info *row, const results *to,
                        int write, mass m) {
    float factor = 1.0f, then = 1.0f;
    if (to->sinks && row->live) {
        const float sink = to->sinks[p->sink_at + row->h * p->sink_stride];
        const float top = sink > m.maximum ? sink : m.maximum, base = anchor(top);
        const float below = m.maximum - base;
        const bool far = below < -80.0f;
        factor = exponential(far ? 0.5f * below : below);
        if (far) then = factor;
        m.sum = FMA(m.sum, factor * then, sink == -INFINITY ? 0.0f : exponential(sink - base));
        m.maximum = top;
    }
    if (write && to->lse)
        to->lse[p->lse_at + row->b * p->lse_strides[0] + row->h * p->lse_strides[1] +
                row->row * p->lse_strides[2]] =
            m.sum == 0.0f ? -INFINITY : m.maximum + log(m.sum);
    if (write && p->row_sums_at >= 0) {
        __global float *const sums = to->scratch + p->row_sums_at + 2 * row->number;
        sums[0] = anchor(m.maximum);
        sums[1] = m.sum;
    }
    return (float2)(m.sum == 0.0f ? 0.0f : factor / m.sum, then);
}

static i64 out_of(const attention_params *p, const row_info *row) {
    return p->out_at + row->b * p->out_strides[0] + row->h * p->out_strides[1] +
           row->row * p->out_strides[2];
}

/* 16 columns, one rounding. */
static void store_columns(const attention_params *p, i64 at, int column, __global uchar *out,
                          float16 x) {
    store_part(out, at, p->out_strides[3], column, p->E, p->out_type, x);
}

/* The same of those of 4 columns that there are, one by one. */
static void store_four(const attention_params *p, i64 row_at, int column, __global uchar *out,
                       float4 x) {
    const i64 step = p->out_strides[3], at = row_at + column * step;
    if (column < p->E) store_element(out, at, p->out_type, x.x);
    if (column + 1 < p->E) store_element(out, at + step, p->out_type, x.y);
    if (column + 2 < p->E) store_element(out, at + 2 * step, p->out_type, x.z);
    if (column + 3 < p->E) store_element(out, at + 3 * step, p->out_type, x.w);
}

/* The row's EC columns from `column` on. */
static void finish_row(const attention_params *p, const row_info *row, const results *to,
                       int column, mass m, const float *values) {
    const float2 share = close_row(p, row, to, column == 0, m);
    for (int e = 0; e < EC && column + e < p->E; e += 16)
        store_columns(p, out_of(p, row), column + e, to->out,
                      vload16(0, values + e) * share.x * share.y);
}

#endif
