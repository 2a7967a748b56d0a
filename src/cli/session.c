/* SPDX-License-Identifier: Apache-2.0
 *
 * What commands do alike: report, open a context, take memory, read a text. */
#include "base/checked.h"
#include "cli.h"
#include "printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void speak(const char *kind, const char *sentence) {
    char *const safe = printable_text(sentence, strlen(sentence));
    fprintf(stderr, "attend: %s%s\n", kind, safe);
    free(safe);
}

static void speak_list(const char *format, va_list list) CLI_PRINTF(1, 0);
static void speak_list(const char *format, va_list list) {
    char sentence[2048]; /* the library's sentences have at most 1023 bytes; longer ones are cut */
    vsnprintf(sentence, sizeof sentence, format, list);
    speak("", sentence);
}

void cli_error(const char *format, ...) {
    va_list list;
    va_start(list, format);
    speak_list(format, list);
    va_end(list);
}

int cli_usage(const char *command, const char *format, ...) {
    va_list list;
    va_start(list, format);
    speak_list(format, list);
    va_end(list);
    fprintf(stderr, "see: attend %s%s--help\n", command ? command : "", command ? " " : "");
    return CLI_USAGE;
}

static void on_log(void *user, attend_log_level level, const char *topic, const char *text) {
    (void)user;
    (void)topic;
    if (level <= ATTEND_LOG_WARNING) speak("warning: ", text);
}

attend_options cli_library_options(const cli_globals *globals) {
    attend_options options = attend_options_default();
    options.backend = globals->backend;
    options.device = globals->device;
    options.threads = globals->thread_count;
    options.log = on_log;
    return options;
}

attend_context *cli_open(const cli_globals *globals) {
    const attend_options options = cli_library_options(globals);
    attend_context *context = NULL;
    if (attend_open(&options, &context)) cli_error("%s", attend_error_text());
    return context;
}

void *cli_allocate(size_t count, size_t bytes) {
    size_t whole = 0;
    void *memory = NULL;
    if (attend__mul_size(count, bytes, &whole)) memory = calloc(whole ? whole : 1, 1);
    if (!memory) {
        fputs("attend: out of memory\n", stderr);
        exit(CLI_FAILED);
    }
    return memory;
}

char *cli_read_input(size_t *bytes) {
    size_t capacity = 4096, used = 0;
    char *text = cli_allocate(capacity, 1);
    for (;;) {
        used += fread(text + used, 1, capacity - used, stdin);
        if (used < capacity) break;
        char *const larger = cli_allocate(capacity, 2);
        memcpy(larger, text, used);
        free(text);
        text = larger;
        capacity *= 2;
    }
    if (ferror(stdin)) {
        cli_error("standard input: %s", strerror(errno));
        free(text);
        return NULL;
    }
    *bytes = used;
    return text;
}

char *cli_read_text(const char *word, size_t *bytes) {
    if (!strcmp(word, "-")) return cli_read_input(bytes);
    *bytes = strlen(word);
    char *const text = cli_allocate(*bytes + 1, 1);
    memcpy(text, word, *bytes);
    return text;
}
