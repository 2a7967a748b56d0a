/* SPDX-License-Identifier: Apache-2.0
 *
 * transfer_data.h. */
#include "transfer_data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *transfer_backend = "opencl";

bool transfer_choose_backend(int argc, char **argv, int *status) {
    if (argc > 1) transfer_backend = argv[1];
    attend_context *context = NULL;
    attend_options options = attend_options_default();
    options.backend = transfer_backend;
    const attend_status opened = attend_open(&options, &context);
    *status = opened == ATTEND_NO_DEVICE ? 77 : 1;
    if (opened != ATTEND_OK) fprintf(stderr, "%s\n", attend_error_text());
    attend_close(context);
    return opened == ATTEND_OK;
}

attend_context *open_way(int way) {
    static const char *const ways[WAYS] = {"copy", "share", "stage", NULL};
    attend_context *context = NULL;
    attend_options options = attend_options_default();
    options.backend = transfer_backend;
    assert_int_equal(
        ways[way] ? setenv("ATTEND_TRANSFERS", ways[way], 1) : unsetenv("ATTEND_TRANSFERS"), 0);
    assert_int_equal(attend_open(&options, &context), ATTEND_OK);
    assert_int_equal(unsetenv("ATTEND_TRANSFERS"), 0);
    return context;
}

void run(attend_context *context, const attend_attention *a) {
    if (attend_run(context, a) != ATTEND_OK) fail_msg("%s", attend_error_text());
}

void fill(float *x, size_t count) {
    unsigned seed = 5;
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) * 0x1p-23f - 1.0f;
    }
}

void *memory_of(size_t bytes) {
    void *const memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    assert_non_null(memory);
    return memory;
}

attend_attention problem(char *memory, const size_t at[4], const int64_t sizes[2][4],
                         const int64_t strides[4][4]) {
    attend_attention a = attend_attention_default();
    attend_tensor *const tensors[] = {&a.q, &a.k, &a.v, &a.out};
    for (int i = 0; i < 4; i++) {
        *tensors[i] = attend_tensor_nd(memory + at[i], ATTEND_F32, 4, sizes[i == 1 || i == 2]);
        if (strides) memcpy(tensors[i]->strides, strides[i], sizeof strides[i]);
    }
    return a;
}

const int64_t square[2][4] = {{B, H, L, D}, {B, H, L, D}};

/* ---- the oracle ------------------------------------------------------------------------------ */

static float element(const attend_tensor *t, int64_t b, int64_t h, int64_t i, int64_t d) {
    const int64_t *const s = t->strides;
    return ((const float *)t->data)[t->offset + b * s[0] + h * s[1] + i * s[2] + d * s[3]];
}

static double score(const attend_attention *a, int64_t b, int64_t h, int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < a->q.sizes[3]; d++)
        sum += (double)element(&a->q, b, h, i, d) * element(&a->k, b, h, j, d);
    return sum / sqrt((double)a->q.sizes[3]);
}

static double expected(const attend_attention *a, int64_t b, int64_t h, int64_t i, int64_t d) {
    double sum = 0, mass = 0;
    for (int64_t j = 0; j < a->k.sizes[2]; j++) {
        const double w = exp(score(a, b, h, i, j)); /* inputs below 1: far from overflow */
        mass += w;
        sum += w * element(&a->v, b, h, j, d);
    }
    return sum / mass;
}

void check_oracle(const attend_attention *a) {
    const int64_t *const n = a->out.sizes;
    for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
        const int64_t b = i / n[2] / n[1], h = i / n[2] % n[1], l = i % n[2], d = i % n[3];
        const double want = expected(a, b, h, l, d), got = element(&a->out, b, h, l, d);
        if (!(fabs(got - want) <= 1e-5))
            fail_msg("[%d,%d,%d,%d]: %g, not %g", (int)b, (int)h, (int)l, (int)d, got, want);
    }
}
