/* SPDX-License-Identifier: Apache-2.0
 *
 * Where keys and values lie, one run at a time: a dense or packed sample is one run, a paged one a
 * run for each stretch of pages that follow one another. For what reads rows in place. */
#ifndef ATTEND_CPU_RUNS_H
#define ATTEND_CPU_RUNS_H

#include "cpu_attention.h"

/* Rows of elements, strides in elements. */
typedef struct attend__matrix {
    const char *first;
    attend_type type;
    int64_t row_stride, column_stride;
} attend__matrix;

/* Keys of a sample that lie at one distance from each other. */
typedef struct attend__run {
    attend__matrix rows;
    int64_t count;
    const float *scales; /* of the first; NULL: not int8 */
    int64_t scale_stride;
} attend__run;

/* From key `key` on, at most `most` of them; t is k with its scales or v with its own. */
attend__run attend__run_at(const attend__call *call, const attend_tensor *t,
                           const attend_tensor *scales, int64_t batch, int64_t group, int64_t key,
                           int64_t most);
/* The rows of a run as float32, `to_stride` apart, filled up with 0. */
void attend__widen_run(const attend__call *call, const attend__run *r, int64_t columns, float *to,
                       int64_t to_stride);

#endif
