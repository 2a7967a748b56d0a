/* SPDX-License-Identifier: Apache-2.0
 *
 * tuner.h. A shortlist, then the neighbours of the best two, as long as they are new and there is
 * time; then the best once more, in new processes, since the best of many is partly the luckiest.
 */
#include "tuner.h"

#include "statistics.h"

#include "base/memory.h"
#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIAL_ROUNDS = 5, FINAL_PAIRS = 2, FINAL_ROUNDS = 6, HOPELESS_ROUNDS = 2 };
static const entry_goal goal = {.seconds = 0.1, .samples = TRIAL_ROUNDS, .rounds = TRIAL_ROUNDS};
static const double HOPELESS = 1.3; /* times the default's time */
/* A candidate may take as many times as long to start and to check as the default did, and not
 * less than so many seconds: the default may have been built before. */
static const double PATIENCE = 4, LEAST_PATIENCE_S = 15;
/* It hangs when it is silent for longer than this, and many of the default's calls. */
static const double HANGS_S = 2, SLOW_CALLS = 20;
static const double WARM_START_S = 0.7;
static const double LEAST_GAIN = 0.03, CHANCE = 0.05;

enum { MOST_ROUNDS = FINAL_PAIRS * FINAL_ROUNDS };

/* A worker with values of its own. */
typedef struct trial {
    runner r;
    entry e;
    char setting[TUNE_TEXT + TUNE_NAME + 20];
    char *settings[2];
} trial;

typedef struct search {
    const tune_plan *plan;
    tune_report *report;
    const bench_case *c;
    const tune_space *space;
    tune_result *result;
    oracle o;
    trial base, candidate;
    double best_ratio;
    double start_s;            /* of the default's worker, once it is built */
    double patience_s, cost_s; /* of one candidate */
    double end_s;
    int64_t next_id;
} search;

static double now(void) {
    return (double)attend__clock_nanoseconds() * 1e-9;
}

/* ---- trials ---------------------------------------------------------------------------------- */

static void end_trial(trial *t) {
    runner_end(&t->r);
    entry_release(&t->e);
}

/* Starts the worker, checks the case's result, warms up. False: interrupted. */
static bool start_trial(search *s, trial *t, double until) {
    memset(&t->r, 0, sizeof t->r);
    memset(&t->e, 0, sizeof t->e);
    t->r = *s->plan->device;
    t->r.process = NULL;
    t->r.about = NULL;
    t->r.starts = RUNNER_MOST_STARTS - 1; /* one life: who dies is not asked again */
    t->r.until_s = until;
    if (t != &s->base) t->r.timeout_s = s->patience_s;
    t->settings[0] = t->setting;
    t->settings[1] = NULL;
    t->r.settings = t->settings;
    t->e = (entry){.c = s->c, .r = &t->r, .id = ++s->next_id};
    if (!entry_prepare(&t->e, &s->o)) return false;
    if (t != &s->base) t->r.timeout_s = HANGS_S + SLOW_CALLS * s->base.e.call_s;
    return t->e.state != ENTRY_READY || entry_warm_up(&t->e, &goal);
}

static double last_round(const entry *e) {
    const size_t count = e->round_count ? e->round_sizes[e->round_count - 1] : 0;
    if (!count) return NAN;
    return summarize_samples(e->samples + e->sample_count - count, count).median;
}

typedef struct rounds {
    double base[MOST_ROUNDS], candidate[MOST_ROUNDS], ratio[MOST_ROUNDS];
    size_t count, wins;
    bool lost; /* a pair of processes saw no gain */
} rounds;

static double median(const double *values, size_t count) {
    return summarize_samples(values, count).median;
}

static bool both_ready(const search *s) {
    return s->base.e.state == ENTRY_READY && s->candidate.e.state == ENTRY_READY;
}

/* More rounds of both in turn, who is first alternates. False: interrupted. */
static bool compare(search *s, size_t more, double until, rounds *r) {
    trial *const t = &s->candidate;
    const size_t first = r->count;
    s->base.r.until_s = s->end_s;
    t->r.until_s = until;
    while (r->count < first + more && now() < until) {
        entry *const pair[] = {&s->base.e, &t->e};
        for (size_t i = 0; i < 2 && both_ready(s); ++i)
            if (!entry_sample(pair[(i + r->count) % 2], &goal)) return false;
        if (!both_ready(s)) return true;
        const size_t n = r->count++;
        r->base[n] = last_round(&s->base.e);
        r->candidate[n] = last_round(&t->e);
        r->ratio[n] = r->candidate[n] / r->base[n];
        r->wins += r->ratio[n] < 1;
        if (r->count == HOPELESS_ROUNDS && median(r->ratio, r->count) > HOPELESS) return true;
    }
    return true;
}

bool tune_is_gain(size_t wins, size_t count, double ratio) {
    double tail = 0, ways = pow(0.5, (double)count);
    for (size_t lost = 0; lost + wins <= count; ++lost) {
        tail += ways;
        ways *= (double)(count - lost) / (double)(lost + 1);
    }
    return wins <= count && ratio <= 1 - LEAST_GAIN && tail < CHANCE;
}

/* ---- one kernel on one case ------------------------------------------------------------------ */

static void note(json_t *list, const char *what, const char *why) {
    json_array_append_new(list, json_sprintf("%s: %s", what, why));
}

static void note_device(tune_report *report, const runner *r) {
    const char *const lines = json_string_value(json_object_get(r->about, "tuning"));
    if (!report->device_lines && lines) report->device_lines = attend__string_copy(lines);
}

/* The worker with the defaults. False: interrupted. */
static bool start_base(search *s) {
    const double start = now();
    snprintf(s->base.setting, sizeof s->base.setting, "ATTEND_TUNING=off");
    const bool going = start_trial(s, &s->base, s->end_s);
    s->start_s = now() - start;
    s->cost_s = fmax(s->cost_s, s->start_s);
    s->patience_s = fmax(LEAST_PATIENCE_S, PATIENCE * s->cost_s);
    note_device(s->report, &s->base.r);
    return going;
}

static bool start_candidate(search *s, const tune_point *p, double until) {
    char list[TUNE_TEXT];
    tune_point_text(s->space, p, ',', list);
    snprintf(s->candidate.setting, sizeof s->candidate.setting, "ATTEND_TUNING=%s:%s",
             s->space->kernel, list);
    return start_trial(s, &s->candidate, until);
}

/* Seconds that the last comparison takes: what was built once is kept by the driver or by us. */
static double reserve(const search *s) {
    const double round = fmax(s->base.e.call_s, goal.seconds / (double)goal.rounds);
    return FINAL_PAIRS * 2 * (FINAL_ROUNDS * round + fmin(s->start_s, WARM_START_S));
}

/* Whether another candidate is begun: as a rule it takes less than the default, which had more to
 * build. */
static bool has_time(const search *s) {
    return now() + s->cost_s / 2 + reserve(s) < s->end_s;
}

/* One point; *ratio stays infinite where it does not come into question. False: interrupted. */
static bool try_point(search *s, const tune_point *p, double *ratio) {
    char values[TUNE_TEXT];
    const double start = now(), end = s->end_s - reserve(s);
    const entry *const e = &s->candidate.e;
    rounds r = {.count = 0};
    tune_point_text(s->space, p, ' ', values);
    if (s->plan->progress) s->plan->progress(s->plan->user, s->c, s->space->kernel, values);
    bool going = start_candidate(s, p, fmin(end, start + s->patience_s));
    if (going && e->state == ENTRY_READY) going = compare(s, TRIAL_ROUNDS, end, &r);
    const bool in_time = now() < end;
    if (in_time || r.count == TRIAL_ROUNDS) ++s->result->tried;
    if (in_time && e->state != ENTRY_READY) note(s->result->rejected, values, e->reason);
    if (e->state == ENTRY_READY && r.count == TRIAL_ROUNDS) *ratio = median(r.ratio, r.count);
    if (*ratio < s->best_ratio) {
        s->best_ratio = *ratio;
        s->result->best = *p;
    }
    end_trial(&s->candidate);
    s->cost_s = fmax(s->cost_s, fmin(now() - start, s->patience_s));
    return going && s->base.e.state == ENTRY_READY;
}

static bool add_neighbours(const search *s, const double *ratios, tune_queue *q) {
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
    return tune_neighbours(s->space, &a, q) && tune_neighbours(s->space, &b, q);
}

enum { MOST_TRIALS = 200 };

/* False: interrupted, or the default's worker is lost. */
static bool try_all(search *s) {
    double ratios[MOST_TRIALS] = {1};
    tune_queue q;
    bool going = tune_shortlist(s->space, &q);
    s->report->no_memory |= !going;
    while (going) {
        while (going && q.next < q.count && q.next < MOST_TRIALS && has_time(s)) {
            const tune_point p = q.points[q.next];
            ratios[q.next] = INFINITY;
            going = try_point(s, &p, &ratios[q.next]);
            ++q.next;
        }
        if (q.next < q.count) break;
        if (!add_neighbours(s, ratios, &q)) s->report->no_memory = true;
        if (q.next == q.count) break;
    }
    s->result->left = q.count - 1 - s->result->tried;
    tune_queue_release(&q);
    return going;
}

/* New processes of the default and of the best: some are slow for as long as they live, wherever
 * their threads and pages were put. False: interrupted. */
static bool compare_anew(search *s, rounds *r) {
    const size_t first = r->count;
    end_trial(&s->base);
    if (!start_base(s) || s->base.e.state != ENTRY_READY) return false;
    bool going = start_candidate(s, &s->result->best, s->end_s);
    if (going && s->candidate.e.state == ENTRY_READY) going = compare(s, FINAL_ROUNDS, s->end_s, r);
    const size_t count = r->count - first;
    if (count < FINAL_ROUNDS || median(r->ratio + first, count) > 1 - LEAST_GAIN) r->lost = true;
    end_trial(&s->candidate);
    return going;
}

/* The best again, and what it is worth. */
static bool confirm(search *s) {
    tune_result *const result = s->result;
    rounds r = {.count = 0};
    bool going = true;
    result->before_s = result->after_s = s->base.e.call_s;
    for (int i = 0; i < FINAL_PAIRS && going && s->best_ratio < 1 && !r.lost; ++i)
        going = compare_anew(s, &r);
    const double ratio = r.count ? median(r.ratio, r.count) : 1;
    if (r.count) result->before_s = result->after_s = median(r.base, r.count);
    if (going && !r.lost && tune_is_gain(r.wins, r.count, ratio)) {
        result->after_s = median(r.candidate, r.count);
        result->ratio = ratio;
    } else {
        result->best = tune_default(s->space);
    }
    return going;
}

static tune_result *new_result(tune_report *report, const bench_case *c, const tune_space *space) {
    tune_result *const results =
        realloc(report->results, (report->count + 1) * sizeof *report->results);
    if (!results) {
        report->no_memory = true;
        return NULL;
    }
    report->results = results;
    tune_result *const r = &results[report->count++];
    *r = (tune_result){.c = c,
                       .space = *space,
                       .best = tune_default(space),
                       .before_s = NAN,
                       .after_s = NAN,
                       .ratio = 1,
                       .rejected = json_array()};
    return r;
}

/* ---- a case ---------------------------------------------------------------------------------- */

static bool search_space(search *s, const tune_space *space, double end_s) {
    const double until = s->end_s;
    s->result = new_result(s->report, s->c, space);
    if (!s->result) return false;
    s->space = &s->result->space;
    s->end_s = end_s;
    s->best_ratio = 1;
    const bool going = try_all(s) && confirm(s);
    s->end_s = until;
    return going;
}

static void tune_case(search *s, oracle_memory *memory) {
    tune_space spaces[TUNE_MOST_SPACES];
    if (!oracle_create(s->c, memory, &s->o)) {
        s->report->no_memory = true;
        return;
    }
    bool going = start_base(s);
    const bool ready = s->base.e.state == ENTRY_READY;
    const int count =
        going && ready && s->base.e.tuning ? tune_spaces_read(s->base.e.tuning, spaces) : 0;
    for (int i = 0; going && i < count; ++i)
        going = search_space(s, &spaces[i], now() + (s->end_s - now()) / (double)(count - i));
    const bool lost = s->base.e.state == ENTRY_FAILED || s->base.e.state == ENTRY_SKIPPED;
    if (lost && (!ready || now() < s->end_s)) note(s->report->failed, s->c->name, s->base.e.reason);
    end_trial(&s->base);
    oracle_release(&s->o);
}

static void start_report(tune_report *report) {
    memset(report, 0, sizeof *report);
    report->failed = json_array();
}

void tune_run(const tune_plan *plan, tune_report *report) {
    oracle_memory memory;
    memset(&memory, 0, sizeof memory);
    start_report(report);
    for (size_t i = 0; i < plan->case_count && !report->no_memory; ++i) {
        const double left = plan->end_s - now();
        search s = {.plan = plan, .report = report, .c = &plan->cases[i]};
        s.end_s = now() + left / (double)(plan->case_count - i);
        if (left <= 0) break;
        tune_case(&s, &memory);
        if (process_interrupted()) break;
    }
    report->interrupted = process_interrupted();
    oracle_forget(&memory);
}

void tune_look(const tune_plan *plan, tune_report *report) {
    start_report(report);
    for (size_t i = 0; i < plan->case_count && !process_interrupted(); ++i) {
        tune_space spaces[TUNE_MOST_SPACES];
        trial t = {.r = *plan->device};
        t.e = (entry){.c = &plan->cases[i], .r = &t.r, .id = 1};
        const bool going = entry_prepare(&t.e, NULL);
        note_device(report, &t.r);
        const int count = going && t.e.tuning ? tune_spaces_read(t.e.tuning, spaces) : 0;
        for (int k = 0; k < count; ++k)
            (void)new_result(report, &plan->cases[i], &spaces[k]);
        if (going && t.e.state != ENTRY_READY)
            json_array_append_new(report->failed, json_string(t.e.reason));
        end_trial(&t);
    }
    report->interrupted = process_interrupted();
}

void tune_report_release(tune_report *report) {
    for (size_t i = 0; i < report->count; ++i)
        json_decref(report->results[i].rejected);
    free(report->results);
    free(report->device_lines);
    json_decref(report->failed);
    memset(report, 0, sizeof *report);
}
