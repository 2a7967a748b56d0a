/* SPDX-License-Identifier: Apache-2.0
 *
 * One chunk of the keys and values of a head for attention_lanes.cl: where the caller has them as
 * far as that can be read as it lies, else copies as float32 that serve all strips. DP and EC
 * are the kernel's. */
#ifndef ATTEND_CL_KEY_BLOCK_H
#define ATTEND_CL_KEY_BLOCK_H

#include "key_source.h"

/* One operand of a chunk: keys [direct, direct_until) of the chunk where the caller has them,
 * `pitch` apart, the others copied as float32, 0 where they may not be read. */
typedef struct rows_of_chunk {
    __global const float *there; /* key 0 of the chunk */
    i64 pitch;
    int direct, direct_until;
    const float *copied;
} rows_of_chunk;

/* A chunk of one key/value head from key `from` on and before `until`, both multiples of 16. */
typedef struct block {
    float16 k_copy[CHUNK * DP / 16], v_copy[CHUNK * EC / 16];
    rows_of_chunk k, v;
    int from, until;
} block;

/* Copies of keys where an element of 16 keys is one vector. */
static void copy_together(const source *o, int j0, int from, int until, float16 *to) {
    for (int j = from; j < until; j += 16) {
        const operand_keys found =
            operand_keys_find(o->x, &o->memory, &o->head, j0 + j, o->begin, o->end);
        for (int d0 = 0; d0 < DP; d0 += 16) {
            float16 r[16];
            operand_columns(o->x, &o->memory, &found, d0, r);
            transpose16(r);
            for (int n = 0; n < 16; n++)
                to[((j + n) * DP + d0) / 16] =
                    n >= found.first && n < found.end ? r[n] : (float16)(0.0f);
        }
    }
}

/* Float rows are read in place, as far as whole passes of `step` keys go. */
static rows_of_chunk rows_make(const block *b, const source *o, int j0, int step, int column,
                               int columns, float16 *copy) {
    const int from = b->from, until = b->until;
    rows_of_chunk r = {0, 0, until, until, (const float *)copy};
    const operand_source *const x = o->x;
    if (x->type == TYPE_F32 && x->strides[3] == 1 && x->page_size == 0 &&
        column + columns <= x->size) {
        const operand_row row = operand_find(x, &o->memory, &o->head, j0);
        r.there = (__global const float *)o->memory.rows + row.at + column;
        r.pitch = x->strides[2];
        r.direct = (max(o->begin - j0, from) + step - 1) / step * step;
        r.direct_until = max(min(o->end - j0, until) / step * step, r.direct);
    }
    for (int j = from; j < min(r.direct, until); j++)
        copy_row(o, j0 + j, column, columns, copy + j * (columns / 16));
    for (int j = r.direct_until; j < until; j++)
        copy_row(o, j0 + j, column, columns, copy + j * (columns / 16));
    return r;
}

/* The chunk that begins at key j0, as far as [begin, end) of the sources goes. */
static void block_make(block *x, const source *k, const source *v, int j0, int column) {
    x->from = max(k->begin - j0, 0) / 16 * 16;
    x->until = min((k->end - j0 + 15) / 16 * 16, CHUNK);
    if (keys_lie_together(k->x)) {
        copy_together(k, j0, x->from, x->until, x->k_copy);
        x->k = (rows_of_chunk){0, 0, x->until, x->until, (const float *)x->k_copy};
    } else {
        x->k = rows_make(x, k, j0, 16, 0, DP, x->k_copy);
    }
    x->v = rows_make(x, v, j0, 1, column, EC, x->v_copy);
}

#endif
