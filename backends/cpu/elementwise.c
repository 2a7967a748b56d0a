/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x) * multiplier + residual, row by row in chunks that stay in the first-level
 * cache. */
#include <stdio.h>

#include "ranges.h"
#include "rows.h"

enum { CHUNK = 1024 };

typedef struct elementwise_job {
    const attend__stage_kernels *kernels;
    attend_activation activation;
    attend__rows x, multiplier, residual, out;
} elementwise_job;

typedef struct elementwise_buffers {
    float x[CHUNK], multiplier[CHUNK], residual[CHUNK], y[CHUNK], out[CHUNK];
} elementwise_buffers;

/* All inputs are read before anything is written: `out` may be any of them. */
static void do_chunk(const elementwise_job *job, int64_t row, int64_t begin, int64_t n,
                     elementwise_buffers *b) {
    const attend__stage_kernels *const kernels = job->kernels;
    const attend__span multiplier = attend__row(&job->multiplier, row, begin);
    const attend__span residual = attend__row(&job->residual, row, begin);
    const attend__span out = attend__row(&job->out, row, begin);
    const float *m = NULL, *r = NULL;
    const float *const x = attend__span_read(kernels, attend__row(&job->x, row, begin), n, b->x);
    if (multiplier.first != NULL) m = attend__span_read(kernels, multiplier, n, b->multiplier);
    if (residual.first != NULL) r = attend__span_read(kernels, residual, n, b->residual);
    float *const y = attend__span_target(out, b->out);
    if (m == NULL && r == NULL) {
        kernels->activate(job->activation, x, n, y);
    } else {
        kernels->activate(job->activation, x, n, b->y);
        kernels->combine(b->y, m, r, n, y);
    }
    attend__span_write(kernels, y, n, out);
}

static void elementwise_rows(void *argument, int64_t first, int64_t end) {
    const elementwise_job *const job = argument;
    const int64_t columns = job->x.columns;
    elementwise_buffers b;
    for (int64_t row = first; row < end; row++) {
        for (int64_t begin = 0; begin < columns; begin += CHUNK)
            do_chunk(job, row, begin, columns - begin < CHUNK ? columns - begin : CHUNK, &b);
    }
}

attend_status attend__cpu_activate_plan(attend_device *device, const void *largest,
                                        attend__cpu_needs *needs) {
    (void)device;
    static const char *const names[] = {
#define ATTEND_X(name, value, text) [value] = text,
        ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
    };
    const attend_elementwise *const e = largest;
    snprintf(needs->kernel, sizeof needs->kernel, "activate_%s", names[e->activation]);
    return ATTEND_OK;
}

attend_status attend__cpu_activate_run(attend_device *device, attend_device_plan *plan,
                                       const void *description) {
    const attend_elementwise *const e = description;
    elementwise_job job = {device->kernels->stages,       e->activation,
                           attend__rows_of(&e->x),        attend__rows_of(&e->multiplier),
                           attend__rows_of(&e->residual), attend__rows_of(&e->out)};
    const int64_t rows = attend__row_count(&job.x);
    const double work = 16.0 * (double)rows * (double)job.x.columns;
    attend__cpu_ranges(device, plan, rows, work, elementwise_rows, &job);
    return ATTEND_OK;
}
