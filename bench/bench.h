/* SPDX-License-Identifier: Apache-2.0
 *
 * A benchmark: cases on workers, in interleaved rounds. */
#ifndef ATTEND_BENCH_BENCH_H
#define ATTEND_BENCH_BENCH_H

#include "entry.h"

typedef struct bench_progress {
    size_t prepared, expected; /* cases on workers; of the whole run */
    double done;               /* share of the samples that are taken; 0 while cases are prepared */
    double left_s;             /* the rest of the run will take about this long; 0: no idea yet */
} bench_progress;

typedef struct bench_plan {
    const bench_case *cases;
    size_t case_count;
    runner *runners;
    size_t runner_count;
    bool own_kernels; /* workers that list cases of their own are asked for them, too */
    bool check;       /* against the oracle, before it is timed */
    entry_goal goal;
    uint64_t memory_bytes; /* what the inputs of cases that are prepared at once may take */
    /* Called before each ask; e: what is asked for next, NULL while workers start. May be NULL. */
    void (*progress)(void *user, const entry *e, const bench_progress *p);
    void *user;
} bench_plan;

typedef enum bench_end {
    BENCH_DONE,
    BENCH_INTERRUPTED, /* the document holds what was measured */
    BENCH_NO_MEMORY    /* the document may lack some of it */
} bench_end;

/* Measures, and writes `results`, `skipped`, and the context's `workers` and `peaks` to the
 * document (schema.md). The workers are ended. */
bench_end bench_run(const bench_plan *plan, json_t *document);

/* ---- for schedule.c and results.c ---- */

typedef struct entry_list {
    entry *items;
    size_t count, room;
} entry_list;

/* Writes one block's entries to the document; `peaks` are those of the cases "peak-fma" and
 * "peak-read", a pair for each device and number of threads. False without memory. */
bool bench_write_results(const entry_list *list, const entry_list *peaks, json_t *document);
bool bench_write_skipped(const runner *r, const bench_case *c, const char *reason,
                         json_t *document);
bool bench_write_context(const bench_plan *plan, const entry_list *peaks, json_t *document);

#endif
