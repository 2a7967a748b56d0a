/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a table picked by id, scaled and added to x. */
#include <stdio.h>

#include "ranges.h"
#include "rows.h"

enum { CHUNK = 1024 };

typedef struct embed_job {
    const attend__stage_kernels *kernels;
    const attend_embedding *embedding;
    attend__rows table, x, out;
    float scale;
} embed_job;

/* Element `index` of ids in the order of the rows; without ids, the place in the second-last
 * dimension. */
static int64_t table_row(const embed_job *job, int64_t index) {
    const attend_embedding *const e = job->embedding;
    const attend_tensor *const ids = &e->ids;
    if (!attend__given(ids)) return index % job->out.sizes[2] + e->id_offset;
    int64_t at = ids->offset;
    for (int32_t d = ids->rank - 1; d >= 0; d--) {
        at += index % ids->sizes[d] * ids->strides[d];
        index /= ids->sizes[d];
    }
    const int64_t id = ids->type == ATTEND_I64 ? ((const int64_t *)ids->data)[at]
                                               : ((const int32_t *)ids->data)[at];
    const int64_t last = e->table.sizes[0] - 1;
    return id < 0 ? 0 : id > last ? last : id;
}

static void do_chunk(const embed_job *job, int64_t row, int64_t table, int64_t begin, int64_t n) {
    const attend__stage_kernels *const kernels = job->kernels;
    float entry[CHUNK], added[CHUNK], y[CHUNK];
    const attend__span x = attend__row(&job->x, row, begin);
    const float *const t =
        attend__span_read(kernels, attend__row(&job->table, table, begin), n, entry);
    const float *const a = x.first != NULL ? attend__span_read(kernels, x, n, added) : NULL;
    for (int64_t i = 0; i < n; i++)
        y[i] = t[i] * job->scale;
    if (a != NULL) kernels->combine(y, NULL, a, n, y);
    kernels->narrow(y, n, attend__row(&job->out, row, begin));
}

static void embed_rows(void *argument, int64_t first, int64_t end) {
    const embed_job *const job = argument;
    const int64_t columns = job->out.columns;
    for (int64_t row = first; row < end; row++) {
        const int64_t table = table_row(job, row);
        for (int64_t begin = 0; begin < columns; begin += CHUNK)
            do_chunk(job, row, table, begin, columns - begin < CHUNK ? columns - begin : CHUNK);
    }
}

attend_status attend__cpu_embed_plan(attend_device *device, const void *largest,
                                     attend__cpu_needs *needs) {
    (void)device;
    (void)largest;
    snprintf(needs->kernel, sizeof needs->kernel, "embed");
    return ATTEND_OK;
}

attend_status attend__cpu_embed_run(attend_device *device, attend_device_plan *plan,
                                    const void *description) {
    const attend_embedding *const e = description;
    embed_job job = {device->kernels->stages,    e,
                     attend__rows_of(&e->table), attend__rows_of(&e->x),
                     attend__rows_of(&e->out),   (float)e->scale};
    const int64_t rows = attend__row_count(&job.out);
    const double work = 8.0 * (double)rows * (double)job.out.columns;
    attend__cpu_ranges(device, plan, rows, work, embed_rows, &job);
    return ATTEND_OK;
}
