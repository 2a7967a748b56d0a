/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements of the types F32, F16 and BF16 as float, and back with one rounding to nearest even.
 * Types are the numbers of attend_type, tested at run time: a whole vector or row shares one test.
 * vload_half and vstore_half are core since OpenCL 1.0 and need no cl_khr_fp16. */
#ifndef ATTEND_CL_ELEMENTS_H
#define ATTEND_CL_ELEMENTS_H

#include "shared_types.h"

#pragma OPENCL FP_CONTRACT OFF

#define TYPE_F32 1
#define TYPE_F16 2
#define TYPE_BF16 3
#define TYPE_I8 4
#define TYPE_I64 6

/* One rounding where the device has the instruction (the host defines USE_FMA then), two elsewhere;
 * never left to the compiler, so that kernels which must agree in every bit do. */
#if defined(USE_FMA) || defined(FP_FAST_FMAF)
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

/* The larger one, b where a is NaN: one instruction of CPUs, where fmax, which has to look at both
 * for NaN, takes four. */
#define LARGER(a, b) ((a) > (b) ? (a) : (b))

static float load_element(__global const uchar *memory, i64 at, int type) {
    if (type == TYPE_F32) return ((__global const float *)memory)[at];
    if (type == TYPE_F16) return vload_half(at, (__global const half *)memory);
    return as_float((uint)((__global const ushort *)memory)[at] << 16);
}

/* The upper half of x, rounded; NaN keeps a bit of its fraction. */
static ushort bf16_of(float x) {
    const uint bits = as_uint(x);
    if (isnan(x)) return (ushort)(bits >> 16 | 0x40);
    return (ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void store_element(__global uchar *memory, i64 at, int type, float x) {
    if (type == TYPE_F32)
        ((__global float *)memory)[at] = x;
    else if (type == TYPE_F16)
        vstore_half_rte(x, at, (__global half *)memory);
    else
        ((__global ushort *)memory)[at] = bf16_of(x);
}

/* 16 neighbours. */
static float16 load_elements(__global const uchar *memory, i64 at, int type) {
    if (type == TYPE_F32) return vload16(0, (__global const float *)memory + at);
    if (type == TYPE_F16) return vload_half16(0, (__global const half *)memory + at);
    return as_float16(convert_uint16(vload16(0, (__global const ushort *)memory + at)) << 16);
}

static void store_elements(__global uchar *memory, i64 at, int type, float16 x) {
    if (type == TYPE_F32) {
        vstore16(x, 0, (__global float *)memory + at);
    } else if (type == TYPE_F16) {
        vstore_half16_rte(x, 0, (__global half *)memory + at);
    } else {
        const uint16 bits = as_uint16(x);
        const uint16 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        vstore16(convert_ushort16(select(rounded, bits >> 16 | 0x40, isnan(x))), 0,
                 (__global ushort *)memory + at);
    }
}

/* 16 neighbours of a row that begins at `at`, from element `from` on: those at or beyond `count`
 * are not read and are `beyond`. */
static float16 load_part(__global const uchar *row, i64 at, i64 stride, int from, int count,
                         int type, float beyond) {
    if (stride == 1 && from + 16 <= count) return load_elements(row, at + from, type);
    float lanes[16];
    for (int n = 0; n < 16; n++)
        lanes[n] = from + n < count ? load_element(row, at + (from + n) * stride, type) : beyond;
    return vload16(0, lanes);
}

/* The same of a row that is written, of which nothing beyond `count` is. */
static void store_part(__global uchar *row, i64 at, i64 stride, int from, int count, int type,
                       float16 values) {
    if (stride == 1 && from + 16 <= count) {
        store_elements(row, at + from, type, values);
        return;
    }
    float lanes[16];
    vstore16(values, 0, lanes);
    for (int n = 0; n < 16 && from + n < count; n++)
        store_element(row, at + (from + n) * stride, type, lanes[n]);
}

/* Element of an index array of I32 or I64. */
static i64 load_index(__global const uchar *memory, i64 at, int type) {
    return type == TYPE_I64 ? ((__global const long *)memory)[at]
                            : (i64)((__global const int *)memory)[at];
}

#endif
