/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection on devices with local memory: a work-group of 2 * TILE_COLUMNS does 64 rows times
 * TILE_COLUMNS columns, a work-item 8 rows times 4 columns in registers, twice: the sum of the last
 * PARTIAL products, and the total. Slices of 16 along K go through local memory, two in turn: the
 * next one is read from memory while one is multiplied, and written before the one barrier of a
 * slice. `shared`: one array, because some compilers mix up two; see norm_tile.cl why it is an
 * argument.
 *
 *   TILE_COLUMNS  work-items  local bytes  registers, estimated
 *   64            128         16384        110: sums 64, the next slice 16, operands 12
 *   32            64          12288        120: 24 for the next slice */
#define LANES 1
#include "project.h"

#ifndef TILE_COLUMNS
#define TILE_COLUMNS 32 /* or 64 */
#endif
#define TILE_ROWS 64
#define SLICE 16
#define ITEMS (2 * TILE_COLUMNS)
#define ACROSS (TILE_COLUMNS / 4)     /* work-items beside each other */
#define PARTS_X (TILE_ROWS * 2 / ITEMS) /* of 8 neighbours along K, that a work-item stages */
#define PARTS_W 2                     /* of 4 columns */
#define BUFFER (SLICE * (TILE_ROWS + TILE_COLUMNS) / 4)

/* What a work-item reads of a slice. */
typedef struct staged {
    float8 x[PARTS_X];
    float4 w[PARTS_W];
} staged;

/* The operands of a group; rows that do not exist are 0. */
typedef struct operands {
    __global const uchar *x;
    const row_tensor *rows;
    __global const weight *w;
    i64 x_at[PARTS_X];
    i32 depth, columns; /* these: from the first of the group on */
    i32 first, count;
    int item;
} operands;

/* 8 neighbours along K of one row of x, 0 beyond the end and in rows that do not exist. */
static float8 load_x(const operands *o, i64 at, i32 k, bool exists) {
    const row_tensor *const t = o->rows;
    if (exists && k + 8 <= o->depth && t->step == 1 && t->type == TYPE_F32)
        return vload8(0, (__global const float *)o->x + at + k);
    float v[8];
    for (int i = 0; i < 8; i++)
        v[i] = exists && k + i < o->depth ? load_element(o->x, at + (k + i) * t->step, t->type)
                                          : 0.0f;
    return vload8(0, v);
}

/* 4 columns of one row of W^T. Columns beyond `columns` may have no panel. */
static float4 load_w(const operands *o, i32 k, int column) {
    if (k >= o->depth || column >= o->columns) return (float4)(0.0f);
    __global const weight *const at = o->w + (i64)(column / PANEL) * PANEL * o->depth +
                                      (i64)k * PANEL + column % PANEL;
#if WEIGHTS_TYPE == TYPE_F32
    return vload4(0, at);
#elif WEIGHTS_TYPE == TYPE_F16
    return vload_half4(0, (__global const half *)at);
#else
    return as_float4(convert_uint4(vload4(0, at)) << 16);
#endif
}

/* Neighbours stage neighbouring rows of x, and neighbouring columns of W. */
static staged load_slice(const operands *o, i32 k) {
    staged s;
#pragma unroll
    for (int i = 0; i < PARTS_X; i++) {
        const int n = o->item + ITEMS * i;
        s.x[i] = load_x(o, o->x_at[i], k + n / TILE_ROWS * 8, n % TILE_ROWS < o->count);
    }
#pragma unroll
    for (int i = 0; i < PARTS_W; i++) {
        const int n = o->item + ITEMS * i;
        s.w[i] = load_w(o, k + n / ACROSS, n % ACROSS * 4);
    }
    return s;
}

/* Local memory holds x transposed, [SLICE][TILE_ROWS], and [SLICE][TILE_COLUMNS] of W. */
static void store_slice(const staged *s, int item, __local float4 *buffer) {
    __local float *const xs = (__local float *)buffer;
#pragma unroll
    for (int i = 0; i < PARTS_X; i++) {
        const int n = item + ITEMS * i;
        __local float *const to = xs + n / TILE_ROWS * 8 * TILE_ROWS + n % TILE_ROWS;
        const float8 v = s->x[i];
        to[0 * TILE_ROWS] = v.s0;
        to[1 * TILE_ROWS] = v.s1;
        to[2 * TILE_ROWS] = v.s2;
        to[3 * TILE_ROWS] = v.s3;
        to[4 * TILE_ROWS] = v.s4;
        to[5 * TILE_ROWS] = v.s5;
        to[6 * TILE_ROWS] = v.s6;
        to[7 * TILE_ROWS] = v.s7;
    }
#pragma unroll
    for (int i = 0; i < PARTS_W; i++)
        buffer[SLICE * TILE_ROWS / 4 + item + ITEMS * i] = s->w[i];
}

/* 8 rows times 4 columns of a slice. */
static void multiply(__local const float4 *buffer, int down, int across, float4 sum[8]) {
    __local const float4 *const xs = buffer + down * 2;
    __local const float4 *const ws = buffer + SLICE * TILE_ROWS / 4 + across;
#pragma unroll 4
    for (int k = 0; k < SLICE; k++) {
        const float4 w = ws[k * ACROSS];
        const float4 a = xs[k * (TILE_ROWS / 4)], b = xs[k * (TILE_ROWS / 4) + 1];
        sum[0] = FMA((float4)(a.x), w, sum[0]);
        sum[1] = FMA((float4)(a.y), w, sum[1]);
        sum[2] = FMA((float4)(a.z), w, sum[2]);
        sum[3] = FMA((float4)(a.w), w, sum[3]);
        sum[4] = FMA((float4)(b.x), w, sum[4]);
        sum[5] = FMA((float4)(b.y), w, sum[5]);
        sum[6] = FMA((float4)(b.z), w, sum[6]);
        sum[7] = FMA((float4)(b.w), w, sum[7]);
    }
}

static operands operands_make(__global const uchar *x, __global const weight *panels,
                              const project_arguments *a) {
    const i32 column = (i32)get_group_id(0) * TILE_COLUMNS;
    operands o = {.x = x, .rows = &a->x, .depth = a->depth, .columns = a->columns - column};
    o.item = get_local_id(0);
    o.first = (i32)get_group_id(1) * TILE_ROWS;
    o.count = a->rows - o.first;
    o.w = panels + a->panels_offset + (i64)(column / PANEL) * PANEL * a->depth;
    for (int i = 0; i < PARTS_X; i++) {
        const int row = (o.item + ITEMS * i) % TILE_ROWS;
        o.x_at[i] = row < o.count ? row_start(&a->x, a->sizes, o.first + row) : 0;
    }
    return o;
}

/* (block of columns, block of rows), in groups of ITEMS x 1 x 1 */
__kernel void project(__global const uchar *x, __global const weight *panels,
                      __global const uchar *bias, __global const uchar *multiplier,
                      __global const uchar *residual, __global uchar *out,
                      const project_arguments a, __local float4 *shared) {
    const project_tensors t = {bias, multiplier, residual, out};
    const operands o = operands_make(x, panels, &a);
    const int down = o.item / ACROSS, across = o.item % ACROSS;
    float4 total[8], sum[8];
#pragma unroll
    for (int r = 0; r < 8; r++)
        total[r] = sum[r] = (float4)(0.0f);
    staged next = load_slice(&o, 0);
    store_slice(&next, o.item, shared);
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    for (i32 k = 0; k < a.depth; k += SLICE, buffer = BUFFER - buffer) {
        const bool more = k + SLICE < a.depth;
        if (more) next = load_slice(&o, k + SLICE);
        multiply(shared + buffer, down, across, sum);
        if (more) store_slice(&next, o.item, shared + BUFFER - buffer);
        if ((k + SLICE) % PARTIAL == 0 || !more) {
#pragma unroll
            for (int r = 0; r < 8; r++) {
                total[r] += sum[r];
                sum[r] = (float4)(0.0f);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const i32 column = across * 4, end = min(o.columns - column, 4);
    for (int r = 0; r < 8 && down * 8 + r < o.count; r++) {
        const i32 at = a.columns - o.columns + column;
        const project_place place = place_of(&a, o.first + down * 8 + r, at);
        float own[4];
        vstore4(total[r], 0, own);
        for (int i = 0; i < end; i++)
            finish_lanes(&t, &a, &place, i, 1, own[i], load_bias(&t, &a, at + i, 1));
    }
}
