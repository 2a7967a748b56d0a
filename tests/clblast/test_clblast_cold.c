/* SPDX-License-Identifier: Apache-2.0
 *
 * Cold starts of `clblast`: a new process each, in which 8 threads make the first call at the same
 * time, each in a context of its own. No child may crash, and all threads get the same values.
 * test_clblast_cold [COUNT] */
#include "attend/attend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, THREADS = 8, H = 4, L = 24, S = 90, D = 32, COUNT = 20 };

static float values[H * S * D], results[THREADS][H * L * D];
static attend_status statuses[THREADS];

static attend_tensor tensor(float *memory, int64_t rows) {
    attend_tensor t = {.type = ATTEND_F32, .rank = 4, .data = memory};
    const int64_t sizes[4] = {1, H, rows, D}, strides[4] = {H * rows * D, rows * D, D, 1};
    memcpy(t.sizes, sizes, sizeof sizes);
    memcpy(t.strides, strides, sizeof strides);
    return t;
}

static void *call(void *argument) {
    const size_t i = (size_t)argument;
    attend_options options = attend_options_default();
    attend_context *context;
    options.backend = "clblast";
    statuses[i] = attend_open(&options, &context);
    if (statuses[i] != ATTEND_OK) return NULL;
    attend_attention a = attend_attention_default();
    a.q = tensor(values, L);
    a.k = a.v = tensor(values, S);
    a.out = tensor(results[i], L);
    statuses[i] = attend_run(context, &a);
    attend_close(context);
    return NULL;
}

/* The exit status of a child: 0, 1 or SKIPPED. */
static int start(int shut_down) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < H * S * D; i++)
        values[i] = (float)(i * 7919 % 1000) / 1000.0f - 0.5f;
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, call, (void *)i) != 0) return 1;
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) {
        if (statuses[i] == ATTEND_NO_DEVICE) return SKIPPED;
        if (statuses[i] != ATTEND_OK || memcmp(results[i], results[0], sizeof results[0]) != 0)
            return 1;
    }
    return shut_down ? attend_shutdown() != ATTEND_OK : 0;
}

int main(int argc, char **argv) {
    const int count = argc > 1 ? atoi(argv[1]) : COUNT;
    for (int i = 0; i < count; i++) {
        const pid_t child = fork();         /* nothing of OpenCL is loaded here */
        if (child == 0) exit(start(i % 2)); /* with what CLBlast and drivers do at exit */
        int state = 0;
        if (child < 0 || waitpid(child, &state, 0) != child) return 1;
        if (WIFEXITED(state) && WEXITSTATUS(state) == SKIPPED) return SKIPPED;
        if (WIFEXITED(state) && WEXITSTATUS(state) == 0) continue;
        printf("cold start %d of %d: %s %d\n", i + 1, count,
               WIFSIGNALED(state) ? "signal" : "exit status",
               WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
        return 1;
    }
    printf("%d cold starts of %d threads\n", count, THREADS);
    return 0;
}
