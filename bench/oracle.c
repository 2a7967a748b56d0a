/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle.h. Bounds: docs/numerics.md; letters as there. */
#include "oracle.h"

#include "oracle_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which rows ---- */

/* A layer needs the keys of every sample that a row comes from: two samples are enough. */
static int64_t rows_to_choose_from(const bench_case *c) {
    const int64_t rows = bench_case_rows(c);
    if (c->op != BENCH_LAYER || c->batch <= 2) return rows;
    return 2 * c->queries;
}

static int64_t place(const bench_case *c, int64_t row) {
    if (c->op != BENCH_LAYER || c->batch <= 2 || row < c->queries) return row;
    return row + (c->batch - 2) * c->queries; /* the second half stands for the last sample */
}

static void choose_rows(const bench_case *c, oracle *o) {
    const int64_t all = rows_to_choose_from(c);
    const int64_t by_size = ORACLE_MOST_VALUES / bench_case_width(c);
    int64_t count = all < ORACLE_MOST_ROWS ? all : ORACLE_MOST_ROWS;
    if (count > by_size) count = by_size > 0 ? by_size : 1;
    o->row_count = (size_t)count;
    const double step = count > 1 ? (double)(all - 1) / (double)(count - 1) : 0;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t low = (int64_t)((double)i * step);
        const int64_t next = (int64_t)((double)(i + 1) * step);
        /* anywhere in its share, or a pattern of period `step` would never be seen */
        const int64_t room = next > low ? next - low : 1;
        const int64_t shift = i == 0 || i == count - 1 ? 0 : (i * 7919) % room;
        o->rows[i] = place(c, i == count - 1 ? all - 1 : low + shift);
    }
}

/* ---- comparing ---- */

void oracle_compare(const oracle *o, size_t row, const float *got, oracle_difference *d) {
    const double *const want = o->want + row * o->width, *const bound = o->bound + row * o->width;
    for (size_t i = 0; i < o->width; ++i) {
        const bool equal = (double)got[i] == want[i]; /* -inf, too: a row without keys */
        const double error = equal ? 0 : fabs((double)got[i] - want[i]);
        const double ratio = equal ? 0 : isfinite(got[i]) ? error / bound[i] : INFINITY;
        if (!isnan(d->max_error) && !(error <= d->max_error)) d->max_error = error;
        if (!(ratio <= d->error_ratio)) d->error_ratio = ratio;
    }
}

double oracle_largest(const oracle *o) {
    double largest = 0;
    for (size_t i = 0; i < o->row_count * o->width; ++i)
        if (isfinite(o->want[i])) largest = fmax(largest, fabs(o->want[i]));
    return largest;
}

bool oracle_create(const bench_case *c, oracle_memory *memory, oracle *o) {
    memset(o, 0, sizeof *o);
    o->width = (size_t)bench_case_width(c);
    o->rows = calloc(ORACLE_MOST_ROWS, sizeof *o->rows);
    if (o->rows) {
        choose_rows(c, o);
        o->want = calloc(o->row_count * o->width, sizeof *o->want);
        o->bound = calloc(o->row_count * o->width, sizeof *o->bound);
    }
    if (o->want && o->bound && oracle_fill(c, memory, o)) return true;
    oracle_release(o);
    return false;
}

void oracle_forget(oracle_memory *memory) {
    for (int role = 0; role < BENCH_ROLE_COUNT; ++role)
        free(memory->values[role]);
    memset(memory, 0, sizeof *memory);
}

void oracle_release(oracle *o) {
    free(o->rows);
    free(o->want);
    free(o->bound);
    memset(o, 0, sizeof *o);
}
