/* SPDX-License-Identifier: Apache-2.0
 *
 * One case on one worker: prepared, held against the oracle, warmed up, sampled in rounds. */
#ifndef ATTEND_BENCH_ENTRY_H
#define ATTEND_BENCH_ENTRY_H

#include "oracle.h"
#include "runner.h"

typedef enum entry_state {
    ENTRY_NEW,
    ENTRY_READY,   /* takes samples */
    ENTRY_SKIPPED, /* the worker cannot do this; `reason` */
    ENTRY_FAILED   /* wrong, died, timed out; `reason`; samples taken so far stay */
} entry_state;

typedef struct entry {
    const bench_case *c;
    runner *r;
    int64_t id;     /* in asks */
    int generation; /* of the worker's process that has the case prepared: runner.starts */
    entry_state state;
    char reason[WORKER_TEXT];

    double first_s;
    char kernel[96];
    double copied_bytes, in_place_bytes; /* of host memory, of one call; NaN: it uses none */
    char *tuning;                        /* what the worker says can be tuned; NULL: nothing */
    double flops, bytes;                 /* of one call */
    double max_error, error_ratio;       /* NaN: not known */
    size_t rows_checked;

    double call_s;  /* estimate of one call, from the warm-up */
    int64_t repeat; /* calls a sample */
    double *samples;
    size_t sample_count, sample_room;
    size_t *round_sizes;
    size_t round_count, round_room;
    double spent_s; /* in samples */
} entry;

typedef struct entry_goal {
    double seconds; /* of samples */
    size_t samples, rounds;
} entry_goal;

/* Has the process started and the case prepared without waiting; entry_prepare takes what came of
 * it. */
void entry_begin(entry *e);
/* Each returns false only when the user interrupts; what else goes wrong is the entry's state.
 * o may be NULL: a kernel, which checks itself. */
bool entry_prepare(entry *e, const oracle *o);
/* Chunks as long as a round's share, until two medians in a row agree. */
bool entry_warm_up(entry *e, const entry_goal *goal);
/* One round: as many samples as fill the goal's share. */
bool entry_sample(entry *e, const entry_goal *goal);
void entry_drop(entry *e);

/* Seconds that are left until the goal is reached; 0 when it is, or when no samples are taken. */
double entry_left(const entry *e, const entry_goal *goal);
void entry_release(entry *e);

#endif
