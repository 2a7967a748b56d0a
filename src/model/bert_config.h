/* SPDX-License-Identifier: Apache-2.0
 *
 * What config.json says of a model of the BERT family, checked. */
#ifndef ATTEND_MODEL_BERT_CONFIG_H
#define ATTEND_MODEL_BERT_CONFIG_H

#include "attend/stage.h"

typedef struct attend__bert_config {
    int64_t model_size, heads, layers, inner_size;
    int64_t positions, types, words; /* rows of the embedding tables */
    double eps;
    attend_activation activation;
} attend__bert_config;

/* IO, FORMAT, OUT_OF_MEMORY; UNSUPPORTED for another family, activation or kind of positions. */
attend_status attend__bert_config_open(const char *path, attend__bert_config *config);

#endif
