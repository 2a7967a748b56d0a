/* SPDX-License-Identifier: Apache-2.0
 *
 * The helpers of stage_case.h. */
#include "stage_case.h"
#include "isas.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, PATTERN = 0xa5 };

stage_case stage_begin(uint64_t seed, uint64_t index) {
    stage_case c = {.random = {seed * 0x100000001b3u + index}};
    (void)gate_bits(&c.random);
    return c;
}

void stage_end(stage_case *c) {
    for (int i = 0; i < c->count; i++) {
        free(c->tensors[i].values);
        free(c->tensors[i].bytes);
        free(c->tensors[i].element);
    }
    c->count = 0;
}

double *stage_numbers(int64_t count) {
    double *const numbers = malloc((size_t)(count > 0 ? count : 1) * sizeof *numbers);
    if (numbers == NULL) {
        fputs("no memory for a test\n", stderr);
        exit(1);
    }
    return numbers;
}

static void index_of(const attend_tensor *t, int64_t i, int64_t *index) {
    for (int32_t d = t->rank - 1; d >= 0; d--) {
        index[d] = i % t->sizes[d];
        i /= t->sizes[d];
    }
}

/* Dimensions in any order, gaps between them, rarely repeated ones (inputs). Returns the extent in
 * elements. */
static int64_t choose_strides(gate_random *r, attend_tensor *t, bool output) {
    int32_t order[ATTEND_MAX_RANK];
    const bool plain = gate_chance(r, 0.4);
    for (int32_t d = 0; d < t->rank; d++)
        order[d] = t->rank - 1 - d;
    for (int32_t d = t->rank - 1; d > 0 && !plain && gate_chance(r, 0.5); d--) {
        const int32_t other = (int32_t)gate_range(r, 0, d), kept = order[d];
        order[d] = order[other];
        order[other] = kept;
    }
    int64_t step = plain || gate_chance(r, 0.6) ? 1 : gate_range(r, 2, 3);
    for (int32_t d = 0; d < t->rank; d++) {
        const int64_t size = t->sizes[order[d]];
        t->strides[order[d]] = step;
        step *= size > 0 ? size : 1;
        if (!plain) step += gate_range(r, 0, 3);
    }
    if (!output && !plain && t->rank > 1 && gate_chance(r, 0.15))
        t->strides[order[t->rank - 1]] = 0;
    return step;
}

static stage_tensor *add(stage_case *c, const char *name, attend_type type, int32_t rank,
                         const int64_t *sizes, bool output) {
    if (c->count == STAGE_MAX_TENSORS) abort();
    stage_tensor *const t = &c->tensors[c->count++];
    *t = (stage_tensor){.name = name, .count = 1, .output = output};
    t->view.type = type;
    t->view.rank = rank;
    for (int32_t d = 0; d < rank; d++) {
        t->view.sizes[d] = sizes[d];
        t->count *= sizes[d];
    }
    const int64_t width = (int64_t)attend_type_bytes(type);
    const int64_t extent = choose_strides(&c->random, &t->view, output);
    t->view.offset = gate_chance(&c->random, 0.5) ? 0 : gate_range(&c->random, 1, 5);
    t->size = (size_t)((extent + t->view.offset) * width) + 2 * GUARD;
    t->bytes = malloc(t->size);
    t->element = calloc(t->size, 1);
    t->values = stage_numbers(t->count);
    if (t->bytes == NULL || t->element == NULL) {
        fputs("no memory for a test\n", stderr);
        exit(1);
    }
    memset(t->bytes, PATTERN, t->size);
    t->view.data = t->bytes + GUARD;
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[ATTEND_MAX_RANK], at = t->view.offset;
        index_of(&t->view, i, index);
        for (int32_t d = 0; d < rank; d++)
            at += index[d] * t->view.strides[d];
        memset(t->element + GUARD + at * width, 1, (size_t)width);
    }
    return t;
}

static void keep_values(stage_tensor *t) {
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[ATTEND_MAX_RANK];
        index_of(&t->view, i, index);
        t->values[i] = gate_load(&t->view, index);
    }
}

stage_tensor *stage_input(stage_case *c, const char *name, attend_type type, int32_t rank,
                          const int64_t *sizes, double size) {
    stage_tensor *const t = add(c, name, type, rank, sizes, false);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[ATTEND_MAX_RANK];
        index_of(&t->view, i, index);
        gate_store(&t->view, index, size * gate_normal(&c->random));
    }
    keep_values(t);
    return t;
}

stage_tensor *stage_output(stage_case *c, const char *name, attend_type type, int32_t rank,
                           const int64_t *sizes) {
    return add(c, name, type, rank, sizes, true);
}

stage_tensor *stage_in_place(stage_case *c, stage_tensor *input) {
    /* an output may not repeat elements */
    for (int32_t d = 0; d < input->view.rank; d++) {
        if (input->view.strides[d] != 0) continue;
        return add(c, "out", input->view.type, input->view.rank, input->view.sizes, true);
    }
    return input;
}

stage_tensor *stage_ids(stage_case *c, const char *name, int32_t rank, const int64_t *sizes,
                        int64_t high) {
    const attend_type type = gate_chance(&c->random, 0.5) ? ATTEND_I32 : ATTEND_I64;
    stage_tensor *const t = add(c, name, type, rank, sizes, false);
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[ATTEND_MAX_RANK];
        index_of(&t->view, i, index);
        gate_store(&t->view, index, (double)gate_range(&c->random, 0, high));
    }
    keep_values(t);
    return t;
}

bool stage_read(stage_tensor *t, double *values) {
    for (int64_t i = 0; i < t->count; i++) {
        int64_t index[ATTEND_MAX_RANK];
        index_of(&t->view, i, index);
        values[i] = gate_load(&t->view, index);
    }
    for (size_t i = 0; i < t->size; i++)
        if (t->element[i] == 0 && t->bytes[i] != PATTERN) return false;
    return true;
}

attend_type stage_float_type(gate_random *r) {
    static const attend_type types[] = {ATTEND_F32, ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    return types[gate_range(r, 0, 3)];
}

int64_t stage_size(gate_random *r, int64_t high) {
    static const int64_t edges[] = {2,  3,  4,   6,   8,   14,  16,  28,  32,
                                    48, 64, 112, 128, 224, 256, 512, 768, 1024};
    if (gate_chance(r, 0.5)) return gate_log_range(r, 1, high);
    const int64_t size = edges[gate_range(r, 0, 17)] + gate_range(r, -1, 1);
    return size < high ? size : high;
}

int32_t stage_rows(gate_random *r, int64_t *rows, int64_t columns, int64_t *sizes) {
    const int32_t rank = *rows == 1 && gate_chance(r, 0.3) ? 1 : (int32_t)gate_range(r, 2, 4);
    int64_t left = *rows;
    *rows = 1;
    for (int32_t d = 0; d < rank - 1; d++) {
        sizes[d] = d == rank - 2 ? left : gate_range(r, 1, left < 3 ? left : 3);
        left = (left + sizes[d] - 1) / sizes[d];
        *rows *= sizes[d];
    }
    sizes[rank - 1] = columns;
    return rank;
}

double stage_activation(attend_activation activation, double x) {
    static const double root = 0.79788456080286535588, half_root = 0.70710678118654752440;
    switch (activation) {
    case ATTEND_RELU:
        return x < 0 ? 0 : x;
    case ATTEND_GELU:
        return x / 2 * erfc(-x * half_root);
    case ATTEND_GELU_TANH:
        return x / (1 + exp(-2 * root * (x + 0.044715 * x * x * x)));
    case ATTEND_SILU:
        return x / (1 + exp(-x));
    case ATTEND_SIGMOID:
        return 1 / (1 + exp(-x));
    case ATTEND_TANH:
        return tanh(x);
    default:
        return x;
    }
}

double stage_ratio(double got, double want, double bound) {
    if (isnan(want)) return isnan(got) ? 0 : HUGE_VAL;
    if (got == want) return 0;
    const double ratio = fabs(got - want) / bound;
    return isnan(ratio) ? HUGE_VAL : ratio;
}

static const char *backend(void) {
    const char *const name = getenv("ATTEND_BACKEND");
    return name != NULL && name[0] != 0 ? name : "cpu";
}

attend_context *stage_open(const char *isa, int threads) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = backend();
    options.isa = isa != NULL && isa[0] != 0 ? isa : NULL;
    options.threads = threads;
    const attend_status status = attend_open(&options, &context);
    if (status == ATTEND_OK) return context;
    fprintf(stderr, "%s: %s\n", options.backend, attend_error_text());
    exit(status == ATTEND_NO_DEVICE || status == ATTEND_NOT_FOUND ? 77 : 1);
}

const char *const *stage_isas(void) {
    static const char *all[ISA_COUNT + 1] = {""}, *const one[] = {"", NULL};
    for (int i = 0; i + 1 < ISA_COUNT; i++) /* "" is the best of the machine */
        all[i + 1] = isas[i];
    return strcmp(backend(), "cpu") == 0 ? all : one;
}
