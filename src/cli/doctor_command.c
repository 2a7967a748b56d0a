/* SPDX-License-Identifier: Apache-2.0
 *
 * attend doctor: tests what can run here and says what to do about the rest. */
#include "doctor.h"
#include "printable.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const verdict_names[] = {
    [DOCTOR_OK] = "OK", [DOCTOR_WARN] = "WARN", [DOCTOR_FAIL] = "FAIL"};

enum { VERDICT_WIDTH = 6 };

static void print_text(const doctor_report *r) {
    size_t width = 0;
    for (size_t i = 0; i < r->count; ++i)
        if (printable_width(r->findings[i].subject) > width)
            width = printable_width(r->findings[i].subject);
    for (size_t i = 0; i < r->count; ++i) {
        const doctor_finding *const f = &r->findings[i];
        printable_put(stdout, verdict_names[f->verdict], VERDICT_WIDTH);
        printable_put(stdout, f->subject, width + 2);
        printf("%s\n", f->text);
        if (f->remedy) printf("%*s-> %s\n", (int)(VERDICT_WIDTH + width + 2), "", f->remedy);
    }
}

static void set_text(json_t *object, const char *key, const char *text) {
    char *const safe = printable_text(text, strlen(text)); /* JSON takes no broken UTF-8 */
    json_object_set_new(object, key, json_string(safe));
    free(safe);
}

static json_t *device_as_json(const doctor_report *r, size_t index) {
    attend_device_info info = {.size = sizeof info};
    if (attend_device_list_get(r->devices, index, &info)) return json_null();
    json_t *const object = json_object();
    set_text(object, "id", info.id);
    set_text(object, "backend", info.backend);
    set_text(object, "name", info.name);
    set_text(object, "vendor", info.vendor);
    set_text(object, "version", info.version);
    set_text(object, "platform", info.platform);
    set_text(object, "file", info.file);
    set_text(object, "status", attend_status_name(info.status));
    json_object_set_new(object, "seconds", json_real(info.seconds));
    return object;
}

static int print_json(const doctor_report *r) {
    json_t *const document = json_object(), *const list = json_array();
    for (size_t i = 0; i < r->count; ++i) {
        const doctor_finding *const f = &r->findings[i];
        json_t *const item = json_object();
        set_text(item, "verdict", verdict_names[f->verdict]);
        set_text(item, "subject", f->subject);
        set_text(item, "text", f->text);
        if (f->remedy) set_text(item, "remedy", f->remedy);
        if (f->device) json_object_set_new(item, "device", device_as_json(r, f->device - 1));
        json_array_append_new(list, item);
    }
    json_object_set_new(document, "version", json_integer((json_int_t)attend_version()));
    json_object_set_new(document, "verdict", json_string(verdict_names[doctor_worst(r)]));
    json_object_set_new(document, "findings", list);
    const int fault = json_dumpf(document, stdout, JSON_INDENT(2));
    json_decref(document);
    putchar('\n');
    if (fault) cli_error("the document could not be written");
    return fault ? CLI_FAILED : CLI_OK;
}

typedef struct settings {
    const char *timeout;
    bool json;
} settings;

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    int64_t seconds = 0;
    if (s->timeout && !cli_read_integer(s->timeout, 1, 86400, &seconds))
        return cli_usage("doctor", "--timeout: '%s' is not a number in 1..86400", s->timeout);
    doctor_report report;
    doctor_check(call->globals, (double)seconds, &report);
    int status = CLI_OK;
    if (s->json)
        status = print_json(&report);
    else
        print_text(&report);
    if (doctor_worst(&report) == DOCTOR_FAIL) status = CLI_FAILED;
    doctor_release(&report);
    return status;
}

static const cli_option doctor_options[] = {
    {"json", NULL, "print one JSON document", offsetof(settings, json), false},
    {"timeout", "SECONDS", "how long a device may take for its test (60)",
     offsetof(settings, timeout), false},
};

const cli_command cli_doctor = {
    .name = "doctor",
    .words = "",
    .summary = "test what can run here, and say what to do about the rest",
    .details =
        "Each device is tested in a process of its own, so that a driver that crashes or hangs is "
        "a line.\n"
        "What it finds is stored in the cache folder: backend auto takes the GPUs that are OK. "
        "Status 1 if\n"
        "a line says FAIL. --backend NAME tests that backend alone.\n",
    .options = doctor_options,
    .option_count = sizeof doctor_options / sizeof doctor_options[0],
    .settings_size = sizeof(settings),
    .run = run,
};
