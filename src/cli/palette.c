/* SPDX-License-Identifier: Apache-2.0
 *
 * A path through OKLCH (B. Ottosson 2020, "A perceptual color space for image processing"):
 * lightness grows evenly while the hue turns from violet over blue and green to yellow, with a
 * chroma that sRGB has nearly everywhere, so that no step of the path is a jump. */
#include "palette.h"

#include "system.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double dark = 0.20, light = 0.95, first_hue = 310.0, last_hue = 100.0,
                    most_chroma = 0.10;
static const double degree = 3.14159265358979323846 / 180.0;

typedef struct linear_rgb {
    double r, g, b;
} linear_rgb;

static linear_rgb from_oklab(double lightness, double a, double b) {
    const double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3.0);
    const double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3.0);
    const double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3.0);
    return (linear_rgb){4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
                        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
                        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s};
}

static bool displayable(linear_rgb c) {
    return c.r >= 0 && c.g >= 0 && c.b >= 0 && c.r <= 1 && c.g <= 1 && c.b <= 1;
}

/* sRGB's transfer function, IEC 61966-2-1. */
static uint8_t encode(double x) {
    const double e = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1.0 / 2.4) - 0.055;
    return (uint8_t)(e * 255.0 + 0.5);
}

palette_color palette_at(double t) {
    t = t > 0 ? (t < 1 ? t : 1) : 0; /* NaN becomes 0 */
    const double lightness = dark + (light - dark) * t;
    const double hue = (first_hue + (last_hue - first_hue) * t) * degree;
    double chroma = most_chroma;
    linear_rgb c = from_oklab(lightness, chroma * cos(hue), chroma * sin(hue));
    while (!displayable(c) && chroma > 1e-3) {
        chroma *= 0.97;
        c = from_oklab(lightness, chroma * cos(hue), chroma * sin(hue));
    }
    return (palette_color){encode(c.r), encode(c.g), encode(c.b)};
}

static uint8_t mixed(uint8_t color, uint8_t background) {
    return (uint8_t)((color + 3 * background + 2) / 4);
}

palette_color palette_faded(palette_color color, palette_color background) {
    return (palette_color){mixed(color.r, background.r), mixed(color.g, background.g),
                           mixed(color.b, background.b)};
}

static bool variable_has(const char *name, const char *part) {
    const char *const value = getenv(name);
    return value && strstr(value, part);
}

static palette_mode richest(palette_mode otherwise) {
    if (variable_has("COLORTERM", "truecolor") || variable_has("COLORTERM", "24bit") ||
        variable_has("TERM", "truecolor") || variable_has("TERM", "direct"))
        return PALETTE_24_BIT;
    return variable_has("TERM", "256color") ? PALETTE_256 : otherwise;
}

bool palette_choose(const char *wish, palette_mode *mode) {
    const char *const no_color = getenv("NO_COLOR"); /* no-color.org: any text but the empty one */
    const char *const term = getenv("TERM");
    if (!wish || !strcmp(wish, "auto")) {
        const bool plain = (no_color && *no_color) || !term || !strcmp(term, "dumb");
        *mode = plain || !system_output_is_terminal() ? PALETTE_NONE : richest(PALETTE_NONE);
        return true;
    }
    *mode = strcmp(wish, "always") ? PALETTE_NONE : richest(PALETTE_256);
    return !strcmp(wish, "always") || !strcmp(wish, "never");
}

/* The nearest level of xterm's 6 x 6 x 6 cube, whose levels are 0, 95, 135, 175, 215, 255. */
static int cube_level(uint8_t x) {
    if (x < 48) return 0;
    return x < 115 ? 1 : (x - 35) / 40;
}

void palette_start(palette_mode mode, palette_color c) {
    if (mode == PALETTE_24_BIT)
        printf("\x1b[48;2;%d;%d;%dm", c.r, c.g, c.b);
    else if (mode == PALETTE_256)
        printf("\x1b[48;5;%dm", 16 + 36 * cube_level(c.r) + 6 * cube_level(c.g) + cube_level(c.b));
}

void palette_stop(palette_mode mode) {
    if (mode != PALETTE_NONE) fputs("\x1b[0m", stdout);
}
