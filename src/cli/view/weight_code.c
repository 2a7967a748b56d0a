/* SPDX-License-Identifier: Apache-2.0
 *
 * weight_code.h: rounding and digits. All decimals come from integers of four digits and powers of
 * ten that double holds exactly, so that no digit depends on a C library's printf. */
#include "view/weight_code.h"

#include <math.h>
#include <stdio.h>

enum { LEAST = 1000, MANTISSAS = 9000, DECADES = 7, LEAST_DECADE = -7 };

static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11};

static double rounded(double weight, int decimals) {
    return floor(weight * tens[decimals] + 0.5);
}

uint16_t weight_code(double weight) {
    if (!(weight >= 0) || rounded(weight, 4) > 10 * LEAST) return WEIGHT_CODE_NAN;
    if (weight == 0) return 0;
    if (rounded(weight, 4) == 10 * LEAST) return WEIGHT_CODE_ONE;
    for (int e = 0; e < DECADES; ++e) /* the first decade in which four digits are not "0999" */
        if (rounded(weight, 5 + e) >= 10 * LEAST)
            return (uint16_t)(1 + MANTISSAS * e + (int)rounded(weight, 4 + e) - LEAST);
    return WEIGHT_CODE_TINY;
}

double weight_value(uint16_t code) {
    if (code == WEIGHT_CODE_ONE) return 1;
    if (code == 0 || code == WEIGHT_CODE_TINY) return 0;
    if (code > WEIGHT_CODE_TINY) return (double)NAN;
    const int at = code - 1;
    return (double)(at % MANTISSAS + LEAST) / tens[4 + at / MANTISSAS];
}

/* Four digits whose first stands for 10^place. */
static void put_digits(char *text, int digits, int place) {
    if (place < -4 || place > 3) {
        snprintf(text, WEIGHT_TEXT_BYTES, "%d.%03de%+03d", digits / 1000, digits % 1000, place);
    } else if (place < 0) {
        snprintf(text, WEIGHT_TEXT_BYTES, "0.%.*s%04d", -1 - place, "000", digits);
    } else if (place == 3) {
        snprintf(text, WEIGHT_TEXT_BYTES, "%d", digits);
    } else {
        const int unit = place == 0 ? 1000 : place == 1 ? 100 : 10;
        snprintf(text, WEIGHT_TEXT_BYTES, "%d.%0*d", digits / unit, 3 - place, digits % unit);
    }
}

void weight_text(uint16_t code, int exponent, char text[WEIGHT_TEXT_BYTES]) {
    if (code == 0) {
        snprintf(text, WEIGHT_TEXT_BYTES, "0");
    } else if (code == WEIGHT_CODE_TINY) {
        snprintf(text, WEIGHT_TEXT_BYTES, "<1e%+03d", exponent + LEAST_DECADE);
    } else if (code > WEIGHT_CODE_TINY) {
        snprintf(text, WEIGHT_TEXT_BYTES, "NaN");
    } else if (code < WEIGHT_CODE_ONE) {
        const int at = code - 1;
        put_digits(text, at % MANTISSAS + LEAST, exponent - 1 - at / MANTISSAS);
    } else if (exponent < 4) {
        snprintf(text, WEIGHT_TEXT_BYTES, "1%.*s", exponent, "000");
    } else {
        put_digits(text, LEAST, exponent);
    }
}
