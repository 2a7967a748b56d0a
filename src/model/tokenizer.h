/* SPDX-License-Identifier: Apache-2.0
 *
 * WordPiece tokenizer as tokenizer.json describes it (Wu et al. 2016, arXiv:1609.08144, in BERT's
 * greedy form: the longest word that the vocabulary has, then the longest continuation). Gives the
 * ids that Hugging Face's `tokenizers` gives for the same file; truncation and padding of the file
 * are not applied. */
#ifndef ATTEND_MODEL_TOKENIZER_H
#define ATTEND_MODEL_TOKENIZER_H

#include "attend/core.h"

typedef struct attend__tokenizer attend__tokenizer;

typedef struct attend__token {
    const char *text; /* lives as long as the tokenizer */
    int32_t id;
    int32_t type;      /* segment, for the type embedding */
    int32_t source;    /* which text it comes from: 0, 1; -1 for what the template adds */
    size_t begin, end; /* bytes of the text; both 0 for what the template adds */
} attend__token;

typedef struct attend__tokens {
    attend__token *items;
    size_t count, capacity;
} attend__tokens;

/* IO, FORMAT, UNSUPPORTED (which part of the file, and what it asks for), OUT_OF_MEMORY. */
attend_status attend__tokenizer_open(const char *path, attend__tokenizer **tokenizer);
void attend__tokenizer_close(attend__tokenizer *tokenizer); /* NULL is allowed */

/* The largest id that it can give, and the largest segment for one text; for a pair of texts it is
 * -1 where the file has no form for them. */
int32_t attend__tokenizer_largest_id(const attend__tokenizer *tokenizer);
int32_t attend__tokenizer_largest_type(const attend__tokenizer *tokenizer);
int32_t attend__tokenizer_largest_pair_type(const attend__tokenizer *tokenizer);

/* Appends the token that fills up shorter texts. UNSUPPORTED where the vocabulary has none. */
attend_status attend__tokenizer_pad(const attend__tokenizer *tokenizer, attend__tokens *tokens);

/* Fills `tokens` (empty before). FORMAT for text that is not UTF-8; OUT_OF_MEMORY. Any thread. */
attend_status attend__tokenizer_run(const attend__tokenizer *tokenizer, const char *text,
                                    size_t text_bytes, attend__tokens *tokens);
/* The same for two texts in the file's form for pairs; nothing where it has none. */
attend_status attend__tokenizer_run_pair(const attend__tokenizer *tokenizer,
                                         const char *const texts[2], const size_t text_bytes[2],
                                         attend__tokens *tokens);
void attend__tokens_free(attend__tokens *tokens);

#endif
