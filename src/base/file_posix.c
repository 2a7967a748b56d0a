/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h on POSIX. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool trusted(const struct stat *info, size_t most) {
    return S_ISREG(info->st_mode) && (info->st_mode & S_IWOTH) == 0 &&
           (info->st_uid == geteuid() || info->st_uid == 0) && info->st_size >= 0 &&
           (uintmax_t)info->st_size <= most;
}

/* False if fewer bytes came than wanted: the file shrank meanwhile. */
static bool read_all(int file, char *to, size_t wanted) {
    while (wanted > 0) {
        const ssize_t n = read(file, to, wanted);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        wanted -= (size_t)n;
    }
    return true;
}

void *attend__file_load(const char *path, size_t most, size_t *bytes) {
    *bytes = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */
    if (file < 0) return NULL;
    struct stat info;
    char *data = NULL;
    if (fstat(file, &info) == 0 && trusted(&info, most)) {
        const size_t size = (size_t)info.st_size;
        data = size < SIZE_MAX ? malloc(size + 1) : NULL;
        if (data && read_all(file, data, size)) {
            data[size] = 0;
            *bytes = size;
        } else {
            free(data);
            data = NULL;
        }
    }
    close(file);
    return data;
}

static bool write_all(int file, const char *from, size_t bytes) {
    while (bytes > 0) {
        const ssize_t n = write(file, from, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        from += n;
        bytes -= (size_t)n;
    }
    return true;
}

bool attend__file_write_atomic(const char *path, const void *data, size_t bytes) {
    static const char ending[] = ".XXXXXX";
    const size_t length = strlen(path);
    char *temporary = malloc(length + sizeof ending);
    if (!temporary) return false;
    memcpy(temporary, path, length);
    memcpy(temporary + length, ending, sizeof ending);
    const int file = mkstemp(temporary); /* mode 0600 */
    if (file < 0) {
        free(temporary);
        return false;
    }
    (void)fcntl(file, F_SETFD, FD_CLOEXEC);
    bool done = write_all(file, data, bytes);
    done = close(file) == 0 && done; /* a full disk may be told here */
    done = done && rename(temporary, path) == 0;
    if (!done) (void)unlink(temporary);
    free(temporary);
    return done;
}

bool attend__folder_make(const char *path) {
    struct stat info;
    return mkdir(path, S_IRWXU) == 0 ||
           (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}
