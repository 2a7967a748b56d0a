/* SPDX-License-Identifier: Apache-2.0
 *
 * Drivers that allow one kernel fewer work-items than the device has (tamper.c makes them so). A
 * kernel that needs no group comes in smaller ones and computes what it should; of one that counts
 * on its group's work-items the plan says that it cannot, and nothing is left for a run to find
 * out. */
#include "attention_problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static attend_context *opened(const char *kernels, const char *narrow, const char *items) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = "opencl";
    assert_int_equal(setenv("ATTEND_KERNELS", kernels, 1), 0);
    assert_int_equal(setenv("ATTEND_TEST_NARROW", narrow, 1), 0);
    assert_int_equal(setenv("ATTEND_TEST_NARROW_ITEMS", items, 1), 0);
    if (attend_open(&options, &context) != ATTEND_OK) fail_msg("%s", attend_error_text());
    return context;
}

enum { FEW = 4, MANY = 40 }; /* rows: keys are split, and a tile is worth it */

/* With a mask, of which a tile has classes. */
static problem make(int64_t rows) {
    problem p = problem_make((problem_sizes){1, 1, 1, rows, 300, 20, 20}, ATTEND_F32, 18);
    p.a.mask = problem_truths(&p, 4, (const int64_t[]){1, 1, rows, 300}, 0.7);
    problem_want_all(&p);
    return p;
}

static void kernels_of_any_group_come_in_smaller_ones(void **state) {
    static const struct {
        const char *family, *name;
        int64_t rows;
    } kernels[] = {{"plain", "attention_rows", MANY}, {"plain", "attention_merge", FEW},
                   {"plain", "pack_elements", MANY},  {"tile", "pack_rows", MANY},
                   {"rows", "pack_panels", MANY},     {"rows", "attention_side", FEW}};
    (void)state;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        problem p = make(kernels[i].rows);
        attend_context *const context = opened(kernels[i].family, kernels[i].name, "6");
        if (attend_run(context, &p.a) != ATTEND_OK)
            fail_msg("%s: %s", kernels[i].name, attend_error_text());
        problem_compare(&p);
        attend_close(context);
        problem_free(&p);
    }
}

static void plans_say_which_kernel_does_not_run(void **state) {
    static const char *const kernels[][2] = {
        {"attention_classes", "attention_classes of attention_classes.cl"},
        {"attention_decode", "attention_decode of attention_decode.cl"},
        {"attention_lse", "attention_lse of attention_steps.cl"}};
    (void)state;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        problem p = make(MANY);
        attend_plan *plan = NULL;
        char text[120];
        attend_context *const context = opened("tile", kernels[i][0], "16");
        const attend_status status = attend_plan_create(context, &p.a, &plan);
        (void)snprintf(text, sizeof text, "%s has 64 work-items a group; the driver allows it 16",
                       kernels[i][1]);
        if (status != ATTEND_UNSUPPORTED || strstr(attend_error_text(), text) == NULL)
            fail_msg("%s: %s \"%s\"", kernels[i][0], attend_status_name(status),
                     attend_error_text());
        attend_close(context);
        problem_free(&p);
    }
}

int main(void) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = "opencl";
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1)) return 1;
    if (attend_open(&options, &context) != ATTEND_OK) return 77;
    attend_close(context);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_of_any_group_come_in_smaller_ones),
        cmocka_unit_test(plans_say_which_kernel_does_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
