/* SPDX-License-Identifier: Apache-2.0
 *
 * A model inside, and what encoding one text and several have in common. */
#ifndef ATTEND_MODEL_MODEL_PARTS_H
#define ATTEND_MODEL_MODEL_PARTS_H

#include "model/bert.h"
#include "model/encoding.h"

struct attend_model {
    attend_context *context;
    char *weights_path; /* of model.safetensors */
    attend__bert_config config;
    attend__tokenizer *tokenizer;
    attend__bert *bert;
};

/* What is to be encoded: texts[1] is NULL where there is one text only. */
typedef struct attend__model_text {
    const char *texts[2];
    size_t bytes[2];
    int32_t padding; /* so many [PAD] behind it */
} attend__model_text;

/* Copies what both the caller and this version know of a sized structure over the defaults in
 * `options`. INVALID for a size that is not set, and for members unknown here that are. */
attend_status attend__model_options_copy(void *options, size_t known, const void *given);
/* Completes what the caller gave (NULL: all defaults) in `options`. */
attend_status attend__encode_options_check(const attend_model *model,
                                           const attend_encode_options *given,
                                           attend_encode_options *options);
/* The tokens of the text, the pair of texts, and the padding. */
attend_status attend__model_tokens(const attend_model *model, const attend__model_text *text,
                                   attend_encoding **encoding);
/* OUT_OF_RANGE for more tokens than the model has positions. */
attend_status attend__encoding_fits(const attend_model *model, const attend_encoding *encoding);
/* Runs the model over the tokens of one encoding. */
attend_status attend__encoding_run(const attend_model *model, const attend_encode_options *options,
                                   attend_encoding *encoding);

#endif
