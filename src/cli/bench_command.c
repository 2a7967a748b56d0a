/* SPDX-License-Identifier: Apache-2.0
 *
 * attend bench: the command line of bench/. */
#include "attend_worker.h"
#include "bench.h"
#include "bench_targets.h"
#include "cli.h"
#include "goal_cases.h"
#include "machine.h"
#include "plot.h"
#include "report.h"
#include "system.h"
#include "warnings.h"

#include "base/environment.h"
#include "base/thread.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *cases, *set, *ops, *batch, *heads, *kv_heads, *seq, *keys, *dim, *causal, *types;
    const char *backend, *device, *threads, *python, *format, *plot, *timeout, *seconds;
    cli_values peers, outs;
    bool list, worker;
} settings;
_Static_assert(sizeof(settings) <= CLI_MAX_SETTINGS, "the settings of bench fit");

static const double LONGEST_WAIT_S = 120;
static const double SET_S = 0.2; /* of samples, where figures are medians of rounds */
static const entry_goal goal = {.seconds = 0.5, .samples = 10, .rounds = 10};

/* ---- cases ---- */

static bool wants_matrix(const settings *s) {
    return s->ops || s->batch || s->heads || s->kv_heads || s->seq || s->keys || s->dim ||
           s->causal;
}

static bool make_cases(const settings *s, case_list *list) {
    char reason[CASE_LIST_REASON];
    const case_matrix matrix = {.ops = s->ops,
                                .batch = s->batch,
                                .heads = s->heads,
                                .kv_heads = s->kv_heads,
                                .seq = s->seq,
                                .keys = s->keys,
                                .dim = s->dim,
                                .causal = s->causal,
                                .types = s->types};
    const bool kernels = s->ops && !strcmp(s->ops, "kernel");
    if ((s->cases || s->set) && wants_matrix(s)) {
        cli_usage(
            "bench",
            "--case and --set name whole shapes: the options of a matrix do not go with them");
        return false;
    }
    if (kernels) return true;
    bool good = !s->set || case_list_add_goals(list, s->set, reason);
    if (good && wants_matrix(s))
        good = case_list_add_matrix(list, &matrix, reason);
    else if (good && (s->cases || !s->set))
        good = case_list_add_named(list, s->cases ? s->cases : "default", s->types, reason);
    if (!good) cli_usage("bench", "%s", reason);
    return good;
}

static int print_cases(const settings *s) {
    settings all = *s;
    if (!s->cases && !s->set && !wants_matrix(s)) all.cases = "all";
    case_list list = {NULL, 0};
    const bool good = make_cases(&all, &list);
    for (size_t i = 0; i < list.count; ++i) {
        char text[BENCH_NAME];
        bench_case_text(&list.items[i], text, sizeof text);
        printf("%-20s  %s\n", list.items[i].name, text);
    }
    case_list_release(&list);
    return good ? CLI_OK : CLI_USAGE;
}

/* ---- numbers of the command line ---- */

static bool read_asked(const char *given, int64_t **threads, size_t *count) {
    char number[16], reason[CASE_LIST_REASON];
    const char *text = given ? given : attend__environment_get("ATTEND_NUM_THREADS");
    snprintf(number, sizeof number, "%d", (int)attend__processor_count());
    if (!text) text = number;
    if (number_list_read(text, 1, threads, count, reason)) return true;
    cli_usage("bench", "--threads: %s", reason);
    return false;
}

static bool add_threads(int64_t threads, int64_t **list, size_t *count) {
    for (size_t i = 0; i < *count; ++i)
        if ((*list)[i] == threads) return true;
    int64_t *const longer = realloc(*list, (*count + 1) * sizeof *longer);
    if (!longer) {
        cli_error("out of memory");
        return false;
    }
    longer[(*count)++] = threads;
    *list = longer;
    return true;
}

/* What cases name, and what is asked for; the latter may be left out where all name theirs. */
static bool read_threads(const char *given, const case_list *cases, int64_t **threads,
                         size_t *count) {
    size_t named = 0;
    while (named < cases->count && cases->items[named].threads)
        ++named;
    const bool all_named = named && named == cases->count && !given;
    if (!all_named && !read_asked(given, threads, count)) return false;
    for (size_t i = 0; i < cases->count; ++i)
        if (cases->items[i].threads && !add_threads(cases->items[i].threads, threads, count))
            return false;
    return true;
}

/* A positive number of seconds, or the fallback where nothing is given. */
static bool read_seconds(const char *option, const char *text, double fallback, double *seconds) {
    *seconds = fallback;
    if (!text) return true;
    char *end = NULL;
    errno = 0;
    *seconds = strtod(text, &end);
    if (!errno && end != text && !*end && *seconds > 0 && *seconds <= 1e6) return true;
    cli_usage("bench", "--%s: '%s' is no number of seconds", option, text);
    return false;
}

/* ---- output ---- */

/* Everything that could stop the results from being written, before an hour is spent on them. */
static int check_outputs(const settings *s, report_format *shown) {
    if (!report_format_find(s->format ? s->format : s->set ? "shares" : "table", shown))
        return cli_usage("bench",
                         "--format: '%s' is not table, md, csv, json, jsonl, duel or shares",
                         s->format);
    for (size_t i = 0; i < s->outs.count; ++i) {
        report_format format;
        if (!strrchr(s->outs.items[i], '.') || !report_format_find(s->outs.items[i], &format))
            return cli_usage("bench", "--out: '%s' does not end in .txt .md .csv .json or .jsonl",
                             s->outs.items[i]);
    }
    const char *bad = NULL;
    for (size_t i = 0; i < s->outs.count && !bad; ++i)
        if (!system_can_replace(s->outs.items[i])) bad = s->outs.items[i];
    if (!bad && s->plot && !system_can_replace(s->plot)) bad = s->plot;
    if (!bad) return CLI_OK;
    cli_error("%s: %s", bad, strerror(errno));
    return CLI_FAILED;
}

static bool write_text(const char *path, char *text) {
    if (!text) {
        cli_error("%s: out of memory", path);
        return false;
    }
    const bool written = system_replace_file(path, text, strlen(text));
    if (!written) cli_error("%s: %s", path, strerror(errno));
    free(text);
    return written;
}

static bool write_outputs(const settings *s, const json_t *document, report_format shown) {
    char *const text = report_text(document, shown);
    if (text) fputs(text, stdout);
    bool whole = text != NULL;
    if (!text) cli_error("out of memory");
    free(text);
    for (size_t i = 0; i < s->outs.count; ++i) {
        report_format format = REPORT_JSON;
        report_format_find(s->outs.items[i], &format);
        whole &= write_text(s->outs.items[i], report_text(document, format));
    }
    if (s->plot) whole &= write_text(s->plot, plot_document(document));
    return whole;
}

/* ---- progress ---- */

enum { PROGRESS_NS = 100000000 }; /* between two of them */

typedef struct progress {
    bool shown; /* standard error is a terminal */
    int64_t last;
} progress;

static void on_progress(void *user, const entry *e, const bench_progress *state) {
    progress *const p = user;
    const int64_t now = attend__clock_nanoseconds();
    if (!p->shown || now - p->last < PROGRESS_NS) return;
    p->last = now;
    fputs("\r\033[K", stderr);
    if (!e)
        fputs("starting workers", stderr);
    else if (state->done > 0)
        fprintf(stderr, "%3.0f %%: ", state->done * 100);
    else
        fprintf(stderr, "preparing %zu of %zu: ", state->prepared + 1, state->expected);
    if (e) fprintf(stderr, "%s on %s", e->c->name, e->r->name);
    if (state->left_s > 0) fprintf(stderr, ", about %.0f s left", ceil(state->left_s));
    fflush(stderr);
}

static void end_progress(const progress *p) {
    if (p->shown) fputs("\r\033[K", stderr);
}

/* ---- the run ---- */

static json_t *new_document(const cli_call *call, const int64_t *threads, size_t count) {
    json_t *const list = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(list, json_integer(threads[i]));
    json_t *const context = machine_context(call->globals->argc, call->globals->argv);
    json_object_set_new(context, "threads", list);
    return json_pack("{s:s, s:o, s:[], s:[], s:[]}", "schema", "attend-bench/1", "context", context,
                     "results", "skipped", "warnings");
}

static bool all_ok(const json_t *document) {
    const json_t *const results = json_object_get(document, "results");
    bool ok = json_array_size(results) > 0;
    for (size_t i = 0; i < json_array_size(results); ++i)
        ok = ok && json_is_true(json_object_get(json_array_get(results, i), "ok"));
    return ok;
}

static int measure(const cli_call *call, bench_plan *plan, json_t *document, report_format shown) {
    const settings *const s = call->settings;
    if (!document) {
        cli_error("out of memory");
        return CLI_FAILED;
    }
    progress p = {.shown = system_error_is_terminal()};
    plan->progress = on_progress;
    plan->user = &p;
    process_catch_interrupts();
    const bench_end end = bench_run(plan, document);
    end_progress(&p);
    if (end == BENCH_INTERRUPTED)
        cli_error("interrupted: the results are what was measured so far");
    const bool warned = add_warnings(document);
    if (!warned || end == BENCH_NO_MEMORY) cli_error("out of memory: results are missing");
    const bool written = write_outputs(s, document, shown);
    if (!json_array_size(json_object_get(document, "results"))) cli_error("nothing was measured");
    const bool good = written && warned && end == BENCH_DONE && all_ok(document);
    json_decref(document);
    return good ? CLI_OK : CLI_FAILED;
}

static int run_benchmark(const cli_call *call, const case_list *cases, const int64_t *threads,
                         size_t thread_count) {
    const settings *const s = call->settings;
    bench_plan plan = {.cases = cases->items,
                       .case_count = cases->count,
                       .own_kernels = !cases->count,
                       .check = true,
                       .goal = goal,
                       .memory_bytes = attend__memory_bytes() / 4};
    target_choice choice = {.backends = s->backend ? s->backend
                                        : s->set   ? "cpu"
                                                   : NULL,
                            .devices = s->device,
                            .threads = threads,
                            .thread_count = thread_count,
                            .peers = &s->peers,
                            .python = s->python ? s->python : "python3"};
    report_format shown;
    if (!read_seconds("timeout", s->timeout, LONGEST_WAIT_S, &choice.timeout_s) ||
        !read_seconds("seconds", s->seconds, s->set ? SET_S : goal.seconds, &plan.goal.seconds))
        return CLI_USAGE;
    int status = check_outputs(s, &shown);
    if (status) return status;
    bench_targets targets;
    if (!bench_targets_create(&choice, &targets, &status)) return status;
    plan.runners = targets.runners;
    plan.runner_count = targets.count;
    status = measure(call, &plan, new_document(call, threads, thread_count), shown);
    bench_targets_release(&targets);
    return status;
}

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    if (s->worker) return attend_worker_main(s->backend, s->device);
    if (s->list) return print_cases(s);
    case_list cases = {NULL, 0};
    int64_t *threads = NULL;
    size_t thread_count = 0;
    int status = CLI_USAGE;
    if (make_cases(s, &cases) && read_threads(s->threads, &cases, &threads, &thread_count))
        status = run_benchmark(call, &cases, threads, thread_count);
    case_list_release(&cases);
    free(threads);
    return status;
}

#define TEXT(name, value, help, field)                                                             \
    { name, value, help, offsetof(settings, field), false }
static const cli_option options[] = {
    TEXT("case", "NAMES",
         "shapes by name, or texts of sizes; all, attention, layer, project, scores", cases),
    TEXT("set", "NAMES",
         "figures of bench/goals.json: shares (all but opencl), peak, masks, options, outputs, "
         "rows, decode, layers, tiny",
         set),
    TEXT("list", NULL, "print the shapes and measure nothing", list),
    TEXT("op", "NAMES", "a matrix of attention, layer, project, scores, softmax, merge; or kernel",
         ops),
    TEXT("batch", "NUMBERS", "batch sizes (1)", batch),
    TEXT("heads", "NUMBERS", "query heads (12)", heads),
    TEXT("kv-heads", "NUMBERS", "key/value heads (as heads)", kv_heads),
    TEXT("seq", "NUMBERS", "query lengths (512)", seq),
    TEXT("keys", "NUMBERS", "key lengths (as seq)", keys),
    TEXT("dim", "NUMBERS", "head sizes (64)", dim),
    TEXT("causal", "NUMBERS", "0, 1 or both (0)", causal),
    TEXT("dtype", "TYPES", "f32, f16, bf16 (f32)", types),
    TEXT("backend", "NAMES",
         "backends, clblast:defaults (CLBlast's own parameters), opencl:host and clblast:host "
         "(operands in host memory); all, or none for peers alone (ATTEND_BACKEND, all)",
         backend),
    TEXT("device", "NAMES", "ids, parts of names, cpu, gpu (ATTEND_DEVICE, all)", device),
    TEXT("threads", "NUMBERS", "threads of each worker (ATTEND_NUM_THREADS, all processors)",
         threads),
    {"peer", "[NAME=]FILE", "a worker to measure beside; may be repeated",
     offsetof(settings, peers), true},
    TEXT("python", "FILE", "what runs peers that end in .py (python3)", python),
    TEXT("format", "FORMAT",
         "table, md, csv, json, jsonl, duel or shares on standard output (table)", format),
    {"out", "FILE", "write .txt .md .csv .json .jsonl as well; may be repeated",
     offsetof(settings, outs), true},
    TEXT("plot", "FILE", "write bars, and lines over the sequence length, as SVG", plot),
    TEXT("seconds", "S", "samples of each case take at least this long (0.5; sets 0.2)", seconds),
    TEXT("timeout", "S", "a worker that is silent for longer is killed (120)", timeout),
    TEXT("worker", NULL, "serve bench/protocol.md on standard input; what bench starts itself",
         worker),
};

const cli_command cli_bench = {
    .name = "bench",
    .words = "",
    .summary = "measure every device and backend side by side",
    .details =
        "Each case is checked against float64 before it is timed; a wrong one shows FAIL. NUMBERS "
        "are lists and\n"
        "ranges: 128,512 or 1-4 or 8-32*2 or 0-12+4. Without --case and sizes a few named shapes "
        "are measured.\n\n"
        "  attend bench\n"
        "  attend bench --case bert-512,bert-layer --threads 1,2 --out run.json --plot run.svg\n"
        "  attend bench --seq 128-2048*2 --heads 8 --causal 0,1 --backend all --format md\n"
        "  attend bench --case 'B1 H8 G8 L512 S512 D64 f32 causal window=64 len=300 weights'\n"
        "  attend bench --set masks,layers\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .run = run,
};
