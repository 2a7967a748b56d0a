/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer norm (Ba et al. 2016, arXiv:1607.06450) and RMS norm (Zhang & Sennrich 2019,
 * arXiv:1910.07467) of t = x + residual. The variance takes a second pass over t, centred on the
 * rounded mean, and that pass also sums what the rounding of the mean left over (the corrected
 * two-pass algorithm of Chan, Golub & LeVeque 1983): a row of equal values gives exactly its bias,
 * not the mean's rounding error divided by sqrt(eps). */
#include <math.h>
#include <stdio.h>

#include "ranges.h"
#include "rows.h"

enum {
    CHUNK = 1024
}; /* a row up to this length is read once; longer ones are read anew in each pass */

typedef struct norm_job {
    const attend__stage_kernels *kernels;
    const attend_norm *norm;
    attend__rows x, residual, out, sum;
    attend__span weight, bias;
} norm_job;

typedef struct norm_buffers {
    float x[CHUNK], residual[CHUNK], t[CHUNK], weight[CHUNK], bias[CHUNK], out[CHUNK];
} norm_buffers;

/* t of the columns begin .. begin + n - 1: in `b`, or x itself. */
static const float *read_chunk(const norm_job *job, int64_t row, int64_t begin, int64_t n,
                               norm_buffers *b) {
    const attend__stage_kernels *const kernels = job->kernels;
    const float *const x = attend__span_read(kernels, attend__row(&job->x, row, begin), n, b->x);
    const attend__span residual = attend__row(&job->residual, row, begin);
    if (residual.first == NULL) return x;
    kernels->combine(x, NULL, attend__span_read(kernels, residual, n, b->residual), n, b->t);
    return b->t;
}

static attend__norm_sums sums_of(const norm_job *job, int64_t row, const float *only, float center,
                                 norm_buffers *b) {
    attend__norm_sums sums = {0.0, 0.0};
    const int64_t columns = job->x.columns;
    for (int64_t begin = 0; begin < columns; begin += CHUNK) {
        const int64_t n = columns - begin < CHUNK ? columns - begin : CHUNK;
        job->kernels->norm_sum(only != NULL ? only : read_chunk(job, row, begin, n, b), n, center,
                               &sums);
    }
    return sums;
}

static attend__norm_scale scale_of(const norm_job *job, int64_t row, const float *only,
                                   norm_buffers *b) {
    attend__norm_scale scale = {0};
    const double columns = (double)job->x.columns;
    double mean_square;
    if (job->norm->kind == ATTEND_LAYER_NORM) {
        const attend__norm_sums first = sums_of(job, row, only, 0.0f, b);
        scale.center = (float)(first.sum / columns);
        const attend__norm_sums second = sums_of(job, row, only, scale.center, b);
        const double shift = second.sum / columns;
        scale.shift = (float)shift;
        mean_square = second.squares / columns - shift * shift;
        if (mean_square < 0.0) mean_square = 0.0;
    } else {
        mean_square = sums_of(job, row, only, 0.0f, b).squares / columns;
    }
    scale.factor = (float)(1.0 / sqrt(mean_square + job->norm->eps));
    return scale;
}

static void finish_chunk(const norm_job *job, int64_t row, int64_t begin, int64_t n, const float *t,
                         attend__norm_scale scale, norm_buffers *b) {
    const attend__stage_kernels *const kernels = job->kernels;
    const attend__span out = attend__row(&job->out, row, begin),
                       sum = attend__row(&job->sum, row, begin);
    if (job->weight.first != NULL)
        scale.weight =
            attend__span_read(kernels, attend__span_after(job->weight, begin), n, b->weight);
    if (job->bias.first != NULL)
        scale.bias = attend__span_read(kernels, attend__span_after(job->bias, begin), n, b->bias);
    /* `sum` may lie where `residual` does and `out` where x does, which t may be: normalised first
     * into the buffer, then both are written. */
    float *const y = sum.first != NULL ? b->out : attend__span_target(out, b->out);
    kernels->norm_apply(t, n, &scale, y);
    if (sum.first != NULL) kernels->narrow(t, n, sum);
    attend__span_write(kernels, y, n, out);
}

static void norm_rows(void *argument, int64_t first, int64_t end) {
    const norm_job *const job = argument;
    const int64_t columns = job->x.columns;
    norm_buffers b;
    for (int64_t row = first; row < end; row++) {
        const float *const only = columns <= CHUNK ? read_chunk(job, row, 0, columns, &b) : NULL;
        const attend__norm_scale scale = scale_of(job, row, only, &b);
        for (int64_t begin = 0; begin < columns; begin += CHUNK) {
            const int64_t n = columns - begin < CHUNK ? columns - begin : CHUNK;
            const float *const t = only != NULL ? only : read_chunk(job, row, begin, n, &b);
            finish_chunk(job, row, begin, n, t, scale, &b);
        }
    }
}

attend_status attend__cpu_norm_plan(attend_device *device, const void *largest,
                                    attend__cpu_needs *needs) {
    (void)device;
    const attend_norm *const norm = largest;
    snprintf(needs->kernel, sizeof needs->kernel, "%s",
             norm->kind == ATTEND_LAYER_NORM ? "layer_norm" : "rms_norm");
    return ATTEND_OK;
}

attend_status attend__cpu_norm_run(attend_device *device, attend_device_plan *plan,
                                   const void *description) {
    const attend_norm *const norm = description;
    const attend__rows weight = attend__rows_of(&norm->weight), bias = attend__rows_of(&norm->bias);
    norm_job job = {.kernels = device->kernels->stages,
                    .norm = norm,
                    .x = attend__rows_of(&norm->x),
                    .residual = attend__rows_of(&norm->residual),
                    .out = attend__rows_of(&norm->out),
                    .sum = attend__rows_of(&norm->sum),
                    .weight = attend__row(&weight, 0, 0),
                    .bias = attend__row(&bias, 0, 0)};
    const int64_t rows = attend__row_count(&job.x);
    const double work = 16.0 * (double)rows * (double)job.x.columns;
    attend__cpu_ranges(device, plan, rows, work, norm_rows, &job);
    return ATTEND_OK;
}
