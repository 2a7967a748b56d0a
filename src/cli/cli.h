/* SPDX-License-Identifier: Apache-2.0
 *
 * What every command of the program shares: how it is described, how its arguments arrive, how it
 * opens a context and how it speaks. Results go to standard output, everything else to standard
 * error. */
#ifndef ATTEND_CLI_H
#define ATTEND_CLI_H

#include "attend/attend.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define CLI_PRINTF(position, first) __attribute__((format(printf, position, first)))
#else
#define CLI_PRINTF(position, first)
#endif

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; /* exit statuses */

/* An option of a command. Its value is stored at `offset` of the command's settings. */
typedef struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls its value, a const char *; NULL: a flag, a bool */
    const char *help;
    size_t offset;
    bool repeats; /* may be given several times: the value is a cli_values */
} cli_option;

enum { CLI_MOST_VALUES = 24 };
typedef struct cli_values {
    const char *items[CLI_MOST_VALUES];
    size_t count;
} cli_values;

/* The options every command has; an option of the command's own of the same name takes its place.
 */
typedef struct cli_globals {
    const char *backend;
    const char *device;
    const char *threads;
    bool help;
    int32_t thread_count; /* of `threads`; 0 = not given */
    char **argv;          /* the whole command line */
    int argc;
} cli_globals;

typedef struct cli_call {
    const cli_globals *globals;
    const void *settings;
    char **words; /* what is left after the options */
    int word_count;
} cli_call;

typedef struct cli_command {
    const char *name;
    const char *words;   /* "TEXT [TEXT]" */
    const char *summary; /* one line for `attend --help` */
    const char *details; /* what the command's own --help adds, ends with a line end */
    const cli_option *options;
    size_t option_count;
    size_t settings_size;
    int least_words, most_words;
    int (*run)(const cli_call *call); /* returns the exit status */
} cli_command;

extern const cli_command cli_devices, cli_check, cli_tokenize, cli_embed, cli_view, cli_explain,
    cli_bench, cli_compare, cli_doctor, cli_tune;

/* ---- command_line.c ---- */

enum { CLI_MAX_SETTINGS = 1024 }; /* bytes of any command's settings */

/* Reads options up to the first word if `command` is NULL, else all of them; argv[0] is skipped.
 * False after an error, which has been reported. *next is the index of the first word (words are
 * moved to the end). */
bool cli_read_options(const cli_command *command, int argc, char **argv, cli_globals *globals,
                      void *settings, int *next);
void cli_print_options(const cli_option *options, size_t count);
void cli_print_globals(void);
void cli_print_help(const cli_command *command);
/* A whole decimal number in low..high, or false. */
bool cli_read_integer(const char *text, int64_t low, int64_t high, int64_t *number);
/* Columns to print in: COLUMNS, else those of the terminal, else 80; at least 20. */
size_t cli_columns(void);

/* ---- session.c ---- */

/* "attend: sentence" on standard error; control characters are escaped, since texts may come from
 * files. */
void cli_error(const char *format, ...) CLI_PRINTF(1, 2);
/* The same, then a pointer to the command's help. Returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) CLI_PRINTF(2, 3);
/* The options of the library that the global options ask for. */
attend_options cli_library_options(const cli_globals *globals);
/* NULL after a failure, which has been reported. */
attend_context *cli_open(const cli_globals *globals);
/* Zeroed memory for count * bytes; the program ends with a sentence where there is none. */
void *cli_allocate(size_t count, size_t bytes);
/* All of standard input; NULL after a failure, which has been reported. */
char *cli_read_input(size_t *bytes);
/* The text a word stands for: the word, or standard input for "-". Freed with free. */
char *cli_read_text(const char *word, size_t *bytes);

#endif
