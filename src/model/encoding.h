/* SPDX-License-Identifier: Apache-2.0
 *
 * What an encoding is inside: tokens with their own copies of the texts, and what the model made of
 * them. */
#ifndef ATTEND_MODEL_ENCODING_H
#define ATTEND_MODEL_ENCODING_H

#include "attend/model.h"
#include "model/tokenizer.h"

#include <stdbool.h>

struct attend_encoding {
    size_t length;
    int32_t *ids, *types;
    attend__token *tokens; /* texts point into `texts` */
    char *texts;
    /* The model's part; NULL and 0 if only tokenized. */
    int64_t model_size;
    float *hidden;                                  /* [length, M] */
    float *embedding;                               /* [M] */
    float *weights;                                 /* [kept layers, kept heads, length, length] */
    int32_t first_layer, layers, first_head, heads; /* kept */
};

/* Copies the tokens. OUT_OF_MEMORY. */
attend_status attend__encoding_create(const attend__tokens *tokens, attend_encoding **encoding);
/* An array of `a * b * c` floats; NULL without memory. */
float *attend__allocate_floats(size_t a, size_t b, size_t c);
/* Room for hidden rows and embedding; false without memory. */
bool attend__encoding_make_room(attend_encoding *encoding, int64_t model_size);
/* embedding = mean of the hidden rows, scaled to unit length. */
void attend__encoding_pool(attend_encoding *encoding);

#endif
