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

struct attend__tokenizer {
    attend__vocabulary vocabulary;
    attend__added_token *added;
    size_t added_count;
    attend__bert_options options;
    const attend__word *unknown; /* of the vocabulary */
    char *prefix;                /* of a word's continuation: "##" */
    size_t prefix_bytes;
    size_t max_characters; /* a longer word is unknown */
    attend__token *parts;  /* the template; text NULL = here goes the text, with that type */
    size_t part_count;
    int32_t largest_id, largest_type;
};

#endif
