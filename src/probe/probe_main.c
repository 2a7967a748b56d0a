/* SPDX-License-Identifier: Apache-2.0
 *
 * attend-probe: what attend_probe (src/core/probe.c) starts, so that a driver which crashes or
 * hangs takes this process down and not the application. It contains the library, for it asks one
 * module alone. Not for use by hand:
 *
 *     attend-probe list|test SECONDS environment|bare FOLDER MODULE ID
 *
 * Each line it means starts with ATTEND__PROBE_MARK; drivers may print whatever they like. What was
 * said before a crash has arrived, since each line is written at once. */
#include "attend/attend.h"
#include "base/child.h"
#include "core/device_list.h"
#include "core/records.h"
#include "core/registry.h"
#include "core/verdict.h"
#include "self_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODE = 1, SECONDS, ENVIRONMENT, FOLDER, MODULE, ID, ARGUMENTS };

static void flush(attend__text *text) {
    if (!text->failed && text->data) {
        /* first a line end: a driver may have left its line open */
        printf("\n" ATTEND__PROBE_MARK "\t%s", text->data);
        fflush(stdout);
    }
    free(text->data);
}

static void say(const char *word, const char *first, const char *second) {
    const char *const fields[] = {word, first, second};
    attend__text text = {0};
    attend__record_put(&text, fields, second ? 3 : first ? 2 : 1);
    flush(&text);
}

static void say_failed(const char *word, attend_status status, const char *sentence) {
    char number[16];
    snprintf(number, sizeof number, "%d", -(int)status);
    say(word, number, *sentence ? sentence : attend_status_text(status));
}

static void say_device(const attend_device_info *info) {
    attend__text text = {0};
    attend__record_put_device(&text, "device", info);
    flush(&text);
}

static void list_devices(const attend_options *options, const char *name) {
    attend__settings *settings;
    attend_status status = attend__settings_create(options, &settings);
    if (status != ATTEND_OK) {
        say_failed("refused", status, attend_error_text());
        return;
    }
    const attend__module *module = attend__registry_find(settings, name);
    attend__settings_release(settings); /* no setting matters to the listing */
    if (!module || module->status != ATTEND_OK) {
        say_failed("refused", module ? module->status : ATTEND_NOT_FOUND,
                   module ? module->reason : "it is not there any more");
        return;
    }
    char *fingerprint = attend__fingerprint(&module->plugin);
    say("module", module->plugin.version, fingerprint);
    free(fingerprint);
    uint32_t count = 0;
    for (; count < ATTEND__MOST_DEVICES; count++) {
        attend_device_info info;
        (void)attend_error_set(ATTEND_OK, "");
        status = attend__device_info_ask(module->plugin.device_info, count, &info);
        if (status != ATTEND_OK) break;
        say_device(&info);
    }
    if (count > 0) return;
    const char *sentence = attend_error_text();
    say_failed("none", status == ATTEND_NOT_FOUND ? ATTEND_NO_DEVICE : status,
               *sentence ? sentence : "no device");
}

/* Which types the device that was opened computes with. */
static uint32_t types_of(const attend_options *options) {
    attend__settings *settings;
    if (attend__settings_create(options, &settings)) return 0;
    const attend__module *module = attend__registry_find(settings, options->backend);
    attend__settings_release(settings);
    attend_device_info info;
    for (uint32_t i = 0; module && i < ATTEND__MOST_DEVICES; i++) {
        if (attend__device_info_ask(module->plugin.device_info, i, &info) != ATTEND_OK) break;
        if (!strcmp(info.id, options->device)) return info.types;
    }
    return 0;
}

static void test_device(const attend_options *options) {
    char reason[512] = "";
    attend_context *context = NULL;
    attend_status status = attend_open(options, &context);
    if (status != ATTEND_OK) {
        say_failed("failed", status, attend_error_text());
        return;
    }
    status = self_test(context, types_of(options) | 1u << ATTEND_F32, reason, sizeof reason);
    attend_close(context);
    if (status != ATTEND_OK) {
        say_failed("failed", status, reason);
        return;
    }
    status = attend_shutdown(); /* BUSY if something was left behind */
    if (status != ATTEND_OK)
        say_failed("failed", status, attend_error_text());
    else
        say("passed", NULL, NULL);
}

int main(int argc, char **argv) {
    if (argc != ARGUMENTS) {
        fputs("attend-probe is started by attend doctor and attend_probe(), not by hand\n", stderr);
        return 2;
    }
    attend__child_limit_self(strtod(argv[SECONDS], NULL));
    attend_options options = attend_options_default();
    options.backend = argv[MODULE];
    options.device = argv[ID];
    options.plugin_path = argv[FOLDER];
    options.ignore_environment = !strcmp(argv[ENVIRONMENT], "bare");
    if (!strcmp(argv[MODE], "list"))
        list_devices(&options, argv[MODULE]);
    else
        test_device(&options);
    say("end", NULL, NULL);
    return 0;
}
