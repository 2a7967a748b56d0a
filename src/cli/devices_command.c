/* SPDX-License-Identifier: Apache-2.0
 *
 * attend devices: what can run here, why the rest cannot, and what would be chosen now. */
#include "cli.h"
#include "printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID, BACKEND, KIND, NAME, MEMORY, TYPES, COLUMN_COUNT };

typedef struct row {
    char *cells[COLUMN_COUNT];
} row;

static char *copy(const char *text) {
    return printable_text(text, strlen(text));
}

static const char *kind_name(attend_device_kind kind) {
    switch (kind) {
    case ATTEND_DEVICE_CPU:
        return "cpu";
    case ATTEND_DEVICE_INTEGRATED_GPU:
        return "integrated gpu";
    case ATTEND_DEVICE_DISCRETE_GPU:
        return "discrete gpu";
    case ATTEND_DEVICE_ACCELERATOR:
        return "accelerator";
    default:
        return "unknown";
    }
}

static row device_row(const attend_device_info *info) {
    char memory[32] = "unknown", types[64] = "";
    if (info->memory_bytes)
        snprintf(memory, sizeof memory, "%.1f GiB", (double)info->memory_bytes / 1073741824.0);
    static const attend_type all[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    for (size_t i = 0, used = 0; i < sizeof all / sizeof all[0]; ++i)
        if (info->types & 1u << all[i])
            used += (size_t)snprintf(types + used, sizeof types - used, "%s%s", used ? " " : "",
                                     attend_type_text(all[i]));
    return (row){{copy(info->id), copy(info->backend), copy(kind_name(info->kind)),
                  copy(info->name), copy(memory), copy(types)}};
}

static void print_row(const row *r, const size_t *widths) {
    for (int i = 0; i < COLUMN_COUNT; ++i) {
        const bool last = i + 1 == COLUMN_COUNT;
        printable_put(stdout, r->cells[i], last ? printable_width(r->cells[i]) : widths[i] + 2);
    }
    putchar('\n');
}

static void print_usable(const attend_device_list *list, size_t count) {
    row *const rows = cli_allocate(count + 1, sizeof *rows);
    size_t used = 0, widths[COLUMN_COUNT] = {0};
    rows[used++] = (row){
        {copy("ID"), copy("BACKEND"), copy("KIND"), copy("NAME"), copy("MEMORY"), copy("TYPES")}};
    for (size_t i = 0; i < count; ++i) {
        attend_device_info info = {.size = sizeof info};
        if (!attend_device_list_get(list, i, &info) && !info.reason)
            rows[used++] = device_row(&info);
    }
    for (size_t i = 0; i < used; ++i)
        for (int j = 0; j < COLUMN_COUNT; ++j)
            if (printable_width(rows[i].cells[j]) > widths[j])
                widths[j] = printable_width(rows[i].cells[j]);
    for (size_t i = 0; i < used; ++i) {
        print_row(&rows[i], widths);
        for (int j = 0; j < COLUMN_COUNT; ++j)
            free(rows[i].cells[j]);
    }
    free(rows);
}

static void print_unusable(const attend_device_list *list, size_t count) {
    bool first = true;
    for (size_t i = 0; i < count; ++i) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(list, i, &info) || !info.reason) continue;
        if (first) puts("\nNot usable:");
        first = false;
        char *const id = copy(info.id);
        char *const reason = copy(info.reason);
        printf("%s: %s\n", id, reason);
        free(id);
        free(reason);
    }
}

typedef struct settings {
    bool names;
} settings;

/* For scripts: the name of each backend that has a usable device. */
static void print_names(const attend_device_list *list, size_t count) {
    const char *last = "";
    for (size_t i = 0; i < count; ++i) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(list, i, &info) || info.reason) continue;
        if (strcmp(info.backend, last) != 0)
            puts(info.backend); /* a backend's devices follow each other */
        last = info.backend;
    }
}

/* Why better ones were not chosen: one a line. */
static void print_refused(const char *refused) {
    while (*refused) {
        const size_t length = strcspn(refused, "\n");
        char *const line = printable_text(refused, length);
        printf("Passed over: %s\n", line);
        free(line);
        refused += length + (refused[length] != 0);
    }
}

static int run(const cli_call *call) {
    const attend_options options = cli_library_options(call->globals);
    attend_device_list *list = NULL;
    if (attend_device_list_create(&options, &list)) {
        cli_error("%s", attend_error_text());
        return CLI_FAILED;
    }
    const size_t count = attend_device_list_count(list);
    const bool names = ((const settings *)call->settings)->names;
    if (names) {
        print_names(list, count);
    } else {
        print_usable(list, count);
        print_unusable(list, count);
    }
    attend_device_list_release(list);
    if (names) return CLI_OK;

    attend_context *const context = cli_open(call->globals);
    if (!context) return CLI_FAILED;
    attend_decision decision = {.size = sizeof decision};
    int status = CLI_OK;
    if (attend_context_decision(context, &decision)) {
        cli_error("%s", attend_error_text());
        status = CLI_FAILED;
    } else {
        char *const device = copy(decision.device);
        char *const reason = copy(decision.reason);
        printf("\nChosen now: %s, %s (%s)\n", decision.backend, device, reason);
        free(device);
        free(reason);
        print_refused(decision.refused);
    }
    attend_close(context);
    return status;
}

static const cli_option device_options[] = {
    {"names", NULL, "print only the names of the usable backends", offsetof(settings, names),
     false},
};

const cli_command cli_devices = {
    .name = "devices",
    .words = "",
    .summary = "list what can run here, and why the rest cannot",
    .details =
        "The first column is what --device and ATTEND_DEVICE take. The last line says what would "
        "be chosen\n"
        "now, with the options and the environment as they are; status 1 if nothing can be.\n",
    .options = device_options,
    .option_count = sizeof device_options / sizeof device_options[0],
    .settings_size = sizeof(settings),
    .run = run,
};
