/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker process with values of its own, and rounds of two of them in turn: what the tuner's
 * search is made of. */
#ifndef ATTEND_BENCH_TUNE_TRIAL_H
#define ATTEND_BENCH_TUNE_TRIAL_H

#include "entry.h"
#include "tune_space.h"

enum { TUNE_TRIAL_ROUNDS = 5, TUNE_FINAL_PAIRS = 2, TUNE_FINAL_ROUNDS = 6 };
enum { TUNE_MOST_ROUNDS = TUNE_FINAL_PAIRS * TUNE_FINAL_ROUNDS };

typedef struct tune_trial {
    runner r;
    entry e;
    char setting[TUNE_TEXT + TUNE_NAME + 20]; /* ATTEND_TUNING=.. */
    char *settings[2];
    bool begun;
} tune_trial;

/* Who is started for what. */
typedef struct tune_start {
    const runner *device;
    const bench_case *c;
    const oracle *o;
    int64_t id;
    double until_s;   /* on the clock: killed when it has not answered by then */
    double timeout_s; /* for one ask; 0: the device's */
    const tune_trial
        *beside; /* NULL, or one that builds meanwhile: it stops before calls are timed */
} tune_start;

double tune_now(void);

/* Starts the worker with t->setting, checks the case's result, warms up. False: interrupted. */
bool tune_trial_start(tune_trial *t, const tune_start *start);
/* Starts it and has it build, without waiting: tune_trial_start takes what came of it. */
void tune_trial_begin(tune_trial *t, const tune_start *start);
void tune_trial_end(tune_trial *t);
/* The same at once, whatever it does. */
void tune_trial_kill(tune_trial *t);

typedef struct tune_rounds {
    double base[TUNE_MOST_ROUNDS], candidate[TUNE_MOST_ROUNDS], ratio[TUNE_MOST_ROUNDS];
    size_t count, wins;
    bool lost; /* a pair of processes saw no gain */
} tune_rounds;

double tune_median(const double *values, size_t count);
/* Seconds that a round of a worker lasts. */
double tune_round_s(const tune_trial *t);

/* `more` rounds of both in turn, who is first alternates; fewer where it is hopeless, where one of
 * them is lost, or when the time of either is over. False: interrupted. */
bool tune_compare(tune_trial *base, tune_trial *candidate, size_t more, tune_rounds *r);

#endif
