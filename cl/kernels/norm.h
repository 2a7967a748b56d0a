/* SPDX-License-Identifier: Apache-2.0
 *
 * What the norms that keep a row to one work-item (norm.cl) and to a work-group (norm_tile.cl)
 * share: reading t = x + residual, the scale made of the sums, and writing the result. */
#ifndef ATTEND_CL_NORM_H
#define ATTEND_CL_NORM_H

#include "stage_rows.h"

typedef struct norm_row {
    __global const uchar *x, *residual, *weight, *bias;
    __global uchar *out, *sum;
    const norm_arguments *a;
    i64 x_at, residual_at, out_at, sum_at;
} norm_row;

/* Points at row `row`. */
static void norm_go(norm_row *r, i32 row) {
    const norm_arguments *const a = r->a;
    r->x_at = row_start(&a->x, a->sizes, row);
    r->residual_at = row_start(&a->residual, a->sizes, row);
    r->out_at = row_start(&a->out, a->sizes, row);
    r->sum_at = row_start(&a->sum, a->sizes, row);
}

/* y = ((t - center) - shift) * factor */
typedef struct norm_scale {
    float center, shift, factor;
} norm_scale;

/* t of the columns from n on, of which `count` exist. */
static lanes norm_input(const norm_row *r, i32 n, int count) {
    const row_tensor *const x = &r->a->x, *const residual = &r->a->residual;
    lanes t = load_lanes(r->x, r->x_at + n * x->step, x->step, x->type, count);
    if (residual->type != 0)
        t += load_lanes(r->residual, r->residual_at + n * residual->step, residual->step,
                        residual->type, count);
    return t;
}

/* sums: of t - center and of its square. */
static void norm_finish(norm_scale *scale, float2 sums, const norm_arguments *a) {
    float square = sums.y / a->columns;
    if (a->centred) {
        scale->shift = sums.x / a->columns;
        square -= scale->shift * scale->shift;
        if (square < 0.0f) square = 0.0f;
    }
    scale->factor = rsqrt(square + a->eps);
}

/* t is read before `out` and `sum` are written: they may lie where x and residual do. */
static void norm_store(const norm_row *r, const norm_scale *scale, i32 n) {
    const norm_arguments *const a = r->a;
    const int count = a->columns - n;
    const lanes t = norm_input(r, n, count);
    lanes y = (t - scale->center - scale->shift) * scale->factor;
    if (a->weight_type != 0)
        y *= load_lanes(r->weight, a->weight_offset + n * a->weight_step, a->weight_step,
                        a->weight_type, count);
    if (a->bias_type != 0)
        y += load_lanes(r->bias, a->bias_offset + n * a->bias_step, a->bias_step, a->bias_type,
                        count);
    if (a->sum.type != 0)
        store_lanes(r->sum, r->sum_at + n * a->sum.step, a->sum.step, a->sum.type, count, t);
    store_lanes(r->out, r->out_at + n * a->out.step, a->out.step, a->out.type, count, y);
}

#endif
