/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms with a work-group of 64 to a row, see norm.cl for the algorithm. Partial sums meet in local
 * memory, those of neighbours in registers where there is a way (subgroup.h); added in the same
 * order. Each work-item writes the columns it read, so `out` and `sum` may lie where x and residual
 * do.
 *
 * Local memory is an argument in these kernels. PoCL 3.1 leaves an array declared in the kernel,
 * but used by helpers only, one static array of the process, and work-groups on two threads share
 * it. */
#define LANES 1
#include "norm.h"
#include "subgroup.h"

#define GROUP 64

/* The sum of x over the work-group, the same bits in every work-item: of neighbours, then of
 * neighbouring pairs, and so on. All call it. `shared`: GROUP elements, and what an exchange
 * needs. */
static float2 sum_group(float2 x, __local float2 *shared) {
    const int item = neighbour_item();
#ifdef USE_SUBGROUPS
    __local float *const exchange = (__local float *)(shared + GROUP);
    const float2 part = (float2)(neighbours_sum(x.x, NEIGHBOURS, exchange),
                                 neighbours_sum(x.y, NEIGHBOURS, exchange));
    if (item % NEIGHBOURS == 0) shared[item / NEIGHBOURS] = part;
    barrier(CLK_LOCAL_MEM_FENCE);
    const float2 total = (shared[0] + shared[1]) + (shared[2] + shared[3]);
#else
    shared[item] = x;
    for (int step = 1; step < GROUP; step *= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item % (2 * step) == 0) shared[item] += shared[item + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float2 total = shared[0];
#endif
    barrier(CLK_LOCAL_MEM_FENCE); /* before the next sum overwrites */
    return total;
}

/* A work-item adds at most 64 terms, then such sums. */
static float2 sum_row(const norm_row *r, i32 columns, float center, __local float2 *shared) {
    float2 total = (float2)(0.0f);
    for (i32 begin = 0; begin < columns; begin += 64 * GROUP) {
        const i32 end = min(columns, begin + 64 * GROUP);
        float2 part = (float2)(0.0f);
        for (i32 n = begin + neighbour_item(); n < end; n += GROUP) {
            const float d = norm_input(r, n, 1) - center;
            part += (float2)(d, d * d);
        }
        total += part;
    }
    return sum_group(total, shared);
}

__kernel void norm(__global const uchar *x, __global const uchar *residual,
                   __global const uchar *weight, __global const uchar *bias, __global uchar *out,
                   __global uchar *sum, const norm_arguments a, __local float2 *shared) {
    norm_row r = {x, residual, weight, bias, out, sum, &a, 0, 0, 0, 0};
    for (i32 row = (i32)get_group_id(0); row < a.rows; row += (i32)get_num_groups(0)) {
        norm_go(&r, row);
        norm_scale scale = {0.0f, 0.0f, 0.0f};
        if (a.centred) scale.center = sum_row(&r, a.columns, 0.0f, shared).x / a.columns;
        norm_finish(&scale, sum_row(&r, a.columns, scale.center, shared), &a);
        for (i32 n = neighbour_item(); n < a.columns; n += GROUP)
            norm_store(&r, &scale, n);
    }
}
