/* SPDX-License-Identifier: Apache-2.0
 *
 * attend tune: the command line of bench/tuner.h. */
#include "bench_targets.h"
#include "case_list.h"
#include "cli.h"
#include "system.h"
#include "tune_file.h"
#include "tune_results.h"

#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *cases, *seconds, *out;
    bool list;
} settings;

static const double DEFAULT_S = 60, LEAST_S = 5, MOST_S = 1e6, LONGEST_WAIT_S = 120;
/* Many rows and few, full and causal, and a product: others are near one of them. */
static const char default_cases[] = "bert-512,gpt2-1024,llama-decode4k,gemm-512x768x768";

static double now(void) {
    return (double)attend__clock_nanoseconds() * 1e-9;
}

/* ---- arguments ------------------------------------------------------------------------------- */

static bool read_cases(const settings *s, case_list *list) {
    char reason[CASE_LIST_REASON];
    if (case_list_add_named(list, s->cases ? s->cases : default_cases, NULL, reason)) return true;
    cli_usage("tune", "%s", reason);
    return false;
}

static bool read_time(const char *text, double *seconds) {
    char *end = NULL;
    *seconds = DEFAULT_S;
    if (!text) return true;
    *seconds = strtod(text, &end);
    if (end != text && !*end && *seconds >= LEAST_S && *seconds <= MOST_S) return true;
    cli_usage("tune", "--time: '%s' is no number of seconds from %g to %.0f", text, LEAST_S,
              MOST_S);
    return false;
}

/* The one device that fits; the targets are the caller's to release. */
static const runner *find_device(const cli_globals *globals, bench_targets *targets, int *status) {
    const cli_values no_peers = {.count = 0};
    const int64_t threads =
        globals->thread_count ? globals->thread_count : attend__processor_count();
    const target_choice choice = {.backends = globals->backend ? globals->backend : "opencl",
                                  .devices = globals->device,
                                  .threads = &threads,
                                  .thread_count = 1,
                                  .peers = &no_peers,
                                  .timeout_s = LONGEST_WAIT_S};
    if (!bench_targets_create(&choice, targets, status)) return NULL;
    const runner *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < targets->count; ++i) {
        if (targets->runners[i].peaks_only) continue;
        found = &targets->runners[i];
        ++count;
    }
    if (count == 1) return found;
    *status = cli_usage(
        "tune", "%zu devices fit: choose one with --device; attend devices lists them", count);
    return NULL;
}

/* ---- the run --------------------------------------------------------------------------------- */

static void on_progress(void *user, const bench_case *c, const char *kernel, const char *values) {
    const tune_plan *const plan = user;
    fprintf(stderr, "\r\033[K%.0f s left: %s, %s %s", plan->end_s - now(), c->name, kernel, values);
    fflush(stderr);
}

/* What is wrong with the run as a whole; CLI_OK. */
static int judge(const tune_report *report) {
    if (report->interrupted) cli_error("interrupted: the results are what was found so far");
    if (report->no_memory) cli_error("out of memory: results are missing");
    if (!report->count && !report->interrupted && !json_array_size(report->failed))
        cli_error("there is nothing to tune in these cases");
    return report->interrupted || report->no_memory || !report->count ? CLI_FAILED : CLI_OK;
}

static int tune(const settings *s, tune_plan *plan, double seconds, double start) {
    tune_report report;
    tune_file file;
    const bool shown = system_error_is_terminal();
    if (!tune_file_find(&file, s->out)) {
        tune_file_release(&file);
        return CLI_FAILED;
    }
    if (shown) plan->progress = on_progress;
    plan->user = plan;
    plan->end_s = start + seconds;
    process_catch_interrupts();
    tune_run(plan, &report);
    if (shown) fputs("\r\033[K", stderr);
    const tune_time time = {.given_s = seconds, .used_s = now() - start};
    tune_print_results(&report, &time);
    const bool kept = tune_file_keep(&file, &report);
    const int status = judge(&report);
    tune_report_release(&report);
    tune_file_release(&file);
    return kept ? status : CLI_FAILED;
}

static int list(const tune_plan *plan) {
    tune_report report;
    process_catch_interrupts();
    tune_look(plan, &report);
    tune_print_list(&report);
    const int status = judge(&report);
    tune_report_release(&report);
    return status;
}

static int run(const cli_call *call) {
    const double start = now();
    const settings *const s = call->settings;
    case_list cases = {NULL, 0};
    bench_targets targets = {NULL, 0};
    double seconds = 0;
    int status = CLI_USAGE;
    if (read_time(s->seconds, &seconds) && read_cases(s, &cases)) {
        tune_plan plan = {.cases = cases.items, .case_count = cases.count};
        plan.device = find_device(call->globals, &targets, &status);
        if (plan.device) status = s->list ? list(&plan) : tune(s, &plan, seconds, start);
        bench_targets_release(&targets);
    }
    case_list_release(&cases);
    return status;
}

#define TEXT(name, value, help, field)                                                             \
    { name, value, help, offsetof(settings, field), false }
static const cli_option options[] = {
    TEXT("time", "SECONDS", "take so long in all, compiling included (60; at least 5)", seconds),
    TEXT("case", "NAMES", "shapes by name, or texts of sizes (a few that others are near)", cases),
    TEXT("out", "FILE", "write this file, for ATTEND_TUNING=file:FILE (that of the device)", out),
    TEXT("list", NULL, "print what can be tuned and what is in force, and measure nothing", list),
};

const cli_command cli_tune = {
    .name = "tune",
    .words = "",
    .summary = "find what suits an OpenCL device best, and keep it",
    .details =
        "Each candidate runs in a process of its own, is checked against float64 before it is "
        "timed, and is\n"
        "taken where it is faster than the default in round after round. What is found is kept in "
        "the\n"
        "configuration folder (ATTEND_CONFIG_DIR, else ~/.config/attend) for this device, driver "
        "and version\n"
        "of the kernels; plans use it by themselves, for shapes nearby, too. ATTEND_TUNING=off "
        "ignores it.\n\n"
        "  attend tune\n"
        "  attend tune --device pocl --time 120 --case bert-512,gemm-1024x1024x1024\n"
        "  attend tune --case 'B1 H8 G8 L300 S300 D64 f16 causal'\n"
        "  attend tune --list\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .run = run,
};
