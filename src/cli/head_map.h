/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights of one head (or the mean of a layer's heads) over the tokens to be shown, and its
 * pictures. */
#ifndef ATTEND_CLI_HEAD_MAP_H
#define ATTEND_CLI_HEAD_MAP_H

#include "attend/model.h"
#include "palette.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct head_map {
    size_t count;              /* tokens shown */
    size_t *tokens;            /* which of the encoding they are */
    char **labels;             /* safe texts */
    float *weights;            /* [count, count], rows are queries */
    double highest;            /* of the weights; 0 if there are none */
    char title[64];            /* "layer 6, head 12" */
    size_t focus, focus_count; /* rows the user asked for; focus_count 0 = none */
} head_map;

/* head -1 is the mean over `heads` heads. Without specials the tokens that stand for no text are
 * left out. */
void head_map_make(head_map *map, const attend_encoding *encoding, int32_t layer, int32_t head,
                   int64_t heads);
void head_map_hide_specials(head_map *map, const attend_encoding *encoding);
void head_map_free(head_map *map);

/* The row of weights of one query, largest first. */
void head_map_print_row(const head_map *map, size_t row, size_t columns);
/* The whole map in at most `columns` columns; says what it had to leave out. */
void head_map_print(const head_map *map, palette_mode mode, size_t columns);
/* A self-contained SVG of it under the caption; freed with free, NULL without memory. */
char *head_map_svg(const head_map *map, const char *caption, size_t *bytes);

/* ---- focus.c ---- */

/* Finds the word in the text: the tokens it is made of, as whole words; "it:2" is its second
 * occurrence. False: not there. */
bool focus_find(const attend_model *model, const attend_encoding *encoding, const char *text,
                const char *word, size_t *first, size_t *count);

#endif
