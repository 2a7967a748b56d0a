/* SPDX-License-Identifier: Apache-2.0
 *
 * out = x for any strides, and between floating-point types. Dimensions are put in the order of the
 * output's strides and joined where both tensors allow it, so that a copy of heads becomes runs of
 * whole rows. Elements of one and the same type are moved as bits: a NaN keeps its payload. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ranges.h"
#include "rows.h"

enum { CHUNK = 1024 };

typedef struct copy_dimension {
    int64_t size, x_stride, out_stride;
} copy_dimension;

typedef struct copy_job {
    const attend__stage_kernels *kernels;
    copy_dimension outer[ATTEND_MAX_RANK], inner;
    int32_t outer_count;
    char *x, *out;
    attend_type x_type, out_type;
    int64_t x_bytes, out_bytes; /* of one element */
    int64_t chunks;             /* of the inner dimension */
} copy_job;

static bool joins(const copy_dimension *outer, const copy_dimension *inner) {
    return outer->x_stride == inner->size * inner->x_stride &&
           outer->out_stride == inner->size * inner->out_stride;
}

/* Fills outer and inner; returns the number of rows, the product of the outer sizes. */
static int64_t sort_dimensions(copy_job *job, const attend_tensor *x, const attend_tensor *out) {
    copy_dimension list[ATTEND_MAX_RANK + 1] = {{1, 1, 1}};
    int32_t count = 0;
    for (int32_t d = 0; d < x->rank; d++) {
        const copy_dimension next = {x->sizes[d], x->strides[d], out->strides[d]};
        if (next.size == 1) continue;
        int32_t at = count++;
        for (; at > 0 && list[at - 1].out_stride < next.out_stride; at--)
            list[at] = list[at - 1];
        list[at] = next;
    }
    if (count == 0) count = 1;
    int32_t kept = 0;
    for (int32_t d = 1; d < count; d++) {
        if (joins(&list[kept], &list[d])) {
            list[d].size *= list[kept].size;
            list[kept] = list[d];
        } else {
            list[++kept] = list[d];
        }
    }
    int64_t rows = 1;
    for (int32_t d = 0; d < kept; d++) {
        job->outer[d] = list[d];
        rows *= list[d].size;
    }
    job->outer_count = kept;
    job->inner = list[kept];
    return rows;
}

#define MOVE(type)                                                                                 \
    for (int64_t i = 0; i < n; i++)                                                                \
    memcpy(out + i * out_step * (int64_t)sizeof(type), x + i * x_step * (int64_t)sizeof(type),     \
           sizeof(type))

static void move_bits(const char *x, int64_t x_step, int64_t n, char *out, int64_t out_step,
                      int64_t bytes) {
    if (x_step == 1 && out_step == 1) {
        memcpy(out, x, (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
    case 1:
        MOVE(uint8_t);
        return;
    case 2:
        MOVE(uint16_t);
        return;
    case 4:
        MOVE(uint32_t);
        return;
    default:
        MOVE(uint64_t);
        return;
    }
}
#undef MOVE

static void convert(const copy_job *job, attend__span from, int64_t n, attend__span to) {
    float values[CHUNK];
    job->kernels->widen(from, n, values);
    job->kernels->narrow(values, n, to);
}

static void copy_chunks(void *argument, int64_t first, int64_t end) {
    const copy_job *const job = argument;
    const copy_dimension inner = job->inner;
    for (int64_t index = first; index < end; index++) {
        const int64_t begin = index % job->chunks * CHUNK;
        const int64_t n = inner.size - begin < CHUNK ? inner.size - begin : CHUNK;
        int64_t row = index / job->chunks, x_at = begin * inner.x_stride,
                out_at = begin * inner.out_stride;
        for (int32_t d = job->outer_count - 1; d >= 0; d--) {
            const int64_t i = row % job->outer[d].size;
            row /= job->outer[d].size;
            x_at += i * job->outer[d].x_stride;
            out_at += i * job->outer[d].out_stride;
        }
        char *const x = job->x + x_at * job->x_bytes, *const out =
                                                          job->out + out_at * job->out_bytes;
        if (job->x_type == job->out_type) {
            move_bits(x, inner.x_stride, n, out, inner.out_stride, job->x_bytes);
        } else {
            const attend__span from = {x, job->x_type, inner.x_stride};
            const attend__span to = {out, job->out_type, inner.out_stride};
            convert(job, from, n, to);
        }
    }
}

attend_status attend__cpu_copy_plan(attend_device *device, const void *largest,
                                    attend__cpu_needs *needs) {
    (void)device;
    const attend_copy *const copy = largest;
    snprintf(needs->kernel, sizeof needs->kernel, "%s",
             copy->x.type == copy->out.type ? "copy" : "convert");
    return ATTEND_OK;
}

attend_status attend__cpu_copy_run(attend_device *device, attend_device_plan *plan,
                                   const void *description) {
    const attend_copy *const copy = description;
    copy_job job = {.kernels = device->kernels->stages,
                    .x_type = copy->x.type,
                    .out_type = copy->out.type,
                    .x_bytes = attend__element_bytes(copy->x.type),
                    .out_bytes = attend__element_bytes(copy->out.type)};
    job.x = (char *)copy->x.data + copy->x.offset * job.x_bytes;
    job.out = (char *)copy->out.data + copy->out.offset * job.out_bytes;
    const int64_t rows = sort_dimensions(&job, &copy->x, &copy->out);
    job.chunks = (job.inner.size + CHUNK - 1) / CHUNK;
    const double work = 8.0 * (double)rows * (double)job.inner.size;
    attend__cpu_ranges(device, plan, rows * job.chunks, work, copy_chunks, &job);
    return ATTEND_OK;
}
