/* SPDX-License-Identifier: Apache-2.0
 *
 * entry.h. A sample lasts at least SAMPLE_S, so that the clock's grain and the loop around the
 * calls do not count; a worker that was stopped gets WARM_S of calls that are not timed before it
 * is. */
#include "entry.h"

#include "statistics.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double SAMPLE_S = 1e-3;
static const double WARM_S = 2e-3, COLD_MATTERS_S = 20e-3; /* a longer call is its own warm-up */
static const double WARM_UP_CHUNK_S = 30e-3, WARM_UP_LIMIT_S = 1.0, SETTLED = 0.02,
                    LONG_CALL_S = 0.1;
enum { WARM_UP_MOST = 6 };
/* What a peer, who promises nothing, may be off by, as a share of the largest value. */
static const double PEER_ERROR_F32 = 1e-3, PEER_ERROR_16_BIT = 3e-2;

static bool fail(entry *e, const char *reason) {
    e->state = ENTRY_FAILED;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    return true;
}

/* Asks, and turns what is not an answer into the entry's state. False: interrupted. */
static bool ask(entry *e, json_t *question, json_t **answer) {
    const runner_verdict verdict = runner_ask(e->r, question, answer);
    if (verdict == RUNNER_OK) return true;
    if (verdict == RUNNER_INTERRUPTED) return false;
    fail(e, e->r->reason);
    if (verdict == RUNNER_UNSUPPORTED || verdict == RUNNER_MISSING) e->state = ENTRY_SKIPPED;
    return true;
}

/* ---- prepare and check ---- */

static double number(const json_t *object, const char *key) {
    const json_t *const value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void read_prepared(entry *e, const json_t *answer) {
    e->first_s = number(answer, "first_s");
    const char *const kernel = json_string_value(json_object_get(answer, "kernel"));
    snprintf(e->kernel, sizeof e->kernel, "%s", kernel ? kernel : "");
    e->copied_bytes = number(answer, "copied_bytes");
    e->in_place_bytes = number(answer, "in_place_bytes");
    const char *const tuning = json_string_value(json_object_get(answer, "tuning"));
    free(e->tuning);
    e->tuning = attend__string_copy(tuning);
    if (e->c->op != BENCH_KERNEL) return;
    e->flops = number(answer, "flops");
    e->bytes = number(answer, "bytes");
    e->max_error = number(answer, "max_error");
    e->error_ratio = number(answer, "error_ratio");
    if (e->error_ratio <= 1) return;
    char text[120];
    snprintf(text, sizeof text, "wrong: its error of %.3g is %.3g times the bound", e->max_error,
             e->error_ratio);
    fail(e, text);
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Little-endian float32 in hexadecimal. */
static bool decode(const char *text, float *values, size_t count) {
    if (!text || strlen(text) != 8 * count) return false;
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits = 0;
        for (int byte = 0; byte < 4; ++byte) {
            const int high = digit(text[8 * i + 2 * (size_t)byte]),
                      low = digit(text[8 * i + 2 * (size_t)byte + 1]);
            if (high < 0 || low < 0) return false;
            bits |= (uint32_t)(high << 4 | low) << (8 * byte);
        }
        memcpy(&values[i], &bits, sizeof bits);
    }
    return true;
}

static bool compare_rows(const json_t *answer, const oracle *o, oracle_difference *d) {
    const json_t *const list = json_object_get(answer, "values");
    float *const values = calloc(o->width, sizeof *values);
    bool whole = values && json_array_size(list) == o->row_count;
    for (size_t i = 0; whole && i < o->row_count; ++i) {
        whole = decode(json_string_value(json_array_get(list, i)), values, o->width);
        if (whole) oracle_compare(o, i, values, d);
    }
    free(values);
    return whole;
}

static void judge(entry *e, const oracle *o) {
    char text[160];
    if (e->r->peer) {
        const bool wide = e->c->type == ATTEND_F32 && bench_kv_type(e->c) == ATTEND_F32;
        const double share = wide ? PEER_ERROR_F32 : PEER_ERROR_16_BIT;
        if (e->max_error <= share * oracle_largest(o)) return; /* NaN is not */
        snprintf(text, sizeof text, "wrong: its error of %.3g is more than %g of the largest value",
                 e->max_error, share);
    } else {
        if (e->error_ratio <= 1) return;
        snprintf(text, sizeof text, "wrong: its error of %.3g is %.3g times the bound",
                 e->max_error, e->error_ratio);
    }
    fail(e, text);
}

static bool check(entry *e, const oracle *o) {
    json_t *const rows = json_array();
    for (size_t i = 0; i < o->row_count; ++i)
        json_array_append_new(rows, json_integer(o->rows[i]));
    json_t *answer;
    if (!ask(e, json_pack("{s:s, s:I, s:o}", "ask", "rows", "id", (json_int_t)e->id, "rows", rows),
             &answer))
        return false;
    if (!answer) return true;
    oracle_difference d = {0, 0};
    if (compare_rows(answer, o, &d)) {
        e->max_error = d.max_error;
        e->error_ratio = d.error_ratio;
        e->rows_checked = o->row_count;
        judge(e, o);
    } else {
        fail(e, "the worker's rows are not what was asked for");
    }
    json_decref(answer);
    return true;
}

static bool start(entry *e) {
    const runner_verdict verdict = runner_start(e->r);
    if (verdict == RUNNER_INTERRUPTED) return false;
    if (verdict != RUNNER_OK) fail(e, e->r->reason);
    return true;
}

static json_t *prepare_ask(const entry *e) {
    return json_pack("{s:s, s:I, s:o}", "ask", "prepare", "id", (json_int_t)e->id, "case",
                     bench_case_write(e->c));
}

void entry_begin(entry *e) {
    runner_begin(e->r, prepare_ask(e));
}

/* Has the case prepared in the process that runs now. */
static bool prepare_now(entry *e) {
    if (!start(e)) return false;
    if (e->state == ENTRY_FAILED) return true;
    json_t *answer;
    if (!ask(e, prepare_ask(e), &answer)) return false;
    if (!answer) return true;
    e->generation = e->r->starts;
    if (isnan(e->first_s)) read_prepared(e, answer);
    json_decref(answer);
    return true;
}

bool entry_prepare(entry *e, const oracle *o) {
    e->first_s = e->copied_bytes = e->in_place_bytes = e->max_error = e->error_ratio = NAN;
    e->flops = bench_case_flops(e->c);
    e->bytes = bench_case_bytes(e->c);
    if (!prepare_now(e)) return false;
    if (e->state == ENTRY_NEW && o && !check(e, o)) return false;
    if (e->state == ENTRY_NEW)
        e->state = ENTRY_READY;
    else
        entry_drop(e);
    return true;
}

void entry_drop(entry *e) {
    if (!e->r->process || e->generation != e->r->starts) return;
    json_t *answer;
    e->generation = 0;
    runner_ask(e->r, json_pack("{s:s, s:I}", "ask", "drop", "id", (json_int_t)e->id), &answer);
    json_decref(answer);
}

/* ---- samples ---- */

/* False: interrupted. *list is NULL when the entry has failed. */
static bool ask_samples(entry *e, size_t count, json_t **list) {
    *list = NULL;
    if (e->generation != e->r->starts || !e->r->process) { /* another case has lost the worker */
        if (!prepare_now(e)) return false;
        if (e->state != ENTRY_READY) return true;
    }
    json_t *answer;
    if (!ask(e,
             json_pack("{s:s, s:I, s:I, s:I, s:f}", "ask", "sample", "id", (json_int_t)e->id,
                       "count", (json_int_t)count, "repeat", (json_int_t)e->repeat, "warm_s",
                       e->call_s < COLD_MATTERS_S ? WARM_S : 0.0),
             &answer))
        return false;
    if (!answer) return true;
    *list = json_incref(json_object_get(answer, "samples"));
    json_decref(answer);
    bool whole = json_array_size(*list) == count;
    for (size_t i = 0; whole && i < count; ++i)
        whole = json_number_value(json_array_get(*list, i)) > 0;
    if (whole) return true;
    json_decref(*list);
    *list = NULL;
    return fail(e, "the worker's samples are not times");
}

static size_t count_for(const entry *e, double seconds) {
    const double count = ceil(seconds / (e->call_s * (double)e->repeat));
    return count > 1 ? (size_t)fmin(count, 1e5) : 1;
}

static double list_median(const json_t *list) {
    const size_t count = json_array_size(list);
    double *const values = calloc(count + 1, sizeof *values);
    double median = NAN;
    for (size_t i = 0; values && i < count; ++i)
        values[i] = json_number_value(json_array_get(list, i));
    if (values) median = summarize_samples(values, count).median;
    free(values);
    return median;
}

bool entry_warm_up(entry *e, const entry_goal *goal) {
    const double chunk = fmin(WARM_UP_CHUNK_S, goal->seconds / (double)goal->rounds);
    e->call_s = e->first_s > 0 ? e->first_s : SAMPLE_S;
    e->repeat = 1;
    /* a long call's first run is a median to agree with, too */
    const bool long_call = e->call_s > LONG_CALL_S;
    double spent = 0, last = long_call ? e->call_s : NAN;
    for (int i = 0; i < WARM_UP_MOST && e->state == ENTRY_READY; ++i) {
        const size_t count = i ? count_for(e, chunk) : 1;
        json_t *list;
        if (!ask_samples(e, count, &list)) return false;
        if (!list) return true;
        const double median = list_median(list);
        json_decref(list);
        if (!(median > 0)) return fail(e, "out of memory");
        spent += median * (double)count * (double)e->repeat;
        e->call_s = median;
        e->repeat = (int64_t)fmin(ceil(SAMPLE_S / median), 1e6);
        const bool settled = fabs(median - last) <= SETTLED * median;
        if (spent > WARM_UP_LIMIT_S || (settled && (i > 1 || long_call))) break;
        last = median;
    }
    return true;
}

/* The list with room for `needed`, NULL without memory (the list stays). */
static void *grown(void *list, size_t *room, size_t needed, size_t size) {
    if (needed <= *room) return list;
    const size_t more = 2 * needed + 16;
    void *const memory = realloc(list, more * size);
    if (memory) *room = more;
    return memory;
}

static bool keep(entry *e, const json_t *list) {
    const size_t count = json_array_size(list);
    double *const samples =
        grown(e->samples, &e->sample_room, e->sample_count + count, sizeof *samples);
    if (samples) e->samples = samples;
    size_t *const sizes = grown(e->round_sizes, &e->round_room, e->round_count + 1, sizeof *sizes);
    if (sizes) e->round_sizes = sizes;
    if (!samples || !sizes) return fail(e, "out of memory");
    for (size_t i = 0; i < count; ++i) {
        const double seconds = json_number_value(json_array_get(list, i));
        e->samples[e->sample_count++] = seconds;
        e->spent_s += seconds * (double)e->repeat;
    }
    e->round_sizes[e->round_count++] = count;
    return true;
}

bool entry_sample(entry *e, const entry_goal *goal) {
    json_t *list;
    const size_t least = (goal->samples + goal->rounds - 1) / goal->rounds;
    const size_t count = count_for(e, goal->seconds / (double)goal->rounds);
    if (!ask_samples(e, count > least ? count : least, &list)) return false;
    if (list) keep(e, list);
    json_decref(list);
    return true;
}

double entry_left(const entry *e, const entry_goal *goal) {
    if (e->state != ENTRY_READY) return 0;
    const double call = e->call_s * (double)e->repeat;
    double left = goal->seconds - e->spent_s;
    if (e->sample_count < goal->samples)
        left = fmax(left, (double)(goal->samples - e->sample_count) * call);
    if (e->round_count < goal->rounds)
        left = fmax(left, (double)(goal->rounds - e->round_count) * call);
    return fmax(left, 0);
}

void entry_release(entry *e) {
    free(e->tuning);
    free(e->samples);
    free(e->round_sizes);
    memset(e, 0, sizeof *e);
}
