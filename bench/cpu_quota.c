/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit that a container sets on processor time, which no count of processors shows. Both
 * versions of control groups: cgroups(7), "CPU" of Linux's admin-guide/cgroup-v2.rst, and
 * sched-bwc.rst for version 1. */
#include "machine.h"

#include "text_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 4096, FILE_ROOM = 8192 };

/* The smaller of two limits, of which 0 is none. */
static double nearer(double a, double b) {
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

static bool read_in(const char *folder, const char *name, char *text, size_t room) {
    char path[PATH_ROOM + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return text_file_read(path, text, room);
}

/* A group's own limit: "MICROSECONDS PERIOD" or "max PERIOD"; version 1 has a file for each, and
 * says -1 for no limit. */
static double own_limit(const char *folder) {
    char text[64], period_text[64];
    double quota = 0, period = 0;
    if (read_in(folder, "cpu.max", text, sizeof text)) {
        if (sscanf(text, "%lf %lf", &quota, &period) != 2) return 0;
    } else if (read_in(folder, "cpu.cfs_quota_us", text, sizeof text) &&
               read_in(folder, "cpu.cfs_period_us", period_text, sizeof period_text)) {
        quota = strtod(text, NULL);
        period = strtod(period_text, NULL);
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The nearest limit of the group and of all above it. In a container the path may be that of the
 * machine outside: folders that are not here are passed over. */
static double limit_of_path(const char *root, const char *mount, const char *path) {
    char folder[PATH_ROOM];
    const int used = snprintf(folder, sizeof folder, "%s%s%s", root, mount, path);
    if (used < 0 || (size_t)used >= sizeof folder) return 0;
    const size_t top = strlen(root) + strlen(mount);
    double limit = 0;
    for (;;) {
        limit = nearer(own_limit(folder), limit);
        char *const slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top) return limit;
        *slash = 0;
    }
}

static bool has_word(const char *list, const char *word) {
    const size_t length = strlen(word);
    for (;; ++list) {
        const size_t item = strcspn(list, ",");
        if (item == length && !strncmp(list, word, length)) return true;
        list += item;
        if (!*list) return false;
    }
}

/* A line "ID:CONTROLLERS:PATH"; version 2 has no controllers in it. */
static double limit_of_line(const char *root, char *line) {
    char *const controllers = strchr(line, ':');
    char *const path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return 0;
    *path = 0;
    static const char *const mounts_1[] = {"/cpu", "/cpu,cpuacct", "/cpuacct,cpu"},
                             *const mounts_2[] = {"", "/unified"};
    double limit = 0;
    if (!controllers[1])
        for (size_t i = 0; i < sizeof mounts_2 / sizeof mounts_2[0]; ++i)
            limit = nearer(limit_of_path(root, mounts_2[i], path + 1), limit);
    else if (has_word(controllers + 1, "cpu"))
        for (size_t i = 0; i < sizeof mounts_1 / sizeof mounts_1[0]; ++i)
            limit = nearer(limit_of_path(root, mounts_1[i], path + 1), limit);
    return limit;
}

double machine_find_quota(const char *root, const char *membership) {
    char text[FILE_ROOM];
    if (!text_file_read(membership, text, sizeof text)) return 0;
    double limit = 0;
    for (char *line = text; *line;) {
        const size_t length = strcspn(line, "\n");
        char *const next = line + length + (line[length] != 0);
        line[length] = 0;
        limit = nearer(limit_of_line(root, line), limit);
        line = next;
    }
    return limit;
}

double machine_cpu_quota(void) {
    return machine_find_quota("/sys/fs/cgroup", "/proc/self/cgroup");
}
