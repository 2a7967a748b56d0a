/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens that are found in the text as they are written ("[MASK]"), before words are looked up:
 * leftmost first, the longest of those that start there. Rules as the added_vocabulary of Hugging
 * Face's `tokenizers`. */
#ifndef ATTEND_MODEL_ADDED_TOKENS_H
#define ATTEND_MODEL_ADDED_TOKENS_H

#include "model/text.h"

typedef struct attend__added_token {
    char *text;           /* as the file writes it */
    attend__text pattern; /* what is searched: the text, or its normalized form */
    int32_t id;
    bool normalized;     /* searched in the normalized text, else in the text as given */
    bool single_word;    /* not next to a word character */
    bool lstrip, rstrip; /* takes the white space on that side along */
} attend__added_token;

/* A piece of a text: plain (token NULL) or an added token. */
typedef struct attend__split {
    const attend__added_token *token;
    size_t begin, end; /* characters */
} attend__split;

typedef struct attend__splits {
    attend__split *items;
    size_t count, capacity;
} attend__splits;

/* Cuts the characters at the tokens whose `normalized` is as given; false without memory. Pieces
 * are in order and leave nothing out; with lstrip and rstrip they may share white space. */
bool attend__added_tokens_split(const attend__added_token *tokens, size_t token_count,
                                bool normalized, const attend__character *characters, size_t count,
                                attend__splits *splits);

#endif
