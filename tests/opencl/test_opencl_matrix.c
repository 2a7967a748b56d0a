/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix units, by emulation (ATTEND_MATRIX): each one's fragments give the bits of the kernels
 * without it, since the emulation adds up in their order, whatever the sizes, strides and number of
 * rows. Further, by the program's argument, since what is known of a unit stays for the process:
 *     small  the same with one size, one type a unit
 *     wrong, wrong-2
 *            a unit that is wrong, or does not build, is not used, and the log says why; tamper.c
 *            makes it so by changing the text of its kernel */
#include "select_log.h"

#include "base/half.h"

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST_ROWS = 131, MOST_COLUMNS = 133, MOST_DEPTH = 331 };
static const char *const units[] = {"nvidia", "intel16", "arm", "intel8"};
enum { UNITS = sizeof units / sizeof *units };
static const attend_type types[] = {ATTEND_F16, ATTEND_BF16};

static uint16_t x[MOST_ROWS * (2 * MOST_DEPTH + 3)], w[MOST_COLUMNS * MOST_DEPTH];
static uint16_t bias[MOST_COLUMNS];
static uint16_t without[MOST_ROWS * MOST_COLUMNS], with[MOST_ROWS * MOST_COLUMNS];
static bool small; /* for slow devices */

static attend_status open_with(const char *unit, attend_context **context) {
    attend_options options = attend_options_default();
    char setting[40];
    options.backend = "opencl";
    options.log = note;
    (void)snprintf(setting, sizeof setting, "emulated-%s", unit);
    assert_int_equal(setenv("ATTEND_MATRIX", strcmp(unit, "off") ? setting : unit, 1), 0);
    lines[0] = 0;
    return attend_open(&options, context);
}

static attend_context *opened(const char *unit) {
    attend_context *context = NULL;
    assert_int_equal(open_with(unit, &context), ATTEND_OK);
    return context;
}

/* The kernel that ran last. */
static void check_kernel(const attend_context *context, const char *want) {
    attend_decision decision = {.size = sizeof decision};
    assert_int_equal(attend_context_decision(context, &decision), ATTEND_OK);
    assert_string_equal(decision.kernel, want);
}

static uint16_t element(attend_type type, float value) {
    return type == ATTEND_F16 ? attend__f32_to_f16(value) : attend__f32_to_bf16(value);
}

static void fill(attend_type type) {
    uint32_t state = 7;
    for (size_t i = 0; i < sizeof x / sizeof *x + sizeof w / sizeof *w; i++) {
        state = state * 1664525u + 1013904223u;
        const uint16_t one = element(type, (float)(state >> 8) * 0x1p-23f - 1.0f);
        if (i < sizeof x / sizeof *x)
            x[i] = one;
        else
            w[i - sizeof x / sizeof *x] = one;
    }
    for (int i = 0; i < MOST_COLUMNS; i++)
        bias[i] = element(type, (float)i / 8);
}

typedef struct sizes {
    int rows, columns, depth;
    int step, offset; /* of x */
    bool prepared;
} sizes;

/* Tails on every side of tiles, fragments, slices and partial sums; few rows and many. */
static const sizes shapes[] = {
    {1, 1, 1, 1, 0, false},      {16, 32, 64, 1, 0, true},   {17, 33, 65, 1, 0, false},
    {3, 70, 300, 1, 0, true},    {65, 64, 256, 1, 0, true},  {64, 65, 31, 1, 1, false},
    {131, 133, 331, 1, 0, true}, {131, 40, 96, 2, 3, false}, {16, 133, 331, 2, 0, true},
    {20, 96, 0, 1, 0, false},    {8, 31, 15, 1, 5, false},   {40, 16, 128, 1, 8, true},
};

enum { SMALL_SHAPE = 2 };

static void project(attend_context *context, attend_type type, const sizes *s, int first, int rows,
                    uint16_t *out) {
    attend_projection p = attend_projection_default();
    const attend_tensor weights = attend_tensor_2d(w, type, s->columns, s->depth);
    attend_weights *prepared = NULL;
    p.x = attend_tensor_2d(x, type, rows, s->depth);
    p.x.strides[0] = s->step * s->depth + 3;
    p.x.strides[1] = s->step;
    p.x.offset = s->offset + first * p.x.strides[0];
    p.bias = attend_tensor_1d(bias, type, s->columns);
    p.out = attend_tensor_2d(out + first * s->columns, type, rows, s->columns);
    if (s->prepared)
        assert_int_equal(attend_weights_create(context, &weights, &prepared), ATTEND_OK);
    else
        p.w = weights;
    p.weights = prepared;
    if (attend_project(context, &p) != ATTEND_OK) fail_msg("%s", attend_error_text());
    attend_weights_release(prepared);
}

static void check_same(const char *unit, const sizes *s, const char *what) {
    for (int i = 0; i < s->rows * s->columns; i++)
        if (with[i] != without[i])
            fail_msg("%s, %s, %d rows, %d columns, depth %d: element %d is %04x, not %04x", unit,
                     what, s->rows, s->columns, s->depth, i, with[i], without[i]);
}

static void check_unit(const char *unit, attend_type type, attend_context *plain) {
    attend_context *const context = opened(unit);
    char kernel[64];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const sizes *const s = &shapes[i];
        if (small && i != SMALL_SHAPE) continue;
        project(plain, type, s, 0, s->rows, without);
        check_kernel(plain, s->prepared ? "project_prepared_tile" : "project_plain_tile");
        memset(with, 0xff, sizeof with);
        project(context, type, s, 0, s->rows, with);
        (void)snprintf(kernel, sizeof kernel, "project_%s_matrix_%s_emulated",
                       s->prepared ? "prepared" : "plain", unit);
        check_kernel(context, kernel);
        check_same(unit, s, "all rows");
        if (s->rows <= 16) continue;
        memset(with, 0xff, sizeof with);
        project(context, type, s, 0, 5, with);
        project(context, type, s, 5, s->rows - 5, with);
        check_same(unit, s, "in two parts");
    }
    attend_close(context);
}

static void give_the_bits_of_the_baseline(void **state) {
    (void)state;
    for (int t = 0; t < 2; t++) {
        fill(types[t]);
        for (int i = 0; i < UNITS; i++) {
            if (small && (t + i) % 2) continue;
            if (types[t] == ATTEND_BF16 && strcmp(units[i], "arm") == 0) continue;
            attend_context *const plain = opened("off");
            check_unit(units[i], types[t], plain);
            attend_close(plain);
        }
    }
}

/* Types that differ, or are wider: what a row gives must not depend on more than types. */
static void other_types_do_without(void **state) {
    static float wide[MOST_DEPTH], out[8];
    (void)state;
    attend_context *const context = opened(units[0]);
    attend_projection p = attend_projection_default();
    p.x = attend_tensor_2d(wide, ATTEND_F32, 1, 64);
    p.w = attend_tensor_2d(w, ATTEND_F16, 8, 64);
    p.out = attend_tensor_2d(out, ATTEND_F32, 1, 8);
    assert_int_equal(attend_project(context, &p), ATTEND_OK);
    check_kernel(context, "project_plain_tile");
    attend_close(context);
    attend_context *const arm = opened("arm");
    project(arm, ATTEND_BF16, &shapes[SMALL_SHAPE], 0, 1, with);
    check_kernel(arm, "project_plain_tile");
    attend_close(arm);
}

/* ARM's unit is in GPUs of the family `plain`, and projections alone take it there. */
static void without_local_memory(void **state) {
    const sizes *const s = &shapes[SMALL_SHAPE];
    (void)state;
    fill(ATTEND_F16);
    assert_int_equal(setenv("ATTEND_KERNELS", "plain", 1), 0);
    attend_context *const plain = opened("off"), *const nvidia = opened("nvidia");
    attend_context *const arm = opened("arm");
    assert_int_equal(setenv("ATTEND_KERNELS", "tile", 1), 0);
    project(plain, ATTEND_F16, s, 0, s->rows, without);
    check_kernel(plain, "project_plain_plain");
    project(nvidia, ATTEND_F16, s, 0, s->rows, with);
    check_kernel(nvidia, "project_plain_plain");
    project(arm, ATTEND_F16, s, 0, s->rows, with);
    check_kernel(arm, "project_plain_matrix_arm_emulated");
    check_same("arm", s, "of the family plain");
    attend_close(arm);
    attend_close(nvidia);
    attend_close(plain);
}

static void the_variable_is_read_strictly(void **state) {
    static const char *const wrong[] = {"on", "nvidia", "emulated-", "emulated-nvidia2"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        attend_options options = attend_options_default();
        attend_context *context = NULL;
        options.backend = "opencl";
        assert_int_equal(setenv("ATTEND_MATRIX", wrong[i], 1), 0);
        assert_int_equal(attend_open(&options, &context), ATTEND_INVALID);
        assert_non_null(strstr(attend_error_text(), "ATTEND_MATRIX"));
    }
}

/* ---- wrong ones ------------------------------------------------------------------------------ */

static void tamper(const char *from, const char *to) {
    assert_int_equal(from ? setenv("ATTEND_TEST_FROM", from, 1) : unsetenv("ATTEND_TEST_FROM"), 0);
    assert_int_equal(setenv("ATTEND_TEST_TO", to ? to : "", 1), 0);
}

/* Projects by the unit as tampered with, and by none: the same, by the same kernel. */
static void check_refused(const char *unit, attend_type type, const char *reason) {
    const sizes *const s = &shapes[SMALL_SHAPE];
    fill(type);
    attend_context *const plain = opened("off"), *const context = opened(unit);
    project(plain, type, s, 0, s->rows, without);
    project(context, type, s, 0, s->rows, with);
    check_kernel(context, "project_plain_tile");
    check_same(unit, s, "refused");
    if (strstr(lines, reason) == NULL) fail_msg("%s: \"%s\", not \"%s\"", unit, lines, reason);
    attend_close(context);
    attend_close(plain);
}

typedef struct wrong_unit {
    const char *unit, *from, *to, *reason;
    attend_type type;
} wrong_unit;

static void check_wrong(const wrong_unit *wrong, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tamper(wrong[i].from, wrong[i].to);
        check_refused(wrong[i].unit, wrong[i].type, wrong[i].reason);
        tamper(NULL, NULL);
        check_refused(wrong[i].unit, wrong[i].type, ""); /* and stays so */
    }
}

static void are_refused(void **state) {
    static const char end[] = "return matrix_sums(sums);";
    static const wrong_unit wrong[] = {
        {"nvidia", "return emulated_half(bits);",
         "return bits & 0x7c00 ? emulated_half(bits) : 0.0f;", "of small numbers", ATTEND_F16},
        {"nvidia", end,
         "for (int i = 0; i < 4; i++) if (isnan(sums[i])) sums[i] = 1.0f; return "
         "matrix_sums(sums);",
         "of NaN and infinity", ATTEND_BF16},
        {"intel16", "emulated_element(lanes, k, row, 0)", "emulated_element(lanes, k ^ 1, row, 0)",
         "of integers", ATTEND_F16},
        {"intel16", "for (int k = 0; k < MATRIX_DEPTH; k++)",
         "for (int q = 0, k; k = q ^ lane, q < MATRIX_DEPTH; q++)", "of equal rows and columns",
         ATTEND_BF16},
        {"arm", "row / 4 * 2 + k / 8, k / 4 % 2", "row / 4 * 2 + k / 8, 0", "of integers",
         ATTEND_F16},
        /* sums of 11 bits */
        {"intel8", end, "return as_float8(as_int8(vload8(0, sums)) & (int)0xffffe000);",
         "of integers", ATTEND_F16},
        {"intel8", "#define DEPTH 64", "#error", "clBuildProgram", ATTEND_BF16},
    };
    (void)state;
    check_wrong(wrong, sizeof wrong / sizeof *wrong);
}

/* As if terms of a sum were brought to the exponent of the largest with so many bits more, and 0
 * had that of the smallest normal number. */
#define LAST_TERM "emulated_b(lanes, k, matrix_column(i, lane)), sums[i]);"
#define ALIGNED(smallest, bits)                                                                    \
    LAST_TERM " for (int i = 0; i < MATRIX_RESULTS; i++) { float most = 0; "                       \
              "for (int k = 0; k < MATRIX_DEPTH; k++) most = fmax(most, "                          \
              "fmax(fabs(emulated_a(lanes, matrix_row(i, lane), k)), " smallest ") * "             \
              "fabs(emulated_b(lanes, k, matrix_column(i, lane)))); "                              \
              "const float unit = as_float(as_int(most) & 0x7f800000) * 0x1p-" bits "f; "          \
              "if (isfinite(unit)) sums[i] = sums[i] + unit - unit; }"

static void are_refused_too(void **state) {
    static const wrong_unit wrong[] = {
        {"nvidia", LAST_TERM, ALIGNED("0x1p-14f", "11"), "of products of zero", ATTEND_F16},
        {"nvidia", LAST_TERM, ALIGNED("0x1p-126f", "40"), "of products of zero", ATTEND_BF16},
        /* values that are infinite on their way */
        {"intel16", "return emulated_half(bits);",
         "const float x = emulated_half(bits); return fabs(x) < 0x1p15f ? x : x * "
         "INFINITY;",
         "of products of zero", ATTEND_F16},
        {"intel16", "return as_float((uint)bits << 16);",
         "return as_float((uint)bits << 16) * 2.0f * 0.5f;", "of products of zero", ATTEND_BF16},
        /* elements of A that are gathered */
        {"intel8", "return lane * 2 + i % 2;", "return lane * 2 + (i + 1) % 2;", "of integers",
         ATTEND_F16},
    };
    (void)state;
    check_wrong(wrong, sizeof wrong / sizeof *wrong);
}

/* The self-test agrees, but a kernel of the projection cannot be had. */
static void without_a_kernel(void **state) {
    (void)state;
    if (small) skip(); /* Oclgrind reports programs that do not build */
    tamper("#define TILE 64", "#error");
    check_refused("nvidia", ATTEND_F16, "agrees");
    tamper("#define THIN_ROWS 16", "#error");
    check_refused("nvidia", ATTEND_F16, "");
    tamper(NULL, NULL);
}

int main(int argc, char **argv) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    const bool wrong = argc > 1 && strncmp(argv[1], "wrong", 5) == 0;
    small = argc > 1 && strcmp(argv[1], "small") == 0;
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) || setenv("ATTEND_KERNELS", "tile", 1) ||
        setenv("ATTEND_CACHE", "off", 1) || unsetenv("ATTEND_MATRIX"))
        return 1;
    options.backend = "opencl";
    if (attend_open(&options, &context)) return 77; /* no device */
    attend_close(context);
    const struct CMUnitTest good_tests[] = {
        cmocka_unit_test(without_a_kernel), /* the first: what was built is kept */
        cmocka_unit_test(give_the_bits_of_the_baseline),
        cmocka_unit_test(other_types_do_without),
        cmocka_unit_test(without_local_memory),
        cmocka_unit_test(the_variable_is_read_strictly),
    };
    const bool second = strcmp(argv[argc - 1], "wrong-2") == 0;
    const struct CMUnitTest wrong_tests[] = {
        {"are_refused", second ? are_refused_too : are_refused, NULL, NULL, NULL}};
    return wrong ? cmocka_run_group_tests_name("wrong units", wrong_tests, NULL, NULL)
                 : cmocka_run_group_tests_name("units", good_tests, NULL, NULL);
}
