/* SPDX-License-Identifier: Apache-2.0
 *
 * The self-test of exchanges within a sub-group (cl/host/ocl_subgroup.c): what each work-item gets
 * from its neighbours, in a loop and after flow that differed among them, as attention does it. */
#include "subgroup.h"

/* By the work-item's number: x [items]; got [items][8]: by each of 4 masks, a sum and a maximum of
 * 16, a sum of 8, and how many of the first numbers, of each work-item as many as it likes, are
 * not 0. */
__kernel void check(__global const uint *x, __global uint *got, __local float *exchange) {
    const int item = neighbour_item();
    const float own = as_float(x[item]);
    __global uint *const to = got + 8 * item;
    uint count = 0;
    for (int n = 0; n < item % 5; n++)
        count += x[n] != 0;
    for (int i = 0; i < 4; i++)
        to[i] = as_uint(neighbour_value(own, 1 << i, exchange));
    to[4] = as_uint(neighbours_sum(own, 16, exchange));
    to[5] = as_uint(neighbours_most(own, 16, exchange));
    to[6] = as_uint(neighbours_sum(own, 8, exchange));
    to[7] = count;
}
