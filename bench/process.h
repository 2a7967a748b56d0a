/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that is talked to by lines: started with its own environment, stopped while it is not
 * asked, killed when it does not answer. */
#ifndef ATTEND_BENCH_PROCESS_H
#define ATTEND_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct process process;

typedef enum process_news {
    PROCESS_LINE,        /* a line has come */
    PROCESS_SILENT,      /* the time is over */
    PROCESS_ENDED,       /* it has closed its output */
    PROCESS_INTERRUPTED, /* the user wants this program to end */
    PROCESS_FAULT        /* no memory, or a line without end */
} process_news;

/* argv[0] is searched in PATH; both lists end with NULL; `settings` ("NAME=value") go before the
 * environment of this process. With `hear_errors` its standard error is ours, else it is kept for
 * process_end. NULL: reason[bytes] says why. */
process *process_start(char *const *argv, char *const *settings, bool hear_errors, char *reason,
                       size_t bytes);
bool process_send(process *p, const char *line);
/* *line is the process's until the next call. */
process_news process_receive(process *p, double seconds, char **line);
void process_pause(process *p);
void process_resume(process *p);
/* For one that does not listen; process_end is still due. */
void process_kill(process *p);
/* Ends it: gently when it listens, else by force. Writes how it ended and its last line on standard
 * error to reason[bytes] when that is not NULL. Frees p; NULL is allowed. */
void process_end(process *p, char *reason, size_t bytes);

/* From now on the signals by which a user ends a program (SIGINT, SIGTERM, SIGHUP) only make
 * process_receive return PROCESS_INTERRUPTED, so that results are kept. */
void process_catch_interrupts(void);
bool process_interrupted(void);

#endif
