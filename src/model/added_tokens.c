/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds added tokens in a text; see added_tokens.h. Plain comparison at each place: there are a
 * handful of them. */
#include "model/added_tokens.h"

#include "model/bert_text.h"

static bool append(attend__splits *splits, const attend__added_token *token, size_t begin,
                   size_t end) {
    void *items = splits->items;
    if (!attend__grow(&items, &splits->capacity, splits->count, sizeof *splits->items))
        return false;
    splits->items = items;
    splits->items[splits->count++] = (attend__split){token, begin, end};
    return true;
}

static bool matches(const attend__text *pattern, const attend__character *characters,
                    size_t count) {
    if (pattern->count == 0 || pattern->count > count) return false;
    for (size_t i = 0; i < pattern->count; i++)
        if (pattern->items[i].code != characters[i].code) return false;
    return true;
}

static const attend__added_token *longest_at(const attend__added_token *tokens, size_t token_count,
                                             bool normalized, const attend__character *characters,
                                             size_t count) {
    const attend__added_token *found = NULL;
    for (size_t i = 0; i < token_count; i++) {
        const attend__added_token *const token = &tokens[i];
        if (token->normalized != normalized ||
            (found && token->pattern.count <= found->pattern.count))
            continue;
        if (matches(&token->pattern, characters, count)) found = token;
    }
    return found;
}

static bool stands_alone(const attend__character *characters, size_t count, size_t begin,
                         size_t end) {
    return (begin == 0 || !attend__is_word_character(characters[begin - 1].code)) &&
           (end == count || !attend__is_word_character(characters[end].code));
}

bool attend__added_tokens_split(const attend__added_token *tokens, size_t token_count,
                                bool normalized, const attend__character *characters, size_t count,
                                attend__splits *splits) {
    size_t done = 0; /* where the last token, with its white space, ended */
    for (size_t at = 0; at < count;) {
        const attend__added_token *const token =
            longest_at(tokens, token_count, normalized, characters + at, count - at);
        if (!token) {
            at++;
            continue;
        }
        size_t begin = at, end = at + token->pattern.count;
        at = end; /* what was matched is never matched again, even if it is dropped here */
        if (token->single_word && !stands_alone(characters, count, begin, end)) continue;
        if (token->lstrip)
            while (begin > done && attend__is_white_space(characters[begin - 1].code))
                begin--;
        if (token->rstrip)
            while (end < count && attend__is_white_space(characters[end].code))
                end++;
        if (done < begin && !append(splits, NULL, done, begin)) return false;
        if (!append(splits, token, begin, end)) return false;
        done = end;
    }
    return done == count || append(splits, NULL, done, count);
}
