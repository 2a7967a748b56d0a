/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h: which worker is asked for what, when. Cases whose inputs fit into memory together form a
 * block; within a block every worker takes one round of every case in turn, the order moving on
 * from round to round, until each entry has reached its goal: so a machine that slows down slows
 * all of them. Peaks are cases, too, and take part in the first block. */
#include "bench.h"

#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct schedule {
    const bench_plan *plan;
    json_t *document;
    entry_list peaks, entries; /* of the whole run; of the block */
    oracle_memory memory;
    bench_case *kernels;     /* cases that workers listed */
    runner **kernel_runners; /* whose they are */
    size_t kernel_count;
    int64_t next_id;
    size_t prepared, expected; /* entries, over all blocks */
    int64_t prepare_ns;        /* time that preparing took so far */
    size_t sampled;            /* entries of earlier blocks */
    bool no_memory;
} schedule;

static const bench_case peak_cases[] = {
    {.name = "peak-fma", .op = BENCH_KERNEL, .type = ATTEND_F32},
    {.name = "peak-read", .op = BENCH_KERNEL, .type = ATTEND_F32},
};
enum { PEAK_COUNT = sizeof peak_cases / sizeof peak_cases[0] };

static entry *add(schedule *s, entry_list *list, const bench_case *c, runner *r) {
    if (list->count == list->room) {
        const size_t room = 2 * list->room + 16;
        entry *const items = realloc(list->items, room * sizeof *items);
        if (!items) {
            s->no_memory = true;
            return NULL;
        }
        list->items = items;
        list->room = room;
    }
    entry *const e = &list->items[list->count++];
    memset(e, 0, sizeof *e);
    e->c = c;
    e->r = r;
    e->id = ++s->next_id;
    return e;
}

static void clear(entry_list *list) {
    for (size_t i = 0; i < list->count; ++i)
        entry_release(&list->items[i]);
    list->count = 0;
}

/* ---- progress ---- */

static double list_left(const entry_list *list, const entry_goal *goal) {
    double left = 0;
    for (size_t i = 0; i < list->count; ++i)
        left += entry_left(&list->items[i], goal);
    return left;
}

/* Seconds of samples that the block still lacks. */
static double block_left(const schedule *s) {
    return list_left(&s->entries, &s->plan->goal) + list_left(&s->peaks, &s->plan->goal);
}

/* `done`: of the block's samples. */
static void tell(schedule *s, const entry *e, double done) {
    if (!s->plan->progress) return;
    bench_progress p = {.prepared = s->prepared, .expected = s->expected};
    const double rest = (double)s->expected - (double)s->prepared;
    if (s->prepared)
        p.left_s = block_left(s) + rest * ((double)s->prepare_ns * 1e-9 / (double)s->prepared +
                                           s->plan->goal.seconds);
    if (done > 0 && s->expected)
        p.done = ((double)s->sampled + done * (double)s->entries.count) / (double)s->expected;
    s->plan->progress(s->plan->user, e, &p);
}

/* ---- start ---- */

static bool list_kernels(schedule *s, runner *r) {
    json_t *const list = json_object_get(r->about, "cases");
    for (size_t i = 0; i < json_array_size(list); ++i) {
        json_t *const item = json_array_get(list, i);
        bench_case c;
        char reason[WORKER_TEXT];
        json_object_set_new(item, "op", json_string("kernel"));
        if (!bench_case_read(item, &c, reason, sizeof reason)) {
            if (!bench_write_skipped(r, NULL, reason, s->document)) s->no_memory = true;
            continue;
        }
        bench_case *const kernels = realloc(s->kernels, (s->kernel_count + 1) * sizeof *kernels);
        if (kernels) s->kernels = kernels;
        runner **const owners =
            realloc(s->kernel_runners, (s->kernel_count + 1) * sizeof(runner *));
        if (owners) s->kernel_runners = owners;
        if (!kernels || !owners) {
            s->no_memory = true;
            return true;
        }
        s->kernels[s->kernel_count] = c;
        s->kernel_runners[s->kernel_count++] = r;
    }
    return true;
}

static bool has_peaks(const schedule *s, const runner *r) {
    for (size_t i = 0; i < s->peaks.count; ++i)
        if (s->peaks.items[i].r->threads == r->threads &&
            !strcmp(runner_peak_device(s->peaks.items[i].r), runner_peak_device(r)))
            return true;
    return false;
}

static bool is_peak(const bench_case *c) {
    return c->op == BENCH_KERNEL && !strncmp(c->name, "peak-", 5);
}

/* Kernels are those of the worker that listed them; peaks our own workers'. */
static bool takes(const runner *r, const bench_case *c) {
    if (r->peaks_only || (c->threads && c->threads != r->threads)) return false;
    const bool lists = r->about && json_object_get(r->about, "cases");
    return is_peak(c) ? !lists && !r->peer : lists == (c->op == BENCH_KERNEL);
}

static size_t own_cases(const bench_plan *plan, const runner *r) {
    size_t count = 0;
    for (size_t i = 0; i < plan->case_count; ++i)
        count += takes(r, &plan->cases[i]);
    return count;
}

/* Peaks are measured by our own workers: one for each device and number of threads. */
static bool start_all(schedule *s) {
    for (size_t i = 0; i < s->plan->runner_count; ++i) {
        runner *const r = &s->plan->runners[i];
        tell(s, NULL, 0);
        const runner_verdict verdict = runner_start(r);
        if (verdict == RUNNER_INTERRUPTED) return false;
        if (verdict != RUNNER_OK) {
            if (!bench_write_skipped(r, NULL, r->reason, s->document)) s->no_memory = true;
            continue;
        }
        if (s->plan->own_kernels) list_kernels(s, r);
        s->expected += own_cases(s->plan, r);
        if (r->peer || has_peaks(s, r)) continue;
        for (int k = 0; k < PEAK_COUNT; ++k) {
            entry *const e = add(s, &s->peaks, &peak_cases[k], r);
            if (!e) return true;
            if (!entry_prepare(e, NULL) || !entry_warm_up(e, &s->plan->goal)) return false;
            if (e->state == ENTRY_READY) continue;
            if (!bench_write_skipped(r, e->c, e->reason, s->document)) s->no_memory = true;
        }
    }
    return true;
}

/* ---- a block ---- */

static bool prepare_entry(schedule *s, const bench_case *c, runner *r, const oracle *o) {
    if (!r->about || !takes(r, c)) return true;
    entry *const e = add(s, &s->entries, c, r);
    if (!e) return true;
    tell(s, e, 0);
    const int64_t start = attend__clock_nanoseconds();
    const bool going = entry_prepare(e, o) && entry_warm_up(e, &s->plan->goal);
    s->prepare_ns += attend__clock_nanoseconds() - start;
    ++s->prepared;
    return going;
}

static bool prepare_case(schedule *s, const bench_case *c) {
    oracle o;
    memset(&o, 0, sizeof o);
    const bool check = s->plan->check && c->op != BENCH_KERNEL;
    if (check && !oracle_create(c, &s->memory, &o)) {
        s->no_memory = true;
        return true;
    }
    bool going = true;
    for (size_t i = 0; going && i < s->plan->runner_count; ++i)
        going = prepare_entry(s, c, &s->plan->runners[i], check ? &o : NULL);
    oracle_release(&o);
    return going;
}

static bool wants_more(const entry *e, const entry_goal *goal) {
    return entry_left(e, goal) > 0;
}

static bool sample_one(schedule *s, entry *e, double done) {
    if (!wants_more(e, &s->plan->goal)) return true;
    tell(s, e, done);
    return entry_sample(e, &s->plan->goal);
}

/* One round over the block, starting elsewhere and turning round each time. */
static bool run_round(schedule *s, size_t round, double done) {
    const size_t count = s->entries.count;
    for (size_t i = 0; i < s->peaks.count; ++i)
        if (!sample_one(s, &s->peaks.items[i], done)) return false;
    for (size_t i = 0; i < count; ++i) {
        const size_t step = round % 2 ? count - 1 - i : i;
        if (!sample_one(s, &s->entries.items[(step + round / 2 * 7) % count], done)) return false;
    }
    return true;
}

static bool sample_block(schedule *s) {
    const double whole = block_left(s);
    for (size_t round = 0; block_left(s) > 0; ++round)
        if (!run_round(s, round, 1 - block_left(s) / whole)) return false;
    return true;
}

static bool run_block(schedule *s, size_t first, size_t last) {
    bool going = true;
    for (size_t i = first; going && i < last; ++i)
        going = prepare_case(s, &s->plan->cases[i]);
    if (last == s->plan->case_count)
        for (size_t i = 0; going && i < s->kernel_count; ++i)
            going = prepare_entry(s, &s->kernels[i], s->kernel_runners[i], NULL);
    going = going && sample_block(s);
    if (!bench_write_results(&s->entries, &s->peaks, s->document)) s->no_memory = true;
    for (size_t i = 0; going && i < s->entries.count; ++i)
        entry_drop(&s->entries.items[i]);
    s->sampled += s->entries.count;
    clear(&s->entries);
    return going;
}

/* The first case that does not fit into memory beside those from `first` on; at least one does. */
static size_t end_of_block(const bench_plan *plan, size_t first) {
    double bytes = 0;
    size_t i = first;
    while (i < plan->case_count) {
        const bench_case *const c = &plan->cases[i];
        const bool shares = i > first && !c->cache && !c[-1].cache && /* keys and values */
                            bench_same_input(c, c - 1, BENCH_K);
        const double own = bench_case_bytes(c) - (shares ? bench_case_key_bytes(c) : 0);
        bytes += own * (double)plan->runner_count;
        if (i > first && bytes > (double)plan->memory_bytes) break;
        ++i;
    }
    return i;
}

static bool run_blocks(schedule *s) {
    s->expected += s->kernel_count;
    const size_t count = s->plan->case_count;
    size_t first = 0;
    do {
        const size_t last = end_of_block(s->plan, first);
        if (!run_block(s, first, last)) return false;
        first = last;
    } while (first < count);
    return true;
}

bench_end bench_run(const bench_plan *plan, json_t *document) {
    schedule s = {.plan = plan, .document = document};
    const bool whole = start_all(&s) && run_blocks(&s);
    if (!bench_write_context(plan, &s.peaks, document)) s.no_memory = true;
    for (size_t i = 0; i < plan->runner_count; ++i)
        runner_end(&plan->runners[i]);
    clear(&s.peaks);
    oracle_forget(&s.memory);
    free(s.peaks.items);
    free(s.entries.items);
    free(s.kernels);
    free(s.kernel_runners);
    if (!whole) return BENCH_INTERRUPTED;
    return s.no_memory ? BENCH_NO_MEMORY : BENCH_DONE;
}
