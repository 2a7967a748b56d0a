/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_worker.h. */
#include "attend_worker.h"

#include "attend/attend.h"
#include "attend_case.h"
#include "peak.h"
#include "peak_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TUNING_BYTES = 16384 };

typedef struct party {
    const char *backend, *device;
    attend_context *context;
    attend_inputs inputs; /* of all cases; dropped by their calls */
    int32_t threads;
    bool on_cpu; /* the host's processor computes */
    peak_device names;
    char tuning[TUNING_BYTES]; /* what the log said of it since the last ask */
} party;

/* Lines with the topic "tuning" (cl/host/ocl_tuning.h): of opening and planning, on this thread. */
static void keep_tuning(void *user, attend_log_level level, const char *topic, const char *text) {
    party *const p = user;
    const size_t used = strlen(p->tuning);
    (void)level;
    if (strcmp(topic, "tuning") != 0 || used + strlen(text) + 2 > sizeof p->tuning) return;
    snprintf(p->tuning + used, sizeof p->tuning - used, "%s\n", text);
}

/* The listed device that the context runs on: the only one of its backend with its name, or the one
 * that was asked for. */
static bool same_device(const attend_device_info *info, const attend_decision *d,
                        const char *asked) {
    if (info->reason || strcmp(info->backend, d->backend) != 0) return false;
    return asked ? !strcmp(info->id, asked) : !strcmp(info->name, d->device);
}

static json_t *describe(const party *p, const attend_device_list *list, const attend_decision *d) {
    for (size_t i = 0; i < attend_device_list_count(list); ++i) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(list, i, &info) || !same_device(&info, d, p->device)) continue;
        return json_pack("{s:s, s:s, s:s, s:s, s:b}", "device", info.id, "device_name", info.name,
                         "platform", info.platform, "driver", info.version, "on_cpu",
                         info.kind == ATTEND_DEVICE_CPU);
    }
    return json_pack("{s:s, s:s}", "device", d->device, "device_name", d->device);
}

static void copy_text(char *to, size_t bytes, const json_t *from, const char *key) {
    const char *const text = json_string_value(json_object_get(from, key));
    snprintf(to, bytes, "%s", text ? text : "");
}

static json_t *hello(void *state, int32_t threads, char *reason) {
    party *const p = state;
    attend_options options = attend_options_default();
    options.backend = p->backend;
    options.device = p->device;
    options.threads = p->threads = threads;
    options.log = keep_tuning;
    options.log_user = p;
    attend_device_list *list = NULL;
    attend_decision d = {.size = sizeof d};
    json_t *answer = NULL;
    if (attend_open(&options, &p->context) || attend_device_list_create(&options, &list) ||
        attend_context_decision(p->context, &d)) {
        snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
    } else {
        char version[32];
        const unsigned v = (unsigned)attend_version();
        snprintf(version, sizeof version, "%u.%u.%u", v / 10000, v / 100 % 100, v % 100);
        answer = describe(p, list, &d);
        const char *const memory = getenv("BENCH_MEMORY");
        p->inputs.context = p->context;
        p->inputs.host_memory = memory && !strcmp(memory, "host");
        p->on_cpu = json_is_true(json_object_get(answer, "on_cpu"));
        copy_text(p->names.platform, sizeof p->names.platform, answer, "platform");
        copy_text(p->names.name, sizeof p->names.name, answer, "device_name");
        json_object_set_new(answer, "name", json_string(d.backend));
        json_object_set_new(answer, "version", json_string(version));
        json_object_set_new(answer, "settings",
                            json_string(p->inputs.host_memory
                                            ? "plan, prepared weights, operands in host memory"
                                            : "plan, prepared weights, buffers of the device"));
        if (p->tuning[0]) json_object_set_new(answer, "tuning", json_string(p->tuning));
    }
    attend_device_list_release(list);
    return answer;
}

static worker_verdict prepare(void *state, const bench_case *c, worker_call *call, char *reason) {
    party *const p = state;
    if (!p->context) {
        snprintf(reason, WORKER_TEXT, "hello comes first");
        return WORKER_ERROR;
    }
    p->tuning[0] = 0;
    if (c->op != BENCH_KERNEL) {
        const worker_verdict verdict = attend_case_prepare(&p->inputs, c, call, reason);
        call->tuning = p->tuning;
        return verdict;
    }
    if (p->on_cpu) return peak_prepare(c->name, p->threads, call, reason);
    return peak_device_prepare(c->name, &p->names, call, reason);
}

int attend_worker_main(const char *backend, const char *device) {
    party p = {.backend = backend, .device = device};
    const worker_party served = {.state = &p, .hello = hello, .prepare = prepare};
    const int status = serve_worker(&served);
    attend_close(p.context);
    return status;
}
