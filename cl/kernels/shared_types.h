/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of fixed-size types under which structures are passed by value from C to OpenCL C. Members
 * go from large to small, so that both sides agree without padding of their own. */
#ifndef ATTEND_CL_SHARED_TYPES_H
#define ATTEND_CL_SHARED_TYPES_H

#if defined(__OPENCL_VERSION__) || defined(__OPENCL_C_VERSION__)
typedef long i64;
typedef int i32;
typedef float f32;

/* For kernels made of whole vectors. A compiler that puts neighbouring work-items into lanes
 * (Intel's for CPUs) learns that these have none to spare: it would make scalars of vectors, at ten
 * times the time of compiling. */
#define WHOLE_VECTORS __attribute__((vec_type_hint(float16)))

/* The group's number in dimension 1, where it has one work-item, through all commands of a launch
 * (attend__ocl_enqueue): get_group_id counts those of one command. */
#define GROUP_DOWN ((int)(get_group_id(1) + get_global_offset(1)))
#else
#include <stdint.h>
typedef int64_t i64;
typedef int32_t i32;
typedef float f32;
#endif

#endif
