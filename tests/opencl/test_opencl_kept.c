/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts of self-tests in the build cache: a process knows what one before it found out, by the
 * same self-test. */
#include "select_log.h"

#include "base/cache_folder.h"

#include <attend/attend.h>

#include <dirent.h>
#include <inttypes.h>
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

enum { NO_DEVICE = 77, OTHERWISE = 2 };
static char folder[] = "/tmp/attend-kept-XXXXXX";

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

/* Puts verdicts that refuse into the place of one, as hosts that check something else left them:
 * the key begins with what the host checks. */
static int replace(const char *path) {
    static const char *const others[] = {"opencl 1", "trials 0123456789abcdef", "trials "};
    static const char refusal[] = "another host refuses it";
    static char text[1 << 20], key[1 << 20];
    size_t key_bytes = 0;
    int begin = 0;
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    const size_t bytes = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(sscanf(text, "attend-cache 1 %zu %*s %*s%n", &key_bytes, &begin), 1);
    begin++; /* a line of its own */
    assert_true((size_t)begin + key_bytes < bytes);
    text[(size_t)begin + key_bytes] = 0;
    const char *const rest = strchr(text + begin, '\n');
    assert_non_null(rest);
    assert_int_equal(unlink(path), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char name[40];
        (void)snprintf(key, sizeof key, "%s%s", others[i], rest);
        (void)snprintf(name, sizeof name, "verdict-%016" PRIx64,
                       attend__hash(ATTEND__HASH_START, key, strlen(key)));
        assert_true(attend__cache_store(folder, name, key, refusal, strlen(refusal)));
    }
    return 0;
}

static void of_other_trials_count_as_absent(void **state) {
    (void)state;
    (void)for_files("", unlink);
    check_says("agrees, says its self-test");
    assert_int_equal(for_files("verdict-", replace), 1);
    check_says("agrees, says its self-test");
    check_says("agrees, says the build cache");
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(are_kept),
                                       cmocka_unit_test(of_other_trials_count_as_absent)};
    return cmocka_run_group_tests_name("kept verdicts", tests, set_up, tear_down);
}
