/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and values of one head for the kernels of CPUs, which read them where the caller has them,
 * as float32, a chunk at a time, and ask for the lines of the next chunk meanwhile. */
#ifndef ATTEND_CL_KEY_SOURCE_H
#define ATTEND_CL_KEY_SOURCE_H

#define DIRECT
#include "operand.h"

#ifndef CHUNK
#define CHUNK 128 /* keys that are summed on their own */
#endif

/* One operand of a key/value head, and the keys that may be read. */
typedef struct source {
    const operand_source *x;
    operand_memory memory;
    operand_head head;
    int begin, end;
} source;

/* Elements [column, column + columns) of key j, or 0 where it may not be read. */
static void copy_row(const source *o, int j, int column, int columns, float16 *to) {
    const operand_source *const x = o->x;
    const int count = columns / 16;
    if (j < o->begin || j >= o->end) {
        for (int e = 0; e < count; e++)
            to[e] = (float16)(0.0f);
        return;
    }
    const operand_row row = operand_find(x, &o->memory, &o->head, j);
    const i64 at = row.at + column;
    if (x->strides[3] != 1 || column + columns > x->size) {
        for (int e = 0; e < count; e++)
            to[e] = operand_part(x, &o->memory, &row, column + 16 * e);
    } else if (x->type == TYPE_F32) {
        __global const float *const from = (__global const float *)o->memory.rows + at;
        for (int e = 0; e < count; e++)
            to[e] = vload16(e, from);
    } else if (x->type == TYPE_I8) {
        __global const char *const from = (__global const char *)o->memory.rows + at;
        for (int e = 0; e < count; e++)
            to[e] = convert_float16(vload16(e, from)) * row.scale;
    } else {
        for (int e = 0; e < count; e++)
            to[e] = load_elements(o->memory.rows, at + 16 * e, x->type);
    }
}

/* Lines of the next chunk that are still to be asked for: while this one is computed they come from
 * far. Nothing where the driver has no such request, and for pages. */
typedef struct ahead {
    ulong at[2];         /* keys and values */
    i64 pitch[2];        /* bytes */
    int lines[2], key[2], end[2]; /* of a row; the next one to ask for; where to stop */
    int rows;                     /* of each that are asked for while 8 keys are taken */
} ahead;

#ifdef USE_PREFETCH /* ocl_facts.prefetch */
#define PREFETCH(address) __builtin_prefetch((const void *)(address), 0, 2)
#else
#define PREFETCH(address) (void)(address)
#endif

static void ahead_make(ahead *a, int n, const source *o, int j0, int column, int columns) {
    const operand_source *const x = o->x;
    const int bytes = x->type == TYPE_F32 ? 4 : x->type == TYPE_I8 ? 1 : 2;
    a->key[n] = a->end[n] = 0;
    if (x->page_size > 0 || x->strides[3] != 1 || j0 >= o->end) return;
    const operand_row row = operand_find(x, &o->memory, &o->head, j0);
    a->at[n] = (ulong)(o->memory.rows + (row.at + column) * bytes);
    a->pitch[n] = x->strides[2] * bytes;
    a->lines[n] = (columns * bytes + 63) / 64;
    a->end[n] = min(CHUNK, o->end - j0);
}

/* One row of keys (n = 0) or of values (n = 1). */
static void look_ahead_row(ahead *a, int n) {
    if (a->key[n] >= a->end[n]) return;
    const ulong row = a->at[n] + (ulong)(a->key[n]++ * a->pitch[n]);
    for (int i = 0; i < a->lines[n]; i++)
        PREFETCH(row + 64 * (ulong)i);
}

/* While `keys` keys are taken. */
static void look_ahead(ahead *a, int keys) {
    for (int i = 0; i < keys / 8 * a->rows; i++) {
        look_ahead_row(a, 0);
        look_ahead_row(a, 1);
    }
}

#endif
