/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of the GNU kind, read by getopt_long from the table of a command; the same table makes
 * its --help. */
#include "cli.h"
#include "system.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_OPTIONS = 40,
    FIRST_CODE = 256 /* above every character, so that optopt tells them apart */
};

static const cli_option global_options[] = {
    {"backend", "NAME", "where to run: a backend, a list of them, or auto (ATTEND_BACKEND)",
     offsetof(cli_globals, backend), false},
    {"device", "ID", "which device of it: an id, a part of a name, gpu or cpu (ATTEND_DEVICE)",
     offsetof(cli_globals, device), false},
    {"threads", "N", "how many threads to use (ATTEND_NUM_THREADS)", offsetof(cli_globals, threads),
     false},
    {"help", NULL, "this text", offsetof(cli_globals, help), false},
};
enum { GLOBAL_COUNT = sizeof global_options / sizeof global_options[0] };

static void add(struct option *list, size_t *count, const cli_option *option) {
    list[*count] = (struct option){option->name, option->value ? required_argument : no_argument,
                                   NULL, FIRST_CODE + (int)*count};
    ++*count;
}

/* False when there are too many values. */
static bool store(const cli_option *option, void *base, const char *value) {
    char *const field = (char *)base + option->offset;
    if (option->repeats) {
        cli_values list;
        memcpy(&list, field, sizeof list);
        if (list.count == CLI_MOST_VALUES) return false;
        list.items[list.count++] = value;
        memcpy(field, &list, sizeof list);
    } else if (option->value) {
        memcpy(field, &value, sizeof value);
    } else {
        const bool given = true;
        memcpy(field, &given, sizeof given);
    }
    return true;
}

/* A global option that the command has not one of its own for. */
static bool serves(const cli_option *global, const cli_command *command) {
    for (size_t i = 0; command && i < command->option_count; ++i)
        if (!strcmp(global->name, command->options[i].name)) return false;
    return true;
}

static bool report(int code, const cli_command *command, const struct option *list, char **argv) {
    const char *const name = command ? command->name : NULL;
    const char *const word = argv[optind - 1];
    if (code == ':')
        cli_usage(name, "option --%s needs a value", list[optopt - FIRST_CODE].name);
    else if (optopt >= FIRST_CODE)
        cli_usage(name, "option --%s takes no value", list[optopt - FIRST_CODE].name);
    else if (optopt)
        cli_usage(name, "unknown option -%c", optopt);
    else
        cli_usage(name, "unknown option %s", word);
    return false;
}

bool cli_read_options(const cli_command *command, int argc, char **argv, cli_globals *globals,
                      void *settings, int *next) {
    struct option list[MAX_OPTIONS + 1];
    memset(list, 0, sizeof list);
    const size_t own = command ? command->option_count : 0;
    size_t count = 0;
    for (size_t i = 0; i < own; ++i)
        add(list, &count, &command->options[i]);
    for (size_t i = 0; i < GLOBAL_COUNT; ++i)
        add(list, &count, &global_options[i]); /* getopt takes the first of two of one name */

    opterr = 0;
    optind = 0; /* getopt starts afresh: it is used for the program and again for the command */
    for (;;) {
        const int code = getopt_long(argc, argv, command ? ":h" : "+:h", list, NULL);
        if (code == -1) break;
        if (code == ':' || code == '?') return report(code, command, list, argv);
        if (code == 'h') {
            globals->help = true;
            continue;
        }
        const size_t index = (size_t)(code - FIRST_CODE);
        const cli_option *const option =
            index < own ? &command->options[index] : &global_options[index - own];
        if (store(option, index < own ? settings : globals, optarg)) continue;
        cli_usage(command ? command->name : NULL, "option --%s was given too often", option->name);
        return false;
    }
    *next = optind;
    int64_t threads = 0;
    if (globals->threads && !cli_read_integer(globals->threads, 1, INT32_MAX, &threads)) {
        cli_usage(command ? command->name : NULL, "--threads: '%s' is not a number from 1 on",
                  globals->threads);
        return false;
    }
    globals->thread_count = (int32_t)threads;
    return true;
}

void cli_print_options(const cli_option *options, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        const cli_option *const o = &options[i];
        const int used =
            printf("  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("%*s%s\n", used < 22 ? 22 - used : 1, "", o->help);
    }
}

void cli_print_globals(void) {
    cli_print_options(global_options, GLOBAL_COUNT);
}

void cli_print_help(const cli_command *command) {
    printf("usage: attend %s [OPTION].. %s\n\n%s.\n%s\n", command->name, command->words,
           command->summary, command->details);
    cli_print_options(command->options, command->option_count);
    for (size_t i = 0; i < GLOBAL_COUNT; ++i)
        if (serves(&global_options[i], command)) cli_print_options(&global_options[i], 1);
}

size_t cli_columns(void) {
    enum { USUAL = 80, LEAST = 20, MOST = 10000 };
    const char *const wish = getenv("COLUMNS");
    int64_t n = 0;
    if (!wish || !cli_read_integer(wish, 1, MOST, &n)) n = system_terminal_columns();
    if (n < 1) n = USUAL;
    return n < LEAST ? LEAST : (size_t)n;
}

bool cli_read_integer(const char *text, int64_t low, int64_t high, int64_t *number) {
    char *end = NULL;
    const bool sign = *text == '-';
    if (text[sign] < '0' || text[sign] > '9') return false;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno || *end || value < low || value > high) return false;
    *number = value;
    return true;
}
