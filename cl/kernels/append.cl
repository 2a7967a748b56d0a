/* SPDX-License-Identifier: Apache-2.0
 *
 * Appends tokens of k or of v to pages, k turned by its position on its way where asked for (the
 * arithmetic of rope.cl), rounded to the type of the pages. GROUP work-items share a row. Values of
 * counts, starts and tables in buffers were not checked by the host, hence the clamps: nothing
 * outside the pages is written. */
#include "quantise.h"
#include "stage_rows.h"

#ifndef GROUP
#define GROUP 1
#endif

#if LANES == 1
typedef uint magnitudes;
#define as_magnitudes as_uint
#else
typedef uint16 magnitudes;
#define as_magnitudes as_uint16
#endif

/* A row on its way: where it comes from, its table row, where it goes. */
typedef struct append_row {
    i64 from, cos_at, sin_at, to, scale_at;
    int columns; /* -1: it goes nowhere */
} append_row;

typedef struct append_memory {
    __global const uchar *x;
    __global const float *cosines, *sines;
    __global uchar *pages;
} append_memory;

static i64 start_of(const append_arguments *a, __global const uchar *starts, i32 b) {
    const i64 far = (i64)1 << 60;
    return clamp(load_index(starts, a->starts_at + b * a->starts_stride, a->starts_type), (i64)0,
                 far);
}

/* Which token of which sample row `row` of packed tokens is: the last sample that begins at or
 * before it has it, or none. Returns -1 for none. */
static i64 find_token(const append_arguments *a, __global const uchar *counts, i64 row, i32 *b) {
    i32 low = 0, high = a->samples; /* the sample is below `high` */
    while (high - low > 1) {
        const i32 middle = low + (high - low) / 2;
        if (load_index(counts, a->counts_at + middle * a->counts_stride, a->counts_type) <= row)
            low = middle;
        else
            high = middle;
    }
    *b = low;
    const i64 at = a->counts_at + low * a->counts_stride;
    const i64 first = load_index(counts, at, a->counts_type);
    const i64 end = load_index(counts, at + a->counts_stride, a->counts_type);
    return row >= first && row < end ? row - max(first, (i64)0) : -1;
}

static append_row row_make(const append_arguments *a, __global const uchar *counts,
                           __global const uchar *starts, __global const int *table, i64 row,
                           i32 plane) {
    append_row r = {.columns = -1};
    const i32 h = plane % a->heads;
    i32 b = plane / a->heads;
    i64 token = row;
    if (a->packed)
        token = find_token(a, counts, row, &b);
    else if (row >= load_index(counts, a->counts_at + b * a->counts_stride, a->counts_type))
        token = -1;
    if (token < 0 || a->page_size == 0 || a->page_count == 0) return r;
    const i64 position = start_of(a, starts, b) + token, entry = position / a->page_size;
    if (entry >= a->entries || (a->pairs > 0 && a->positions == 0)) return r;
    i64 page = b;
    if (table) page = table[a->table_at + b * a->table_strides[0] + entry * a->table_strides[1]];
    page = clamp(page, (i64)0, a->page_count - 1);
    const i64 slot = position % a->page_size;
    const i64 turn = clamp(position, (i64)0, max(a->positions - 1, (i64)0));
    r.from = a->x_at + (a->packed ? 0 : b * a->x_strides[0]) + h * a->x_strides[1] +
             row * a->x_strides[2];
    r.cos_at = a->cos_at + turn * a->cos_strides[0];
    r.sin_at = a->sin_at + turn * a->sin_strides[0];
    r.to = a->to_at + page * a->to_strides[0] + h * a->to_strides[1] + slot * a->to_strides[2];
    r.scale_at = a->scales_at + page * a->scale_strides[0] + h * a->scale_strides[1] +
                 slot * a->scale_strides[2];
    r.columns = a->columns;
    return r;
}

/* ---- what is done with elements -------------------------------------------------------------- */

/* `count` elements of a row from n on, `every` apart. */
typedef struct span {
    i32 n, every, count;
} span;

/* The first pass over a row of I8 only looks how large its elements are. */
typedef struct pass {
    int looks;
    uint scale;
    magnitudes top;
} pass;

static lanes elements_of(const append_arguments *a, const append_memory *m, const append_row *r,
                         span e) {
    return load_lanes(m->x, r->from + e.n * a->x_strides[3], a->x_strides[3] * e.every, a->x_type,
                      e.count);
}

static void put(const append_arguments *a, const append_memory *m, const append_row *r, span e,
                pass *now, lanes x) {
    const i64 step = a->to_strides[3] * e.every, at = r->to + e.n * a->to_strides[3];
    if (now->looks) {
        now->top = max(now->top, as_magnitudes(x) & MAGNITUDE);
        return;
    }
    if (a->to_type != TYPE_I8) {
        store_lanes(m->pages, at, step, a->to_type, e.count, x);
        return;
    }
    __global char *const to = (__global char *)m->pages + at;
#if LANES == 1
    *to = (char)quantise(x, now->scale);
#else
    char whole[LANES];
    vstore16(quantise16(x, now->scale), 0, whole);
    for (int i = 0; i < LANES && i < e.count; i++)
        to[i * step] = whole[i];
#endif
}

/* All elements of a row that are this work-item's. */
static void walk(const append_arguments *a, const append_memory *m, const append_row *r, i32 mine,
                 pass *now) {
    const i32 pairs = r->columns > 0 ? a->pairs : 0, apart = a->interleaved ? 1 : pairs;
    const i32 every = a->interleaved ? 2 : 1;
    for (i32 p = LANES * mine; p < pairs; p += LANES * GROUP) {
        const i32 count = pairs - p;
        const span one = {p * every, every, count}, two = {p * every + apart, every, count};
        const lanes c =
            load_lanes((__global const uchar *)m->cosines, r->cos_at + p * a->cos_strides[1],
                       a->cos_strides[1], TYPE_F32, count);
        const lanes s =
            load_lanes((__global const uchar *)m->sines, r->sin_at + p * a->sin_strides[1],
                       a->sin_strides[1], TYPE_F32, count);
        const lanes x1 = elements_of(a, m, r, one), x2 = elements_of(a, m, r, two);
        put(a, m, r, one, now, c * x1 - s * x2);
        put(a, m, r, two, now, s * x1 + c * x2);
    }
    for (i32 n = 2 * pairs + LANES * mine; n < r->columns; n += LANES * GROUP) {
        const span rest = {n, 1, r->columns - n};
        put(a, m, r, rest, now, elements_of(a, m, r, rest));
    }
}

static uint largest_of(magnitudes x) {
#if LANES == 1
    return x;
#else
    uint v[LANES], top = 0;
    vstore16(x, 0, v);
    for (int i = 0; i < LANES; i++)
        top = max(top, v[i]);
    return top;
#endif
}

/* (GROUP, every j-th row, sample and head; of packed tokens head) */
__kernel WHOLE_VECTORS void append(__global const uchar *x, __global const float *cosines,
                                   __global const float *sines, __global const uchar *counts,
                                   __global const uchar *starts, __global const int *table,
                                   __global uchar *pages, __global float *scales,
                                   const append_arguments a) {
#if GROUP > 1
    __local uint shared[GROUP];
#endif
    const append_memory memory = {x, cosines, sines, pages};
    const i32 mine = get_global_id(0) % GROUP, plane = get_global_id(2);
    for (i32 row = (i32)get_global_id(1); row < a.rows; row += (i32)get_global_size(1)) {
        const append_row r = row_make(&a, counts, starts, table, row, plane);
        pass now = {.looks = a.to_type == TYPE_I8, .scale = 0, .top = 0};
        if (now.looks) {
            walk(&a, &memory, &r, mine, &now);
            uint amax = largest_of(now.top);
#if GROUP > 1
            barrier(CLK_LOCAL_MEM_FENCE);
            shared[mine] = amax;
            barrier(CLK_LOCAL_MEM_FENCE);
            for (int n = 0; n < GROUP; n++)
                amax = max(amax, shared[n]);
#endif
            now.scale = scale_of(amax);
            if (mine == 0 && r.columns >= 0) ((__global uint *)scales)[r.scale_at] = now.scale;
            now.looks = 0;
        }
        walk(&a, &memory, &r, mine, &now);
    }
}
