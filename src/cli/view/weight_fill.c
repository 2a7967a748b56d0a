/* SPDX-License-Identifier: Apache-2.0
 *
 * From a source to a set, row by row, so that a file of any size needs no second copy in doubles:
 * once over all of the chosen heads to check and to measure them, once over what is shown to round
 * it. */
#include "view/weight_source.h"

#include "base/checked.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct filling {
    weight_set *set;
    const weight_source *source;
    const view_choice *choice;
    pattern_axes axes;
    double *row, *part; /* [all keys] */
    double highest;     /* of what is shown */
    size_t odd;         /* numbers shown that are not finite */
    size_t above;       /* that are more than one */
    char first_odd[128];
} filling;

void weight_source_free(weight_source *source) {
    token_axis_free(&source->rows);
    token_axis_free(&source->columns);
}

/* ---- which tokens ------------------------------------------------------------------------------
 */

static bool keeps(const token_axis *axis, size_t i, number_range window, char text,
                  bool no_special) {
    if (i < window.first || i - window.first >= window.count) return false;
    if (no_special && axis->special[i]) return false;
    return text == 0 || axis->second[i] == (text == 'B');
}

static void keep_tokens(token_axis *kept, const token_axis *all, number_range window, char text,
                        bool no_special) {
    size_t count = 0;
    for (size_t i = 0; i < all->count; ++i)
        count += keeps(all, i, window, text, no_special);
    token_axis_make(kept, count);
    for (size_t i = 0, at = 0; i < all->count; ++i) {
        if (!keeps(all, i, window, text, no_special)) continue;
        token_axis_put(kept, at, all->raw[i], strlen(all->raw[i]));
        kept->numbers[at] = all->numbers[i];
        kept->special[at] = all->special[i];
        kept->second[at++] = all->second[i];
    }
}

static bool same_tokens(const token_axis *a, const token_axis *b) {
    return a->count == b->count && !memcmp(a->numbers, b->numbers, a->count * sizeof *a->numbers);
}

static void note_left_out(weight_set *set, const char *what, size_t shown, size_t all) {
    if (shown < all)
        weight_set_notice(set, "%zu of %zu %s are shown; the weights are those of the whole text",
                          shown, all, what);
}

static bool choose_tokens(filling *f) {
    weight_set *const set = f->set;
    const view_choice *const c = f->choice;
    keep_tokens(&set->rows, &f->source->rows, c->queries, c->from, c->no_special);
    keep_tokens(&set->columns, &f->source->columns, c->keys, c->to, c->no_special);
    if (!set->rows.count || !set->columns.count) {
        cli_error("%s: no token is left to show", f->source->name);
        return false;
    }
    set->same_axes = f->source->same_axes && same_tokens(&set->rows, &set->columns);
    set->two_texts = f->source->two_texts;
    note_left_out(set, "rows", set->rows.count, f->source->rows.count);
    note_left_out(set, "columns", set->columns.count, f->source->columns.count);
    return true;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool read_checked(const filling *f, size_t layer, size_t head, size_t query,
                         double *weights) {
    f->source->read_row(f->source, layer, head, query, weights);
    for (size_t k = 0; k < f->source->columns.count; ++k) {
        if (!(weights[k] < 0) || isinf(weights[k])) continue;
        cli_error("%s: the weight of layer %zu, head %zu, row %zu, column %zu is %g; a weight of "
                  "attention is not negative",
                  f->source->name, layer + 1, head + 1, query, k, weights[k]);
        return false;
    }
    return true;
}

/* The row of one head, or of all heads of the layer together; NaN stays NaN. */
static bool read_row(const filling *f, size_t layer, size_t head, size_t query) {
    if (!f->choice->combined) return read_checked(f, layer, head, query, f->row);
    const bool mean = !strcmp(f->choice->combined, "mean");
    const size_t heads = f->source->heads, keys = f->source->columns.count;
    memset(f->row, 0, keys * sizeof *f->row);
    for (size_t h = 0; h < heads; ++h) {
        if (!read_checked(f, layer, h, query, f->part)) return false;
        for (size_t k = 0; k < keys; ++k)
            if (mean)
                f->row[k] += f->part[k];
            else if (f->part[k] > f->row[k] || isnan(f->part[k]))
                f->row[k] = f->part[k];
    }
    for (size_t k = 0; mean && k < keys; ++k)
        f->row[k] /= (double)heads;
    return true;
}

static void describe_odd(filling *f, size_t layer, size_t head, size_t row, size_t column,
                         double number) {
    char which[48] = "";
    if (!f->choice->combined) snprintf(which, sizeof which, ", head %zu", head + 1);
    snprintf(f->first_odd, sizeof f->first_odd, "layer %zu%s, row %zu, column %zu, is %s",
             layer + 1, which, row, column,
             isnan(number) ? "NaN"
             : number > 0  ? "infinity"
                           : "minus infinity");
}

/* What is shown of the row. */
static void measure(filling *f, size_t layer, size_t head, size_t query) {
    const token_axis *const columns = &f->set->columns;
    for (size_t j = 0; j < columns->count; ++j) {
        const double w = f->row[columns->numbers[j]];
        if (isfinite(w)) {
            f->above += w > 1 && weight_code(w) != WEIGHT_CODE_ONE;
            if (w > f->highest) f->highest = w;
        } else if (f->odd++ == 0) {
            describe_odd(f, layer, head, query, columns->numbers[j], w);
        }
    }
}

static bool check_head(filling *f, size_t layer, size_t head, head_patterns *patterns) {
    pattern_sums sums = {0};
    size_t shown = 0;
    for (size_t query = 0; query < f->source->rows.count; ++query) {
        if (!read_row(f, layer, head, query)) return false;
        pattern_sums_add(&sums, &f->axes, query, f->row);
        if (shown == f->set->rows.count || f->set->rows.numbers[shown] != query) continue;
        measure(f, layer, head, query);
        ++shown;
    }
    *patterns = pattern_sums_end(&sums, &f->axes);
    return true;
}

static bool check_all(filling *f) {
    weight_set *const set = f->set;
    for (size_t l = 0; l < set->layers; ++l)
        for (size_t h = 0; h < set->heads; ++h)
            if (!check_head(f, f->choice->layers.first + l, f->choice->heads.first + h,
                            &set->patterns[l * set->heads + h]))
                return false;
    return true;
}

/* ---- rounding ----------------------------------------------------------------------------------
 */

static bool choose_exponent(filling *f) {
    enum { MOST = 300 }; /* so that no power below overflows */
    weight_set *const set = f->set;
    while (set->exponent <= MOST &&
           weight_code(f->highest / pow(10, set->exponent)) == WEIGHT_CODE_NAN)
        ++set->exponent;
    if (set->exponent > MOST) {
        cli_error("%s: a weight of %g is too large to show", f->source->name, f->highest);
        return false;
    }
    if (f->above)
        weight_set_notice(set, "%zu %s more than 1; the largest is %g", f->above,
                          f->above == 1 ? "weight is" : "weights are", f->highest);
    if (f->odd)
        weight_set_notice(set, "%zu %s no finite number and grey; the first, of %s", f->odd,
                          f->odd == 1 ? "weight is" : "weights are", f->first_odd);
    return true;
}

static bool round_all(filling *f) {
    weight_set *const set = f->set;
    const double unit = pow(10, set->exponent);
    uint16_t *code = set->codes;
    for (size_t l = 0; l < set->layers; ++l)
        for (size_t h = 0; h < set->heads; ++h)
            for (size_t i = 0; i < set->rows.count; ++i) {
                if (!read_row(f, f->choice->layers.first + l, f->choice->heads.first + h,
                              set->rows.numbers[i]))
                    return false;
                for (size_t j = 0; j < set->columns.count; ++j)
                    *code++ = weight_code(f->row[set->columns.numbers[j]] / unit);
            }
    return true;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static int *numbers_from(size_t first, size_t count) {
    int *const numbers = cli_allocate(count, sizeof *numbers);
    for (size_t i = 0; i < count; ++i)
        numbers[i] = (int)(first + i + 1);
    return numbers;
}

static bool make_room(filling *f) {
    weight_set *const set = f->set;
    set->layers = f->choice->layers.count;
    set->combined = f->choice->combined;
    set->heads = set->combined ? 1 : f->choice->heads.count;
    set->model_heads = f->source->heads;
    set->layer_numbers = numbers_from(f->choice->layers.first, set->layers);
    set->head_numbers = numbers_from(f->choice->heads.first, set->heads);
    set->patterns = cli_allocate(set->layers * set->heads, sizeof *set->patterns);
    size_t codes = set->rows.count;
    if (!attend__mul_size(codes, set->columns.count, &codes) ||
        !attend__mul_size(codes, set->layers * set->heads, &codes)) {
        cli_error("%s: there are more weights than memory can hold", f->source->name);
        return false;
    }
    set->codes = cli_allocate(codes, sizeof *set->codes);
    f->row = cli_allocate(f->source->columns.count, sizeof *f->row);
    f->part = cli_allocate(f->source->columns.count, sizeof *f->part);
    return true;
}

bool weight_set_fill(weight_set *set, const weight_source *source, const view_choice *choice) {
    filling f = {.set = set, .source = source, .choice = choice};
    if (!choose_tokens(&f)) return false;
    pattern_axes_make(&f.axes, &source->columns, source->rows.count, source->same_axes,
                      source->two_texts);
    const bool done = make_room(&f) && check_all(&f) && choose_exponent(&f) && round_all(&f);
    pattern_axes_free(&f.axes);
    free(f.row);
    free(f.part);
    return done;
}
