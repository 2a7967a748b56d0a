/* SPDX-License-Identifier: Apache-2.0
 *
 * The tasks of a call whose samples differ in length: each sample is cut by its own rows, nothing
 * is done for padding, and samples with long tasks come first, so that no thread is left with one
 * at the end. The order is kept in a table of fixed size, because running allocates nothing; in
 * larger batches several samples share an entry. */
#ifndef ATTEND_CPU_SCHEDULE_H
#define ATTEND_CPU_SCHEDULE_H

#include "cpu_strip.h"

enum { ATTEND__SCHEDULE_ENTRIES = 1024 };

typedef struct attend__schedule {
    const attend__call *call;
    int64_t unit;  /* rows of a query: heads of a group, or 1 where a task has all heads */
    int64_t pairs; /* groups, or 1 */
    int64_t rows;  /* of a task */
    int64_t tasks;
    double work;  /* multiplications */
    int64_t each; /* samples of an entry */
    int32_t entries;
    int32_t order[ATTEND__SCHEDULE_ENTRIES];
    int64_t start[ATTEND__SCHEDULE_ENTRIES]; /* first task of the entry in that order */
} attend__schedule;

/* Rows (of unit 1: queries) of a sample, group and part. */
typedef struct attend__part_of_rows {
    int64_t batch, group;
    int64_t first, count;
} attend__part_of_rows;

void attend__schedule_make(attend__schedule *schedule, const attend_device *device,
                           const attend__call *call);
attend__part_of_rows attend__schedule_part(const attend__schedule *schedule, int64_t task);

#endif
