/* SPDX-License-Identifier: Apache-2.0
 *
 * How weights become levels of the palette; the rules stand in weight_set.h. */
#include "view/weight_set.h"

#include <math.h>

int weight_level(weight_scale scale, double value, double highest) {
    if (!(highest > 0) || !(value > 0)) return 0;
    const double x = value < highest ? value / highest : 1;
    double t = x;
    if (scale == SCALE_SQRT) t = sqrt(x);
    if (scale == SCALE_LOG) t = 1 + log10(x) / 4;
    return t > 0 ? (int)floor(255 * t + 0.5) : 0;
}

bool weight_is_special(const weight_set *set, size_t row, size_t column) {
    return set->rows.special[row] || set->columns.special[column];
}

double weight_highest_of_row(const weight_set *set, size_t layer, size_t head, size_t row,
                             const weight_style *style) {
    const uint16_t *const codes = weight_set_head(set, layer, head) + row * set->columns.count;
    double highest = 0;
    for (size_t j = 0; j < set->columns.count; ++j) {
        const double value = weight_value(codes[j]); /* NaN is larger than nothing */
        if (value > highest && !(style->fade_special && weight_is_special(set, row, j)))
            highest = value;
    }
    return highest;
}

double weight_highest(const weight_set *set, size_t layer, size_t head, const weight_style *style) {
    double highest = 0;
    for (size_t i = 0; i < set->rows.count; ++i) {
        const double row = weight_highest_of_row(set, layer, head, i, style);
        if (row > highest) highest = row;
    }
    return highest;
}
