/* SPDX-License-Identifier: Apache-2.0
 *
 * focus.h: the model's tokenizer splits text and word, so that case, accents and pieces agree. */
#include "view/focus.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct search {
    const attend_encoding *all, *word;
    const char *const *texts; /* two */
    const char *word_text;
    size_t first, count; /* the tokens of `word` without the special ones */
} search;

static bool span(const attend_encoding *encoding, size_t token, size_t *begin, size_t *end) {
    return attend_encoding_span(encoding, token, begin, end) == ATTEND_OK && *begin < *end;
}

static bool continues_word(const attend_encoding *encoding, size_t token) {
    return token < attend_encoding_length(encoding) &&
           !strncmp(attend_encoding_token(encoding, token), "##", 2);
}

/* Equal ids are not enough: every word that the vocabulary lacks is the same [UNK]. */
static bool same_token(const search *s, size_t at, size_t in_word) {
    if (attend_encoding_ids(s->all)[at] != attend_encoding_ids(s->word)[in_word]) return false;
    if (strcmp(attend_encoding_token(s->all, at), "[UNK]")) return true;
    size_t a = 0, a_end = 0, b = 0, b_end = 0;
    return span(s->all, at, &a, &a_end) && span(s->word, in_word, &b, &b_end) &&
           a_end - a == b_end - b &&
           !memcmp(s->texts[attend_encoding_text(s->all, at) == 1] + a, s->word_text + b,
                   a_end - a);
}

static bool stands_at(const search *s, size_t at) {
    if (s->count == 0 || at + s->count > attend_encoding_length(s->all)) return false;
    for (size_t i = 0; i < s->count; ++i)
        if (!same_token(s, at + i, s->first + i)) return false;
    return !continues_word(s->all, at + s->count);
}

static bool nth_word(search *s, const attend_model *model, int64_t nth, size_t *first) {
    attend_encoding *pieces = NULL;
    if (attend_model_tokenize(model, s->word_text, strlen(s->word_text), &pieces)) return false;
    s->word = pieces;
    s->first = s->count = 0;
    for (size_t i = 0, begin = 0, end = 0; i < attend_encoding_length(pieces); ++i) {
        if (!span(pieces, i, &begin, &end)) continue;
        if (s->count++ == 0) s->first = i;
    }
    bool found = false;
    for (size_t at = 0; !found && at < attend_encoding_length(s->all); ++at) {
        found = stands_at(s, at) && --nth == 0;
        if (found) *first = at;
    }
    attend_encoding_release(pieces);
    return found;
}

/* "[CLS]" and "##strom" are tokens, though no words. The first piece of a longer word is not meant.
 */
static bool nth_token(const search *s, int64_t nth, size_t *first) {
    for (size_t at = 0; at < attend_encoding_length(s->all); ++at) {
        size_t begin = 0, end = 0;
        if (!continues_word(s->all, at) && span(s->all, at, &begin, &end)) continue;
        *first = at;
        if (!strcmp(attend_encoding_token(s->all, at), s->word_text) && --nth == 0) return true;
    }
    return false;
}

static bool nth_occurrence(search *s, const attend_model *model, int64_t nth, size_t *first,
                           size_t *count) {
    if (nth_word(s, model, nth, first)) {
        *count = s->count;
        return true;
    }
    *count = 1;
    return nth_token(s, nth, first);
}

bool focus_find(const attend_model *model, const attend_encoding *encoding,
                const char *const texts[2], const char *word, size_t *first, size_t *count) {
    search s = {.all = encoding, .texts = texts, .word_text = word};
    if (nth_occurrence(&s, model, 1, first, count)) return true;
    const char *const colon = strrchr(word, ':');
    int64_t nth = 0;
    if (!colon || colon == word || !cli_read_integer(colon + 1, 1, INT32_MAX, &nth)) return false;
    char *const part = cli_allocate((size_t)(colon - word) + 1, 1);
    memcpy(part, word, (size_t)(colon - word));
    s.word_text = part;
    const bool found = nth_occurrence(&s, model, nth, first, count);
    free(part);
    return found;
}
