/* SPDX-License-Identifier: Apache-2.0
 *
 * BERT's treatment of text before words are looked up (Devlin et al. 2018, arXiv:1810.04805; the
 * reference is tokenization.py of google-research/bert, in the form that Hugging Face's
 * `tokenizers` gives it: BertNormalizer and BertPreTokenizer). */
#ifndef ATTEND_MODEL_BERT_TEXT_H
#define ATTEND_MODEL_BERT_TEXT_H

#include "model/text.h"

typedef struct attend__bert_options {
    bool clean_text;           /* control characters go, white space becomes ' ' */
    bool handle_chinese_chars; /* a space on either side of each */
    bool strip_accents;
    bool lowercase;
} attend__bert_options;

/* Appends the normalized form of `count` characters to `out`. OUT_OF_MEMORY. */
attend_status attend__bert_normalize(const attend__bert_options *options,
                                     const attend__character *characters, size_t count,
                                     attend__text *out);

/* The next word at or after *begin: a run without white space and punctuation, or one punctuation
 * character. */
bool attend__bert_next_word(const attend__character *characters, size_t count, size_t *begin,
                            size_t *end);

bool attend__is_white_space(int32_t code);    /* Unicode property White_Space */
bool attend__is_word_character(int32_t code); /* \w of UTS #18 */

#endif
