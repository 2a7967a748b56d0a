/* SPDX-License-Identifier: Apache-2.0
 *
 *     opencl_bits BACKEND
 *
 * Prints a sum over the bits of attention's outputs for shapes whose keys are split over
 * work-groups or not, depending on how many compute units the device has: the lines are to be the
 * same on any number of them (bits.sh). Each sample is run alone, too, where splits differ within
 * one device; exits 1 if its bits do. */
#include <attend/attend.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct shape {
    int64_t B, H, G, L, S, D;
    attend_type type;
} shape;

static const shape shapes[] = {
    {1, 2, 1, 1, 2000, 64, ATTEND_F32},  {3, 4, 2, 75, 1100, 32, ATTEND_F32},
    {2, 8, 8, 40, 300, 48, ATTEND_F32},  {9, 4, 4, 20, 700, 80, ATTEND_F32},
    {2, 4, 1, 33, 900, 64, ATTEND_BF16}, {1, 1, 1, 5, 4097, 16, ATTEND_F32},
    {1, 1, 1, 197, 197, 64, ATTEND_F32},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Some finite values of any type of 2 or 4 bytes: the upper half of a float in [-1, 1). */
static void *values(size_t count, size_t element, uint32_t seed) {
    unsigned char *const memory = malloc(count * element);
    for (size_t i = 0; memory && i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        const float value = (float)(seed >> 16) / 32768 - 1;
        unsigned char bytes[4];
        memcpy(bytes, &value, 4);
        memcpy(memory + i * element, bytes + 4 - element, element);
    }
    return memory;
}

static uint64_t sum(const void *memory, size_t bytes) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)memory)[i]) * 0x100000001b3u;
    return hash;
}

static attend_tensor of_sample(attend_tensor t, int64_t b) {
    t.offset = b * t.strides[0];
    t.sizes[0] = 1;
    return t;
}

/* The samples one by one into `alone`. */
static attend_status run_alone(attend_context *context, attend_attention a, void *alone) {
    const int64_t count = a.q.sizes[0];
    a.out.data = alone;
    for (int64_t b = 0; b < count; b++) {
        attend_attention one = a;
        one.q = of_sample(a.q, b);
        one.k = of_sample(a.k, b);
        one.v = of_sample(a.v, b);
        one.out = of_sample(a.out, b);
        const attend_status status = attend_run(context, &one);
        if (status != ATTEND_OK) return status;
    }
    return ATTEND_OK;
}

static int run_shape(attend_context *context, const shape *s) {
    const size_t element = attend_type_bytes(s->type);
    const size_t queries = (size_t)(s->B * s->H * s->L * s->D);
    const size_t keys = (size_t)(s->B * s->G * s->S * s->D);
    void *const memory[] = {values(queries, element, 1), values(keys, element, 2),
                            values(keys, element, 3), values(queries, element, 4),
                            values(queries, element, 5)};
    attend_attention a = attend_attention_default();
    a.q = attend_tensor_4d(memory[0], s->type, s->B, s->H, s->L, s->D);
    a.k = attend_tensor_4d(memory[1], s->type, s->B, s->G, s->S, s->D);
    a.v = attend_tensor_4d(memory[2], s->type, s->B, s->G, s->S, s->D);
    a.out = attend_tensor_4d(memory[3], s->type, s->B, s->H, s->L, s->D);
    int failure = memory[0] == NULL || memory[1] == NULL || memory[2] == NULL ||
                  memory[3] == NULL || memory[4] == NULL;
    if (!failure &&
        (attend_run(context, &a) != ATTEND_OK || run_alone(context, a, memory[4]) != ATTEND_OK)) {
        (void)fprintf(stderr, "%s\n", attend_error_text());
        failure = 1;
    }
    if (!failure && memcmp(memory[3], memory[4], queries * element) != 0) {
        (void)fprintf(stderr, "L %" PRId64 " S %" PRId64 ": other bits alone\n", s->L, s->S);
        failure = 1;
    }
    if (!failure)
        (void)printf("B%" PRId64 " H%" PRId64 " L%" PRId64 " S%" PRId64 ": %016" PRIx64 "\n", s->B,
                     s->H, s->L, s->S, sum(memory[3], queries * element));
    for (int i = 0; i < 5; i++)
        free(memory[i]);
    return failure;
}

int main(int argc, char **argv) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = argc > 1 ? argv[1] : "opencl";
    if (attend_open(&options, &context) != ATTEND_OK) {
        (void)fprintf(stderr, "%s\n", attend_error_text());
        return 77;
    }
    int failures = 0;
    for (int i = 0; i < SHAPES; i++)
        failures += run_shape(context, &shapes[i]);
    attend_close(context);
    return failures > 0;
}
