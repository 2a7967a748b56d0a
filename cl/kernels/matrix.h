/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix units: the product of two fragments of 16-bit elements is added to a fragment of float32
 * by the work-items of a sub-group together. The host says which unit there is, after a probe and a
 * self-test (cl/host/ocl_matrix.h):
 *
 *   MATRIX_NVIDIA      mma.sync.aligned.m16n8k16 as inline PTX, compute capability 8.0 and later
 *                      (PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type")
 *   MATRIX_INTEL=8, 16 intel_sub_group_*_matrix_mad_k16 in sub-groups of so many
 *                      (cl_intel_subgroup_matrix_multiply_accumulate)
 *   MATRIX_ARM         arm_matrix_multiply: 16 neighbours multiply 4 x 4 x 4 elements of f16, each
 *                      one of every matrix (cl_arm_matrix_multiply); a product is 32 of these
 *   MATRIX_EMULATED    beside one of them: its fragments as they are, its instruction by plain
 *                      arithmetic, elements exchanged through local memory. For any device.
 *
 * What a kernel sees:
 *
 *   MATRIX_ROWS, _COLUMNS, _DEPTH   of a product: C [ROWS, COLUMNS] += A [ROWS, DEPTH] B
 *   MATRIX_LANES, matrix_lane(), matrix_group()   work-items of a sub-group, which one this is, and
 *                                   which of the work-group's sub-groups
 *   MATRIX_RESULTS                  elements of C that a work-item holds; matrix_row and
 *                                   matrix_column say which ones, matrix_results gives them,
 *                                   matrix_sums takes them
 *   MATRIX_LEFT                     elements of A that a work-item holds; matrix_left_row and
 *                                   matrix_left_k say which ones, matrix_left takes them
 *   matrix_load_a, matrix_load_b, matrix_multiply, MATRIX_UNROLL
 *
 * Elements lie in local memory as words, two neighbours along K in one, the first in the lower
 * half: A as [row][k / 2], B as [k / 2][column]. All but ARM's read B as whole words then, and most
 * of them A, too.
 *
 * Kernels begin with MATRIX_KERNEL and have work-groups of MATRIX_ITEMS x 1 x 1, which call
 * matrix_multiply in flow that is the same for all of them: PTX wants that of a sub-group, the
 * emulation's barriers of all. */
#ifndef ATTEND_CL_MATRIX_H
#define ATTEND_CL_MATRIX_H

#include "elements.h"

#ifndef MATRIX_TYPE
#define MATRIX_TYPE TYPE_F16 /* or TYPE_BF16 */
#endif
#define MATRIX_DEPTH 16
#define MATRIX_ITEMS 128

#ifdef MATRIX_NVIDIA
#define MATRIX_LANES 32
#define MATRIX_ROWS 16
#define MATRIX_COLUMNS 8
#define MATRIX_RESULTS 4
#define MATRIX_LEFT 8
typedef uint4 matrix_a;
typedef uint2 matrix_b;
typedef float4 matrix_c;
#elif defined(MATRIX_ARM)
#define MATRIX_LANES 16
#define MATRIX_ROWS 8
#define MATRIX_COLUMNS 16
#define MATRIX_RESULTS 8
#define MATRIX_LEFT 8
typedef ushort8 matrix_a;  /* 2 rows, 4 apart, of each 4 elements, 4 apart */
typedef ushort16 matrix_b; /* 4 rows, of each 4 columns, as far apart */
typedef float8 matrix_c;
#else
#ifndef MATRIX_INTEL
#define MATRIX_INTEL 16
#define MATRIX_EMULATED
#endif
#define MATRIX_LANES MATRIX_INTEL
#define MATRIX_ROWS 8
#define MATRIX_COLUMNS MATRIX_INTEL
#define MATRIX_RESULTS 8
#if MATRIX_INTEL == 16
#define MATRIX_LEFT 8
typedef short8 matrix_a; /* one element of each row */
#else
#define MATRIX_LEFT 16
typedef int8 matrix_a; /* two */
#endif
typedef int8 matrix_b;
typedef float8 matrix_c;
#endif

/* Loops around matrix_multiply. The emulation waits at barriers in it, of which a compiler makes a
 * region each. */
#ifdef MATRIX_EMULATED
#define MATRIX_UNROLL
#else
#define MATRIX_UNROLL _Pragma("unroll")
#endif

#define MATRIX_GROUP_SIZE __attribute__((reqd_work_group_size(MATRIX_ITEMS, 1, 1)))
#if defined(MATRIX_INTEL) && !defined(MATRIX_EMULATED)
#define MATRIX_KERNEL MATRIX_GROUP_SIZE __attribute__((intel_reqd_sub_group_size(MATRIX_INTEL)))
static int matrix_lane(void) {
    return (int)get_sub_group_local_id();
}
static int matrix_group(void) {
    return (int)get_sub_group_id();
}
#else /* a warp is 32 neighbours of a work-group, or 16 */
#define MATRIX_KERNEL MATRIX_GROUP_SIZE
static int matrix_lane(void) {
    return (int)get_local_id(0) % MATRIX_LANES;
}
static int matrix_group(void) {
    return (int)get_local_id(0) / MATRIX_LANES;
}
#endif

/* ---- where elements lie ---------------------------------------------------------------------- */

/* The fragment whose first row begins at `words`, rows `pitch` words apart. */
static matrix_a matrix_load_a(__local const uint *words, int pitch, int lane) {
#ifdef MATRIX_NVIDIA
    __local const uint *const at = words + lane / 4 * pitch + lane % 4;
    return (uint4)(at[0], at[8 * pitch], at[4], at[8 * pitch + 4]);
#elif defined(MATRIX_ARM)
    __local const ushort *const at = (__local const ushort *)(words + lane / 4 * pitch) + lane % 4;
    __local const ushort *const below = at + 8 * pitch;
    return (ushort8)(at[0], at[4], at[8], at[12], below[0], below[4], below[8], below[12]);
#elif MATRIX_INTEL == 16
    __local const short *const at = (__local const short *)words + lane;
    return (short8)(at[0], at[2 * pitch], at[4 * pitch], at[6 * pitch], at[8 * pitch],
                    at[10 * pitch], at[12 * pitch], at[14 * pitch]);
#else
    __local const int *const at = (__local const int *)words + lane;
    return (int8)(at[0], at[pitch], at[2 * pitch], at[3 * pitch], at[4 * pitch], at[5 * pitch],
                  at[6 * pitch], at[7 * pitch]);
#endif
}

/* The fragment whose first pair of K begins at `words`, pairs `pitch` words apart. */
static matrix_b matrix_load_b(__local const uint *words, int pitch, int lane) {
#ifdef MATRIX_NVIDIA
    __local const uint *const at = words + lane % 4 * pitch + lane / 4;
    return (uint2)(at[0], at[4 * pitch]);
#elif defined(MATRIX_ARM)
    __local const ushort *const at =
        (__local const ushort *)(words + lane / 8 * pitch + lane % 4) + lane / 4 % 2;
    ushort b[16];
    for (int n = 0; n < 16; n++)
        b[n] = at[n / 4 * 4 * pitch + n % 4 * 8];
    return vload16(0, b);
#else
    __local const int *const at = (__local const int *)words + lane;
    return (int8)(at[0], at[pitch], at[2 * pitch], at[3 * pitch], at[4 * pitch], at[5 * pitch],
                  at[6 * pitch], at[7 * pitch]);
#endif
}

/* Of element i of A, within the fragment. */
static int matrix_left_row(int i, int lane) {
#ifdef MATRIX_NVIDIA
    return lane / 4 + i / 2 % 2 * 8;
#elif defined(MATRIX_ARM)
    return lane / 4 + i / 4 * 4;
#else
    return i / (MATRIX_LEFT / MATRIX_ROWS);
#endif
}

static int matrix_left_k(int i, int lane) {
#ifdef MATRIX_NVIDIA
    return lane % 4 * 2 + i % 2 + i / 4 * 8;
#elif defined(MATRIX_ARM)
    return lane % 4 + i % 4 * 4;
#elif MATRIX_INTEL == 16
    return lane;
#else
    return lane * 2 + i % 2;
#endif
}

static matrix_a matrix_left(const ushort from[MATRIX_LEFT]) {
#ifdef MATRIX_NVIDIA
    return as_uint4(vload8(0, from));
#elif defined(MATRIX_ARM)
    return vload8(0, from);
#elif MATRIX_INTEL == 16
    return as_short8(vload8(0, from));
#else
    return as_int8(vload16(0, from));
#endif
}

/* Of element i of C, within the fragment. */
static int matrix_row(int i, int lane) {
#ifdef MATRIX_NVIDIA
    return lane / 4 + i / 2 * 8;
#elif defined(MATRIX_ARM)
    return lane / 4 + i / 4 * 4;
#else
    return i;
#endif
}

static int matrix_column(int i, int lane) {
#ifdef MATRIX_NVIDIA
    return lane % 4 * 2 + i % 2;
#elif defined(MATRIX_ARM)
    return lane % 4 + i % 4 * 4;
#else
    return lane;
#endif
}

static void matrix_results(matrix_c c, float to[MATRIX_RESULTS]) {
#ifdef MATRIX_NVIDIA
    vstore4(c, 0, to);
#else
    vstore8(c, 0, to);
#endif
}

static matrix_c matrix_sums(const float from[MATRIX_RESULTS]) {
#ifdef MATRIX_NVIDIA
    return vload4(0, from);
#else
    return vload8(0, from);
#endif
}

/* ---- the product ----------------------------------------------------------------------------- */

/* Words of local memory that matrix_multiply is given as `exchange`; 0: none, NULL will do. */
#if !defined(MATRIX_EMULATED)
#define MATRIX_EXCHANGE 0
#elif defined(MATRIX_NVIDIA)
#define MATRIX_EXCHANGE (MATRIX_ITEMS * 6)
#elif defined(MATRIX_ARM)
#define MATRIX_EXCHANGE (MATRIX_ITEMS * 12)
#else
#define MATRIX_EXCHANGE (MATRIX_ITEMS * 16)
#endif

#ifdef MATRIX_EMULATED
/* By integers: in attention's kernel Intel's runtime for CPUs (2026.22) reads NaN where vload_half
 * is given the address of a private ushort. */
static float emulated_half(uint bits) {
    const uint exponent = bits >> 10 & 31, fraction = bits & 1023, sign = (bits & 0x8000) << 16;
    if (exponent == 0) return as_float(sign | as_uint((float)fraction * 0x1p-24f));
    return as_float(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

static float emulated_element(__local const uint *lanes, int lane, int word, int half_of) {
    const ushort bits = (ushort)(lanes[lane * (MATRIX_EXCHANGE / MATRIX_ITEMS) + word] >>
                                 16 * half_of);
#if MATRIX_TYPE == TYPE_F16
    return emulated_half(bits);
#else
    return as_float((uint)bits << 16);
#endif
}

/* Which lane's registers an element is in, as the sources above put it: the other way round than
 * the functions that load. */
static float emulated_a(__local const uint *lanes, int row, int k) {
#ifdef MATRIX_NVIDIA
    return emulated_element(lanes, row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2);
#elif defined(MATRIX_ARM)
    return emulated_element(lanes, row % 4 * 4 + k % 4, row / 4 * 2 + k / 8, k / 4 % 2);
#elif MATRIX_INTEL == 16
    return emulated_element(lanes, k, row, 0);
#else
    return emulated_element(lanes, k / 2, row, k % 2);
#endif
}

static float emulated_b(__local const uint *lanes, int k, int column) {
#ifdef MATRIX_NVIDIA
    return emulated_element(lanes, column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
#elif defined(MATRIX_ARM)
    return emulated_element(lanes, k % 4 * 4 + column % 4, 4 + k / 4 * 2 + column / 8,
                            column / 4 % 2);
#else
    return emulated_element(lanes, column, 8 + k / 2, k % 2);
#endif
}

/* In the order of K by FMA: the bits are those of project_tile.cl. */
static matrix_c matrix_multiply(matrix_a a, matrix_b b, matrix_c c, __local uint *exchange) {
    const int lane = matrix_lane();
    __local const uint *const lanes =
        exchange + matrix_group() * MATRIX_LANES * (MATRIX_EXCHANGE / MATRIX_ITEMS);
    __local uint *const own =
        exchange + (int)get_local_id(0) * (MATRIX_EXCHANGE / MATRIX_ITEMS);
    float sums[MATRIX_RESULTS];
    matrix_results(c, sums);
#ifdef MATRIX_NVIDIA
    vstore4(a, 0, own);
    vstore2(b, 0, own + 4);
#elif defined(MATRIX_ARM)
    vstore4(as_uint4(a), 0, own);
    vstore8(as_uint8(b), 0, own + 4);
#else
#if MATRIX_INTEL == 16
    vstore8(convert_uint8(as_ushort8(a)), 0, own);
#else
    vstore8(as_uint8(a), 0, own);
#endif
    vstore8(as_uint8(b), 0, own + 8);
#endif
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < MATRIX_RESULTS; i++)
        for (int k = 0; k < MATRIX_DEPTH; k++)
            sums[i] = FMA(emulated_a(lanes, matrix_row(i, lane), k),
                          emulated_b(lanes, k, matrix_column(i, lane)), sums[i]);
    barrier(CLK_LOCAL_MEM_FENCE);
    return matrix_sums(sums);
}

#elif defined(MATRIX_NVIDIA)
#if MATRIX_TYPE == TYPE_F16
#define MATRIX_PTX "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#else
#define MATRIX_PTX "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#endif
static matrix_c matrix_multiply(matrix_a a, matrix_b b, matrix_c c, __local uint *exchange) {
    float c0 = c.x, c1 = c.y, c2 = c.z, c3 = c.w;
    __asm__ volatile(MATRIX_PTX "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                     : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
                     : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
    return (float4)(c0, c1, c2, c3);
}

#elif defined(MATRIX_ARM)
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION cl_arm_matrix_multiply : enable
static matrix_c matrix_multiply(matrix_a a, matrix_b b, matrix_c c, __local uint *exchange) {
    half from_a[8], from_b[16];
    float sums[MATRIX_RESULTS];
    vstore8(as_half8(a), 0, from_a);
    vstore16(as_half16(b), 0, from_b);
    matrix_results(c, sums);
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
        for (int i = 0; i < MATRIX_RESULTS; i++)
            sums[i] = arm_matrix_multiply(from_a[i / 4 * 4 + k], from_b[k * 4 + i % 4], sums[i]);
    return vload8(0, sums);
}

#else
static matrix_c matrix_multiply(matrix_a a, matrix_b b, matrix_c c, __local uint *exchange) {
#if MATRIX_TYPE == TYPE_F16
    return intel_sub_group_f16_f16_matrix_mad_k16(a, b, c);
#else
    return intel_sub_group_bf16_bf16_matrix_mad_k16(a, b, c);
#endif
}
#endif

#endif
