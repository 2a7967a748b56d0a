/* SPDX-License-Identifier: Apache-2.0
 *
 * From text to tokens; see tokenizer.h. Added tokens are cut out first, what is left is normalized,
 * cut at the added tokens that look for normalized text, split into words, and each word into
 * pieces of the vocabulary. */
#include "model/tokenizer.h"

#include "base/checked.h"
#include "model/model_error.h"
#include "model/tokenizer_data.h"

#include <stdlib.h>
#include <utf8proc.h>

/* State of one run. */
typedef struct run {
    const attend__tokenizer *tokenizer;
    int32_t type, source; /* of the template part that is being filled */
    attend__tokens *tokens;
    attend__text originals[2];
    attend__text normalized; /* of the piece at hand */
    attend__splits outer, inner;
    char *word; /* UTF-8 of the word at hand */
    size_t word_capacity;
} run;

static bool append_token(attend__tokens *tokens, attend__token token) {
    void *items = tokens->items;
    if (!attend__grow(&items, &tokens->capacity, tokens->count, sizeof *tokens->items))
        return false;
    tokens->items = items;
    tokens->items[tokens->count++] = token;
    return true;
}

/* The token that these characters (at least one) became. Where marks were put into canonical order
 * the first one need not be the leftmost. */
static bool append_span(run *r, const char *text, int32_t id, const attend__character *characters,
                        size_t count) {
    attend__token token = {text, id, r->type, r->source, characters[0].begin, characters[0].end};
    for (size_t i = 1; i < count; i++) {
        if (characters[i].begin < token.begin) token.begin = characters[i].begin;
        if (characters[i].end > token.end) token.end = characters[i].end;
    }
    return append_token(r->tokens, token);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* UTF-8 of the word to r->word; *bytes its length. A character takes at most 4 bytes. */
static bool encode_word(run *r, const attend__character *characters, size_t count, size_t *bytes) {
    size_t most;
    if (!attend__mul_size(count, 4, &most)) return false;
    if (most > r->word_capacity) {
        char *const grown = realloc(r->word, most);
        if (!grown) return false;
        r->word = grown;
        r->word_capacity = most;
    }
    *bytes = 0;
    for (size_t i = 0; i < count; i++)
        *bytes +=
            (size_t)utf8proc_encode_char(characters[i].code, (utf8proc_uint8_t *)r->word + *bytes);
    return true;
}

static size_t encoded_bytes(int32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/* The longest word of the vocabulary that starts at byte `at` of the word and ends with one of its
 * characters; *used characters, *bytes long. NULL if there is none. */
static const attend__word *longest_piece(const run *r, const attend__character *characters,
                                         size_t count, size_t at, size_t *used, size_t *bytes) {
    const attend__tokenizer *const t = r->tokenizer;
    const size_t prefix_bytes = at ? t->prefix_bytes : 0;
    if (prefix_bytes > t->vocabulary.longest_bytes) return NULL;
    const size_t most = t->vocabulary.longest_bytes - prefix_bytes;
    *used = *bytes = 0;
    while (*used < count && *bytes + encoded_bytes(characters[*used].code) <= most)
        *bytes += encoded_bytes(characters[(*used)++].code);
    while (*used > 0) {
        const attend__word *const found =
            attend__vocabulary_find(&t->vocabulary, t->prefix, prefix_bytes, r->word + at, *bytes);
        if (found) return found;
        *bytes -= encoded_bytes(characters[--*used].code);
    }
    return NULL;
}

/* A word with a part that the vocabulary lacks becomes one unknown token. */
static bool append_word(run *r, const attend__character *characters, size_t count) {
    const attend__tokenizer *const t = r->tokenizer;
    const size_t tokens_before = r->tokens->count;
    bool known = count <= t->max_characters;
    size_t word_bytes = 0;
    if (known && !encode_word(r, characters, count, &word_bytes)) return false;
    for (size_t at = 0, i = 0; known && i < count;) {
        size_t used = 0, bytes = 0;
        const attend__word *const piece =
            longest_piece(r, characters + i, count - i, at, &used, &bytes);
        known = piece != NULL;
        if (known && !append_span(r, piece->text, piece->id, characters + i, used)) return false;
        i += used;
        at += bytes;
    }
    if (known) return true;
    r->tokens->count = tokens_before;
    return append_span(r, t->unknown->text, t->unknown->id, characters, count);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static bool append_words(run *r, const attend__character *characters, size_t count) {
    size_t begin = 0, end = 0;
    for (; attend__bert_next_word(characters, count, &begin, &end); begin = end)
        if (!append_word(r, characters + begin, end - begin)) return false;
    return true;
}

static bool append_added(run *r, const attend__split *split, const attend__character *characters) {
    return append_span(r, split->token->text, split->token->id, characters + split->begin,
                       split->end - split->begin);
}

static bool append_plain(run *r, const attend__character *characters, size_t count) {
    const attend__tokenizer *const t = r->tokenizer;
    r->normalized.count = r->inner.count = 0;
    if (attend__bert_normalize(&t->options, characters, count, &r->normalized)) return false;
    const attend__character *const items = r->normalized.items;
    if (!attend__added_tokens_split(t->added, t->added_count, true, items, r->normalized.count,
                                    &r->inner))
        return false;
    for (size_t i = 0; i < r->inner.count; i++) {
        const attend__split *const split = &r->inner.items[i];
        const bool done = split->token
                              ? append_added(r, split, items)
                              : append_words(r, items + split->begin, split->end - split->begin);
        if (!done) return false;
    }
    return true;
}

static bool append_text(run *r) {
    const attend__tokenizer *const t = r->tokenizer;
    const attend__text *const original = &r->originals[r->source];
    const attend__character *const items = original->items;
    r->outer.count = 0;
    if (!attend__added_tokens_split(t->added, t->added_count, false, items, original->count,
                                    &r->outer))
        return false;
    for (size_t i = 0; i < r->outer.count; i++) {
        const attend__split *const split = &r->outer.items[i];
        const bool done = split->token
                              ? append_added(r, split, items)
                              : append_plain(r, items + split->begin, split->end - split->begin);
        if (!done) return false;
    }
    return true;
}

static bool append_template(run *r, const attend__template *form) {
    for (size_t i = 0; i < form->count; i++) {
        const attend__token *const part = &form->parts[i];
        r->type = part->type;
        r->source = part->source;
        const bool done = part->text ? append_token(r->tokens, *part) : append_text(r);
        if (!done) return false;
    }
    return true;
}

static attend_status run_template(const attend__tokenizer *tokenizer, const attend__template *form,
                                  const char *const *texts, const size_t *text_bytes,
                                  size_t text_count, attend__tokens *tokens) {
    static const char *const names[2] = {"text", "second_text"};
    run r = {.tokenizer = tokenizer, .tokens = tokens};
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < text_count && !status; i++)
        status = attend__text_decode(&r.originals[i], names[i], texts[i], text_bytes[i]);
    if (!status && !append_template(&r, form))
        status = attend__model_fail(ATTEND_OUT_OF_MEMORY, "text: not enough memory for its tokens");
    attend__text_free(&r.originals[0]);
    attend__text_free(&r.originals[1]);
    attend__text_free(&r.normalized);
    free(r.outer.items);
    free(r.inner.items);
    free(r.word);
    if (status) attend__tokens_free(tokens);
    return status;
}

attend_status attend__tokenizer_run(const attend__tokenizer *tokenizer, const char *text,
                                    size_t text_bytes, attend__tokens *tokens) {
    return run_template(tokenizer, &tokenizer->single, &text, &text_bytes, 1, tokens);
}

attend_status attend__tokenizer_run_pair(const attend__tokenizer *tokenizer,
                                         const char *const texts[2], const size_t text_bytes[2],
                                         attend__tokens *tokens) {
    return run_template(tokenizer, &tokenizer->pair, texts, text_bytes, 2, tokens);
}

attend_status attend__tokenizer_pad(const attend__tokenizer *tokenizer, attend__tokens *tokens) {
    static const char name[] = "[PAD]";
    const attend__word *const word =
        attend__vocabulary_find(&tokenizer->vocabulary, "", 0, name, sizeof name - 1);
    if (!word)
        return attend__model_fail(ATTEND_UNSUPPORTED, "padding: the vocabulary has no %s", name);
    const attend__token token = {.text = word->text, .id = word->id, .source = -1};
    return append_token(tokens, token)
               ? ATTEND_OK
               : attend__model_fail(ATTEND_OUT_OF_MEMORY, "padding: not enough memory");
}

void attend__tokens_free(attend__tokens *tokens) {
    free(tokens->items);
    *tokens = (attend__tokens){0};
}
