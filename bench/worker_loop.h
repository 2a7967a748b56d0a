/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop of a worker in C (protocol.md): reads asks, times calls, answers. What is timed comes
 * from a party. */
#ifndef ATTEND_BENCH_WORKER_LOOP_H
#define ATTEND_BENCH_WORKER_LOOP_H

#include "bench_case.h"

#include <jansson.h>

enum { WORKER_TEXT = 1024 }; /* bytes of a reason, its end included */

typedef struct worker_transfers {
    uint64_t copied_bytes, in_place_bytes;
} worker_transfers;

/* One prepared case. */
typedef struct worker_call {
    void *state;
    /* One call, finished on return. False: failed, `reason` [WORKER_TEXT] says why. */
    bool (*run)(void *state, char *reason);
    /* Writes the chosen rows of the last call's output, `width` floats each; NULL for kernels that
     * check themselves. */
    bool (*rows)(void *state, const int64_t *rows, size_t count, float *values, char *reason);
    size_t width;
    void (*release)(void *state);
    const char *kernel; /* after the first call; NULL = not known; owned by the state */
    /* after the first call: bytes of host memory that a call copied, and used in place; NULL = it
     * uses none */
    const worker_transfers *transfers;
    const char *tuning; /* after the first call: lines about what can be tuned; NULL = none */
    /* kernels that check themselves: */
    double flops, bytes; /* of one call */
    double max_error, error_ratio;
} worker_call;

typedef enum worker_verdict { WORKER_OK, WORKER_UNSUPPORTED, WORKER_ERROR } worker_verdict;

typedef struct worker_party {
    void *state;
    /* Opens for `threads` threads; returns the answer's fields (name, version, device, ..; see
     * protocol.md), or NULL with the reason why the party is missing. */
    json_t *(*hello)(void *state, int32_t threads, char *reason);
    /* Makes the inputs and fills *call (zeroed before); nothing is left behind unless OK. */
    worker_verdict (*prepare)(void *state, const bench_case *c, worker_call *call, char *reason);
} worker_party;

/* Serves standard input until its end; 0, or 1 when an answer could not be written. Standard output
 * belongs to the protocol: what libraries print there goes to standard error. */
int serve_worker(const worker_party *party);

#endif
