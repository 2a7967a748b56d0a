/* SPDX-License-Identifier: Apache-2.0
 *
 * picture.h: levels, colours and the legend. */
#include "view/picture.h"

#include <math.h>
#include <string.h>

static const palette_color not_a_number = {128, 128, 128};

void head_picture_make(head_picture *picture, const weight_set *set, size_t layer, size_t head,
                       weight_style style, palette_color background) {
    *picture = (head_picture){.set = set,
                              .layer = layer,
                              .head = head,
                              .style = style,
                              .background = background,
                              .highest = weight_highest(set, layer, head, &style)};
    for (int i = 0; i < PICTURE_LEVELS; ++i)
        picture->palette[i] = palette_at((double)i / (PICTURE_LEVELS - 1));
}

double head_picture_highest(const head_picture *p, size_t row) {
    if (!p->style.per_row) return p->highest;
    return weight_highest_of_row(p->set, p->layer, p->head, row, &p->style);
}

uint16_t head_picture_code(const head_picture *p, size_t row, size_t column) {
    return weight_set_head(p->set, p->layer, p->head)[row * p->set->columns.count + column];
}

int head_picture_level(const head_picture *p, size_t row, size_t column, double highest) {
    const uint16_t code = head_picture_code(p, row, column);
    if (code == WEIGHT_CODE_NAN) return -1;
    return weight_level(p->style.scale, weight_value(code), highest);
}

palette_color head_picture_color(const head_picture *p, size_t row, size_t column, double highest) {
    const int level = head_picture_level(p, row, column, highest);
    const palette_color color = level < 0 ? not_a_number : p->palette[level];
    const bool faded = p->style.fade_special && weight_is_special(p->set, row, column);
    return faded ? palette_faded(color, p->background) : color;
}

picture_ticks head_picture_ticks(const head_picture *p) {
    static const double middles[] = {[SCALE_LINEAR] = 0.5, [SCALE_SQRT] = 0.25, [SCALE_LOG] = 1e-2};
    const bool log_scale = p->style.scale == SCALE_LOG;
    picture_ticks ticks = {.high = "row's maximum"};
    if (p->style.per_row) {
        snprintf(ticks.low, sizeof ticks.low, "%s", log_scale ? "1/10000 of it" : "0");
        return ticks;
    }
    const int exponent = p->set->exponent;
    weight_text(weight_code(log_scale ? p->highest * 1e-4 : 0), exponent, ticks.low);
    weight_text(weight_code(p->highest * middles[p->style.scale]), exponent, ticks.middle);
    weight_text(weight_code(p->highest), exponent, ticks.high);
    return ticks;
}

void head_picture_scale_text(const head_picture *p, char text[PICTURE_SCALE_BYTES]) {
    static const char *const names[] = {
        [SCALE_LINEAR] = "", [SCALE_SQRT] = "square-root scale", [SCALE_LOG] = "log scale"};
    const char *const name = names[p->style.scale];
    const char *const row = p->style.per_row ? "each row by its own maximum" : "";
    const char *const faded = p->style.fade_special ? "special tokens faded" : "";
    snprintf(text, PICTURE_SCALE_BYTES, "%s%s%s%s%s", name, *name && *row ? ", " : "", row,
             (*name || *row) && *faded ? ", " : "", faded);
}
