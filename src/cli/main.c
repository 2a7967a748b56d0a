/* SPDX-License-Identifier: Apache-2.0
 *
 * attend: the library from the command line. This file holds the one table of commands; each
 * command has a file of its own. */
#include "cli.h"
#include "system.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const cli_command *const commands[] = {
    &cli_devices, &cli_doctor,  &cli_check, &cli_tokenize, &cli_embed,
    &cli_view,    &cli_explain, &cli_bench, &cli_compare,  &cli_tune,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static int help(void) {
    puts("usage: attend COMMAND [OPTION].. [ARGUMENT]..\n\n"
         "Attention on whatever the machine has. Commands:");
    for (size_t i = 0; i < COMMAND_COUNT; ++i)
        printf("  %-18s  %s\n", commands[i]->name, commands[i]->summary);
    puts("\nEvery command takes");
    cli_print_globals();
    puts("\nattend COMMAND --help says more about one; attend --version names the library in use.\n"
         "Exit status: 0 success, 1 a failed check or a fault while running, 2 wrong arguments.");
    return CLI_OK;
}

static int version(void) {
    const uint32_t v = attend_version();
    printf("attend %u.%u.%u\n", (unsigned)(v / 10000u), (unsigned)(v / 100u % 100u),
           (unsigned)(v % 100u));
    return CLI_OK;
}

static int run(const cli_command *command, int argc, char **argv, cli_globals *globals) {
    /* pointers and flags of any command; all of them start as NULL or false */
    union {
        const char *alignment;
        unsigned char bytes[CLI_MAX_SETTINGS];
    } settings;
    memset(&settings, 0, sizeof settings);
    if (command->settings_size > sizeof settings) {
        cli_error("the settings of %s need more than %zu bytes", command->name, sizeof settings);
        return CLI_FAILED;
    }
    int next = 0;
    if (!cli_read_options(command, argc, argv, globals, &settings, &next)) return CLI_USAGE;
    if (globals->help) {
        cli_print_help(command);
        return CLI_OK;
    }
    const cli_call call = {globals, &settings, argv + next, argc - next};
    if (call.word_count < command->least_words)
        return cli_usage(command->name, "an argument is missing: %s", command->words);
    if (call.word_count > command->most_words)
        return cli_usage(command->name, "one argument too many: '%s'",
                         call.words[command->most_words]);
    return command->run(&call);
}

static int dispatch(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--version")) return version();
    cli_globals globals = {.argv = argv, .argc = argc};
    int next = 0;
    if (!cli_read_options(NULL, argc, argv, &globals, NULL, &next)) return CLI_USAGE;
    if (globals.help) return help();
    if (next >= argc) return cli_usage(NULL, "a command is missing");
    for (size_t i = 0; i < COMMAND_COUNT; ++i)
        if (!strcmp(argv[next], commands[i]->name))
            return run(commands[i], argc - next, argv + next, &globals);
    return cli_usage(NULL, "unknown command '%s'", argv[next]);
}

int main(int argc, char **argv) {
    system_prepare_streams();
    setlocale(LC_CTYPE, ""); /* only to learn the terminal's encoding: numbers keep their point */
    const int status = dispatch(argc, argv);
    /* A result that did not arrive, on a full disk or a closed pipe, is a failure. */
    if (fflush(stdout) || ferror(stdout)) {
        cli_error("standard output: %s", errno ? strerror(errno) : "a write failed");
        return CLI_FAILED;
    }
    return status;
}
