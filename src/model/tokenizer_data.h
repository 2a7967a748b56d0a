/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tokenizer is inside: filled by tokenizer_file.c from tokenizer.json, used by tokenizer.c.
 */
#ifndef ATTEND_MODEL_TOKENIZER_DATA_H
#define ATTEND_MODEL_TOKENIZER_DATA_H

#include "model/added_tokens.h"
#include "model/bert_text.h"
#include "model/tokenizer.h"
#include "model/vocabulary.h"

/* text NULL = here goes the text `source`, with that type. */
typedef struct attend__template {
    attend__token *parts;
    size_t count;
    int32_t largest_type;
} attend__template;

struct attend__tokenizer {
    attend__vocabulary vocabulary;
    attend__added_token *added;
    size_t added_count;
    attend__bert_options options;
    const attend__word *unknown; /* of the vocabulary */
    char *prefix;                /* of a word's continuation: "##" */
    size_t prefix_bytes;
    size_t max_characters;         /* a longer word is unknown */
    attend__template single, pair; /* pair: no parts where the file has none */
    int32_t largest_id;
};

#endif
