/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection on devices with local memory: a work-group of 2 * TILE_COLUMNS does TILE_ROWS rows
 * times TILE_COLUMNS columns, a work-item 8 rows times 4 or 8 columns in registers, twice: the sum
 * of the last PARTIAL products, and the total. Slices along K go through local memory, two in turn:
 * the next one is read from memory while one is multiplied, and written before the one barrier of a
 * slice. `shared`: one array, because some compilers mix up two; see norm_tile.cl why it is an
 * argument.
 *
 *   rows  columns  a work-item's  slice  work-items  local bytes  registers (sm_80, gfx1030)
 *   64    32       8 x 4          16     64          12288        126, 124
 *   64    64       8 x 4          16     128         16384        124, 112
 *   128   32       8 x 8          8      64          20480        166, 148
 *   128   64       8 x 8          8      128         32768        163, 134
 *
 * For 16 bytes of local memory that it reads, a work-item of 8 columns multiplies 16 times, one of
 * 4 columns 11 times. Neighbours read along K, as x lies in memory; in local memory its rows are
 * neighbours. */
#define LANES 1
#ifndef X_TYPE
#define X_TYPE TYPE_F32
#endif
#include "project.h"

#ifndef TILE_ROWS
#define TILE_ROWS 64 /* or 128 */
#endif
#ifndef TILE_COLUMNS
#define TILE_COLUMNS 32 /* or 64 */
#endif
#define WIDE (TILE_ROWS / 64) /* vectors of 4 columns of a work-item */
#define SLICE (16 / WIDE)
#define ITEMS (2 * TILE_COLUMNS)
#define DOWN (TILE_ROWS / 8)             /* work-items below each other */
#define ACROSS (TILE_COLUMNS / 4 / WIDE) /* beside each other */
#define QUADS (SLICE / 4)                /* of neighbours along K */
#define PARTS_X (TILE_ROWS * QUADS / ITEMS)
#define PARTS_W (SLICE / 8)
#define BUFFER_X (SLICE * TILE_ROWS / 4)
#define BUFFER (BUFFER_X + SLICE * TILE_COLUMNS / 4)
/* Quads of a sub-group are stored at once. In local memory the rows of each are put elsewhere, by
 * this many blocks of 8, since their banks would be the same. */
#define SWIZZLE (16 / SLICE)

/* Totals in local memory, [KEPT][ITEMS]: with all of them in registers NVIDIA's compiler takes 209,
 * of which a multiprocessor has two groups; with these three. */
#define KEPT (10 * (WIDE - 1))

/* What a work-item reads of a slice. */
typedef struct staged {
    float4 x[PARTS_X], w[PARTS_W];
} staged;

/* The operands of a group, from what a work-item stages on; rows that do not exist are the last
 * one. */
typedef struct operands {
    __global const uchar *x;
    __global const weight *w;
    i64 x_at[PARTS_X], x_step;
    i32 depth, first, count; /* rows: the first one, those from it on */
    int item;
    bool has_w; /* columns beyond may have no panel */
} operands;

static staged load_slice(const operands *o, i32 k) {
    staged s;
#pragma unroll
    for (int i = 0; i < PARTS_X; i++)
        s.x[i] = load_x4(o->x, o->x_at[i], o->x_step, k + o->item % QUADS * 4, o->depth);
#pragma unroll
    for (int i = 0; i < PARTS_W; i++) {
        const i32 at = k + o->item / (TILE_COLUMNS / 4) + 8 * i;
        s.w[i] = o->has_w && at < o->depth
                     ? load_quad((__global const uchar *)o->w, (i64)at * (PANEL / 4), WEIGHTS_TYPE)
                     : (float4)(0.0f);
    }
    return s;
}

/* Local memory holds x transposed, [SLICE][TILE_ROWS], and [SLICE][TILE_COLUMNS] of W. */
static void store_slice(const staged *s, int item, __local float4 *buffer) {
    const int quad = item % QUADS;
#pragma unroll
    for (int i = 0; i < PARTS_X; i++) {
        const int row = (item + ITEMS * i) / QUADS ^ quad * SWIZZLE * 8;
        __local float *const to = (__local float *)buffer + quad * 4 * TILE_ROWS + row;
        to[0 * TILE_ROWS] = s->x[i].x;
        to[1 * TILE_ROWS] = s->x[i].y;
        to[2 * TILE_ROWS] = s->x[i].z;
        to[3 * TILE_ROWS] = s->x[i].w;
    }
#pragma unroll
    for (int i = 0; i < PARTS_W; i++)
        buffer[BUFFER_X + item + ITEMS * i] = s->w[i];
}

/* 8 rows times 4 WIDE columns of a slice. */
static void multiply(__local const float4 *buffer, int down, int across, float4 sum[8 * WIDE]) {
#pragma unroll 1
    for (int quad = 0; quad < QUADS; quad++) {
        __local const float4 *const xs = buffer + quad * TILE_ROWS + (down ^ quad * SWIZZLE) * 2;
        __local const float4 *const ws = buffer + BUFFER_X + quad * TILE_COLUMNS + across;
#pragma unroll 2
        for (int k = 0; k < 4; k++) {
            const float4 a = xs[k * (TILE_ROWS / 4)], b = xs[k * (TILE_ROWS / 4) + 1];
#pragma unroll
            for (int i = 0; i < WIDE; i++) {
                const float4 w = ws[k * (TILE_COLUMNS / 4) + i * ACROSS];
                sum[0 * WIDE + i] = FMA((float4)(a.x), w, sum[0 * WIDE + i]);
                sum[1 * WIDE + i] = FMA((float4)(a.y), w, sum[1 * WIDE + i]);
                sum[2 * WIDE + i] = FMA((float4)(a.z), w, sum[2 * WIDE + i]);
                sum[3 * WIDE + i] = FMA((float4)(a.w), w, sum[3 * WIDE + i]);
                sum[4 * WIDE + i] = FMA((float4)(b.x), w, sum[4 * WIDE + i]);
                sum[5 * WIDE + i] = FMA((float4)(b.y), w, sum[5 * WIDE + i]);
                sum[6 * WIDE + i] = FMA((float4)(b.z), w, sum[6 * WIDE + i]);
                sum[7 * WIDE + i] = FMA((float4)(b.w), w, sum[7 * WIDE + i]);
            }
        }
    }
}

static operands operands_make(__global const uchar *x, __global const weight *panels,
                              const project_arguments *a) {
    operands o = {.x = x, .x_step = a->x.step, .depth = a->depth};
    o.item = get_local_id(0);
    o.first = GROUP_DOWN * TILE_ROWS;
    o.count = a->rows - o.first;
    const i32 column = (i32)get_group_id(0) * TILE_COLUMNS + o.item % (TILE_COLUMNS / 4) * 4;
    o.has_w = column < a->columns;
    o.w = panels + a->panels_offset + (i64)(column / PANEL) * PANEL * a->depth + column % PANEL;
    for (int i = 0; i < PARTS_X; i++)
        o.x_at[i] =
            row_start(&a->x, a->sizes, o.first + min((o.item + ITEMS * i) / QUADS, o.count - 1));
    return o;
}

/* The results of each work-item's next row go through local memory, so that neighbours write
 * neighbours; two areas in turn. The totals move, since an index that is not constant would keep
 * them out of registers. */
static void finish(const project_tensors *t, const project_arguments *a, const operands *o,
                   float4 total[8 * WIDE], __local float4 *shared) {
    const int down = o->item / ACROSS, across = o->item % ACROSS;
    const i32 begin = (i32)get_group_id(0) * TILE_COLUMNS;
    for (int r = 0; r < 8; r++) {
        __local float4 *const results = shared + (r % 2 * DOWN + down) * (TILE_COLUMNS / 4);
#pragma unroll
        for (int i = 0; i < WIDE; i++)
            results[across + i * ACROSS] = total[i];
#pragma unroll
        for (int i = 0; i < 7 * WIDE; i++)
            total[i] = total[i + WIDE];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (down * 8 + r >= o->count) continue;
        const project_place place = place_of(a, o->first + down * 8 + r, begin);
        for (i32 c = across; c < TILE_COLUMNS && begin + c < a->columns; c += ACROSS)
            finish_lanes(t, a, &place, c, 1, ((__local const float *)results)[c],
                         load_bias(t, a, begin + c, 1));
    }
}

/* (block of columns, block of rows), in groups of ITEMS x 1 x 1 */
__kernel void project(__global const uchar *x, __global const weight *panels,
                      __global const uchar *bias, __global const uchar *multiplier,
                      __global const uchar *residual, __global uchar *out,
                      const project_arguments a, __local float4 *shared) {
    const project_tensors t = {bias, multiplier, residual, out};
    const operands o = operands_make(x, panels, &a);
    const int down = o.item / ACROSS, across = o.item % ACROSS;
    __local float4 *const kept = shared + 2 * BUFFER + o.item;
    float4 total[8 * WIDE], sum[8 * WIDE];
#pragma unroll
    for (int i = 0; i < 8 * WIDE; i++)
        total[i] = sum[i] = (float4)(0.0f);
    for (int i = 0; i < KEPT; i++)
        kept[i * ITEMS] = (float4)(0.0f);
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
            for (int i = 0; i < 8 * WIDE; i++) {
                if (i < KEPT)
                    kept[i * ITEMS] += sum[i];
                else
                    total[i] += sum[i];
                sum[i] = (float4)(0.0f);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#pragma unroll
    for (int i = 0; i < KEPT; i++)
        total[i] = kept[i * ITEMS];
    finish(&t, &a, &o, total, shared);
}
