/* SPDX-License-Identifier: Apache-2.0
 *
 * warnings.h: each sentence says what was seen and what to do. All of it comes from the document,
 * so that a document that is read again gets the same ones. */
#include "warnings.h"

#include "cli/cli.h"
#include "report_parts.h"
#include "statistics.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const double NOISY = 0.05;    /* mad by median */
static const double SLOWER = 1.05;   /* last third of the rounds by the first */
static const double COARSE_S = 1e-6; /* of a clock; a sample lasts 1000 times that */
enum { LEAST_ROUNDS = 9 };           /* three in each third */

typedef struct findings {
    const json_t *context, *results;
    json_t *warnings;
    bool whole;
} findings;

static void warn(findings *f, const char *format, ...) CLI_PRINTF(2, 3);
static void warn(findings *f, const char *format, ...) {
    char sentence[512];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    char *const safe = report_copy(sentence); /* a cut may have split a character */
    f->whole &= json_array_append_new(f->warnings, json_string(safe)) == 0;
    free(safe);
}

static double highest_threads(const findings *f) {
    double highest = 0;
    for (size_t i = 0; i < json_array_size(f->results); ++i)
        highest = fmax(highest, report_number(json_array_get(f->results, i), "threads"));
    return highest;
}

static const char *plural(double count) {
    return count == 1 ? "" : "s";
}

/* ---- the machine ---- */

static void judge_load(findings *f) {
    const double load = report_number(f->context, "load"),
                 processors = report_number(f->context, "processors"),
                 threads = fmin(highest_threads(f), processors);
    if (load + threads <= processors + 0.5 || !(load > 0)) return;
    warn(f,
         "the load was %.2g on %.0f processor%s before the run: other programs took time from the "
         "%.0f that were measured; end them, or wait, and run again",
         load, processors, plural(processors), threads);
}

static void judge_governor(findings *f) {
    const char *const governor = report_string(f->context, "governor");
    if (!*governor || !strcmp(governor, "performance")) return;
    warn(f,
         "the processor's clock is governed by \"%s\", so speed follows its past load: run "
         "\"cpupower frequency-set -g performance\" as root before measuring",
         governor);
}

static void judge_threads(findings *f) {
    const double threads = highest_threads(f);
    const double processors = report_number(f->context, "processors");
    const double quota = report_number(f->context, "cpu_quota");
    if (threads > processors)
        warn(f,
             "%.0f threads ran on %.0f processor%s, all that this process may use: they wait for "
             "each "
             "other; ask for %.0f at most",
             threads, processors, plural(processors), processors);
    if (threads > quota)
        warn(f,
             "%.0f threads share the time of %.2g processors that the control group (container) "
             "allows: they are stopped in between; raise the limit or ask for fewer threads",
             threads, quota);
}

static void judge_clock(findings *f) {
    const double grain = report_number(f->context, "clock_s");
    if (grain > COARSE_S)
        warn(f, "the clock goes by steps of %.3g us: short calls are less exact than they look",
             grain * 1e6);
}

static void judge_settings(findings *f) {
    const json_t *const variables = json_object_get(f->context, "environment");
    const char *const verbose = report_string(variables, "ATTEND_VERBOSE");
    if (*verbose && strcmp(verbose, "0") != 0)
        warn(f, "ATTEND_VERBOSE is set, and writing lines takes time: unset it to measure");
    const char *const type = report_string(f->context, "build_type");
    if (*type && strcmp(type, "Release") != 0 && strcmp(type, "RelWithDebInfo") != 0)
        warn(f, "attend was built as %s: build it as Release to measure", type);
    if (strstr(report_string(f->context, "flags"), "-fsanitize"))
        warn(f, "attend was built with sanitizers, which take most of the time");
}

/* ---- the samples ---- */

static void judge_noise(findings *f) {
    const json_t *worst = NULL;
    double most = 0;
    size_t noisy = 0, count = 0;
    for (size_t i = 0; i < json_array_size(f->results); ++i) {
        const json_t *const result = json_array_get(f->results, i);
        const double share = report_number(result, "mad_s") / report_number(result, "median_s");
        if (!json_is_true(json_object_get(result, "ok")) || isnan(share)) continue;
        ++count;
        noisy += share > NOISY;
        if (share > most) {
            most = share;
            worst = result;
        }
    }
    if (!noisy) return;
    const double threads = report_number(worst, "threads");
    warn(f,
         "%zu of %zu rows are noisy: half of their samples lie more than %.0f %% from the median, "
         "at worst %.0f %% (%.96s, %.16s, on %.64s with %.0f thread%s); end other programs and run "
         "again",
         noisy, count, 100 * NOISY, 100 * most, report_string(worst, "case"),
         report_string(worst, "dtype"), report_string(worst, "backend"), threads, plural(threads));
}

static double *list_numbers(const json_t *list, size_t *count) {
    *count = json_array_size(list);
    double *const numbers = calloc(*count + 1, sizeof *numbers);
    for (size_t i = 0; numbers && i < *count; ++i)
        numbers[i] = json_number_value(json_array_get(list, i));
    return numbers;
}

/* The median of the last third of the rounds by that of the first; NaN: too few rounds. */
static double slow_down(const json_t *result, bool *whole) {
    size_t sample_count, round_count, total = 0;
    double *const samples = list_numbers(json_object_get(result, "samples_s"), &sample_count);
    double *const given = list_numbers(json_object_get(result, "round_sizes"), &round_count);
    size_t *const sizes = calloc(round_count + 1, sizeof *sizes);
    double *const medians = calloc(round_count + 1, sizeof *medians);
    double ratio = NAN;
    *whole = samples && given && sizes && medians;
    bool fits = *whole;
    for (size_t i = 0; fits && i < round_count; ++i) {
        fits = given[i] >= 0 && given[i] <= (double)(sample_count - total);
        if (fits) total += sizes[i] = (size_t)given[i];
    }
    const size_t count = fits ? round_medians(samples, sizes, round_count, medians) : 0;
    if (count >= LEAST_ROUNDS) {
        const size_t third = count / 3;
        ratio = summarize_samples(medians + count - third, third).median /
                summarize_samples(medians, third).median;
    }
    free(samples);
    free(given);
    free(sizes);
    free(medians);
    return ratio;
}

static void judge_throttling(findings *f) {
    size_t slower = 0, count = 0;
    double most = 1;
    for (size_t i = 0; i < json_array_size(f->results); ++i) {
        const json_t *const result = json_array_get(f->results, i);
        bool whole = true;
        const double ratio = slow_down(result, &whole);
        f->whole &= whole;
        if (isnan(ratio)) continue;
        ++count;
        slower += ratio > SLOWER;
        most = fmax(most, ratio);
    }
    if (2 * slower <= count) return;
    warn(f,
         "the machine got slower while it was measured: in %zu of %zu rows the last third of the "
         "rounds took over %.0f %% longer than the first (at most %.0f %%), as when a processor "
         "gets hot; cool it, or measure less at a time",
         slower, count, 100 * (SLOWER - 1), 100 * (most - 1));
}

bool add_warnings(json_t *document) {
    findings f = {json_object_get(document, "context"), json_object_get(document, "results"),
                  json_array(), true};
    if (!f.warnings) return false;
    judge_settings(&f);
    judge_threads(&f);
    judge_load(&f);
    judge_governor(&f);
    judge_clock(&f);
    judge_noise(&f);
    judge_throttling(&f);
    return json_object_set_new(document, "warnings", f.warnings) == 0 && f.whole;
}
