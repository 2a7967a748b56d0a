/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in the order the product reads them, packed once: panels that a block of the product
 * streams through from front to back, so that every cache line and every prefetch is used. 16-bit
 * matrices stay 16 bits wide, which halves the bytes of products with few rows; they are widened,
 * exactly, when read. */
#include <stdbool.h>

#include "base/checked.h"
#include "ranges.h"
#include "rows.h"
#include "weights.h"

enum { PACK_DEPTH = 64 }; /* columns of K that pass through the stack on their way to 16 bits */
enum { MOST_COLUMNS = 64 };

typedef struct pack_job {
    const attend__stage_kernels *kernels;
    attend__w_block whole;
    const attend_device_weights *weights;
} pack_job;

static void pack_one(const pack_job *job, int64_t panel) {
    const attend__stage_kernels *const kernels = job->kernels;
    const attend_device_weights *const weights = job->weights;
    const int64_t columns = kernels->panel_columns,
                  from_bytes = attend__element_bytes(job->whole.type);
    const int64_t first = panel * columns, left = weights->columns - first;
    char *to = weights->panels + panel * weights->depth * columns * from_bytes;
    float wide[PACK_DEPTH * MOST_COLUMNS];
    for (int64_t k = 0; k < weights->depth; k += PACK_DEPTH) {
        attend__w_block block = job->whole;
        block.first += (first * block.n_stride + k * block.k_stride) * from_bytes;
        block.count = (int32_t)(left < columns ? left : columns);
        block.depth = (int32_t)(weights->depth - k < PACK_DEPTH ? weights->depth - k : PACK_DEPTH);
        if (weights->type == ATTEND_F32) {
            kernels->pack_panel(&block, (float *)(void *)to);
        } else {
            const attend__span narrow = {to, weights->type, 1};
            kernels->pack_panel(&block, wide);
            kernels->narrow(wide, block.depth * columns, narrow);
        }
        to += block.depth * columns * from_bytes;
    }
}

static void pack_range(void *argument, int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; panel++)
        pack_one(argument, panel);
}

attend_status attend__cpu_weights_create(attend_device *device, const attend_tensor *w,
                                         attend_device_weights **weights) {
    const attend_host *const host = &device->host;
    const int64_t columns = device->kernels->stages->panel_columns;
    const int64_t panels = w->sizes[0] / columns + (w->sizes[0] % columns != 0);
    const int64_t element = attend__element_bytes(w->type);
    size_t bytes = 0;
    if (!attend__mul_size((size_t)panels, (size_t)(columns * element), &bytes) ||
        !attend__mul_size(bytes, (size_t)w->sizes[1], &bytes))
        return attend__cpu_fail(host, ATTEND_OVERFLOW, "w: its size does not fit in memory");
    attend_device_weights *const made = host->allocate(host->self, sizeof *made, sizeof(void *));
    char *const memory = host->allocate(host->self, bytes > 0 ? bytes : 1, ATTEND__CPU_ALIGNMENT);
    if (made == NULL || memory == NULL) {
        host->release(host->self, made);
        host->release(host->self, memory);
        return attend__cpu_fail(host, ATTEND_OUT_OF_MEMORY, "cpu: no memory for packed weights");
    }
    *made = (attend_device_weights){w->type, w->sizes[0], w->sizes[1], memory};
    char *const first = (char *)w->data + w->offset * element;
    pack_job job = {
        device->kernels->stages, {first, w->type, w->strides[0], w->strides[1], 0, 0}, made};
    const attend_device_plan no_scratch = {0};
    attend__cpu_ranges(device, &no_scratch, panels, (double)bytes, pack_range, &job);
    *weights = made;
    return ATTEND_OK;
}

void attend__cpu_weights_release(attend_device *device, attend_device_weights *weights) {
    if (weights == NULL) return;
    device->host.release(device->host.self, weights->panels);
    device->host.release(device->host.self, weights);
}
