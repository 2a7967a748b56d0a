/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention over 16,384 tokens without weights stays within 64 MiB above its inputs and outputs:
 * one score matrix of one head alone would take 1 GiB. Measured as the process's peak resident
 * memory, before and after. */
#include <attend/attend.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { H = 8, L = 16384, D = 64, LIMIT_KIB = 64 * 1024, SKIPPED = 77 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int main(void) {
    return SKIPPED; /* shadow memory is counted too */
}
#else
static long peak_kib(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_maxrss;
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, attend_error_text());
    return 1;
}

static int run(float *q, float *k, float *v, float *out) {
    attend_context *context;
    if (attend_open(NULL, &context)) return fail("open");
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(q, ATTEND_F32, 1, H, L, D);
    a.k = attend_tensor_4d(k, ATTEND_F32, 1, H, L, D);
    a.v = attend_tensor_4d(v, ATTEND_F32, 1, H, L, D);
    a.out = attend_tensor_4d(out, ATTEND_F32, 1, H, L, D);
    const long before = peak_kib();
    const attend_status status = attend_run(context, &a);
    const long after = peak_kib();
    if (status) return fail("run");
    printf("%s\npeak above inputs and outputs: %.1f MiB (limit %d)\n", attend_describe(context),
           (double)(after - before) / 1024, LIMIT_KIB / 1024);
    attend_close(context);
    return before < 0 || after - before > LIMIT_KIB;
}

int main(void) {
    const size_t count = (size_t)H * L * D;
    float *memory = malloc(4 * count * sizeof(float));
    if (!memory) return SKIPPED;
    for (size_t i = 0; i < 4 * count; i++)
        memory[i] = (float)((i * 2654435761u >> 7) % 2001) / 1000.0f - 1.0f;
    const int result = run(memory, memory + count, memory + 2 * count, memory + 3 * count);
    free(memory);
    return result;
}
#endif
