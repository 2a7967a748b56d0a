/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.h. */
#include "runner.h"

#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libraries read once when they are loaded; protocol.md says so to workers. */
static const char *const thread_variables[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                               "MKL_NUM_THREADS", "POCL_MAX_PTHREAD_COUNT",
                                               "POCL_CPU_MAX_CU_COUNT"};
enum { VARIABLE_COUNT = sizeof thread_variables / sizeof thread_variables[0], VARIABLE_BYTES = 48 };

static runner_verdict lose(runner *r, const char *why) {
    char end[WORKER_TEXT] = "";
    process_end(r->process, end, sizeof end);
    r->process = NULL;
    if (why)
        snprintf(r->reason, sizeof r->reason, "%s", why);
    else
        memcpy(r->reason, end, sizeof end);
    return RUNNER_LOST;
}

static runner_verdict receive(runner *r, char **line) {
    char why[80];
    double seconds = r->timeout_s;
    if (r->until_s > 0)
        seconds = fmax(0, fmin(seconds, r->until_s - (double)attend__clock_nanoseconds() * 1e-9));
    switch (process_receive(r->process, seconds, line)) {
    case PROCESS_LINE:
        return RUNNER_OK;
    case PROCESS_SILENT:
        snprintf(why, sizeof why, "the worker gave no answer for %g s and was killed",
                 round(seconds * 10) / 10);
        process_kill(r->process);
        return lose(r, why);
    case PROCESS_INTERRUPTED:
        snprintf(r->reason, sizeof r->reason, "interrupted");
        return RUNNER_INTERRUPTED;
    case PROCESS_ENDED:
        return lose(r, NULL);
    default:
        return lose(r, "the worker's answer is too long, or there is no memory for it");
    }
}

/* The verdict of an answer that says it is not ok. */
static runner_verdict refusal(runner *r, const json_t *answer) {
    static const struct {
        const char *key;
        runner_verdict verdict;
    } kinds[] = {
        {"missing", RUNNER_MISSING}, {"unsupported", RUNNER_UNSUPPORTED}, {"error", RUNNER_ERROR}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i) {
        const char *const text = json_string_value(json_object_get(answer, kinds[i].key));
        if (!text) continue;
        snprintf(r->reason, sizeof r->reason, "%s", text);
        return kinds[i].verdict;
    }
    return lose(r, "the worker's answer is not one of the protocol's");
}

static bool send_line(runner *r, json_t *ask) {
    char *const text = ask ? json_dumps(ask, JSON_COMPACT) : NULL;
    json_decref(ask);
    const bool sent = text && process_send(r->process, text) && process_send(r->process, "\n");
    free(text);
    return sent;
}

runner_verdict runner_ask(runner *r, json_t *ask, json_t **answer) {
    *answer = NULL;
    if (!r->process) {
        json_decref(ask);
        snprintf(r->reason, sizeof r->reason, "the worker is not running");
        return RUNNER_LOST;
    }
    process_resume(r->process);
    char *line = NULL;
    if (r->ahead > 0) {
        --r->ahead;
        json_decref(ask);
    } else if (!send_line(r, ask)) {
        return lose(r, NULL);
    }
    const runner_verdict verdict = receive(r, &line);
    if (verdict != RUNNER_OK) return verdict;
    process_pause(r->process);
    json_t *const object = json_loads(line, 0, NULL);
    if (json_is_true(json_object_get(object, "ok"))) {
        *answer = object;
        return RUNNER_OK;
    }
    const runner_verdict refused = refusal(r, object);
    json_decref(object);
    return refused;
}

static json_t *hello(const runner *r) {
    return json_pack("{s:s, s:i, s:i}", "ask", "hello", "protocol", 1, "threads", (int)r->threads);
}

static runner_verdict launch(runner *r) {
    if (r->starts == RUNNER_MOST_STARTS) {
        snprintf(r->reason, sizeof r->reason, "the worker died %d times", RUNNER_MOST_STARTS);
        return RUNNER_LOST;
    }
    char texts[VARIABLE_COUNT][VARIABLE_BYTES];
    char *settings[VARIABLE_COUNT + RUNNER_MOST_SETTINGS + 1] = {NULL};
    for (int i = 0; i < VARIABLE_COUNT; ++i) {
        snprintf(texts[i], sizeof texts[i], "%s=%d", thread_variables[i], (int)r->threads);
        settings[i] = texts[i];
    }
    for (int i = 0; r->settings && i < RUNNER_MOST_SETTINGS && r->settings[i]; ++i)
        settings[VARIABLE_COUNT + i] = r->settings[i];
    r->ahead = 0;
    r->process = process_start(r->argv, settings, r->hear_errors, r->reason, sizeof r->reason);
    if (!r->process) return RUNNER_MISSING;
    ++r->starts;
    return RUNNER_OK;
}

void runner_begin(runner *r, json_t *ask) {
    if (launch(r) == RUNNER_OK && send_line(r, hello(r)))
        r->ahead = 1 + send_line(r, ask);
    else
        json_decref(ask);
}

runner_verdict runner_start(runner *r) {
    if (r->process && !r->ahead) return RUNNER_OK;
    const runner_verdict launched = r->process ? RUNNER_OK : launch(r);
    if (launched != RUNNER_OK) return launched;
    json_t *answer;
    const runner_verdict verdict = runner_ask(r, hello(r), &answer);
    if (verdict == RUNNER_OK) {
        json_decref(r->about);
        r->about = answer;
    } else {
        process_end(r->process, NULL, 0);
        r->process = NULL;
    }
    return verdict;
}

void runner_end(runner *r) {
    process_end(r->process, NULL, 0);
    r->process = NULL;
    json_decref(r->about);
    r->about = NULL;
}

const char *runner_peak_device(const runner *r) {
    const char *const device = json_string_value(json_object_get(r->about, "device"));
    if (!device || !strcmp(device, "cpu")) return "cpu";
    return json_is_true(json_object_get(r->about, "on_cpu")) ? "cpu" : device;
}
