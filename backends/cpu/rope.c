/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions (Su et al. 2021, arXiv:2104.09864): pairs of a head's first elements turn by the
 * angle of their position. Chunks of pairs are read before they are written, so `out` may be x. */
#include <stdbool.h>
#include <stdio.h>

#include "ranges.h"
#include "rows.h"

enum { CHUNK = 256 }; /* pairs */

typedef struct rope_job {
    const attend__stage_kernels *kernels;
    const attend_rope *rope;
    attend__rows x, out, cos, sin;
    int64_t heads, length, pairs;
} rope_job;

/* The row of the tables for position i of batch b. Ids and offsets that lay in a buffer were not
 * checked by the host, hence the clamp. */
static int64_t table_row(const rope_job *job, int64_t b, int64_t i) {
    const attend_rope *const rope = job->rope;
    const attend_tensor *const ids = &rope->position_ids, *const offsets = &rope->position_offsets;
    const int64_t rows = rope->cos.sizes[0];
    if (rope->cos.rank == 3) return b * rope->cos.sizes[1] + i;
    int64_t row = i + rope->position_offset;
    if (attend__given(ids)) {
        const int64_t at = ids->offset + b * ids->strides[0] + i * ids->strides[1];
        row = ids->type == ATTEND_I64 ? ((const int64_t *)ids->data)[at]
                                      : ((const int32_t *)ids->data)[at];
    } else if (attend__given(offsets)) {
        row += attend__between(attend_tensor_index(offsets, b), 0, rows);
    }
    return attend__between(row, 0, rows - 1);
}

/* Element `column` .. of a row, every `step`-th. */
static attend__span part(const attend__rows *rows, int64_t row, int64_t column, int64_t step) {
    attend__span span = attend__row(rows, row, column);
    span.stride *= step;
    return span;
}

static void turn_pairs(const rope_job *job, int64_t row, int64_t table, int64_t begin, int64_t n) {
    const attend__stage_kernels *const kernels = job->kernels;
    float c[CHUNK], s[CHUNK], x1[CHUNK], x2[CHUNK], y1[CHUNK], y2[CHUNK];
    const bool interleaved = job->rope->interleaved != 0;
    const int64_t step = interleaved ? 2 : 1;
    const int64_t first = interleaved ? 2 * begin : begin;
    const int64_t second = interleaved ? first + 1 : job->pairs + begin;
    kernels->widen(attend__row(&job->cos, table, begin), n, c);
    kernels->widen(attend__row(&job->sin, table, begin), n, s);
    kernels->widen(part(&job->x, row, first, step), n, x1);
    kernels->widen(part(&job->x, row, second, step), n, x2);
    for (int64_t r = 0; r < n; r++) {
        y1[r] = c[r] * x1[r] - s[r] * x2[r];
        y2[r] = s[r] * x1[r] + c[r] * x2[r];
    }
    kernels->narrow(y1, n, part(&job->out, row, first, step));
    kernels->narrow(y2, n, part(&job->out, row, second, step));
}

static void copy_rest(const rope_job *job, int64_t row) {
    float values[CHUNK];
    for (int64_t begin = 2 * job->pairs; begin < job->x.columns; begin += CHUNK) {
        const int64_t left = job->x.columns - begin, n = left < CHUNK ? left : CHUNK;
        job->kernels->widen(attend__row(&job->x, row, begin), n, values);
        job->kernels->narrow(values, n, attend__row(&job->out, row, begin));
    }
}

static void rope_rows(void *argument, int64_t first, int64_t end) {
    const rope_job *const job = argument;
    for (int64_t row = first; row < end; row++) {
        const int64_t i = row % job->length, b = row / job->length / job->heads;
        const int64_t table = table_row(job, b, i);
        for (int64_t begin = 0; begin < job->pairs; begin += CHUNK) {
            const int64_t left = job->pairs - begin;
            turn_pairs(job, row, table, begin, left < CHUNK ? left : CHUNK);
        }
        copy_rest(job, row);
    }
}

attend_status attend__cpu_rope_plan(attend_device *device, const void *largest,
                                    attend__cpu_needs *needs) {
    (void)device;
    const attend_rope *const rope = largest;
    snprintf(needs->kernel, sizeof needs->kernel, "rope_%s",
             rope->interleaved ? "interleaved" : "halves");
    return ATTEND_OK;
}

attend_status attend__cpu_rope_run(attend_device *device, attend_device_plan *plan,
                                   const void *description) {
    const attend_rope *const rope = description;
    rope_job job = {.kernels = device->kernels->stages,
                    .rope = rope,
                    .x = attend__rows_of(&rope->x),
                    .out = attend__rows_of(&rope->out),
                    .cos = attend__rows_of(&rope->cos),
                    .sin = attend__rows_of(&rope->sin),
                    .heads = rope->x.sizes[1],
                    .length = rope->x.sizes[2],
                    .pairs = (rope->rotary_dim > 0 ? rope->rotary_dim : rope->x.sizes[3]) / 2};
    const int64_t rows = attend__row_count(&job.x);
    const double work = 8.0 * (double)rows * (double)job.x.columns;
    attend__cpu_ranges(device, plan, rows, work, rope_rows, &job);
    return ATTEND_OK;
}
