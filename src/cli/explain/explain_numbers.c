/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of attend explain; see explain_numbers.h. */
#include "explain/explain_numbers.h"

#include "cli.h"
#include "printable.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const float *steps_row(const steps *s, attend_trace_step step, size_t row) {
    int64_t rows = 0, columns = 0;
    const float *const all = attend_head_trace_values(s->e->trace, step, &rows, &columns);
    return all + row * (size_t)columns;
}

static void name_tokens(steps *s, size_t most_columns) {
    const int digits = snprintf(NULL, 0, "%zu", s->count ? s->count - 1 : 0);
    s->names = cli_allocate(s->count, sizeof *s->names);
    s->labels = cli_allocate(s->count, sizeof *s->labels);
    for (size_t i = 0; i < s->count; ++i) {
        const char *const token = attend_encoding_token(s->e->tokens, i);
        s->names[i] = printable_text(token, strlen(token));
        const size_t bytes = strlen(s->names[i]) + 24;
        s->labels[i] = cli_allocate(bytes, 1);
        snprintf(s->labels[i], bytes, "%*zu %s", digits, i, s->names[i]);
        const size_t columns = printable_width(s->labels[i]);
        if (columns > s->label_columns) s->label_columns = columns;
    }
    if (s->label_columns > most_columns) s->label_columns = most_columns;
}

/* At most `most` keys with the largest weights of the query, in falling order; of equal ones the
 * first in the text comes first. Marks them in taken[count], which is false before. */
static size_t take_largest(const steps *s, size_t most, bool *taken, size_t *keys) {
    const float *const w = steps_row(s, ATTEND_TRACE_WEIGHTS, s->e->query);
    size_t chosen = 0;
    for (; chosen < most && chosen < s->count; ++chosen) {
        size_t best = s->count;
        for (size_t j = 0; j < s->count; ++j)
            if (!taken[j] && (best == s->count || w[j] > w[best])) best = j;
        taken[best] = true;
        keys[chosen] = best;
    }
    return chosen;
}

/* What tables show, in the order of the text. */
static void choose_keys(steps *s) {
    const float *const w = steps_row(s, ATTEND_TRACE_WEIGHTS, s->e->query);
    bool *const shown = cli_allocate(s->count, sizeof *shown);
    (void)take_largest(s, MOST_KEYS, shown, s->keys);
    for (size_t j = 0; j < s->count; ++j) {
        if (shown[j])
            s->keys[s->key_count++] = j;
        else if ((double)w[j] > s->left_out)
            s->left_out = (double)w[j];
    }
    free(shown);
}

static void take_exponentials(steps *s) {
    const float *const masked = steps_row(s, ATTEND_TRACE_MASKED, s->e->query);
    s->exps = cli_allocate(s->count, sizeof *s->exps);
    s->largest = -INFINITY;
    float largest = -INFINITY; /* in float: at fmax of widened values gcc 12 for 64-bit ARM stops */
    for (size_t j = 0; j < s->count; ++j)
        largest = fmaxf(largest, masked[j]);
    s->largest = (double)largest;
    for (size_t j = 0; j < s->count; ++j)
        s->exps[j] = exp((double)masked[j] - s->largest);
}

void steps_free(steps *s) {
    for (size_t i = 0; i < s->count; ++i) {
        free(s->names[i]);
        free(s->labels[i]);
    }
    free(s->names);
    free(s->labels);
    free(s->exps);
}

size_t steps_largest(const steps *s, size_t parts[MOST_PARTS]) {
    const float *const w = steps_row(s, ATTEND_TRACE_WEIGHTS, s->e->query);
    bool *const taken = cli_allocate(s->count, sizeof *taken);
    const size_t most = take_largest(s, MOST_PARTS, taken, parts);
    size_t count = 0;
    while (count < most && w[parts[count]] > 0)
        ++count;
    free(taken);
    return count;
}

void steps_make(steps *s, const explanation *e, size_t most_columns) {
    *s = (steps){.e = e, .count = attend_encoding_length(e->tokens)};
    attend_head_trace_values(e->trace, ATTEND_TRACE_INPUT, NULL, &s->model_size);
    attend_head_trace_values(e->trace, ATTEND_TRACE_QUERIES, NULL, &s->head_size);
    name_tokens(s, most_columns);
    choose_keys(s);
    take_exponentials(s);
}

comparison steps_compare(const steps *s) {
    comparison c = {.agrees = true};
    const size_t D = (size_t)s->head_size;
    const float *const mix = steps_row(s, ATTEND_TRACE_MIX, 0),
                       *const output = steps_row(s, ATTEND_TRACE_OUTPUT, 0),
                       *const bound = steps_row(s, ATTEND_TRACE_BOUND, 0);
    for (size_t at = 0; at < s->count * D && c.agrees; ++at) {
        const double difference = fabs((double)mix[at] - (double)output[at]);
        c.agrees = difference <= (double)bound[at]; /* not so for NaN */
        if (!c.agrees || at == 0 || difference > c.difference)
            c = (comparison){c.agrees, at / D, difference, (double)bound[at]};
    }
    return c;
}
