/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums and maxima of 16 neighbours of a work-group, which is a number of work-items in dimension 0
 * that 16 divides. Where the neighbours are of one sub-group they exchange their values in
 * registers, without local memory and without a barrier; which way there is, the host says after a
 * self-test (cl/host/ocl_subgroup.h):
 *
 *   SUBGROUP_KHR       sub_group_shuffle_xor (cl_khr_subgroup_shuffle), or what cl_intel_subgroups
 *                      calls it; the host asks the built kernel for the size of its sub-groups
 *   SUBGROUP_NVIDIA    shfl.sync.bfly as inline PTX; a warp is 32 neighbours
 *   SUBGROUP_AMD       ds_swizzle, a built-in function of their compiler, which exchanges within 32
 *                      neighbours of a wave
 *   SUBGROUP_EMULATED  through local memory. For any device, at the cost of two barriers
 *
 * None of them: the baseline, whose kernels go through local memory as suits them, and add up by
 * sum_8 and sum_16. Both add in one order: neighbours, then neighbouring pairs, and so on.
 *
 * What exchanges is called in flow that is the same for the whole work-group. */
#ifndef ATTEND_CL_SUBGROUP_H
#define ATTEND_CL_SUBGROUP_H

#define NEIGHBOURS 16

#if defined(SUBGROUP_KHR) || defined(SUBGROUP_NVIDIA) || defined(SUBGROUP_AMD) ||                  \
    defined(SUBGROUP_EMULATED)
#define USE_SUBGROUPS
#endif
/* Loops around an exchange. The emulation waits at barriers in it, of which a compiler makes a
 * region each. */
#ifdef SUBGROUP_EMULATED
#define NEIGHBOUR_UNROLL
#else
#define NEIGHBOUR_UNROLL _Pragma("unroll")
#endif
#ifdef cl_khr_subgroups
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#endif

/* Which work-item of the group this one is; NEIGHBOURS from a multiple of it on are neighbours. */
static int neighbour_item(void) {
#ifdef SUBGROUP_KHR
    return (int)(get_sub_group_id() * get_max_sub_group_size() + get_sub_group_local_id());
#else
    return (int)get_local_id(0);
#endif
}

/* Sums of neighbouring pairs first. */
static float sum_8(float8 x) {
    const float4 pairs = x.even + x.odd;
    const float2 quads = pairs.even + pairs.odd;
    return quads.x + quads.y;
}
static float sum_16(float16 x) {
    return sum_8(x.even + x.odd);
}

#ifdef USE_SUBGROUPS
/* x of the neighbour whose number differs in the bit `mask`, a power of 2 below NEIGHBOURS.
 * `exchange`: a float for each work-item, where it is emulated. */
static float neighbour_value(float x, int mask, __local float *exchange) {
#if defined(SUBGROUP_EMULATED)
    const int item = neighbour_item();
    exchange[item] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    const float other = exchange[item ^ mask];
    barrier(CLK_LOCAL_MEM_FENCE);
    return other;
#elif defined(SUBGROUP_NVIDIA)
    float other;
    __asm__ volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;"
                     : "=f"(other)
                     : "f"(x), "r"(mask));
    return other;
#elif defined(SUBGROUP_AMD) /* the pattern is part of the instruction: xor, or, and */
    const int bits = as_int(x);
    return as_float(mask == 1   ? __builtin_amdgcn_ds_swizzle(bits, 1 << 10 | 0x1f)
                    : mask == 2 ? __builtin_amdgcn_ds_swizzle(bits, 2 << 10 | 0x1f)
                    : mask == 4 ? __builtin_amdgcn_ds_swizzle(bits, 4 << 10 | 0x1f)
                                : __builtin_amdgcn_ds_swizzle(bits, 8 << 10 | 0x1f));
#elif defined(cl_khr_subgroup_shuffle)
    return sub_group_shuffle_xor(x, (uint)mask);
#else
    return intel_sub_group_shuffle_xor(x, (uint)mask);
#endif
}

/* Of `count` neighbours, 8 or 16 and a constant, for each of them. */
static float neighbours_sum(float x, int count, __local float *exchange) {
    x += neighbour_value(x, 1, exchange);
    x += neighbour_value(x, 2, exchange);
    x += neighbour_value(x, 4, exchange);
    if (count > 8) x += neighbour_value(x, 8, exchange);
    return x;
}
static float neighbours_most(float x, int count, __local float *exchange) {
    x = fmax(x, neighbour_value(x, 1, exchange));
    x = fmax(x, neighbour_value(x, 2, exchange));
    x = fmax(x, neighbour_value(x, 4, exchange));
    if (count > 8) x = fmax(x, neighbour_value(x, 8, exchange));
    return x;
}
#endif

#endif
