/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in 16 bits: every code there is, against what printf makes of the same decimal, and the
 * rounding at the edges of its decades. */
#include "view/weight_code.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each code is the code of its own value, and its text reads as that value. */
static void every_code_is_its_value(void **state) {
    (void)state;
    for (unsigned code = 0; code <= WEIGHT_CODE_ONE; ++code) {
        char text[WEIGHT_TEXT_BYTES];
        const double value = weight_value((uint16_t)code);
        weight_text((uint16_t)code, 0, text);
        assert_int_equal(weight_code(value), code);
        assert_true(strtod(text, NULL) == value);
    }
}

static void codes_are_ordered(void **state) {
    (void)state;
    for (unsigned code = 2; code < WEIGHT_CODE_ONE; ++code) {
        const bool next_decade = (code - 1) % 9000 == 0;
        const double here = weight_value((uint16_t)code),
                     before = weight_value((uint16_t)(code - 1));
        assert_true(next_decade ? here < before : here > before);
    }
}

static void nothing_is_farther_than_half_a_step(void **state) {
    (void)state;
    unsigned seed = 1;
    for (int i = 0; i < 1000000; ++i) {
        seed = seed * 1664525u + 1013904223u;
        const double weight = pow(10, -6.9 * (seed >> 8) / 0x1p24);
        const double step = pow(10, floor(log10(weight)) - 3);
        const double error = fabs(weight_value(weight_code(weight)) - weight);
        assert_true(error <= 0.5000001 * step);
    }
}

static void expect(double weight, int exponent, const char *wanted) {
    char text[WEIGHT_TEXT_BYTES];
    weight_text(weight_code(weight), exponent, text);
    assert_string_equal(text, wanted);
}

static void edges(void **state) {
    (void)state;
    expect(0, 0, "0");
    expect(-0.0, 0, "0");
    expect(1, 0, "1");
    expect(1.00004, 0, "1");
    expect(0.99996, 0, "1");
    expect(0.99994, 0, "0.9999");
    expect(0.09996, 0, "0.09996"); /* four digits, not 0.1000 */
    expect(0.099996, 0, "0.1000");
    expect(0.64655, 0, "0.6466"); /* a half upwards */
    expect(0.001230, 0, "0.001230");
    expect(0.000123, 0, "0.0001230");
    expect(3.21e-5, 0, "3.210e-05");
    expect(1e-7, 0, "1.000e-07");
    expect(9.9996e-8, 0, "1.000e-07");
    expect(9.99e-8, 0, "<1e-07");
    expect(5e-324, 0, "<1e-07");
    expect(0.1234, 2, "12.34");
    expect(0.1234, 1, "1.234");
    expect(0.1234, 3, "123.4");
    expect(0.1234, 4, "1234");
    expect(0.1234, 5, "1.234e+04");
    expect(1e-9, 2, "<1e-05");
    expect(1e-9, 10, "<1e+03");
    expect(1, 3, "1000");
    expect(1, 4, "1.000e+04");
    expect(1, 300, "1.000e+300");
    expect((double)NAN, 0, "NaN");
    expect((double)INFINITY, 0, "NaN");
    expect(-0.1, 0, "NaN");
    expect(1.0001, 0, "NaN");
    assert_true(isnan(weight_value(WEIGHT_CODE_NAN)));
    assert_true(weight_value(WEIGHT_CODE_TINY) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_is_its_value),
        cmocka_unit_test(codes_are_ordered),
        cmocka_unit_test(nothing_is_farther_than_half_a_step),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
