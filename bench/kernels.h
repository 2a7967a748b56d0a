/* SPDX-License-Identifier: Apache-2.0
 *
 * Single kernels of the backend cpu as cases of a worker: what each file kernels_*.c offers the
 * program attend-kernels. For developers: it looks into the backend's tables, past the public API.
 */
#ifndef ATTEND_BENCH_KERNELS_H
#define ATTEND_BENCH_KERNELS_H

#include "attend/attend.h"
#include "base/thread_pool.h"
#include "cpu_kernels.h"
#include "worker_loop.h"

#include <stdatomic.h>

enum { KERNEL_SIZES = 4, KERNEL_BLOCKS = 6 };

/* A prepared case. */
typedef struct kernel_work {
    const attend__cpu_kernels *kernels; /* NULL for what is no kernel of an instruction set */
    attend_context *context;
    int64_t size; /* of its name */
    int32_t threads;
    float *block[KERNEL_BLOCKS]; /* zeroed memory, in the order of kernel_memory */
    int32_t block_count;
    bool no_memory;
    union {
        attend__dots dots;
        attend__soften soften;
        attend__lane_dots lane_dots;
        attend__lane_soften lane_soften;
        attend__lane_mix lane_mix;
        attend__lane_rows lane_rows;
        attend__tile tile;
        attend__w_block w_block;
        attend__norm_scale scale;
        attend_attention attention;
        struct {
            _Atomic int64_t arrived; /* tasks, of all runs */
            atomic_bool late;        /* one waited too long */
        } meeting;
    } call;
    attend__thread_pool *pool;
    double flops, bytes; /* of one run */
    double max_error, error_ratio;
} kernel_work;

/* Cases of one kernel: "stem-size-isa", parts that do not apply left out. */
typedef struct kernel_kind {
    const char *stem;
    int64_t sizes[KERNEL_SIZES]; /* up to the first 0; none: a case without a size */
    bool each_isa;
    void (*make)(kernel_work *w);          /* may give up when w->no_memory is set */
    bool (*run)(void *work, char *reason); /* as in worker_call */
    void (*check)(kernel_work *w);         /* what the first run left, by kernel_compare */
} kernel_kind;

/* Each ends with a stem of NULL. */
extern const kernel_kind kernel_kinds_attention[], kernel_kinds_lanes[], kernel_kinds_stages[],
    kernel_kinds_calls[];

static const double KERNEL_UNIT = 0x1p-24; /* half a unit in the last place of 1 */

/* NULL, and no_memory, when there is none. */
float *kernel_memory(kernel_work *w, int64_t floats);
/* Values of low .. high that look random and are the same each time; NULL is allowed. */
void kernel_fill(float *x, int64_t count, float low, float high);
/* Takes a result that may be `bound` away from what is right. */
void kernel_compare(kernel_work *w, double got, double expected, double bound);

#endif
