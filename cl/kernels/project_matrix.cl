/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection by a matrix unit: x and weights of one 16-bit type, sums in float32. A work-group of
 * 128 does 64 rows times 64 columns, slices of 32 along K through local memory in two buffers, as
 * project_tile.cl does. A sub-group does DOWN * ACROSS fragments of it; whatever the unit, a
 * work-item holds 32 sums of the last PARTIAL products, and 32 totals.
 *
 *   unit           lanes  fragment  of a sub-group
 *   MATRIX_NVIDIA  32     16 x 8    32 rows, 32 columns
 *   MATRIX_INTEL   16     8 x 16    16 rows, 32 columns
 *   MATRIX_INTEL   8      8 x 8     16 rows, 16 columns
 *
 * Local memory, in words: x [64][16], W [16][64], both with rows PAD apart, so that neither the
 * unit's loads of x nor those of W meet in a bank. */
#define TILE 64
#define SLICE 32
#define DOWN 2
#define ACROSS (32 / DOWN / MATRIX_RESULTS)
#define SUB_ROWS (DOWN * MATRIX_ROWS)
#define SUB_COLUMNS (ACROSS * MATRIX_COLUMNS)
#define X_PITCH (SLICE / 2 + 4)
#define W_PITCH (TILE + 8)
#define X_WORDS (TILE * X_PITCH)
#define BUFFER (X_WORDS + SLICE / 2 * W_PITCH) /* words */
#define PARTS_X (TILE * SLICE / 8 / MATRIX_ITEMS)
#define WORDS_DEEP (SLICE / 2)
#include "project_matrix.h"

typedef struct operands {
    __global const uchar *x;
    const row_tensor *rows;
    __global const weight *w;
    i64 x_at[PARTS_X];
    i32 depth, columns; /* these: from the first of the group on */
    i32 first, count;
    int item;
} operands;

/* What a work-item reads of a slice: 8 neighbours of a row of x, twice, and 8 columns of W. */
typedef struct staged {
    uint4 x[PARTS_X];
    uint8 w;
} staged;

static staged load_slice(const operands *o, i32 k) {
    staged s;
#pragma unroll
    for (int i = 0; i < PARTS_X; i++) {
        const int n = o->item + MATRIX_ITEMS * i;
        s.x[i] = n / (SLICE / 8) < o->count
                     ? load_x8(o->x, o->rows, o->x_at[i], k + n % (SLICE / 8) * 8, o->depth)
                     : (uint4)(0);
    }
    s.w = load_w8(o->w, k + o->item / (TILE / 8) * 2, o->depth, o->item % (TILE / 8) * 8,
                  o->columns);
    return s;
}

static void store_slice(const staged *s, int item, __local uint *buffer) {
#pragma unroll
    for (int i = 0; i < PARTS_X; i++) {
        const int n = item + MATRIX_ITEMS * i;
        *(__local uint4 *)(buffer + n / (SLICE / 8) * X_PITCH + n % (SLICE / 8) * 4) = s->x[i];
    }
    __local uint4 *const w = (__local uint4 *)(buffer + X_WORDS + item / (TILE / 8) * W_PITCH +
                                               item % (TILE / 8) * 8);
    w[0] = s->w.lo;
    w[1] = s->w.hi;
}

/* The sub-group at (down, across) of the tile. */
static void multiply(__local const uint *buffer, int down, int across, matrix_c sum[DOWN][ACROSS],
                     __local uint *exchange) {
    __local const uint *const x = buffer + down * SUB_ROWS * X_PITCH;
    __local const uint *const w = buffer + X_WORDS + across * SUB_COLUMNS;
    multiply_fragments(x, w, sum, exchange);
}

static operands operands_make(__global const uchar *x, __global const weight *panels,
                              const project_arguments *a) {
    const i32 column = (i32)get_group_id(0) * TILE;
    operands o = {.x = x, .rows = &a->x, .depth = a->depth, .columns = a->columns - column};
    o.item = (int)get_local_id(0);
    o.first = GROUP_DOWN * TILE;
    o.count = a->rows - o.first;
    o.w = panels + a->panels_offset + (i64)(column / PANEL) * PANEL * a->depth;
    for (int i = 0; i < PARTS_X; i++) {
        const int row = (o.item + MATRIX_ITEMS * i) / (SLICE / 8);
        o.x_at[i] = row < o.count ? row_start(&a->x, a->sizes, o.first + row) : 0;
    }
    return o;
}

/* A fragment whose first element is (row, column) of the result. */
static void finish_fragment(const project_tensors *t, const project_arguments *a, i32 row,
                            i32 column, matrix_c total) {
    const int lane = matrix_lane();
    float own[MATRIX_RESULTS];
    matrix_results(total, own);
    for (int i = 0; i < MATRIX_RESULTS; i++) {
        const i32 r = row + matrix_row(i, lane), c = column + matrix_column(i, lane);
        if (r >= a->rows || c >= a->columns) continue;
        const project_place place = place_of(a, r, c);
        finish_lanes(t, a, &place, 0, 1, own[i], load_bias(t, a, c, 1));
    }
}

/* (block of columns, block of rows). `shared`: 2 * BUFFER + MATRIX_EXCHANGE words. */
__kernel MATRIX_KERNEL void project(__global const uchar *x, __global const weight *panels,
                                    __global const uchar *bias, __global const uchar *multiplier,
                                    __global const uchar *residual, __global uchar *out,
                                    const project_arguments a, __local uint4 *shared) {
    const project_tensors t = {bias, multiplier, residual, out};
    const operands o = operands_make(x, panels, &a);
    const int down = matrix_group() / (TILE / SUB_COLUMNS);
    const int across = matrix_group() % (TILE / SUB_COLUMNS);
    __local uint *const buffers = (__local uint *)shared, *const exchange = buffers + 2 * BUFFER;
    matrix_c total[DOWN][ACROSS], sum[DOWN][ACROSS];
#pragma unroll
    for (int i = 0; i < DOWN * ACROSS; i++)
        total[i / ACROSS][i % ACROSS] = sum[i / ACROSS][i % ACROSS] = (matrix_c)(0.0f);
    staged next = load_slice(&o, 0);
    store_slice(&next, o.item, buffers);
    barrier(CLK_LOCAL_MEM_FENCE);
    const i32 end = (a.depth + PARTIAL - 1) / PARTIAL * PARTIAL;
    int buffer = 0;
    for (i32 k = 0; k < end; k += SLICE, buffer = BUFFER - buffer) {
        const bool more = k + SLICE < end;
        if (more) next = load_slice(&o, k + SLICE);
        multiply(buffers + buffer, down, across, sum, exchange);
        if (more) store_slice(&next, o.item, buffers + BUFFER - buffer);
        if ((k + SLICE) % PARTIAL == 0) {
#pragma unroll
            for (int i = 0; i < DOWN * ACROSS; i++) {
                total[i / ACROSS][i % ACROSS] += sum[i / ACROSS][i % ACROSS];
                sum[i / ACROSS][i % ACROSS] = (matrix_c)(0.0f);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const i32 row = o.first + down * SUB_ROWS;
    const i32 column = (i32)get_group_id(0) * TILE + across * SUB_COLUMNS;
#pragma unroll
    for (int i = 0; i < DOWN * ACROSS; i++)
        finish_fragment(&t, &a, row + i / ACROSS * MATRIX_ROWS,
                        column + i % ACROSS * MATRIX_COLUMNS, total[i / ACROSS][i % ACROSS]);
}
