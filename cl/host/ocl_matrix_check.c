/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_matrix.h: the self-test of a matrix unit, against sums in double precision. */
#include "ocl_matrix.h"

#include "base/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const ocl_source attend__ocl_source_matrix_check;

enum {
    DEPTH = OCL_MATRIX_DEPTH,
    MOST_A = 16 * DEPTH,
    MOST_B = OCL_MATRIX_ITEMS * DEPTH, /* sub-groups times columns: at most one a work-item */
    MOST_C = 16 * OCL_MATRIX_ITEMS
};

/* What each trial would show. */
typedef enum trial_kind {
    INTEGERS, /* elements in another place; sums of less than float32 */
    SMALL,    /* elements, or products, that are taken to be 0 */
    RANDOM,   /* rounding beyond the bound of docs/numerics.md */
    ALIKE,    /* sums that depend on where in a fragment they are */
    SPECIAL,  /* NaN and infinity that get lost, or reach others */
    ZEROS,    /* the same as RANDOM where some factors are 0: what the next is held against */
    QUIET,    /* bits that depend on what 0 is multiplied with: values of excluded keys */
    TRIALS
} trial_kind;

typedef struct trial {
    const ocl_matrix_shape *shape;
    attend_type type;
    int groups;
    uint32_t state;       /* of the random numbers */
    uint16_t a[MOST_A];   /* [rows][DEPTH] */
    uint16_t b[MOST_B];   /* [groups][DEPTH][columns] */
    float c[MOST_C];      /* [groups][rows][columns] */
    float before[MOST_C]; /* of the trial before */
} trial;

/* ---- elements -------------------------------------------------------------------------------- */

static uint16_t element_of(const trial *t, float x) {
    return t->type == ATTEND_F16 ? attend__f32_to_f16(x) : attend__f32_to_bf16(x);
}

static double value_of(const trial *t, uint16_t x) {
    return t->type == ATTEND_F16 ? attend__f16_to_f32(x) : attend__bf16_to_f32(x);
}

/* In [-1, 1); Knuth's linear congruence, upper bits. */
static float random_of(trial *t) {
    t->state = t->state * 1664525u + 1013904223u;
    return (float)(t->state >> 8) * 0x1p-23f - 1.0f;
}

/* One of -100 .. 100: sums of 64 products stay below 2^24, so float32 has them exactly, while they
 * are more than 16-bit types hold. */
static float integer_of(trial *t) {
    return floorf(random_of(t) * 100.0f);
}

static bool is_random(trial_kind kind) {
    return kind == RANDOM || kind == ALIKE || kind == ZEROS;
}

/* SMALL: subnormal numbers of f16; of bf16 the smallest whose products with integers are normal.
 * ZEROS: so small that a unit which takes 0 for the smallest number loses all beside QUIET's. */
static float draw(trial *t, trial_kind kind, bool left) {
    const bool f16 = t->type == ATTEND_F16;
    float scale = 1.0f;
    if (kind == SMALL && left) scale = f16 ? 0x1p-24f : 0x1p-126f;
    if (kind == ZEROS && left) scale = f16 ? 0x1p-12f : 0x1p-60f;
    return scale * (is_random(kind) ? random_of(t) : integer_of(t));
}

/* In every third product A's factor is -0, as the weight of an excluded key is, and B's `right`. */
static void silence(trial *t, float right) {
    const int rows = t->shape->rows, columns = t->shape->columns;
    for (int i = 1; i < rows * DEPTH; i++)
        if (i % DEPTH % 3 == 1) t->a[i] = element_of(t, -0.0f);
    for (int i = 0; i < t->groups * DEPTH * columns; i++)
        if (i / columns % DEPTH % 3 == 1) t->b[i] = element_of(t, right);
}

static void fill(trial *t, trial_kind kind) {
    const int rows = t->shape->rows, columns = t->shape->columns;
    if (kind == QUIET) { /* all else as it was; twice as much is no number of the type */
        silence(t, t->type == ATTEND_F16 ? 0x1p15f : 0x1p127f);
        return;
    }
    for (int i = 0; i < rows * DEPTH; i++)
        t->a[i] = element_of(t, draw(t, kind, true));
    for (int i = 0; i < t->groups * DEPTH * columns; i++)
        t->b[i] = element_of(t, draw(t, kind, false));
    if (kind == ALIKE) {
        for (int i = DEPTH; i < rows * DEPTH; i++)
            t->a[i] = t->a[i - DEPTH];
        for (int i = 0; i < t->groups * DEPTH * columns; i++)
            t->b[i] = t->b[i / columns % DEPTH * columns];
    }
    if (kind == ZEROS) silence(t, 0.0f);
    if (kind == SPECIAL) {
        t->a[(rows - 3) * DEPTH + 21] = element_of(t, NAN);
        t->b[(DEPTH - 5) * columns + 2] = element_of(t, INFINITY); /* of sub-group 0 */
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

/* A finite sum: exact but for random numbers. */
static bool close_to(double got, double want, double size, bool rounded) {
    return rounded ? fabs(got - want) <= 0x1p-24 * (2 * sqrt(DEPTH) + 8) * size + 1e-37
                   : got == want;
}

static bool agrees(const trial *t, trial_kind kind, int group, int row, int column) {
    const int columns = t->shape->columns;
    const int at = (group * t->shape->rows + row) * columns + column;
    const float got = t->c[at];
    if (kind == ALIKE && memcmp(&got, t->c, sizeof got) != 0) return false;
    if (kind == QUIET) return memcmp(&got, &t->before[at], sizeof got) == 0;
    double want = 0, size = 0;
    for (int k = 0; k < DEPTH; k++) {
        const double term = value_of(t, t->a[row * DEPTH + k]) *
                            value_of(t, t->b[(group * DEPTH + k) * columns + column]);
        want += term;
        size += fabs(term);
    }
    if (isnan(want)) return isnan(got);
    if (isinf(want)) return isinf(got) && (got > 0) == (want > 0);
    return close_to((double)got, want, size, is_random(kind));
}

static bool judge(const trial *t, trial_kind kind, char text[OCL_TRIAL_TEXT]) {
    static const char *const names[TRIALS] = {"integers",         "small numbers",
                                              "random numbers",   "equal rows and columns",
                                              "NaN and infinity", "random numbers and zeros",
                                              "products of zero"};
    for (int group = 0; group < t->groups; group++)
        for (int row = 0; row < t->shape->rows; row++)
            for (int column = 0; column < t->shape->columns; column++) {
                if (agrees(t, kind, group, row, column)) continue;
                (void)snprintf(text, OCL_TRIAL_TEXT,
                               "its self-test gives a wrong sum of %s (sub-group %d, row %d, "
                               "column %d)",
                               names[kind], group, row, column);
                return false;
            }
    return true;
}

/* ---- running --------------------------------------------------------------------------------- */

bool attend__ocl_matrix_check(const ocl_device *device, const void *what, char text[OCL_TRIAL_TEXT],
                              bool *again) {
    const ocl_matrix_use *const use = what;
    const ocl_matrix_shape *const s = use->shape;
    ocl_trial r;
    trial *const t = calloc(1, sizeof *t);
    bool good = true;
    *again = t == NULL;
    if (t == NULL) {
        (void)snprintf(text, OCL_TRIAL_TEXT, "no memory for its self-test");
        return false;
    }
    t->shape = s;
    t->type = use->type;
    t->groups = OCL_MATRIX_ITEMS / s->lanes;
    const size_t words = (size_t)(s->rows + t->groups * s->columns) * DEPTH / 2;
    attend__ocl_trial_open(&r, device, &attend__ocl_source_matrix_check, use->options);
    attend__ocl_trial_array(&r, t->a, sizeof t->a);
    attend__ocl_trial_array(&r, t->b, sizeof t->b);
    attend__ocl_trial_array(&r, t->c, sizeof t->c);
    attend__ocl_trial_local(&r, words * sizeof(cl_uint) + use->exchange_bytes);
    for (int kind = 0; kind < TRIALS && good; kind++) {
        fill(t, (trial_kind)kind);
        memcpy(t->before, t->c, sizeof t->c);
        memset(t->c, 0xff, sizeof t->c); /* NaN: what is not written is wrong */
        good = attend__ocl_trial_run(&r, OCL_MATRIX_ITEMS) && judge(t, (trial_kind)kind, text);
    }
    attend__ocl_trial_close(&r, text, again);
    free(t);
    return good;
}
