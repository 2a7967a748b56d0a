/* SPDX-License-Identifier: Apache-2.0
 *
 * See lane_data.h. */
#include "lane_data.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "isas.h"

const attend__lane_kernels *lane_tables[ISA_COUNT];
int lane_table_count;
static uint64_t state = 20240607;

void lane_start(int argc, char **argv) {
    if (argc > 1) sscanf(argv[1], "%" SCNu64, &state);
    print_message("seed %" PRIu64 "\n", state);
    for (size_t i = 0; i < ISA_COUNT; i++) {
        const attend__cpu_kernels *const found = attend__cpu_select(isas[i]);
        if (found != NULL && strcmp(found->isa, isas[i]) == 0)
            lane_tables[lane_table_count++] = found->lanes;
        else
            print_message("skipped: this machine has no %s\n", isas[i]);
    }
}

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

int lane_random_in(int from, int to) {
    return from + (int)(random_bits() % (uint32_t)(to - from + 1));
}

float lane_random_float(void) {
    return (float)(int32_t)random_bits() * 0x1p-30f;
}

floats floats_of(int64_t count) {
    const guarded_side side = random_bits() & 1 ? GUARDED_BEHIND : GUARDED_BEFORE;
    floats f = {guarded_create((size_t)count * sizeof(float), side), NULL};
    f.x = f.memory.data;
    return f;
}

floats random_floats(int64_t count) {
    floats f = floats_of(count);
    for (int64_t i = 0; i < count; i++)
        f.x[i] = lane_random_float();
    return f;
}

static int64_t lanes_count(const attend__lane_kernels *k, int64_t n, int64_t vectors) {
    return n > 0 ? (n - 1) * k->lane_rows + vectors * k->lanes : 0;
}

floats lanes_of(const attend__lane_kernels *k, int64_t n, int64_t vectors) {
    return floats_of(lanes_count(k, n, vectors));
}

floats random_lanes(const attend__lane_kernels *k, int64_t n, int64_t vectors) {
    return random_floats(lanes_count(k, n, vectors));
}

void floats_free(floats *one, floats *two) {
    guarded_destroy(&one->memory);
    if (two != NULL) guarded_destroy(&two->memory);
}

void expect_bits(float got, float expected, const char *what) {
    if (memcmp(&got, &expected, sizeof got) == 0) return;
    print_message("%s: %.9g instead of %.9g\n", what, (double)got, (double)expected);
    fail();
}

void expect_near(double got, double expected, double bound, const char *what) {
    if (fabs(got - expected) <= bound) return;
    print_message("%s: %.9g instead of %.9g, bound %.3g\n", what, got, expected, bound);
    fail();
}
