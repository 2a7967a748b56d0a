/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells the computation of one head, step by step: why each is done, and its numbers in tables that
 * fit the terminal. */
#include "cli.h"
#include "explain/explain_numbers.h"
#include "explain/paragraph.h"
#include "printable.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE(name, english, chinese)                                                            \
    static const char english_##name[] = english, chinese_##name[] = chinese;
#include "explain/explain_messages.inc"
#undef MESSAGE

/* A conditional of two literals, so that the compiler checks the arguments against both. */
#define TEXT(name) (s->e->chinese ? chinese_##name : english_##name)

enum {
    CELL = 11,        /* columns of a number */
    MOST_CELLS = 8,   /* first numbers of a row of 32 or more */
    LONGEST_BAR = 30, /* of a weight of 1 */
};

/* ---- words and numbers ----------------------------------------------------------------------- */

static void say(const steps *s, const char *format, ...) CLI_PRINTF(2, 3);
static void say(const steps *s, const char *format, ...) {
    char sentence[4096]; /* tokens have at most a few hundred bytes */
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    paragraph_put(stdout, sentence, s->e->columns);
}

static void title(const steps *s, const char *text) {
    putchar('\n');
    paragraph_put(stdout, text, s->e->columns);
}

static void put_cell(const char *safe) {
    for (size_t used = printable_width(safe); used < CELL; ++used)
        putchar(' ');
    fputs(safe, stdout);
}

static void put_number(const steps *s, double x) {
    char text[40];
    if (isinf(x) && x < 0) {
        put_cell(TEXT(excluded));
        return;
    }
    snprintf(text, sizeof text, fabs(x) < 1e5 ? "%.4f" : "%.3e", x);
    put_cell(text);
}

static void put_label(const char *safe, size_t columns) {
    putchar(' ');
    printable_put(stdout, safe, columns);
}

/* How many of `wanted` cells fit behind a label. */
static size_t cells_that_fit(const steps *s, size_t label, size_t wanted) {
    const size_t room = s->e->columns > label + 1 ? (s->e->columns - label - 1) / CELL : 0;
    return room < 1 ? 1 : room < wanted ? room : wanted;
}

/* So many that one cell fits behind it. */
static size_t fitting_label(const explanation *e, size_t columns) {
    const size_t most = e->columns > CELL + 2 ? e->columns - CELL - 1 : 1;
    return columns < most ? columns : most;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* A column of a table over keys: numbers of one kind. */
typedef struct column {
    const char *heading;
    const float *floats;
    const double *doubles;
} column;

static double number_of(const column *c, size_t key) {
    return c->floats ? (double)c->floats[key] : c->doubles[key];
}

static void put_bar(const steps *s, double weight, size_t used) {
    const size_t room = s->e->columns > used + 2 ? s->e->columns - used - 2 : 0;
    const size_t longest = room < LONGEST_BAR ? room : LONGEST_BAR;
    const double share = weight > 0 ? fmin(weight, 1) : 0; /* NaN has no bar */
    const size_t bar = (size_t)(share * (double)longest + 0.5);
    if (bar > 0) fputs("  ", stdout);
    for (size_t i = 0; i < bar; ++i)
        putchar('#');
}

/* A row for each key; where not all columns fit, the last ones. `bars`: of the last column. */
static void put_keys(const steps *s, const column *columns, size_t count, bool bars) {
    const size_t fits = cells_that_fit(s, s->label_columns, count), first = count - fits;
    put_label("", s->label_columns);
    for (size_t c = first; c < count; ++c)
        put_cell(columns[c].heading);
    putchar('\n');
    for (size_t i = 0; i < s->key_count; ++i) {
        const size_t key = s->keys[i];
        put_label(s->labels[key], s->label_columns);
        for (size_t c = first; c < count; ++c)
            put_number(s, number_of(&columns[c], key));
        if (bars)
            put_bar(s, number_of(&columns[count - 1], key), 1 + s->label_columns + fits * CELL);
        putchar('\n');
    }
    if (s->key_count < s->count) say(s, TEXT(more_keys), s->count - s->key_count, s->left_out);
}

/* The first numbers of a row of D, times `factor`; "..." where there are more and room for it. */
static void put_values(const steps *s, const char *label, size_t label_columns, const float *row,
                       double factor) {
    const size_t D = (size_t)s->head_size;
    const size_t cells = cells_that_fit(s, label_columns, D < MOST_CELLS ? D : MOST_CELLS);
    put_label(label, label_columns);
    for (size_t d = 0; d < cells; ++d)
        put_number(s, factor * (double)row[d]);
    if (cells < D && 1 + label_columns + cells * CELL + 4 <= s->e->columns) fputs(" ...", stdout);
    putchar('\n');
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void tell_head(const steps *s) {
    const explanation *const e = s->e;
    const char *const name = s->names[e->query];
    say(s, TEXT(title), (int)e->layer + 1, (int)e->head + 1, name, e->query);
    if (e->head_chosen) say(s, TEXT(head_chosen), (int)e->heads, (int)e->head + 1, name);
    if (e->query_count > 1) say(s, TEXT(first_piece), e->query_count, name);
}

static void tell_tokens(const steps *s) {
    title(s, TEXT(tokens_title));
    say(s, TEXT(tokens_why), (long long)s->model_size);
    if (s->e->padding) say(s, TEXT(tokens_padding), (int)s->e->padding);
    say(s, TEXT(tokens_count), s->count);
    size_t used = 0;
    for (size_t i = 0; i < s->count; ++i) {
        size_t columns = printable_width(s->labels[i]);
        if (columns + 1 > s->e->columns) columns = s->e->columns - 1;
        if (used > 0 && used + 3 + columns > s->e->columns) {
            putchar('\n');
            used = 0;
        }
        used += (size_t)printf(used ? "   " : " ") + columns;
        printable_put(stdout, s->labels[i], columns);
    }
    putchar('\n');
}

static void tell_values(const steps *s) {
    static const struct {
        const char *name;
        attend_trace_step step;
    } kinds[] = {{"Q", ATTEND_TRACE_QUERIES}, {"K", ATTEND_TRACE_KEYS}, {"V", ATTEND_TRACE_VALUES}};
    const size_t q = s->e->query, first = q > 0 ? q - 1 : 0;
    const long long L = (long long)s->count, M = (long long)s->model_size,
                    D = (long long)s->head_size;
    title(s, TEXT(values_title));
    say(s, TEXT(values_why), D, (int)s->e->heads);
    say(s, TEXT(values_first), L, M, L, D, s->names[q]);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        puts(kinds[k].name);
        for (size_t i = first; i < s->count && i <= q + 1; ++i)
            put_values(s, s->labels[i], s->label_columns, steps_row(s, kinds[k].step, i), 1);
    }
}

static void tell_scores(const steps *s) {
    const char *const name = s->names[s->e->query];
    const column columns[] = {
        {TEXT(column_score), steps_row(s, ATTEND_TRACE_SCORES, s->e->query), NULL},
        {TEXT(column_scaled), steps_row(s, ATTEND_TRACE_SCALED, s->e->query), NULL}};
    title(s, TEXT(scores_title));
    say(s, TEXT(scores_why), name, name, s->count);
    put_keys(s, columns, 1, false);
    title(s, TEXT(scaled_title));
    say(s, TEXT(scaled_why), (long long)s->head_size, sqrt((double)s->head_size));
    put_keys(s, columns, 2, false);
}

static void tell_masked(const steps *s) {
    const float *const masked = steps_row(s, ATTEND_TRACE_MASKED, s->e->query);
    const column columns[] = {
        {TEXT(column_scaled), steps_row(s, ATTEND_TRACE_SCALED, s->e->query), NULL},
        {TEXT(column_masked), masked, NULL}};
    title(s, TEXT(masked_title));
    if (!s->e->causal && !s->e->padding) {
        say(s, "%s", TEXT(masked_nothing));
        return;
    }
    size_t excluded = 0;
    for (size_t j = 0; j < s->count; ++j)
        excluded += isinf(masked[j]) != 0;
    say(s, TEXT(masked_why), s->names[s->e->query], excluded, s->count);
    if (s->e->causal) say(s, "%s", TEXT(masked_causal));
    if (s->e->padding) say(s, "%s", TEXT(masked_padding));
    put_keys(s, columns, 2, false);
}

static void tell_weights(const steps *s) {
    const float *const w = steps_row(s, ATTEND_TRACE_WEIGHTS, s->e->query);
    const column columns[] = {
        {TEXT(column_masked), steps_row(s, ATTEND_TRACE_MASKED, s->e->query), NULL},
        {TEXT(column_exp), NULL, s->exps},
        {TEXT(column_weight), w, NULL}};
    const size_t fits = cells_that_fit(s, s->label_columns, 3);
    double exps = 0, weights = 0;
    size_t most = 0;
    for (size_t j = 0; j < s->count; ++j) {
        exps += s->exps[j];
        weights += (double)w[j];
        if (w[j] > w[most]) most = j;
    }
    title(s, TEXT(weights_title));
    say(s, TEXT(weights_why), s->largest, s->largest, s->names[s->e->query]);
    put_keys(s, columns, 3, true);
    put_label(TEXT(sum), s->label_columns);
    if (fits == 3) put_cell("");
    if (fits >= 2) put_number(s, exps);
    put_number(s, weights);
    putchar('\n');
    say(s, TEXT(weights_most), s->names[s->e->query], s->names[most], most, (double)w[most]);
}

static void tell_mix(const steps *s) {
    const float *const w = steps_row(s, ATTEND_TRACE_WEIGHTS, s->e->query);
    size_t parts[MOST_PARTS];
    const size_t count = steps_largest(s, parts);
    const size_t columns = fitting_label(s->e, s->label_columns + sizeof "0.0000 x");
    title(s, TEXT(mix_title));
    say(s, TEXT(mix_why), s->names[s->e->query]);
    say(s, TEXT(mix_parts), (long long)s->head_size);
    for (size_t p = 0; p < count; ++p) {
        char label[512];
        snprintf(label, sizeof label, "%.4f x %s", (double)w[parts[p]], s->labels[parts[p]]);
        put_values(s, label, columns, steps_row(s, ATTEND_TRACE_VALUES, parts[p]),
                   (double)w[parts[p]]);
    }
    put_values(s, TEXT(row_mix), columns, steps_row(s, ATTEND_TRACE_MIX, s->e->query), 1);
}

/* ---- against the layer ----------------------------------------------------------------------- */

static bool tell_output(const steps *s) {
    const float *const mix = steps_row(s, ATTEND_TRACE_MIX, s->e->query);
    const float *const output = steps_row(s, ATTEND_TRACE_OUTPUT, s->e->query);
    const size_t D = (size_t)s->head_size;
    const char *const labels[] = {TEXT(row_mix), TEXT(row_output), TEXT(row_difference)};
    size_t columns = 0;
    for (size_t i = 0; i < 3; ++i)
        if (printable_width(labels[i]) > columns) columns = printable_width(labels[i]);
    columns = fitting_label(s->e, columns);
    title(s, TEXT(output_title));
    say(s, TEXT(output_why), (int)s->e->heads, (int)s->e->head + 1);
    put_values(s, labels[0], columns, mix, 1);
    put_values(s, labels[1], columns, output, 1);
    put_label(labels[2], columns);
    const size_t cells = cells_that_fit(s, columns, D < MOST_CELLS ? D : MOST_CELLS);
    for (size_t d = 0; d < cells; ++d) {
        char text[40];
        snprintf(text, sizeof text, "%.1e", (double)mix[d] - (double)output[d]);
        put_cell(text);
    }
    putchar('\n');
    const comparison c = steps_compare(s);
    if (c.agrees)
        say(s, TEXT(agrees), s->count, c.difference, c.bound);
    else
        say(s, TEXT(differs), s->names[c.token], c.token, c.difference, c.bound);
    say(s, TEXT(after), (long long)s->model_size);
    return c.agrees;
}

bool explain_print(const explanation *e) {
    steps all, *const s = &all;
    steps_make(s, e, fitting_label(e, SIZE_MAX));
    tell_head(s);
    tell_tokens(s);
    tell_values(s);
    tell_scores(s);
    tell_masked(s);
    tell_weights(s);
    tell_mix(s);
    const bool agrees = tell_output(s);
    steps_free(s);
    return agrees;
}
