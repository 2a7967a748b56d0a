/* SPDX-License-Identifier: Apache-2.0
 *
 * process.h on POSIX. Each process leads a group of its own: the terminal's interrupt reaches this
 * program alone, and what it started dies with it. Should this program be killed, its stopped
 * children form orphaned groups, which the system wakes and hangs up (POSIX.1-2017, exit). */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LONGEST_LINE = 1 << 28, LAST_WORDS = 400 };

struct process {
    pid_t id;
    int input, output; /* its standard input and output, our ends */
    FILE *errors;      /* what it wrote to standard error; NULL: it was ours */
    char *text;        /* received: bytes [0, used), of which [0, given) were handed out */
    size_t used, given, room;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

void process_catch_interrupts(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt; /* without SA_RESTART: poll returns */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool process_interrupted(void) {
    return interrupted != 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- start ---- */

static bool same_name(const char *a, const char *b) {
    const size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && !strncmp(a, b, n);
}

/* The list alone is allocated. */
static char **merged_environment(char *const *settings) {
    size_t own = 0, more = 0;
    while (environ[own])
        ++own;
    while (settings[more])
        ++more;
    char **const list = malloc((own + more + 1) * sizeof *list);
    if (!list) return NULL;
    size_t used = 0;
    for (size_t i = 0; i < more; ++i)
        list[used++] = settings[i];
    for (size_t i = 0; i < own; ++i) {
        size_t j = 0;
        while (j < more && !same_name(environ[i], settings[j]))
            ++j;
        if (j == more) list[used++] = environ[i];
    }
    list[used] = NULL;
    return list;
}

static void close_both(const int *ends) {
    close(ends[0]);
    close(ends[1]);
}

/* Both ends close when a program is executed, or each worker would hold the others' inputs open. */
static bool open_pipe(int *ends) {
    if (pipe(ends)) return false;
    if (fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0)
        return true;
    close_both(ends);
    return false;
}

static int spawn(process *p, char *const *argv, char **environment, int input, int output) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE); /* this program ignores it */
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    sigaddset(&defaults, SIGHUP);
    int fault = posix_spawn_file_actions_init(&files);
    if (fault) return fault;
    fault = posix_spawnattr_init(&attributes);
    if (fault) {
        posix_spawn_file_actions_destroy(&files);
        return fault;
    }
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    if (p->errors) posix_spawn_file_actions_adddup2(&files, fileno(p->errors), STDERR_FILENO);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    fault = posix_spawnp(&p->id, argv[0], &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return fault;
}

static int connect_and_spawn(process *p, char *const *argv, char **environment) {
    int in[2], out[2];
    if (!open_pipe(in)) return errno;
    if (!open_pipe(out)) {
        const int fault = errno;
        close_both(in);
        return fault;
    }
    const int fault = spawn(p, argv, environment, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    if (fault) {
        close(in[1]);
        close(out[0]);
    }
    p->input = in[1];
    p->output = out[0];
    return fault;
}

process *process_start(char *const *argv, char *const *settings, bool hear_errors, char *reason,
                       size_t bytes) {
    process *const p = calloc(1, sizeof *p);
    char **const environment = merged_environment(settings);
    int fault = p && environment ? 0 : ENOMEM;
    if (!fault && !hear_errors) {
        p->errors = tmpfile();
        if (p->errors)
            fcntl(fileno(p->errors), F_SETFD, FD_CLOEXEC);
        else
            fault = errno;
    }
    if (!fault) fault = connect_and_spawn(p, argv, environment);
    free(environment);
    if (!fault) return p;
    snprintf(reason, bytes, "%s: %s", argv[0], strerror(fault));
    if (p && p->errors) fclose(p->errors);
    free(p);
    return NULL;
}

/* ---- lines ---- */

bool process_send(process *p, const char *line) {
    size_t left = strlen(line);
    while (left > 0) {
        const ssize_t n = write(p->input, line, left);
        if (n < 0 && errno == EINTR && !interrupted) continue;
        if (n < 0) return false;
        line += n;
        left -= (size_t)n;
    }
    return true;
}

/* The next whole line among what was received, its end replaced. */
static char *take_line(process *p) {
    char *const end = memchr(p->text + p->given, '\n', p->used - p->given);
    if (!end) return NULL;
    char *const line = p->text + p->given;
    *end = 0;
    p->given = (size_t)(end - p->text) + 1;
    return line;
}

static bool make_room(process *p) {
    if (p->given) memmove(p->text, p->text + p->given, p->used - p->given);
    p->used -= p->given;
    p->given = 0;
    if (p->used < p->room) return true;
    const size_t room = p->room ? 2 * p->room : 4096;
    char *const text = room <= LONGEST_LINE ? realloc(p->text, room) : NULL;
    if (!text) return false;
    p->text = text;
    p->room = room;
    return true;
}

process_news process_receive(process *p, double seconds, char **line) {
    const double end = now() + seconds;
    for (;;) {
        *line = p->text ? take_line(p) : NULL;
        if (*line) return PROCESS_LINE;
        if ((p->used == p->room || p->given) && !make_room(p)) return PROCESS_FAULT;
        struct pollfd wait = {.fd = p->output, .events = POLLIN};
        const double left = end - now();
        if (left <= 0) return PROCESS_SILENT;
        const int ready = poll(&wait, 1, left > 1e6 ? 1000000000 : (int)(left * 1000) + 1);
        if (interrupted) return PROCESS_INTERRUPTED;
        if (ready <= 0) continue;
        const ssize_t n = read(p->output, p->text + p->used, p->room - p->used);
        if (n == 0 || (n < 0 && errno != EINTR)) return PROCESS_ENDED;
        if (n > 0) p->used += (size_t)n;
    }
}

void process_pause(process *p) {
    kill(-p->id, SIGSTOP);
}

void process_resume(process *p) {
    kill(-p->id, SIGCONT);
}

/* ---- end ---- */

/* Waits for at most `seconds`; false while it runs. It stays a zombie, so that its number is not
 * given to another process. */
static bool wait_for(const process *p, double seconds) {
    const double end = now() + seconds;
    for (;;) {
        siginfo_t info;
        memset(&info, 0, sizeof info);
        const int fault = waitid(P_PID, (id_t)p->id, &info, WEXITED | WNOHANG | WNOWAIT);
        if (info.si_pid == p->id || (fault && errno != EINTR)) return true;
        if (now() >= end) return false;
        const struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
    }
}

/* The last line that is not empty, of the last LAST_WORDS bytes. */
static void last_words(FILE *errors, char *words) {
    words[0] = 0;
    if (!errors || fseek(errors, 0, SEEK_END)) return;
    const long length = ftell(errors);
    if (length <= 0 || fseek(errors, length > LAST_WORDS ? length - LAST_WORDS : 0, SEEK_SET))
        return;
    size_t n = fread(words, 1, LAST_WORDS, errors);
    while (n > 0 && (words[n - 1] == '\n' || words[n - 1] == ' '))
        --n;
    words[n] = 0;
    const char *const last = strrchr(words, '\n');
    if (last) memmove(words, last + 1, strlen(last));
}

static void describe_end(int status, bool forced, FILE *errors, char *reason, size_t bytes) {
    char words[LAST_WORDS + 1];
    last_words(errors, words);
    const char *const colon = words[0] ? ": " : "";
    if (forced)
        snprintf(reason, bytes, "the worker was killed%s%s", colon, words);
    else if (WIFSIGNALED(status))
        snprintf(reason, bytes, "the worker died of signal %d (%s)%s%s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), colon, words);
    else
        snprintf(reason, bytes, "the worker ended with status %d%s%s", WEXITSTATUS(status), colon,
                 words);
}

void process_kill(process *p) {
    kill(-p->id, SIGKILL);
}

void process_end(process *p, char *reason, size_t bytes) {
    if (!p) return;
    int status = 0;
    close(p->input);
    process_resume(p);
    const bool forced = !wait_for(p, 1.0);
    kill(-p->id, SIGKILL); /* and whatever it started */
    while (waitpid(p->id, &status, 0) < 0 && errno == EINTR) {
    }
    close(p->output);
    if (reason) describe_end(status, forced, p->errors, reason, bytes);
    if (p->errors) fclose(p->errors);
    free(p->text);
    free(p);
}
