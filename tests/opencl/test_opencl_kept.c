/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts of self-tests in the build cache: a process knows what one before it found out. */
#include <attend/attend.h>

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG_BYTES = 4096, NO_DEVICE = 77, OTHERWISE = 2 };
static char folder[] = "/tmp/attend-kept-XXXXXX";
static char lines[LOG_BYTES];

static void note(void *user, attend_log_level level, const char *topic, const char *text) {
    const size_t used = strlen(lines);
    (void)user, (void)level;
    if (strcmp(topic, "select") == 0)
        (void)snprintf(lines + used, sizeof lines - used, "%s\n", text);
}

/* By a matrix unit; whether the log says this of its self-test. */
static int run(const char *text) {
    static uint16_t x[1], w[1], out[1];
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    attend_decision decision = {.size = sizeof decision};
    options.backend = "opencl";
    options.log = note;
    if (attend_open(&options, &context) != ATTEND_OK) return NO_DEVICE;
    attend_projection p = attend_projection_default();
    p.x = attend_tensor_2d(x, ATTEND_F16, 1, 1);
    p.w = attend_tensor_2d(w, ATTEND_F16, 1, 1);
    p.out = attend_tensor_2d(out, ATTEND_F16, 1, 1);
    if (attend_project(context, &p) != ATTEND_OK ||
        attend_context_decision(context, &decision) != ATTEND_OK ||
        strcmp(decision.kernel, "project_plain_matrix_nvidia_emulated") != 0)
        return 1;
    attend_close(context);
    return strstr(lines, text) ? 0 : OTHERWISE;
}

/* In a process of its own, which knows nothing yet; this one calls no OpenCL, which does not
 * survive a fork. */
static int run_anew(const char *text) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(run(text));
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check_says(const char *text) {
    const int status = run_anew(text);
    if (status == NO_DEVICE) skip();
    if (status != 0) fail_msg("\"%s\": %s", text, status == OTHERWISE ? "not said" : "fails");
}

/* Calls `act` for each file of the folder whose name begins so; how many there are. */
static int for_files(const char *begin, int (*act)(const char *path)) {
    char path[400];
    int count = 0;
    DIR *const list = opendir(folder);
    assert_non_null(list);
    for (struct dirent *e = readdir(list); e; e = readdir(list)) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, begin, strlen(begin)) != 0) continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(act(path), 0);
        count++;
    }
    (void)closedir(list);
    return count;
}

static int cut(const char *path) {
    return truncate(path, 20);
}

static void are_kept(void **state) {
    (void)state;
    check_says("agrees, says its self-test");
    check_says("agrees, says the build cache");
    assert_int_equal(for_files("verdict-", cut), 1);
    check_says("agrees, says its self-test"); /* damaged counts as absent */
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL || setenv("ATTEND_KERNELS", "tile", 1) ||
           setenv("ATTEND_MATRIX", "emulated-nvidia", 1) || setenv("ATTEND_CACHE", "on", 1) ||
           setenv("ATTEND_CACHE_DIR", folder, 1);
}

static int tear_down(void **state) {
    (void)state;
    (void)for_files("", unlink);
    return rmdir(folder); /* fails if a temporary file was left */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(are_kept)};
    return cmocka_run_group_tests_name("kept verdicts", tests, set_up, tear_down);
}
