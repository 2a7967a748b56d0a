/* SPDX-License-Identifier: Apache-2.0
 *
 * One small attention, and an environment without settings, for the tests of contexts. */
#ifndef SMALL_CALL_H
#define SMALL_CALL_H

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { H = 4, L = 40, D = 24, COUNT = H * L * D };
static float q[COUNT], k[COUNT], v[COUNT], out[COUNT];

static inline attend_attention attention(void) {
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, H, L, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, H, L, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, H, L, D);
    return a;
}

static inline int clear_environment(void **state) {
    (void)state;
    static const char *const names[] = {"ATTEND_BACKEND",    "ATTEND_DEVICE",  "ATTEND_NUM_THREADS",
                                        "ATTEND_ISA",        "ATTEND_VERBOSE", "ATTEND_LOG_FILE",
                                        "ATTEND_PLUGIN_PATH"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    setenv("ATTEND_CACHE", "off", 1); /* no verdict of this machine decides */
    for (int i = 0; i < COUNT; i++) {
        q[i] = (float)(i % 13) / 6 - 1;
        k[i] = (float)(i % 7) / 3 - 1;
        v[i] = (float)(i % 11);
    }
    return 0;
}

#define assert_says(part) assert_non_null(strstr(attend_error_text(), part))

#endif
