/* SPDX-License-Identifier: Apache-2.0
 *
 * patterns_table.h. */
#include "view/patterns_table.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char patterns_columns[] = "layer, head, kind, entropy, distance, local, diagonal, previous, "
                                "next, first, special, block, highest";

typedef struct line {
    const head_patterns *patterns;
    int layer, head; /* head 0: all of them together */
    double key;
    const char *text_key;
} line;

/* The column of that name among the numbers; their count if it is none of them. */
static size_t number_column(const char *name) {
    size_t i = 0;
    while (i < head_pattern_column_count && strcmp(head_pattern_columns[i].name, name) != 0)
        ++i;
    return i;
}

bool patterns_can_sort(const char *column) {
    return !strcmp(column, "layer") || !strcmp(column, "head") || !strcmp(column, "kind") ||
           number_column(column) < head_pattern_column_count;
}

/* By text, then by key; what has no number comes last. */
static int compare(const void *a, const void *b) {
    const line *const x = a, *const y = b;
    const int text = strcmp(x->text_key, y->text_key);
    if (text) return text;
    if (isnan(x->key) != isnan(y->key)) return isnan(x->key) ? 1 : -1;
    if (x->key < y->key) return -1;
    if (x->key > y->key) return 1;
    return x->layer != y->layer ? x->layer - y->layer : x->head - y->head;
}

static line *sorted(const weight_set *set, const char *sort) {
    const size_t count = set->layers * set->heads, column = number_column(sort);
    line *const lines = cli_allocate(count, sizeof *lines);
    for (size_t i = 0; i < count; ++i) {
        line *const l = &lines[i];
        *l = (line){.patterns = &set->patterns[i],
                    .layer = set->layer_numbers[i / set->heads],
                    .head = set->combined ? 0 : set->head_numbers[i % set->heads],
                    .text_key = ""};
        if (!strcmp(sort, "kind")) l->text_key = l->patterns->kind;
        if (!strcmp(sort, "head")) l->key = l->head;
        if (column < head_pattern_column_count) l->key = -head_pattern_at(l->patterns, column);
    }
    qsort(lines, count, sizeof *lines, compare);
    return lines;
}

static void print_number(double number) {
    if (isnan(number))
        printf("  %8s", "-");
    else
        printf("  %8.3f", number);
}

void patterns_print_table(const weight_set *set, const char *sort) {
    line *const lines = sorted(set, sort);
    printf("layer  head  %-8s", "kind");
    for (size_t c = 0; c < head_pattern_column_count; ++c)
        printf("  %8s", head_pattern_columns[c].name);
    putchar('\n');
    for (size_t i = 0; i < set->layers * set->heads; ++i) {
        const line *const l = &lines[i];
        printf("%5d  ", l->layer);
        if (set->combined)
            printf("%4s", set->combined);
        else
            printf("%4d", l->head);
        printf("  %-8s", l->patterns->kind);
        for (size_t c = 0; c < head_pattern_column_count; ++c)
            print_number(head_pattern_at(l->patterns, c));
        putchar('\n');
    }
    for (size_t i = 0; i < set->notice_count; ++i)
        printf("%s\n", set->notices[i]);
    free(lines);
}

static json_t *json_of(const weight_set *set, const line *l) {
    json_t *const object =
        json_pack("{s:i, s:o, s:s}", "layer", l->layer, "head",
                  set->combined ? json_string(set->combined) : json_integer(l->head), "kind",
                  l->patterns->kind);
    for (size_t c = 0; c < head_pattern_column_count; ++c) {
        const double number = head_pattern_at(l->patterns, c);
        json_object_set_new(object, head_pattern_columns[c].name,
                            isnan(number) ? json_null() : json_real(number));
    }
    return object;
}

bool patterns_print_json(const weight_set *set, const char *sort) {
    line *const lines = sorted(set, sort);
    json_t *const heads = json_array(), *const notices = json_array();
    for (size_t i = 0; i < set->layers * set->heads; ++i)
        json_array_append_new(heads, json_of(set, &lines[i]));
    for (size_t i = 0; i < set->notice_count; ++i)
        json_array_append_new(notices, json_string(set->notices[i]));
    json_t *const whole =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o}", "schema", "attend-patterns/1", "source",
                  set->source, "caption", set->caption, "rows", (json_int_t)set->rows.count,
                  "columns", (json_int_t)set->columns.count, "heads", heads, "notices", notices);
    free(lines);
    char *const text = whole ? json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(whole);
    if (!text) {
        cli_error("no memory for the table");
        return false;
    }
    puts(text);
    free(text);
    return true;
}
