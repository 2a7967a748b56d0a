/* SPDX-License-Identifier: Apache-2.0
 *
 * The query rows of a block as its work-group shares them: one work-item computes what all need to
 * know of a row, into local memory, because registers for it in each would leave none for sums. */
#ifndef ATTEND_CL_TILE_ROWS_H
#define ATTEND_CL_TILE_ROWS_H

#include "attention_tile.h"
#include "score.h"

/* Row `row` of the key/value head of plane z; beyond the last one it is repeated. */
static row_info row_at(const inputs *in, int z, int row) {
    const int R = in->p->R, length = max(rows_of(in, z / in->p->G), 1);
    row = min(row, R * length - 1);
    return row_make(in, z / in->p->G, z % in->p->G * R + row / length, row % length);
}

/* Lines of rows first .. first + BQ - 1. */
static void lines_make(const inputs *in, int z, int first, int item, int items,
                       __local row_line *lines) {
    for (int n = item; n < BQ; n += items) {
        const row_info row = row_at(in, z, first + n);
        lines[n].place = row.place;
        lines[n].mask_at = row.mask_at;
        lines[n].bias_at = row.bias_at;
        lines[n].number = row.number;
        lines[n].query_at = query_of(in, row.b, row.h, row.i);
        lines[n].first = row.first;
        lines[n].end = row.end;
        lines[n].slope = row.slope;
    }
}

/* As much of a row as allowed_key and advance_key ask for. */
static row_info row_of(__local const row_line *line, i64 key_mask_at) {
    row_info row;
    row.place = line->place;
    row.mask_at = line->mask_at;
    row.bias_at = line->bias_at;
    row.key_mask_at = key_mask_at;
    row.first = line->first;
    row.end = line->end;
    row.slope = line->slope;
    return row;
}

/* Keys that any row may see by position and length, none: [0, 0), and those that all may. */
typedef struct key_range {
    int from, until, all_from, all_until;
} key_range;

static key_range range_of(__local const row_line *lines) {
    key_range r = {0x7fffffff, 0, 0, 0x7fffffff};
    for (int n = 0; n < BQ; n++) {
        const int first = lines[n].first, end = lines[n].end;
        r.all_from = max(r.all_from, first);
        r.all_until = min(r.all_until, end);
        if (first >= end) continue;
        r.from = min(r.from, first);
        r.until = max(r.until, end);
    }
    if (r.until == 0) r.from = 0;
    return r;
}

/* The keys of the chunks that a work-group sums: of split keys the one of its piece. A bound, for
 * PoCL 3.1 runs other loops wrongly where a `continue` passes over a barrier. */
typedef struct chunk_range {
    int first, last; /* where the first one begins; the end of the keys */
} chunk_range;

static chunk_range chunks_of(const attention_params *p, int from, int until) {
    const int start = from / TILE_CHUNK * TILE_CHUNK;
    const int piece = TILE_CHUNK * GROUP_DOWN;
    if (p->pieces == 1) return (chunk_range){start, until};
    return (chunk_range){max(start, piece), min(until, piece + TILE_CHUNK)};
}

#endif
