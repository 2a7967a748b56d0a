/* SPDX-License-Identifier: Apache-2.0
 *
 * watch.h. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "watch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[4096], newest[300];
static int libraries;
static struct timespec latest;

bool watch_start(void) {
    const int length = snprintf(folder, sizeof folder, "%s/first-XXXXXX", ATTEND_TEST_SCRATCH);
    return length > 0 && (size_t)length < sizeof folder && mkdtemp(folder) != NULL &&
           setenv("POCL_CACHE_DIR", folder, 1) == 0 && setenv("ATTEND_CACHE", "off", 1) == 0 &&
           own_log_start();
}

static int erase(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

void watch_end(void) {
    own_log_end();
    (void)nftw(folder, erase, 8, FTW_DEPTH | FTW_PHYS);
}

static int count(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)place;
    const size_t length = strlen(path);
    const struct timespec made = facts->st_mtim;
    if (kind != FTW_F || length < 3 || strcmp(path + length - 3, ".so") != 0) return 0;
    libraries++;
    if (made.tv_sec < latest.tv_sec ||
        (made.tv_sec == latest.tv_sec && made.tv_nsec < latest.tv_nsec))
        return 0;
    latest = made;
    (void)snprintf(newest, sizeof newest, "%s", path + strlen(folder));
    return 0;
}

int watch_compiled(void) {
    libraries = 0;
    latest = (struct timespec){0, 0};
    assert_int_equal(nftw(folder, count, 8, FTW_PHYS), 0);
    return libraries;
}

const char *watch_newest(void) {
    return newest;
}

watch_mark watch_now(attend_context *context) {
    /* what plans warm up in the background is theirs, clblast's products among it */
    assert_int_equal(attend_finish(context), ATTEND_OK);
    return (watch_mark){own_log_position(), watch_compiled()};
}

void watch_check(const watch_mark *before, watch_level level, const char *what) {
    static const struct {
        const char *name;
        watch_level level;
    } calls[] = {
        {"clCreateProgramWithSource", NOTHING_COMPILED},
        {"clCreateProgramWithBinary", NOTHING_COMPILED},
        {"clBuildProgram", NOTHING_COMPILED},
        {"clCreateKernel", NOTHING_MADE},
        {"clCreateCommandQueue", NOTHING_MADE},
        {"clCreateBuffer", NOTHING_TAKEN},
        {"clCreateSubBuffer", NOTHING_TAKEN},
    };
    if (strcmp(own_backend, "clblast") == 0) level = NOTHING_COMPILED;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].level <= level && own_calls(before->calls, calls[i].name, 0) != 0)
            fail_msg("%s: calls %s", what, calls[i].name);
    if (own_calls(before->calls, "clEnqueueNDRangeKernel", 0) == 0)
        fail_msg("%s: runs no kernel", what);
    const int now = watch_compiled();
    if (now != before->libraries)
        fail_msg("%s: %d kernels were compiled, one of them %s", what, now - before->libraries,
                 newest);
}
