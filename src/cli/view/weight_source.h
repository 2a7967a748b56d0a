/* SPDX-License-Identifier: Apache-2.0
 *
 * Where weights come from, before anything is chosen or rounded: a model's run or a file, which
 * look alike here; and what the user chose of them. */
#ifndef ATTEND_CLI_WEIGHT_SOURCE_H
#define ATTEND_CLI_WEIGHT_SOURCE_H

#include "view/weight_set.h"

typedef struct weight_source weight_source;
struct weight_source {
    const char *name;     /* for sentences: the file, or the model's folder */
    size_t layers, heads; /* all there are */
    token_axis rows, columns;
    bool same_axes, two_texts;
    /* The weights of one query over all keys. Only layers and heads that the choice has are read,
     * all heads of a layer if it combines them. */
    void (*read_row)(const weight_source *source, size_t layer, size_t head, size_t query,
                     double *weights);
    const void *data; /* of read_row */
};
void weight_source_free(weight_source *source); /* its tokens */

typedef struct number_range {
    size_t first, count; /* from 0 */
} number_range;

typedef struct view_choice {
    number_range layers, heads, queries, keys;
    const char *combined; /* NULL, "mean" or "max" over all heads of each layer */
    bool no_special;      /* leave out the tokens that stand for no text */
    char from, to;        /* of two texts: rows and columns of 'A', 'B', or 0 for both */
} view_choice;

/* Checks, rounds and stores what was chosen, and measures the patterns of the whole heads. False
 * after a sentence: a negative weight, no token left. Caption, source, backend and device are the
 * caller's to set. */
bool weight_set_fill(weight_set *set, const weight_source *source, const view_choice *choice);

#endif
