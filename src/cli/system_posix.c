/* SPDX-License-Identifier: Apache-2.0
 *
 * system.h on POSIX. */
#define _XOPEN_SOURCE 700 /* realpath is an extension of POSIX.1-2008 */

#include "cli.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

void system_prepare_streams(void) {
    signal(SIGPIPE, SIG_IGN);
    /* open gives the lowest free number; the directions are the wrong ones on purpose */
    for (int fd = 0; fd <= 2; ++fd)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

bool system_output_is_terminal(void) {
    return isatty(STDOUT_FILENO) == 1;
}

bool system_error_is_terminal(void) {
    return isatty(STDERR_FILENO) == 1;
}

int system_terminal_columns(void) {
    struct winsize size;
    if (!system_output_is_terminal() || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) return 0;
    return size.ws_col;
}

bool system_speaks_utf8(void) {
    const char *const codeset = nl_langinfo(CODESET);
    return !strcmp(codeset, "UTF-8") || !strcmp(codeset, "utf8");
}

static bool write_all(int fd, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static bool write_and_close(int fd, const void *data, size_t bytes) {
    const bool written = write_all(fd, data, bytes);
    const int fault = errno;
    const bool closed = close(fd) == 0;
    if (!written) errno = fault;
    return written && closed;
}

/* In the same folder, so that the rename stays on one file system. */
static bool write_beside(const char *path, const void *data, size_t bytes) {
    const size_t length = strlen(path);
    char *const beside = cli_allocate(length + sizeof ".XXXXXX", 1);
    memcpy(beside, path, length);
    memcpy(beside + length, ".XXXXXX", sizeof ".XXXXXX");
    const int fd = mkstemp(beside);
    bool done = false;
    if (fd != -1) {
        const mode_t mask = umask(0);
        umask(mask);
        /* mkstemp makes files private; a result gets the permissions of a new file, but what every
         * user may write nobody should believe (attend__file_load) */
        done = fchmod(fd, 0664 & ~mask) == 0;
        const bool written = write_and_close(fd, data, bytes);
        done = done && written && rename(beside, path) == 0;
        const int fault = errno;
        if (!done) unlink(beside);
        errno = fault;
    }
    free(beside);
    return done;
}

bool system_replace_file(const char *path, const void *data, size_t bytes) {
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        const int fd = open(path, O_WRONLY);
        return fd != -1 && write_and_close(fd, data, bytes);
    }
    char *const real =
        realpath(path, NULL); /* a link keeps pointing to the file; NULL: the file is new */
    const bool done = write_beside(real ? real : path, data, bytes);
    const int fault = errno;
    free(real);
    errno = fault;
    return done;
}

bool system_can_replace(const char *path) {
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        if (S_ISDIR(status.st_mode)) errno = EISDIR;
        return !S_ISDIR(status.st_mode) && access(path, W_OK) == 0;
    }
    char *const folder = cli_allocate(strlen(path) + 2, 1);
    memcpy(folder, path, strlen(path) + 1);
    char *const slash = strrchr(folder, '/');
    if (!slash) memcpy(folder, ".", 2);
    if (slash) slash[slash == folder] = 0;
    const bool can = *path && access(folder, W_OK | X_OK) == 0;
    if (!*path) errno = ENOENT;
    free(folder);
    return can;
}

static int wait_for_lock(const char *path) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    while (fd != -1 && fcntl(fd, F_SETLKW, &whole) == -1) {
        if (errno == EINTR) continue;
        const int fault = errno;
        close(fd);
        errno = fault;
        return -1;
    }
    return fd;
}

int system_lock(const char *path) {
    for (;;) {
        struct stat held, named;
        const int fd = wait_for_lock(path);
        if (fd == -1) return -1;
        /* who held it before has removed that file: another process may have made the next */
        if (fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
            held.st_dev == named.st_dev)
            return fd;
        close(fd);
    }
}

void system_unlock(const char *path, int lock) {
    if (lock == -1) return;
    unlink(path);
    close(lock);
}

void system_remove_folder(const char *path) {
    (void)rmdir(path);
}

char *system_own_program(void) {
    enum { LONGEST = 4096 };
    char *const path = calloc(LONGEST, 1);
    if (!path) return NULL;
    /* elsewhere than on Linux: as PATH finds it */
    if (readlink("/proc/self/exe", path, LONGEST - 1) <= 0) memcpy(path, "attend", sizeof "attend");
    return path;
}
