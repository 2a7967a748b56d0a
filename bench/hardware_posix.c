/* SPDX-License-Identifier: Apache-2.0
 *
 * hardware.h on POSIX systems, with the files in which Linux says more. */
#define _DEFAULT_SOURCE /* getloadavg */
#define _DARWIN_C_SOURCE
#include "hardware.h"

#include "base/thread.h"
#include "text_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The rest of the first line that starts with `key`, after the mark and blanks. */
static bool find_value(const char *path, const char *key, char mark, char *value, size_t room) {
    FILE *const file = fopen(path, "r");
    if (!file) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        const char *const at = strchr(line, mark);
        if (!at || strncmp(line, key, strlen(key)) != 0) continue;
        const char *const start = at + 1 + strspn(at + 1, " \t\"");
        snprintf(value, room, "%.*s", (int)strcspn(start, "\"\n"), start);
        found = true;
    }
    fclose(file);
    return found;
}

static void name_cpu(hardware *h, const struct utsname *system) {
    if (find_value("/proc/cpuinfo", "model name", ':', h->cpu, sizeof h->cpu)) return;
    snprintf(h->cpu, sizeof h->cpu, "%s", system->machine);
}

static void name_system(hardware *h, const struct utsname *system) {
    const int used = snprintf(h->os, sizeof h->os, "%s %s %s", system->sysname, system->release,
                              system->machine);
    char name[128];
    if (used > 0 && (size_t)used < sizeof h->os &&
        find_value("/etc/os-release", "PRETTY_NAME", '=', name, sizeof name))
        snprintf(h->os + used, sizeof h->os - (size_t)used, ", %s", name);
}

/* "32768K" of the highest level that Linux lists. */
static uint64_t listed_cache(void) {
    uint64_t bytes = 0;
    long highest = 0;
    for (int i = 0; i < 16; ++i) {
        char path[96], text[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (!text_file_read(path, text, sizeof text)) break;
        const long level = strtol(text, NULL, 10);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (level <= highest || !text_file_read(path, text, sizeof text)) continue;
        char *unit;
        const unsigned long size = strtoul(text, &unit, 10);
        bytes = (uint64_t)size << (*unit == 'K' ? 10 : *unit == 'M' ? 20 : 0);
        highest = level;
    }
    return bytes;
}

static uint64_t last_cache(void) {
    const uint64_t bytes = listed_cache();
    if (bytes) return bytes;
#if defined(_SC_LEVEL3_CACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE)
    const long third = sysconf(_SC_LEVEL3_CACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return third > 0 ? (uint64_t)third : second > 0 ? (uint64_t)second : 0;
#else
    return 0;
#endif
}

void hardware_look(hardware *h) {
    struct utsname system;
    memset(h, 0, sizeof *h);
    memset(&system, 0, sizeof system);
    (void)uname(&system);
    name_cpu(h, &system);
    name_system(h, &system);
    h->processors = attend__processor_count();
    h->memory_bytes = attend__memory_bytes();
    h->cache_bytes = last_cache();
    (void)text_file_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", h->governor,
                         sizeof h->governor);
    if (getloadavg(&h->load, 1) != 1) h->load = -1;
    struct timespec grain;
    if (clock_getres(CLOCK_MONOTONIC, &grain) == 0)
        h->clock_s = (double)grain.tv_sec + 1e-9 * (double)grain.tv_nsec;
}
