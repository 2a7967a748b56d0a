/* SPDX-License-Identifier: Apache-2.0
 *
 * What a bench measures of an OpenCL device that is not the processor, tried on any that is here:
 * sums are exact, else a peak is none; a device or a peak that is not there is a sentence. */
#include "peak_device.h"

#include "attend/attend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static peak_device device;

static void measures(void **state) {
    (void)state;
    static const char *const peaks[] = {"peak-fma", "peak-read"};
    for (int i = 0; i < 2; i++) {
        char reason[WORKER_TEXT] = "";
        worker_call call = {0};
        if (peak_device_prepare(peaks[i], &device, &call, reason) != WORKER_OK)
            fail_msg("%s: %s", peaks[i], reason);
        assert_true(call.run(call.state, reason));
        assert_true(i == 0 ? call.flops > 1e6 && call.bytes == 0
                           : call.bytes >= 1e6 && call.flops == 0);
        call.release(call.state);
    }
}

static void refuses(void **state) {
    (void)state;
    char reason[WORKER_TEXT] = "";
    worker_call call = {0};
    assert_int_equal(peak_device_prepare("peak-read-4096", &device, &call, reason),
                     WORKER_UNSUPPORTED);
    assert_non_null(strstr(reason, "peak-read-4096"));
    peak_device other = device;
    other.name[0] = '?';
    assert_int_equal(peak_device_prepare("peak-fma", &other, &call, reason), WORKER_ERROR);
    assert_non_null(strstr(reason, other.name));
    assert_null(call.state);
}

static bool find_device(void) {
    const attend_options options = attend_options_default();
    attend_device_list *list = NULL;
    bool found = false;
    if (attend_device_list_create(&options, &list)) return false;
    for (size_t i = 0; i < attend_device_list_count(list) && !found; i++) {
        attend_device_info info = {.size = sizeof info};
        if (attend_device_list_get(list, i, &info) || info.reason ||
            strcmp(info.backend, "opencl") != 0)
            continue;
        (void)snprintf(device.platform, sizeof device.platform, "%s", info.platform);
        (void)snprintf(device.name, sizeof device.name, "%s", info.name);
        found = true;
    }
    attend_device_list_release(list);
    return found;
}

int main(void) {
    if (!find_device()) return 77;
    const struct CMUnitTest tests[] = {cmocka_unit_test(measures), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
