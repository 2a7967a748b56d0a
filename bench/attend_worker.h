/* SPDX-License-Identifier: Apache-2.0
 *
 * attend itself as a worker: one context, the cases of protocol.md on the public API, and the peaks
 * of the machine. */
#ifndef ATTEND_BENCH_ATTEND_WORKER_H
#define ATTEND_BENCH_ATTEND_WORKER_H

/* Serves standard input (worker_loop.h). Backend and device as attend_options has them. Returns the
 * exit status. */
int attend_worker_main(const char *backend, const char *device);

#endif
