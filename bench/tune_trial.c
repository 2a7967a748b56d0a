/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_trial.h. */
#include "tune_trial.h"

#include "statistics.h"

#include "base/thread.h"

#include <math.h>
#include <string.h>

enum { HOPELESS_ROUNDS = 2 };
static const entry_goal goal = {
    .seconds = 0.1, .samples = TUNE_TRIAL_ROUNDS, .rounds = TUNE_TRIAL_ROUNDS};
static const double HOPELESS = 1.3; /* times the default's time */

double tune_now(void) {
    return (double)attend__clock_nanoseconds() * 1e-9;
}

/* ---- a worker -------------------------------------------------------------------------------- */

static void set_up(tune_trial *t, const tune_start *start) {
    memset(&t->r, 0, sizeof t->r);
    memset(&t->e, 0, sizeof t->e);
    t->r = *start->device;
    t->r.process = NULL;
    t->r.about = NULL;
    t->r.starts = RUNNER_MOST_STARTS - 1; /* one life: who dies is not asked again */
    t->settings[0] = t->setting;
    t->settings[1] = NULL;
    t->r.settings = t->settings;
    t->e = (entry){.c = start->c, .r = &t->r, .id = start->id};
}

void tune_trial_begin(tune_trial *t, const tune_start *start) {
    set_up(t, start);
    t->begun = true;
    entry_begin(&t->e);
}

bool tune_trial_start(tune_trial *t, const tune_start *start) {
    if (!t->begun) set_up(t, start);
    t->begun = false;
    t->r.until_s = start->until_s;
    if (start->timeout_s > 0) t->r.timeout_s = start->timeout_s;
    if (!entry_prepare(&t->e, start->o)) return false;
    if (start->beside && start->beside->r.process) process_pause(start->beside->r.process);
    return t->e.state != ENTRY_READY || entry_warm_up(&t->e, &goal);
}

void tune_trial_end(tune_trial *t) {
    /* nobody waits for a compiler then */
    if (process_interrupted() && t->r.process) process_kill(t->r.process);
    runner_end(&t->r);
    entry_release(&t->e);
    t->begun = false;
}

void tune_trial_kill(tune_trial *t) {
    if (t->r.process) process_kill(t->r.process);
    tune_trial_end(t);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

double tune_median(const double *values, size_t count) {
    return summarize_samples(values, count).median;
}

double tune_round_s(const tune_trial *t) {
    return fmax(t->e.call_s, goal.seconds / (double)goal.rounds);
}

static double last_round(const entry *e) {
    const size_t count = e->round_count ? e->round_sizes[e->round_count - 1] : 0;
    if (!count) return NAN;
    return tune_median(e->samples + e->sample_count - count, count);
}

static bool both_ready(const tune_trial *base, const tune_trial *candidate) {
    return base->e.state == ENTRY_READY && candidate->e.state == ENTRY_READY;
}

bool tune_compare(tune_trial *base, tune_trial *candidate, size_t more, tune_rounds *r) {
    const size_t first = r->count;
    const double until = fmin(base->r.until_s, candidate->r.until_s);
    while (r->count < first + more && tune_now() < until) {
        entry *const pair[] = {&base->e, &candidate->e};
        for (size_t i = 0; i < 2 && both_ready(base, candidate); ++i)
            if (!entry_sample(pair[(i + r->count) % 2], &goal)) return false;
        if (!both_ready(base, candidate)) return true;
        const size_t n = r->count++;
        r->base[n] = last_round(&base->e);
        r->candidate[n] = last_round(&candidate->e);
        r->ratio[n] = r->candidate[n] / r->base[n];
        r->wins += r->ratio[n] < 1;
        if (r->count == HOPELESS_ROUNDS && tune_median(r->ratio, r->count) > HOPELESS) return true;
    }
    return true;
}
