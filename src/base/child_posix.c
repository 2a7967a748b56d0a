/* SPDX-License-Identifier: Apache-2.0
 *
 * child.h on POSIX. The child leads a process group, so that what it starts dies with it. The
 * application may have asked the system to forget ended children (SIGCHLD ignored, or a handler
 * that collects all): then nobody knows how it ended, and its output alone must tell. */
#include "base/child.h"

#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    return (double)attend__clock_nanoseconds() * 1e-9;
}

static int spawn_with(pid_t *id, const char *const *argv, int output,
                      posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(files, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(files, output, STDERR_FILENO);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETPGROUP);
    char *list[16];
    size_t count = 0;
    for (; argv[count]; count++) {
        if (count + 1 == sizeof list / sizeof *list) return E2BIG;
        memcpy(&list[count], &argv[count], sizeof *list); /* exec wants no const, writes nothing */
    }
    list[count] = NULL;
    return posix_spawn(id, argv[0], files, attributes, list, environ);
}

static int spawn(pid_t *id, const char *const *argv, int output) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int fault = posix_spawn_file_actions_init(&files);
    if (fault) return fault;
    fault = posix_spawnattr_init(&attributes);
    if (!fault) {
        fault = spawn_with(id, argv, output, &files, &attributes);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return fault;
}

/* Descriptors 0 to 2 may be closed in this process; what is passed on must not lie there. */
static bool open_pipe(int ends[2]) {
    int low[2];
    if (pipe(low)) return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 3);
        close(low[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0) return true;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
    return false;
}

/* True once it has ended; it stays a zombie, so that its number is not given away. */
static bool has_ended(pid_t id) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    const int fault = waitid(P_PID, (id_t)id, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid == id || (fault && errno == ECHILD);
}

/* False where the system forgot it at its end: its number may already be another's. */
static bool is_ours(pid_t id) {
    siginfo_t info;
    return waitid(P_PID, (id_t)id, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

typedef enum news { READ_MORE, READ_NOTHING, READ_END, READ_TOO_MUCH } news;

static news read_some(attend__child *child, size_t *room, size_t most, int from, int milliseconds) {
    struct pollfd wait = {.fd = from, .events = POLLIN};
    if (poll(&wait, 1, milliseconds) <= 0) return READ_NOTHING;
    if (*room - child->bytes < 2) {
        char *larger = *room < most ? realloc(child->output, 2 * *room) : NULL;
        if (!larger) return READ_TOO_MUCH;
        child->output = larger;
        *room *= 2;
    }
    const ssize_t n = read(from, child->output + child->bytes, *room - child->bytes - 1);
    if (n < 0) return errno == EINTR || errno == EAGAIN ? READ_NOTHING : READ_END;
    child->bytes += (size_t)n;
    child->output[child->bytes] = 0;
    return n > 0 ? READ_MORE : READ_END;
}

/* Until it has ended. A process it left behind may hold the pipe open: the child's own end counts,
 * and what was written until then. */
static news follow(attend__child *child, pid_t id, int from, double deadline, size_t most) {
    size_t room = 4096;
    bool closed = false;
    child->output = malloc(room);
    if (!child->output) return READ_TOO_MUCH;
    child->output[0] = 0;
    for (;;) {
        const bool ended = has_ended(id);
        news n = READ_NOTHING;
        while (!closed && (n = read_some(child, &room, most, from, ended ? 0 : 50)) == READ_MORE)
            if (now() >= deadline) break;
        if (n == READ_TOO_MUCH) return n;
        if (n == READ_END) closed = true;
        if (ended) return READ_END;
        if (now() >= deadline) return READ_NOTHING;
        if (closed) attend__thread_sleep(2000000);
    }
}

static void describe(attend__child *child, news how, pid_t waited, int status, double seconds) {
    char *text = child->ended;
    const size_t bytes = sizeof child->ended;
    child->killed = how == READ_NOTHING;
    if (how == READ_NOTHING)
        snprintf(text, bytes, "did not end within %g s and was killed", seconds);
    else if (how == READ_TOO_MUCH)
        snprintf(text, bytes, "wrote text without end and was killed");
    else if (waited > 0 && WIFSIGNALED(status))
        snprintf(text, bytes, "crashed (signal %d, %s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (waited > 0 && WEXITSTATUS(status) != 0)
        snprintf(text, bytes, "ended with status %d", WEXITSTATUS(status));
    else
        child->well = true;
}

void attend__child_run(const char *const *argv, double seconds, size_t most, attend__child *child) {
    memset(child, 0, sizeof *child);
    const double start = now();
    int ends[2];
    pid_t id = 0;
    if (!open_pipe(ends)) {
        snprintf(child->ended, sizeof child->ended, "could not be started: %s", strerror(errno));
        return;
    }
    const int fault = spawn(&id, argv, ends[1]);
    close(ends[1]);
    if (fault) {
        snprintf(child->ended, sizeof child->ended, "could not be started: %s", strerror(fault));
    } else {
        const news how = follow(child, id, ends[0], start + seconds, most);
        if (is_ours(id)) (void)kill(-id, SIGKILL); /* the rest of the group, too */
        int status = 0;
        pid_t waited;
        while ((waited = waitpid(id, &status, 0)) < 0 && errno == EINTR) {
        }
        describe(child, how, waited, status, seconds);
    }
    close(ends[0]);
    child->seconds = now() - start;
}

void attend__child_limit_self(double seconds) {
    (void)alarm(seconds < 1 ? 1 : seconds > 86400 ? 86400 : (unsigned)seconds);
}
