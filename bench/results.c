/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h: entries as the elements of schema.md. */
#include "bench.h"

#include "statistics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* null where a number is not known: JSON has neither NaN nor infinity. */
static json_t *number_or_null(double x) {
    return isfinite(x) ? json_real(x) : json_null();
}

static const char *text_of(const runner *r, const char *key) {
    const char *const text = json_string_value(json_object_get(r->about, key));
    return text ? text : "";
}

/* ---- peaks ---- */

typedef struct peak {
    double flops, bytes; /* a second; NaN: not known */
} peak;

/* A peak of arithmetic that the machine reached once is its peak. Reading memory is not the
 * program's alone, least of all in a virtual machine: its peak is the best of each round, at the
 * median of the rounds, as what is held against it is a median. */
static double peak_seconds(const entry *e, bool best_of_all) {
    double *const bests = calloc(e->round_count + 1, sizeof *bests);
    double seconds = NAN;
    for (size_t i = 0, first = 0; bests && i < e->round_count; first += e->round_sizes[i++])
        bests[i] = summarize_samples(e->samples + first, e->round_sizes[i]).minimum;
    if (bests && e->round_count) {
        const sample_summary s = summarize_samples(bests, e->round_count);
        seconds = best_of_all ? s.minimum : s.median;
    }
    free(bests);
    return e->state == ENTRY_FAILED ? NAN : seconds;
}

static peak find_peak(const entry_list *peaks, const runner *r) {
    peak p = {NAN, NAN};
    for (size_t i = 0; i < peaks->count; ++i) {
        const entry *const e = &peaks->items[i];
        if (e->r->threads != r->threads ||
            strcmp(runner_peak_device(e->r), runner_peak_device(r)) != 0)
            continue;
        if (!strcmp(e->c->name, "peak-fma"))
            p.flops = e->flops / peak_seconds(e, true);
        else
            p.bytes = e->bytes / peak_seconds(e, false);
    }
    return p;
}

/* The nearer limit. What fits into the last cache of the processor is not read from memory again.
 */
static void write_peak(json_t *object, const entry *e, double median, peak p, double cache_bytes) {
    const double compute = e->flops / p.flops;
    const bool cached = !strcmp(runner_peak_device(e->r), "cpu") && e->bytes <= cache_bytes;
    const double read = cached ? 0 : e->bytes / p.bytes;
    const bool by_read = read > compute || !(compute > 0);
    const double limit = by_read ? read : compute;
    json_object_set_new(object, "peak_fraction",
                        limit > 0 ? number_or_null(limit / median) : json_null());
    json_object_set_new(object, "peak_limit",
                        limit > 0 ? json_string(by_read ? "read" : "fma") : json_null());
}

/* ---- an element of results ---- */

static json_t *identity(const entry *e) {
    char shape[BENCH_NAME];
    bench_case_text(e->c, shape, sizeof shape);
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:s, s:b}", "case", e->c->name, "op",
                     bench_op_text(e->c->op), "sizes", bench_case_sizes(e->c), "shape",
                     e->c->op == BENCH_KERNEL ? e->c->name : shape, "dtype",
                     attend_type_text(e->c->type), "backend", e->r->name, "device",
                     text_of(e->r, "device"), "threads", (int)e->r->threads, "kernel", e->kernel,
                     "peer", (int)e->r->peer);
}

static json_t *list_samples(const entry *e) {
    json_t *const list = json_array();
    for (size_t i = 0; i < e->sample_count; ++i)
        json_array_append_new(list, json_real(e->samples[i]));
    return list;
}

static json_t *list_rounds(const entry *e) {
    json_t *const list = json_array();
    for (size_t i = 0; i < e->round_count; ++i)
        json_array_append_new(list, json_integer((json_int_t)e->round_sizes[i]));
    return list;
}

static void write_times(json_t *object, const entry *e) {
    sample_summary s = {NAN, NAN, NAN, NAN};
    if (e->sample_count) s = summarize_samples(e->samples, e->sample_count);
    json_object_set_new(object, "median_s", number_or_null(s.median));
    json_object_set_new(object, "mad_s", number_or_null(s.mad));
    json_object_set_new(object, "min_s", number_or_null(s.minimum));
    json_object_set_new(object, "p95_s", number_or_null(s.p95));
    json_object_set_new(object, "samples_s", list_samples(e));
    json_object_set_new(object, "round_sizes", list_rounds(e));
    json_object_set_new(object, "first_s", number_or_null(e->first_s));
    const double open = json_number_value(json_object_get(e->r->about, "open_s"));
    json_object_set_new(object, "open_s", number_or_null(open));
    json_object_set_new(object, "flops", number_or_null(e->flops));
    json_object_set_new(object, "bytes", number_or_null(e->bytes));
    json_object_set_new(object, "copied_bytes", number_or_null(e->copied_bytes));
    json_object_set_new(object, "in_place_bytes", number_or_null(e->in_place_bytes));
    json_object_set_new(object, "gflops", number_or_null(e->flops / s.median * 1e-9));
    json_object_set_new(object, "gbps", number_or_null(e->bytes / s.median * 1e-9));
}

static json_t *result_of(const entry *e, const entry_list *peaks, double cache_bytes) {
    json_t *const object = identity(e);
    json_object_set_new(object, "ok", json_boolean(e->state == ENTRY_READY));
    json_object_set_new(object, "reason", json_string(e->reason));
    write_times(object, e);
    const double median = json_number_value(json_object_get(object, "median_s"));
    if (median > 0) {
        write_peak(object, e, median, find_peak(peaks, e->r), cache_bytes);
    } else {
        json_object_set_new(object, "peak_fraction", json_null());
        json_object_set_new(object, "peak_limit", json_null());
    }
    json_object_set_new(object, "max_error", number_or_null(e->max_error));
    json_object_set_new(object, "error_ratio", number_or_null(e->error_ratio));
    json_object_set_new(object, "rows_checked", json_integer((json_int_t)e->rows_checked));
    return object;
}

bool bench_write_skipped(const runner *r, const bench_case *c, const char *reason,
                         json_t *document) {
    json_t *const item =
        json_pack("{s:s, s:i, s:o, s:s}", "backend", r->name, "threads", (int)r->threads, "case",
                  c ? json_string(c->name) : json_null(), "reason", reason);
    return json_array_append_new(json_object_get(document, "skipped"), item) == 0;
}

bool bench_write_results(const entry_list *list, const entry_list *peaks, json_t *document) {
    const json_t *const cache =
        json_object_get(json_object_get(document, "context"), "cache_bytes");
    bool whole = true;
    for (size_t i = 0; i < list->count; ++i) {
        const entry *const e = &list->items[i];
        if (e->state == ENTRY_SKIPPED)
            whole &= bench_write_skipped(e->r, e->c, e->reason, document);
        else if (e->state == ENTRY_FAILED || e->sample_count)
            whole &= json_array_append_new(json_object_get(document, "results"),
                                           result_of(e, peaks, json_number_value(cache))) == 0;
        else
            whole &=
                bench_write_skipped(e->r, e->c, "interrupted before it was measured", document);
    }
    return whole;
}

/* ---- context ---- */

static json_t *describe_worker(const runner *r) {
    json_t *const object = json_pack("{s:s, s:i}", "name", r->name, "threads", (int)r->threads);
    static const char *const keys[] = {"version", "device",   "device_name", "platform",
                                       "driver",  "settings", "open_s"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; ++i) {
        json_t *const value = json_object_get(r->about, keys[i]);
        json_object_set(object, keys[i], value ? value : json_null());
    }
    return object;
}

bool bench_write_context(const bench_plan *plan, const entry_list *peaks, json_t *document) {
    json_t *const context = json_object_get(document, "context");
    json_t *const workers = json_array(), *const list = json_array();
    for (size_t i = 0; i < plan->runner_count; ++i)
        if (plan->runners[i].about && !plan->runners[i].peaks_only)
            json_array_append_new(workers, describe_worker(&plan->runners[i]));
    for (size_t i = 0; i + 1 < peaks->count; i += 2) { /* fma and read of one device */
        const runner *const r = peaks->items[i].r;
        const peak p = find_peak(peaks, r);
        json_array_append_new(list, json_pack("{s:s, s:i, s:o, s:o}", "device",
                                              runner_peak_device(r), "threads", (int)r->threads,
                                              "gflops", number_or_null(p.flops * 1e-9), "gbps",
                                              number_or_null(p.bytes * 1e-9)));
    }
    return json_object_set_new(context, "workers", workers) == 0 &&
           json_object_set_new(context, "peaks", list) == 0;
}
