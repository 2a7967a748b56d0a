/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.h on POSIX. */
#include "base/folder.h"
#include "base/folder_step.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

struct attend__folder_step {
    char unused;
};

attend__folder_step *attend__folder_open(const char *path) {
    return (attend__folder_step *)(void *)opendir(path);
}

const char *attend__folder_next(attend__folder_step *step) {
    const struct dirent *entry = readdir((DIR *)(void *)step);
    return entry == NULL ? NULL : entry->d_name;
}

void attend__folder_close(attend__folder_step *step) {
    (void)closedir((DIR *)(void *)step);
}

attend__file_facts attend__file_look(const char *path) {
    attend__file_facts facts = {0};
    struct stat info;
    if (stat(path, &info) != 0) return facts;
    facts.exists = true;
    facts.regular = S_ISREG(info.st_mode);
    facts.folder = S_ISDIR(info.st_mode);
    facts.writable_by_others = (info.st_mode & S_IWOTH) != 0;
    facts.bytes = info.st_size < 0 ? 0 : (uint64_t)info.st_size;
    facts.changed = (int64_t)info.st_mtime;
    return facts;
}

char *attend__path_real(const char *path) {
    return realpath(path, NULL);
}
