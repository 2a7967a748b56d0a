/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over parts of the keys joined into attention over all of them (attend_merging,
 * attend/attention.h), row by row, the parts in their order. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ranges.h"
#include "rows.h"

enum { CHUNK = 256 };

typedef struct merge_job {
    const attend__stage_kernels *kernels;
    const attend_merging *d;
    attend__rows out;
} merge_job;

/* Row (b, h, i) of the parts: where its lse are, and how to combine them. */
typedef struct merged_row {
    const float *lse; /* of part 0 */
    int64_t parts, stride;
    float most, total; /* total 0: there is nothing but what is left out */
} merged_row;

/* NaN is not -inf, so that it takes part and makes the total NaN. */
static float weight(const merged_row *row, int64_t p) {
    const float lse = row->lse[p * row->stride];
    return lse == -INFINITY ? 0.0f : expf(lse - row->most);
}

static merged_row weigh(const attend_merging *d, const int64_t at[3]) {
    const attend_tensor *const t = &d->part_lse, *const sinks = &d->sinks;
    merged_row row = {.parts = d->parts.sizes[0], .stride = t->strides[0]};
    row.lse = (const float *)t->data + t->offset + at[0] * t->strides[1] + at[1] * t->strides[2] +
              at[2] * t->strides[3];
    const float sink = attend__given(sinks)
                           ? ((const float *)sinks->data)[sinks->offset + at[1] * sinks->strides[0]]
                           : -INFINITY;
    row.most = sink > -INFINITY ? sink : -INFINITY;
    for (int64_t p = 0; p < row.parts; p++)
        if (row.lse[p * row.stride] > row.most) row.most = row.lse[p * row.stride];
    row.total = sink == -INFINITY ? 0.0f : expf(sink - row.most);
    for (int64_t p = 0; p < row.parts; p++)
        row.total += weight(&row, p);
    return row;
}

/* Columns begin .. begin + n - 1. Shares of the total instead of weights: their sums cannot
 * overflow where the result does not. */
static void mix(const merge_job *job, const merged_row *row, const int64_t at[3], int64_t begin,
                int64_t n, float *sum) {
    const attend_tensor *const t = &job->d->parts;
    float x[CHUNK];
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t p = 0; p < row->parts; p++) {
        if (row->lse[p * row->stride] == -INFINITY) continue;
        const float share = weight(row, p) / row->total;
        const int64_t first = t->offset + p * t->strides[0] + at[0] * t->strides[1] +
                              at[1] * t->strides[2] + at[2] * t->strides[3] + begin * t->strides[4];
        const attend__span from = {(char *)t->data + first * attend__element_bytes(t->type),
                                   t->type, t->strides[4]};
        job->kernels->widen(from, n, x);
        for (int64_t e = 0; e < n; e++)
            sum[e] += share * x[e];
    }
}

static void merge_rows(void *argument, int64_t first, int64_t end) {
    const merge_job *const job = argument;
    const int64_t H = job->out.sizes[1], L = job->out.sizes[2];
    float sum[CHUNK];
    for (int64_t index = first; index < end; index++) {
        const int64_t at[3] = {index / L / H, index / L % H, index % L};
        const merged_row row = weigh(job->d, at);
        for (int64_t begin = 0; begin < job->out.columns; begin += CHUNK) {
            const int64_t left = job->out.columns - begin, n = left < CHUNK ? left : CHUNK;
            mix(job, &row, at, begin, n, sum);
            job->kernels->narrow(sum, n, attend__row(&job->out, index, begin));
        }
        if (!attend__given(&job->d->lse)) continue;
        const attend_tensor *const lse = &job->d->lse;
        ((float *)lse->data)[lse->offset + at[0] * lse->strides[0] + at[1] * lse->strides[1] +
                             at[2] * lse->strides[2]] = row.most + logf(row.total);
    }
}

attend_status attend__cpu_merge_plan(attend_device *device, const void *largest,
                                     attend__cpu_needs *needs) {
    (void)device;
    (void)largest;
    snprintf(needs->kernel, sizeof needs->kernel, "merge");
    return ATTEND_OK;
}

attend_status attend__cpu_merge_run(attend_device *device, attend_device_plan *plan,
                                    const void *description) {
    const attend_merging *const d = description;
    merge_job job = {.kernels = device->kernels->stages, .d = d, .out = attend__rows_of(&d->out)};
    const int64_t rows = attend__row_count(&job.out);
    const double work = (double)rows * (double)d->parts.sizes[0] * (double)(job.out.columns + 32);
    attend__cpu_ranges(device, plan, rows, work, merge_rows, &job);
    return ATTEND_OK;
}
