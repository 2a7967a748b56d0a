/* SPDX-License-Identifier: Apache-2.0
 *
 * Where and how something is measured: the build, the machine, the system, the settings. */
#ifndef ATTEND_BENCH_MACHINE_H
#define ATTEND_BENCH_MACHINE_H

#include <jansson.h>

/* `context` of schema.md but for threads, workers and peaks; also `cpu_quota` (machine_cpu_quota,
 * null: none) and `clock_s` (the grain of the clock). NULL without memory. */
json_t *machine_context(int argc, char **argv);

/* Processors' worth of time that control groups of Linux (containers) allow this process; 0: no
 * limit. */
double machine_cpu_quota(void);
/* The same where groups are mounted at `root` and `membership` is as /proc/self/cgroup. */
double machine_find_quota(const char *root, const char *membership);

#endif
