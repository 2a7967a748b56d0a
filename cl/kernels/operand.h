/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of queries, keys and values as float32 from wherever the caller has them: one block, packed
 * batches or pages, floating point or I8 with a scale per row. */
#ifndef ATTEND_CL_OPERAND_H
#define ATTEND_CL_OPERAND_H

#include "attention_params.h"
#include "elements.h"
#include "transpose.h"

/* The memory of an operand; scales and pages NULL where there are none. */
typedef struct operand_memory {
    __global const uchar *rows;
    __global const float *scales;
    __global const int *pages;
} operand_memory;

/* One head of a sample; `sample`: its row of the table, where the operand's `first` asks for it. */
typedef struct operand_head {
    __global const i64 *sample;
    int b, h;
} operand_head;

/* Where a row begins, and what its elements are multiplied with. */
typedef struct operand_row {
    i64 at, scale_at;
    float scale;
} operand_row;

/* Row `row` of `batch`, without its scale. */
static operand_row operand_place(const operand_source *x, int h, i64 batch, i64 row) {
    operand_row found = {.scale_at = 0, .scale = 1.0f};
    found.at = x->at + batch * x->strides[0] + h * x->strides[1] + row * x->strides[2];
    if (x->type == TYPE_I8)
        found.scale_at = x->scales_at + batch * x->scale_strides[0] + h * x->scale_strides[1] +
                         row * x->scale_strides[2];
    return found;
}

static i64 operand_entry(const operand_source *x, const operand_head *head, int j) {
    return x->pages_at + head->b * x->page_strides[0] + j / x->page_size * x->page_strides[1];
}

/* Row j. Entries of a page table in a buffer were not checked by the host, hence the clamp. */
static operand_row operand_find(const operand_source *x, const operand_memory *m,
                                const operand_head *head, int j) {
    i64 batch = head->b, row = j;
    if (x->page_size > 0) {
        batch = clamp(m->pages[operand_entry(x, head, j)], 0, x->page_count - 1);
        row = j % x->page_size;
    } else if (x->first >= 0) {
        row += head->sample[x->first];
    }
    operand_row found = operand_place(x, head->h, batch, row);
    if (x->type == TYPE_I8) found.scale = m->scales[found.scale_at];
    return found;
}

/* The same of 4 rows: all that is read is asked for before any of it is waited for. */
static void operand_find_4(const operand_source *x, const operand_memory *m,
                           const operand_head *head, int4 j, operand_row rows[4]) {
    const int at[4] = {j.x, j.y, j.z, j.w};
    if (x->page_size > 0) {
        int pages[4];
#pragma unroll
        for (int n = 0; n < 4; n++)
            pages[n] = m->pages[operand_entry(x, head, at[n])];
#pragma unroll
        for (int n = 0; n < 4; n++)
            rows[n] = operand_place(x, head->h, clamp(pages[n], 0, x->page_count - 1),
                                    at[n] % x->page_size);
    } else {
        const i64 first = x->first >= 0 ? head->sample[x->first] : 0;
#pragma unroll
        for (int n = 0; n < 4; n++)
            rows[n] = operand_place(x, head->h, head->b, first + at[n]);
    }
    if (x->type != TYPE_I8) return;
#pragma unroll
    for (int n = 0; n < 4; n++)
        rows[n].scale = m->scales[rows[n].scale_at];
}

static float operand_element(const operand_source *x, const operand_memory *m,
                             const operand_row *row, int n) {
    const i64 at = row->at + n * x->strides[3];
    if (x->type == TYPE_I8) return (float)((__global const char *)m->rows)[at] * row->scale;
    return load_element(m->rows, at, x->type);
}

/* 16 neighbours from element `from` on, 0 beyond the row. */
static float16 operand_part(const operand_source *x, const operand_memory *m,
                            const operand_row *row, int from) {
    if (x->type != TYPE_I8)
        return load_part(m->rows, row->at, x->strides[3], from, x->size, x->type, 0.0f);
    if (x->strides[3] == 1 && from + 16 <= x->size)
        return convert_float16(vload16(0, (__global const char *)m->rows + row->at + from)) *
               row->scale;
    float lanes[16];
    for (int n = 0; n < 16; n++)
        lanes[n] = from + n < x->size ? operand_element(x, m, row, from + n) : 0.0f;
    return vload16(0, lanes);
}

/* Further arguments of a kernel that may read keys and values where they lie. */
#ifdef DIRECT
#define DIRECT_ARGUMENTS                                                                           \
    , const direct_params d, __global const uchar *k, __global const float *k_scales,              \
        __global const uchar *v, __global const float *v_scales, __global const int *pages
#else
#define DIRECT_ARGUMENTS
#endif

/* ---- panels of 16 keys ----------------------------------------------------------------------- */

/* 16 keys from a multiple of 16 on, of which only some may be read. */
typedef struct operand_keys {
    operand_row rows[16]; /* of keys that lie together the first alone */
    float16 scales;       /* of keys that lie together */
    int first, end;       /* keys that may be read */
    int together;
} operand_keys;

/* Tokens of a page are neighbours, as attend__ocl_cache_layout has it: an element of 16 keys is one
 * vector. */
static int keys_lie_together(const operand_source *x) {
    return x->page_size > 0 && x->page_size % 16 == 0 && x->strides[2] == 1 &&
           (x->type != TYPE_I8 || x->scale_strides[2] == 1);
}

/* Keys j .. j + 15, of which those from `begin` on and before `end` may be read. */
static operand_keys operand_keys_find(const operand_source *x, const operand_memory *m,
                                      const operand_head *head, int j, int begin, int end) {
    operand_keys keys;
    keys.first = clamp(begin - j, 0, 16);
    keys.end = clamp(end - j, 0, 16);
    keys.together = keys_lie_together(x);
    keys.scales = (float16)(1.0f);
    if (keys.first >= keys.end) return keys;
    if (keys.together) {
        keys.rows[0] = operand_find(x, m, head, j);
        if (x->type == TYPE_I8) keys.scales = vload16(0, m->scales + keys.rows[0].scale_at);
        return keys;
    }
    for (int n = keys.first; n < keys.end; n++)
        keys.rows[n] = operand_find(x, m, head, j + n);
    return keys;
}

/* Element d of keys that lie together. */
static float16 operand_column(const operand_source *x, const operand_memory *m,
                              const operand_keys *keys, int d) {
    const i64 at = keys->rows[0].at + d * x->strides[3];
    if (x->type != TYPE_I8) return load_elements(m->rows, at, x->type);
    return convert_float16(vload16(0, (__global const char *)m->rows + at)) * keys->scales;
}

/* Elements d0 .. d0 + 15 of keys that lie together, [16 elements][16 keys]. */
static void operand_columns(const operand_source *x, const operand_memory *m,
                            const operand_keys *keys, int d0, float16 to[16]) {
    const int count = keys->first < keys->end ? clamp(x->size - d0, 0, 16) : 0;
    for (int d = 0; d < 16; d++)
        to[d] = d < count ? operand_column(x, m, keys, d0 + d) : (float16)(0.0f);
}

/* The same of any keys: 0 for those that may not be read, or, where they lie together, anything. */
static void operand_block(const operand_source *x, const operand_memory *m,
                          const operand_keys *keys, int d0, float *to) {
    float16 block[16];
    if (keys->together) {
        operand_columns(x, m, keys, d0, block);
    } else {
        for (int n = 0; n < 16; n++)
            block[n] = n >= keys->first && n < keys->end
                           ? operand_part(x, m, &keys->rows[n], d0)
                           : (float16)(0.0f);
        transpose16(block);
    }
    for (int d = 0; d < 16; d++)
        vstore16(block[d], d, to);
}

#endif
