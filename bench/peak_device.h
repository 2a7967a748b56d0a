/* SPDX-License-Identifier: Apache-2.0
 *
 * What an OpenCL device can do at best, by kernels and a context of their own: "peak-fma", fused
 * multiply-adds of float32, and "peak-read", reading its memory, as cases of a worker
 * (worker_loop.h). For devices that are not the processor, whose peaks are peak.h's. */
#ifndef ATTEND_BENCH_PEAK_DEVICE_H
#define ATTEND_BENCH_PEAK_DEVICE_H

#include "worker_loop.h"

/* As attend_device_info names it; two devices of the same names are alike. */
typedef struct peak_device {
    char platform[256], name[256];
} peak_device;

worker_verdict peak_device_prepare(const char *what, const peak_device *device, worker_call *call,
                                   char *reason);

#endif
