/* SPDX-License-Identifier: Apache-2.0
 *
 * The loops of ranges.h on the backend's tasks. */
#include "ranges.h"

enum { PARTS_PER_THREAD = 4 };

typedef struct range_job {
    attend__range_fn *range;
    void *argument;
    int64_t count, parts;
} range_job;

static void run_part(void *argument, int64_t index, void *scratch) {
    const range_job *const job = argument;
    (void)scratch;
    job->range(job->argument, attend__cut(job->count, job->parts, index),
               attend__cut(job->count, job->parts, index + 1));
}

void attend__cpu_ranges(attend_device *device, const attend_device_plan *plan, int64_t count,
                        double work, attend__range_fn *range, void *argument) {
    int64_t parts = device->threads > 1 ? (int64_t)device->threads * PARTS_PER_THREAD : 1;
    if (parts > count) parts = count;
    range_job job = {range, argument, count, parts};
    const attend__cpu_work shared = {run_part, &job, parts, work, NULL};
    attend__cpu_tasks(device, plan, &shared);
}
