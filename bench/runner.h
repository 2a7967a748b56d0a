/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker as the program sees it: who it is, how it is started, what it answers. It runs only
 * while it is being asked; one that dies or hangs is started anew for the next case. */
#ifndef ATTEND_BENCH_RUNNER_H
#define ATTEND_BENCH_RUNNER_H

#include "process.h"
#include "worker_loop.h"

enum { RUNNER_MOST_SETTINGS = 4 };

typedef enum runner_verdict {
    RUNNER_OK,
    RUNNER_MISSING,     /* hello: what it needs is not here */
    RUNNER_UNSUPPORTED, /* prepare: it cannot do this */
    RUNNER_ERROR,       /* it said so */
    RUNNER_LOST,        /* it died, was silent too long, or did not speak the protocol */
    RUNNER_INTERRUPTED  /* the user ends the program */
} runner_verdict;

enum { RUNNER_MOST_STARTS = 4 }; /* one that dies with most cases is not worth more */

typedef struct runner {
    char *name;        /* a backend's or a peer's */
    char *const *argv; /* the command, ends with NULL; must outlive the runner */
    bool peer;
    bool peaks_only; /* takes part only to measure what the machine can do */
    int32_t threads;
    bool hear_errors;
    double timeout_s;      /* for one ask */
    double until_s;        /* on the clock: no ask takes longer than that; 0: no such time */
    char *const *settings; /* "NAME=value" for its environment, ends with NULL; NULL: none */

    json_t *about; /* its answer to hello; NULL before */
    process *process;
    int ahead; /* asks that were sent and wait for their answers to be taken */
    int starts;
    char reason[WORKER_TEXT]; /* why the last ask failed */
} runner;

/* Starts the process and sends hello and `ask` (its reference is taken), but waits for nothing: it
 * is runner_start and the same ask that take the answers, and learn what went wrong. */
void runner_begin(runner *r, json_t *ask);
/* Starts the process if there is none and says hello. */
runner_verdict runner_start(runner *r);
/* Sends `ask` (its reference is taken; NULL: no memory) and gives the answer, owned by the caller,
 * NULL unless OK. A lost worker's process is gone afterwards, and its cases with it. */
runner_verdict runner_ask(runner *r, json_t *ask, json_t **answer);
void runner_end(runner *r);
/* Whose peak its speed is a share of: "cpu" for all that the host's processor computes, else its
 * device. After it has started. */
const char *runner_peak_device(const runner *r);

#endif
