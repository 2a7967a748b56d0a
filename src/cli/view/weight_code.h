/* SPDX-License-Identifier: Apache-2.0
 *
 * A weight in 16 bits, to four decimal digits: every picture of the same weights reads the same
 * codes, so that terminal, SVG, PNG and HTML show the same digit and the same colour in every cell.
 *
 *     0             zero
 *     1 .. 63000    m * 10^-(4 + e), m from 1000 to 9999, e from 0 to 6:
 *                   code = 1 + 9000 e + m - 1000
 *     63001         one
 *     63002         more than zero, and less than 1e-7 when rounded: shown as "<1e-07", coloured
 *                   as zero
 *     65535         not a finite number: shown as "NaN", no colour
 *
 * The value is the quotient m / 10^(4 + e), which C and JavaScript round alike.
 *
 * A set whose largest value is more than one holds its values by 10^exponent (weight_set.h). */
#ifndef ATTEND_CLI_WEIGHT_CODE_H
#define ATTEND_CLI_WEIGHT_CODE_H

#include <stdint.h>

enum {
    WEIGHT_CODE_ONE = 63001,
    WEIGHT_CODE_TINY = 63002,
    WEIGHT_CODE_NAN = 65535,
    WEIGHT_TEXT_BYTES = 24
};

/* The nearest code of a weight in 0..1, halves upwards; what rounds to one is one. What is not
 * finite or lies outside is WEIGHT_CODE_NAN. */
uint16_t weight_code(double weight);
/* Its value before the set's exponent; NaN for WEIGHT_CODE_NAN, 0 for WEIGHT_CODE_TINY. */
double weight_value(uint16_t code);
/* Its digits with the set's exponent, 0..999: "0", "0.6466", "0.001230", "3.210e-05", "1", "12.34",
 * "1234", "1.234e+05", "<1e-07", "NaN". From 1e-4 to 9999 as a plain decimal of four digits. Of one
 * only "1", "10", "100", "1000", then "1.000e+04". The tiny is "<1e%+03d" of exponent - 7. */
void weight_text(uint16_t code, int exponent, char text[WEIGHT_TEXT_BYTES]);

#endif
