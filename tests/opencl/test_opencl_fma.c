/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether kernels are told to use fma where the driver denies it, as Intel's does: by what this
 * machine's processor has, and for a device of its name alone; and not where AMD's for GPUs has it,
 * which need not be fast. tamper.c makes such a driver of
 * PoCL, and ends the process where a program is built with it. */
#include <attend/attend.h>

#include <setjmp.h>
#include <signal.h>
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

enum { NO_DEVICE = 77 };
static char processor[256], flags[8192];

/* What the kernel of the operating system says of the first processor. */
static void read_line(const char *name, char *value, size_t room) {
    char line[8192];
    FILE *const file = fopen("/proc/cpuinfo", "r");
    value[0] = 0;
    while (file && value[0] == 0 && fgets(line, sizeof line, file)) {
        char *const colon = strstr(line, ": ");
        if (strncmp(line, name, strlen(name)) != 0 || colon == NULL) continue;
        colon[strcspn(colon, "\n")] = 0;
        (void)snprintf(value, room, "%s ", colon + 2);
    }
    if (file) (void)fclose(file);
}

static int build(void) {
    static float x[1], w[1], out[1];
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    attend_projection p = attend_projection_default();
    options.backend = "opencl";
    p.x = attend_tensor_2d(x, ATTEND_F32, 1, 1);
    p.w = attend_tensor_2d(w, ATTEND_F32, 1, 1);
    p.out = attend_tensor_2d(out, ATTEND_F32, 1, 1);
    if (attend_open(&options, &context) != ATTEND_OK) return NO_DEVICE;
    return attend_project(context, &p) != ATTEND_OK;
}

/* In a process of its own, whose layer makes another device of it. */
static bool says_fma(const char *const settings[][2], int count) {
    int status = -1;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (int i = 0; i < count; i++)
            if (setenv(settings[i][0], settings[i][1], 1)) _exit(1);
        _exit(build());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_DEVICE) skip();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) return true;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

/* A platform of this suffix, whose device has this name. */
static bool uses_fma(const char *suffix, const char *device) {
    const char *const settings[][2] = {{"ATTEND_TEST_SUFFIX", suffix},
                                       {"ATTEND_TEST_DEVICE", device}};
    return says_fma(settings, 2);
}

static bool gpu_uses_fma(const char *extensions) {
    const char *const settings[][2] = {{"ATTEND_TEST_EXTENSIONS", extensions}};
    return says_fma(settings, 1);
}

static void as_the_processor_has_it(void **state) {
    (void)state;
    if (processor[0] == 0) skip(); /* no x86, or no Linux */
    assert_int_equal(uses_fma("INTEL", processor), strstr(flags, " fma ") != NULL);
}

static void not_for_others(void **state) {
    (void)state;
    assert_false(uses_fma("INTEL", "another processor"));
    assert_false(uses_fma("OTHER", processor));
}

/* AMD's compiler says where it is fast. */
static void as_gpus_say(void **state) {
    (void)state;
    assert_true(gpu_uses_fma("cl_khr_byte_addressable_store"));
    assert_false(gpu_uses_fma("cl_khr_byte_addressable_store cl_amd_device_attribute_query"));
}

int main(void) {
    read_line("model name", processor, sizeof processor);
    read_line("flags", flags, sizeof flags);
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) || setenv("ATTEND_CACHE", "off", 1) ||
        setenv("ATTEND_TEST_CRASH", "-DUSE_FMA", 1))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_processor_has_it),
        cmocka_unit_test(not_for_others),
        cmocka_unit_test(as_gpus_say),
    };
    return cmocka_run_group_tests_name("fma", tests, NULL, NULL);
}
