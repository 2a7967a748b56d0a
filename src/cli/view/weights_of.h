/* SPDX-License-Identifier: Apache-2.0
 *
 * The two sources of weights, read and chosen from in one step: a model's run over a text, and a
 * file. */
#ifndef ATTEND_CLI_WEIGHTS_OF_H
#define ATTEND_CLI_WEIGHTS_OF_H

#include "view/weight_set.h"

/* What the user wrote; NULL = not given. */
typedef struct view_wishes {
    const char *model, *weights, *tensor;
    const char *labels, *row_labels, *column_labels;
    const char *layer, *head, *query, *key, *pair, *focus;
    bool no_special;
    bool one_head;   /* refuse more than one */
    bool everything; /* all layers and heads where none are named, else the last layer's mean */
} view_wishes;

/* Both fill the set, focus included; false after a sentence, and the set is to be freed anyway. */
bool weights_of_model(weight_set *set, const view_wishes *wishes, const cli_call *call);
bool weights_of_file(weight_set *set, const view_wishes *wishes);

#endif
