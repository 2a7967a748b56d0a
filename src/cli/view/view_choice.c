/* SPDX-License-Identifier: Apache-2.0
 *
 * view_choice.h: "N", "A-B", "all", "mean", "max", "A-B" of two texts. */
#include "view/view_choice.h"

#include "printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "N" or "A-B" within low .. low + count - 1. */
static bool read_range(const char *text, size_t low, size_t count, number_range *range) {
    char part[24];
    int64_t first = 0, last = 0;
    const char *const dash = strchr(text, '-');
    const size_t length = dash ? (size_t)(dash - text) : strlen(text);
    if (length >= sizeof part || count == 0) return false;
    memcpy(part, text, length);
    part[length] = 0;
    const int64_t high = (int64_t)(low + count - 1);
    if (!cli_read_integer(part, (int64_t)low, high, &first)) return false;
    last = first;
    if (dash && !cli_read_integer(dash + 1, first, high, &last)) return false;
    *range = (number_range){(size_t)first - low, (size_t)(last - first) + 1};
    return true;
}

static bool choose(const char *what, const char *wish, size_t count, number_range *range) {
    if (!strcmp(wish, "all")) {
        *range = (number_range){0, count};
        return true;
    }
    if (read_range(wish, 1, count, range)) return true;
    cli_error("--%s: '%s' is not one of the %ss, 1 to %zu, nor a range A-B of them, nor all%s",
              what, wish, what, count, strcmp(what, "head") ? "" : ", mean or max");
    return false;
}

bool view_choose_heads(view_choice *choice, const view_wishes *wishes, size_t layers,
                       size_t heads) {
    const bool all = wishes->everything;
    choice->layers = all ? (number_range){0, layers} : (number_range){layers - 1, 1};
    choice->heads = (number_range){0, heads};
    choice->combined = NULL;
    const char *const head = wishes->head ? wishes->head : all || heads == 1 ? "all" : "mean";
    if (!strcmp(head, "mean")) choice->combined = "mean";
    if (!strcmp(head, "max")) choice->combined = "max";
    if (wishes->layer && !choose("layer", wishes->layer, layers, &choice->layers)) return false;
    if (!choice->combined && !choose("head", head, heads, &choice->heads)) return false;
    const size_t chosen = choice->layers.count * (choice->combined ? 1 : choice->heads.count);
    if (choice->combined) choice->heads.first = 0;
    if (!wishes->one_head || chosen == 1) return true;
    cli_error(
        "this picture holds one head, and %zu are chosen: --layer N and --head N, mean or max "
        "choose one",
        chosen);
    return false;
}

static bool choose_window(const char *what, const char *wish, size_t count, number_range *range) {
    *range = (number_range){0, count};
    if (!wish || read_range(wish, 0, count, range)) return true;
    cli_error("--%s: '%s' is not one of the tokens, 0 to %zu, nor a range A-B of them", what, wish,
              count - 1);
    return false;
}

/* "A-B", "all" */
static bool choose_pair(view_choice *choice, const char *pair, bool two_texts) {
    if (!pair || !strcmp(pair, "all")) return true;
    if (!two_texts) {
        cli_error("--pair: '%s' chooses between two texts, and there is one", pair);
        return false;
    }
    choice->from = pair[0];
    choice->to = pair[0] && pair[1] ? pair[2] : 0;
    return true;
}

bool view_choose_tokens(view_choice *choice, const view_wishes *wishes,
                        const weight_source *source) {
    choice->no_special = wishes->no_special;
    return choose_window("query", wishes->query, source->rows.count, &choice->queries) &&
           choose_window("key", wishes->key, source->columns.count, &choice->keys) &&
           choose_pair(choice, wishes->pair, source->two_texts);
}

bool view_set_focus(weight_set *set, size_t first, size_t count) {
    const token_axis *const rows = &set->rows;
    size_t row = 0;
    while (row < rows->count && rows->numbers[row] != first)
        ++row;
    set->focus = row;
    set->focus_count = 0;
    while (row < rows->count && rows->numbers[row] < first + count) {
        ++set->focus_count;
        ++row;
    }
    return set->focus_count > 0;
}

void view_report_focus(const weight_set *set, const char *word) {
    enum { MOST = 512 };
    cli_error("--focus: '%s' is not a word of the text; its tokens are", word);
    for (size_t i = 0; i < set->rows.count && i < MOST; ++i)
        fprintf(stderr, "%s%s", i ? " " : "  ", set->rows.safe[i]);
    fputs(set->rows.count > MOST ? " ..\n" : "\n", stderr);
}

char *view_last_part(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        --end;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        --begin;
    return printable_text(path + begin, end - begin);
}
