/* SPDX-License-Identifier: Apache-2.0
 *
 * A model inside, and what encoding one text and several have in common. */
#ifndef ATTEND_MODEL_MODEL_PARTS_H
#define ATTEND_MODEL_MODEL_PARTS_H

#include "model/bert.h"
#include "model/encoding.h"

struct attend_model {
    attend__bert_config config;
    attend__tokenizer *tokenizer;
    attend__bert *bert;
};

/* Completes what the caller gave (NULL: all defaults) in `options`. */
attend_status attend__encode_options_check(const attend_model *model,
                                           const attend_encode_options *given,
                                           attend_encode_options *options);
/* The tokens of the text, with `second` not NULL of the pair. */
attend_status attend__model_tokens(const attend_model *model, const char *const texts[2],
                                   const size_t text_bytes[2], attend_encoding **encoding);
/* OUT_OF_RANGE for more tokens than the model has positions. */
attend_status attend__encoding_fits(const attend_model *model, const attend_encoding *encoding);
/* Runs the model over the tokens of one encoding. */
attend_status attend__encoding_run(const attend_model *model, const attend_encode_options *options,
                                   attend_encoding *encoding);

#endif
