/* SPDX-License-Identifier: Apache-2.0
 *
 * tuner.h. Cases take turns until the time is over or nothing is left: each gets a share of what
 * is left, so that one that is done early leaves its time to the others. Of a kernel on a case a
 * shortlist is tried, then the neighbours of the best two; then the best once more, in new
 * processes, since the best of many is partly the luckiest. A share only says when no other
 * candidate is begun: one that is being built when it ends, or the default, would have cost its
 * time for nothing. The end of all is kept by killing who has not answered. */
#include "tuner.h"

#include "tune_report.h"
#include "tune_trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A candidate may take as many times as long to start and to check as the slowest did, and not
 * less than so many seconds: the default may have been built before. */
static const double PATIENCE = 4, LEAST_PATIENCE_S = 15;
/* It hangs when it is silent for longer than this, and many of the default's calls. */
static const double HANGS_S = 2, SLOW_CALLS = 20;
static const double WARM_START_S = 0.7;
static const double LEAST_GAIN = 0.03, CHANCE = 0.05;

enum { MOST_TRIALS = 200 };

/* A kernel on a case: what was tried of it so far. */
typedef struct work {
    size_t result;              /* index in the report */
    tune_queue queue;           /* empty: not begun */
    double ratios[MOST_TRIALS]; /* to the default's time; 1: no gain when it was held anew */
    size_t confirmed;           /* 0: nothing is better than the default */
    double cost_s;              /* of its candidates, together */
    size_t begun;
    bool over;
} work;

/* A case: a share is what it gets of the time at once. */
typedef struct job {
    const bench_case *c;
    work *works;
    int count;
    bool known, over; /* its works are listed; nothing is left */
} job;

typedef struct search {
    const tune_plan *plan;
    tune_report *report;
    oracle_memory memory;
    int64_t next_id;
    /* of the case whose turn it is */
    const bench_case *c;
    oracle o;
    tune_trial base, trials[2];
    tune_trial *candidate, *next; /* of trials */
    size_t next_at;               /* the point that `next` builds; 0: none */
    double start_s;               /* of the default's worker */
    double warm_s;                /* of a worker whose kernels were built before */
    double patience_s;            /* for one candidate */
    double share_end_s;
    size_t begun; /* candidates in this turn of all */
    /* of the kernel */
    work *w;
    tune_result *result;
} search;

/* ---- trials ---------------------------------------------------------------------------------- */

/* False: interrupted. */
static bool start(search *s, tune_trial *t, double until, double timeout) {
    const double begin = tune_now();
    const tune_start what = {.device = s->plan->device,
                             .c = s->c,
                             .o = &s->o,
                             .id = ++s->next_id,
                             .until_s = until,
                             .timeout_s = timeout,
                             .beside = s->next_at ? s->next : NULL};
    const bool going = tune_trial_start(t, &what);
    const double took = tune_now() - begin;
    s->report->start_s += took;
    if (t->e.state == ENTRY_READY) s->warm_s = fmin(s->warm_s, took);
    return going;
}

static void note(json_t *list, const char *what, const char *why) {
    json_array_append_new(list, json_sprintf("%s: %s", what, why));
}

/* The worker with the defaults. False: interrupted. */
static bool start_base(search *s) {
    const double begin = tune_now();
    snprintf(s->base.setting, sizeof s->base.setting, "ATTEND_TUNING=off");
    const bool going = start(s, &s->base, s->plan->end_s, 0);
    s->start_s = tune_now() - begin;
    s->patience_s = fmax(s->patience_s, PATIENCE * s->start_s);
    tune_report_device(s->report, &s->base.r);
    return going;
}

static void set_values(const search *s, tune_trial *t, const tune_point *p) {
    char list[TUNE_TEXT];
    tune_point_text(&s->result->space, p, ',', list);
    snprintf(t->setting, sizeof t->setting, "ATTEND_TUNING=%s:%s", s->result->space.kernel, list);
}

static bool start_candidate(search *s, const tune_point *p, double until) {
    if (!s->candidate->begun) set_values(s, s->candidate, p);
    const bool going = start(s, s->candidate, until, s->patience_s);
    s->candidate->r.timeout_s = HANGS_S + SLOW_CALLS * s->base.e.call_s;
    return going;
}

static void begin(search *s, tune_trial *t, size_t at) {
    const tune_start what = {.device = s->plan->device, .c = s->c, .id = ++s->next_id};
    set_values(s, t, &s->w->queue.points[at]);
    tune_trial_begin(t, &what);
}

/* Makes the point `at` the candidate, and has the next one built at the same time: compilers take
 * one thread. It stands still while calls are timed. */
static void take_point(search *s, size_t at) {
    tune_trial *const next = s->next;
    if (s->next_at == at) {
        s->next = s->candidate;
        s->candidate = next;
    } else {
        begin(s, s->candidate, at);
    }
    const bool more = at + 1 < s->w->queue.count && at + 1 < MOST_TRIALS;
    s->next_at = more && tune_now() < s->share_end_s ? at + 1 : 0;
    if (s->next_at) begin(s, s->next, s->next_at);
}

static void drop_next(search *s) {
    if (s->next_at) tune_trial_kill(s->next);
    s->next_at = 0;
}

static bool compare(search *s, size_t more, double until, tune_rounds *r) {
    const double begin = tune_now();
    s->candidate->r.until_s = until;
    const bool going = tune_compare(&s->base, s->candidate, more, r);
    s->report->measure_s += tune_now() - begin;
    return going;
}

bool tune_is_gain(size_t wins, size_t count, double ratio) {
    double tail = 0, ways = pow(0.5, (double)count);
    for (size_t lost = 0; lost + wins <= count; ++lost) {
        tail += ways;
        ways *= (double)(count - lost) / (double)(lost + 1);
    }
    return wins <= count && ratio <= 1 - LEAST_GAIN && tail < CHANCE;
}

/* ---- time ------------------------------------------------------------------------------------ */

/* What holding a candidate against the default anew takes: it was built before. */
static double confirming_s(const search *s) {
    return TUNE_FINAL_PAIRS * 2 * (TUNE_FINAL_ROUNDS * tune_round_s(&s->base) + s->warm_s);
}

/* A candidate takes what those before it took, the first as a rule less than the default, which
 * has more to be built. One that takes longer than that is killed at the end, so half of it is
 * reason enough to begin. */
static double candidate_s(const search *s) {
    return s->w->begun ? s->w->cost_s / (double)s->w->begun : s->start_s;
}

static bool has_time(const search *s) {
    const double t = tune_now();
    const bool begun = s->next_at && s->next_at == s->w->queue.next;
    return (begun || t < s->share_end_s) &&
           t + candidate_s(s) / 2 + confirming_s(s) < s->plan->end_s;
}

/* ---- one kernel on one case ------------------------------------------------------------------ */

/* The queue's next point. False: interrupted, or the default's worker is lost. */
static bool try_point(search *s, double *ratio) {
    char values[TUNE_TEXT];
    const double begin = tune_now(), end = s->plan->end_s - confirming_s(s);
    const tune_point *const p = &s->w->queue.points[s->w->queue.next];
    tune_rounds r = {.count = 0};
    take_point(s, s->w->queue.next);
    const entry *const e = &s->candidate->e;
    tune_point_text(&s->result->space, p, ' ', values);
    if (s->plan->progress) s->plan->progress(s->plan->user, s->c, s->result->space.kernel, values);
    bool going = start_candidate(s, p, fmin(end, begin + s->patience_s));
    if (going && e->state == ENTRY_READY) going = compare(s, TUNE_TRIAL_ROUNDS, end, &r);
    const bool in_time = tune_now() < end;
    if (going && (in_time || r.count == TUNE_TRIAL_ROUNDS)) ++s->result->tried;
    if (going && in_time && e->state != ENTRY_READY) note(s->result->rejected, values, e->reason);
    if (e->state == ENTRY_READY && r.count == TUNE_TRIAL_ROUNDS)
        *ratio = tune_median(r.ratio, r.count);
    tune_trial_end(s->candidate);
    s->w->cost_s += tune_now() - begin;
    ++s->w->begun;
    ++s->begun;
    return going && s->base.e.state == ENTRY_READY;
}

static bool add_neighbours(const search *s) {
    tune_queue *const q = &s->w->queue;
    const double *const ratios = s->w->ratios;
    size_t first = 0, second = SIZE_MAX;
    for (size_t i = 1; i < q->next; ++i) {
        if (ratios[i] < ratios[first]) {
            second = first;
            first = i;
        } else if (second == SIZE_MAX || ratios[i] < ratios[second]) {
            second = i;
        }
    }
    const tune_point a = q->points[first], b = q->points[second == SIZE_MAX ? first : second];
    return tune_neighbours(&s->result->space, &a, q) && tune_neighbours(&s->result->space, &b, q);
}

/* As many points as there is time for. False: interrupted, or the default's worker is lost. */
static bool try_points(search *s) {
    work *const w = s->w;
    tune_queue *const q = &w->queue;
    bool going = true;
    if (!q->count) {
        w->ratios[0] = 1;
        s->report->no_memory |= !tune_shortlist(&s->result->space, q);
    }
    while (going && !w->over && !s->report->no_memory) {
        while (going && q->next < q->count && q->next < MOST_TRIALS && has_time(s)) {
            w->ratios[q->next] = INFINITY;
            going = try_point(s, &w->ratios[q->next]);
            ++q->next;
        }
        if (q->next < q->count && q->next < MOST_TRIALS) break;
        s->report->no_memory |= !add_neighbours(s);
        w->over = q->next == q->count || q->next == MOST_TRIALS;
    }
    drop_next(s);
    s->result->left = q->count > 0 ? q->count - 1 - s->result->tried : 0;
    return going;
}

/* New processes of the default and of the candidate: some are slow for as long as they live,
 * wherever their threads and pages were put. False: interrupted, or the default's is lost. */
static bool compare_anew(search *s, const tune_point *p, tune_rounds *r) {
    const size_t first = r->count;
    tune_trial_end(&s->base);
    if (!start_base(s) || s->base.e.state != ENTRY_READY) return false;
    bool going = start_candidate(s, p, s->plan->end_s);
    if (going && s->candidate->e.state == ENTRY_READY)
        going = compare(s, TUNE_FINAL_ROUNDS, s->plan->end_s, r);
    const size_t count = r->count - first;
    if (count < TUNE_FINAL_ROUNDS || tune_median(r->ratio + first, count) > 1 - LEAST_GAIN)
        r->lost = true;
    tune_trial_end(s->candidate);
    return going;
}

/* The best candidate that is worth holding against the default anew; 0: none. */
static size_t best_of(const work *w) {
    size_t best = w->confirmed;
    for (size_t i = 1; i < w->queue.next; ++i)
        if (w->ratios[i] < (best ? w->ratios[best] : 1 - LEAST_GAIN)) best = i;
    return best == w->confirmed ? 0 : best;
}

/* Candidate `i` again, and what it is worth. False as compare_anew. */
static bool confirm(search *s, size_t i) {
    work *const w = s->w;
    tune_result *const result = s->result;
    tune_rounds r = {.count = 0};
    bool going = true;
    for (int n = 0; n < TUNE_FINAL_PAIRS && going && !r.lost; ++n)
        going = compare_anew(s, &w->queue.points[i], &r);
    const double ratio = r.count ? tune_median(r.ratio, r.count) : 1;
    const bool gain = going && !r.lost && tune_is_gain(r.wins, r.count, ratio);
    w->ratios[i] = gain ? ratio : 1;
    if (r.count && !w->confirmed) result->before_s = result->after_s = tune_median(r.base, r.count);
    if (!gain || (w->confirmed && result->ratio <= ratio)) return going;
    result->before_s = tune_median(r.base, r.count);
    result->after_s = tune_median(r.candidate, r.count);
    result->ratio = ratio;
    result->best = w->queue.points[i];
    w->confirmed = i;
    return going;
}

/* The time of one is kept back; where it is no gain after all, the next best. */
static bool confirm_best(search *s) {
    bool going = true, first = true;
    if (isnan(s->result->before_s)) s->result->before_s = s->result->after_s = s->base.e.call_s;
    for (size_t i = best_of(s->w); going && i; i = best_of(s->w)) {
        if (!first && tune_now() + confirming_s(s) >= s->plan->end_s) break;
        first = false;
        going = confirm(s, i);
    }
    return going;
}

/* ---- a case ---------------------------------------------------------------------------------- */

static void list_works(search *s, job *j) {
    tune_space spaces[TUNE_MOST_SPACES];
    const int count = tune_report_spaces(s->report, s->c, s->base.e.tuning, spaces);
    j->known = true;
    j->works = calloc((size_t)count + 1, sizeof *j->works);
    s->report->no_memory |= !j->works;
    for (int i = 0; i < count && !s->report->no_memory; ++i) {
        if (!tune_report_add(s->report, s->c, &spaces[i])) return;
        j->works[j->count++].result = s->report->count - 1;
    }
}

static bool search_job(search *s, job *j, double share_end) {
    bool going = true, over = true;
    for (int i = 0; going && i < j->count && !s->report->no_memory; ++i) {
        s->w = &j->works[i];
        s->result = &s->report->results[s->w->result];
        s->share_end_s = tune_now() + (share_end - tune_now()) / (double)(j->count - i);
        if (!s->w->over) going = try_points(s) && confirm_best(s);
        over &= s->w->over;
    }
    j->over |= over;
    return going;
}

/* What a lost default is said to have died of; that the time is over is no fault of its own. */
static void judge_base(search *s, job *j) {
    const entry_state state = s->base.e.state;
    if (state != ENTRY_FAILED && state != ENTRY_SKIPPED) return;
    j->over = true;
    if (tune_now() < s->plan->end_s)
        note(s->report->failed, s->c->name, s->base.e.reason);
    else if (!j->known)
        note(s->report->failed, s->c->name, "the time was over before its default had run");
}

/* A turn of one of `count` cases that are left. */
static void take_turn(search *s, job *j, size_t count) {
    s->c = j->c;
    s->patience_s = LEAST_PATIENCE_S;
    s->warm_s = WARM_START_S;
    if (!oracle_create(s->c, &s->memory, &s->o)) {
        s->report->no_memory = true;
        return;
    }
    bool going = start_base(s);
    if (going && s->base.e.state == ENTRY_READY) {
        const double t = tune_now();
        if (!j->known) list_works(s, j);
        going = search_job(s, j, t + (s->plan->end_s - t) / (double)count);
    }
    if (going || !process_interrupted()) judge_base(s, j);
    tune_trial_end(&s->base);
    oracle_release(&s->o);
}

static bool is_going(const search *s) {
    return !s->report->no_memory && !process_interrupted() && tune_now() < s->plan->end_s;
}

static void take_turns(search *s, job *jobs) {
    const size_t count = s->plan->case_count;
    bool more = true;
    while (more && is_going(s)) {
        size_t left = 0;
        for (size_t i = 0; i < count; ++i)
            left += !jobs[i].over;
        s->begun = 0;
        for (size_t i = 0; i < count && is_going(s); ++i)
            if (!jobs[i].over) take_turn(s, &jobs[i], left--);
        more = s->begun > 0;
    }
    for (size_t i = 0; i < count && !process_interrupted(); ++i)
        if (!jobs[i].known && !jobs[i].over)
            note(s->report->failed, jobs[i].c->name, "the time was over before its turn");
}

void tune_run(const tune_plan *plan, tune_report *report) {
    search s = {.plan = plan, .report = report};
    s.candidate = &s.trials[0];
    s.next = &s.trials[1];
    tune_report_start(report);
    job *const jobs = calloc(plan->case_count + 1, sizeof *jobs);
    report->no_memory = !jobs;
    for (size_t i = 0; jobs && i < plan->case_count; ++i)
        jobs[i].c = &plan->cases[i];
    if (jobs) take_turns(&s, jobs);
    report->interrupted = process_interrupted();
    for (size_t i = 0; jobs && i < plan->case_count; ++i) {
        for (int k = 0; k < jobs[i].count; ++k)
            tune_queue_release(&jobs[i].works[k].queue);
        free(jobs[i].works);
    }
    free(jobs);
    oracle_forget(&s.memory);
}
