/* SPDX-License-Identifier: Apache-2.0
 *
 * Compares a tokenizer with cases that tests/oracle/tokenizer_oracle.py wrote: [text, ids, spans or
 * null]. */
#ifndef ATTEND_TESTS_TOKENIZER_CASES_H
#define ATTEND_TESTS_TOKENIZER_CASES_H

#include "model/tokenizer.h"

#include <jansson.h>
#include <stdio.h>

static inline json_t *load_json(const char *path) {
    json_error_t error;
    json_t *const root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root) fprintf(stderr, "%s: %s\n", path, error.text);
    return root;
}

static inline int same_tokens(const attend__tokens *tokens, const json_t *ids,
                              const json_t *spans) {
    if (tokens->count != json_array_size(ids)) return 0;
    for (size_t i = 0; i < tokens->count; i++) {
        const attend__token *const t = &tokens->items[i];
        if (t->id != json_integer_value(json_array_get(ids, i))) return 0;
        if (!json_is_array(spans)) continue;
        if (t->begin != (size_t)json_integer_value(json_array_get(spans, 2 * i)) ||
            t->end != (size_t)json_integer_value(json_array_get(spans, 2 * i + 1)))
            return 0;
    }
    return 1;
}

/* The number of cases that differ; each is printed with what was wanted. */
static inline size_t failing_cases(const attend__tokenizer *tokenizer, const json_t *cases) {
    size_t failures = 0, index;
    json_t *each;
    json_array_foreach(cases, index, each) {
        const json_t *const text = json_array_get(each, 0);
        attend__tokens tokens = {0};
        const attend_status status = attend__tokenizer_run(tokenizer, json_string_value(text),
                                                           json_string_length(text), &tokens);
        if (status || !same_tokens(&tokens, json_array_get(each, 1), json_array_get(each, 2))) {
            char *const wanted = json_dumps(each, JSON_COMPACT | JSON_ENSURE_ASCII);
            fprintf(stderr, "case %zu: %s\n  wanted %s\n  got   ", index,
                    attend_status_name(status), wanted);
            for (size_t i = 0; i < tokens.count; i++)
                fprintf(stderr, " %d (%zu..%zu)", (int)tokens.items[i].id, tokens.items[i].begin,
                        tokens.items[i].end);
            fprintf(stderr, "\n");
            free(wanted);
            failures++;
        }
        attend__tokens_free(&tokens);
    }
    return failures;
}

#endif
