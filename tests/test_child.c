/* SPDX-License-Identifier: Apache-2.0
 *
 * Running another program to its end or its deadline, whatever it does and whatever this process
 * thinks of its children. */
#include "base/child.h"
#include "base/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static attend__child child;

static void run_shell(const char *script, double seconds) {
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    free(child.output);
    attend__child_run(argv, seconds, 1 << 16, &child);
}

static void ends_well(void **state) {
    (void)state;
    run_shell("echo out; echo error >&2; cat", 20); /* nothing on its standard input */
    assert_true(child.well);
    assert_string_equal(child.output, "out\nerror\n");
    assert_int_equal(child.bytes, 10);
    assert_string_equal(child.ended, "");
    run_shell("head -c 30000 /dev/zero", 20);
    assert_true(child.well);
    assert_int_equal(child.bytes, 30000);
}

static void ends_badly(void **state) {
    (void)state;
    run_shell("echo before; exit 3", 20);
    assert_false(child.well);
    assert_string_equal(child.ended, "ended with status 3");
    assert_string_equal(child.output, "before\n");
    run_shell("kill -SEGV $$", 20);
    assert_non_null(strstr(child.ended, "crashed (signal 11"));
    assert_false(child.killed);
    run_shell("yes", 20);
    assert_non_null(strstr(child.ended, "without end"));
    const char *const nowhere[] = {"/nowhere/program", NULL};
    free(child.output);
    attend__child_run(nowhere, 20, 100, &child);
    assert_false(child.well);
    assert_null(child.output);
    assert_non_null(strstr(child.ended, "could not be started: No such file"));
}

static void deadline(void **state) {
    (void)state;
    run_shell("trap '' TERM INT HUP; echo before; while :; do sleep 1; done", 0.3);
    assert_true(child.killed);
    assert_non_null(strstr(child.ended, "did not end within 0.3 s"));
    assert_string_equal(child.output, "before\n");
    assert_true(child.seconds < 10);
    run_shell("exec >&- 2>&-; sleep 60", 0.3); /* its pipe is closed, it is not at its end */
    assert_true(child.killed);
}

/* What it leaves behind dies with it and delays nobody. */
static void left_behind(void **state) {
    (void)state;
    run_shell("sleep 60 & echo $!", 20);
    assert_true(child.well);
    assert_true(child.seconds < 10);
    const pid_t left = (pid_t)strtol(child.output, NULL, 10);
    assert_true(left > 1);
    for (int i = 0; i < 200 && kill(left, 0) == 0; i++) {
        char path[64], line[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)left);
        FILE *stat = fopen(path, "r");
        const char *what = stat && fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
        const int zombie = what && what[2] == 'Z'; /* nobody may be there to collect it */
        if (stat) fclose(stat);
        if (zombie) return;
        attend__thread_sleep(10000000);
    }
    assert_int_not_equal(kill(left, 0), 0);
}

/* The application may not want to hear of children, may block signals, may have closed streams. */
static void unusual_parent(void **state) {
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    run_shell("echo here", 20);
    assert_string_equal(child.output, "here\n");
    run_shell("sleep 60", 0.2);
    assert_true(child.killed);
    signal(SIGCHLD, SIG_DFL);
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    signal(SIGTERM, SIG_IGN);
    run_shell("kill -TERM $$; echo survived", 20);
    assert_non_null(strstr(child.ended, "crashed (signal 15"));
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    const int input = dup(0);
    close(0);
    run_shell("echo here", 20);
    dup2(input, 0);
    close(input);
    assert_string_equal(child.output, "here\n");
    free(child.output);
    child.output = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_well),   cmocka_unit_test(ends_badly),     cmocka_unit_test(deadline),
        cmocka_unit_test(left_behind), cmocka_unit_test(unusual_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
