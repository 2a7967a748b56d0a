/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of queries, keys and values as float32 from wherever the caller has them: one block, packed
 * batches or pages, floating point or I8 with a scale per row. */
#ifndef ATTEND_CL_OPERAND_H
#define ATTEND_CL_OPERAND_H

#include "attention_params.h"
#include "elements.h"

/* The memory of an operand; scales and pages NULL where there are none. */
typedef struct operand_memory {
    __global const uchar *rows;
    __global const float *scales;
    __global const int *pages;
} operand_memory;

/* Where a row begins, and what its elements are multiplied with. */
typedef struct operand_row {
    i64 at;
    float scale;
} operand_row;

/* Row j of head h of sample b; `sample` is the sample's row of the table, where x->first says so.
 * Entries of a page table in a buffer were not checked by the host, hence the clamp. */
static operand_row operand_find(const operand_source *x, const operand_memory *m,
                                __global const i64 *sample, int b, int h, int j) {
    i64 batch = b, row = j;
    if (x->page_size > 0) {
        const i64 entry = x->pages_at + b * x->page_strides[0] +
                          j / x->page_size * x->page_strides[1];
        batch = clamp(m->pages[entry], 0, x->page_count - 1);
        row = j % x->page_size;
    } else if (x->first >= 0) {
        row += sample[x->first];
    }
    const operand_row found = {
        x->at + batch * x->strides[0] + h * x->strides[1] + row * x->strides[2],
        x->type == TYPE_I8 ? m->scales[x->scales_at + batch * x->scale_strides[0] +
                                       h * x->scale_strides[1] + row * x->scale_strides[2]]
                           : 1.0f};
    return found;
}

static float operand_element(const operand_source *x, const operand_memory *m, const operand_row *row,
                             int n) {
    const i64 at = row->at + n * x->strides[3];
    if (x->type == TYPE_I8) return (float)((__global const char *)m->rows)[at] * row->scale;
    return load_element(m->rows, at, x->type);
}

/* 16 neighbours from element `from` on, 0 beyond the row. */
static float16 operand_part(const operand_source *x, const operand_memory *m, const operand_row *row,
                            int from) {
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

#endif
