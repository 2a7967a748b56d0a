/* SPDX-License-Identifier: Apache-2.0
 *
 * One head as a picture: what terminal, SVG and PNG share, so that they cannot differ in a cell. */
#ifndef ATTEND_CLI_PICTURE_H
#define ATTEND_CLI_PICTURE_H

#include "palette.h"
#include "view/weight_set.h"

#include <stdio.h>

enum { PICTURE_LEVELS = 256, PICTURE_SCALE_BYTES = 96 };

typedef struct head_picture {
    const weight_set *set;
    size_t layer, head;
    weight_style style;
    palette_color background;
    double highest; /* of the head */
    palette_color palette[PICTURE_LEVELS];
} head_picture;

void head_picture_make(head_picture *picture, const weight_set *set, size_t layer, size_t head,
                       weight_style style, palette_color background);

/* What a row's cells are measured by. */
double head_picture_highest(const head_picture *picture, size_t row);
/* The level of a cell, -1 for what is not a number. */
int head_picture_level(const head_picture *picture, size_t row, size_t column, double highest);
/* Its colour; for what is not a number a grey that the palette lacks. */
palette_color head_picture_color(const head_picture *picture, size_t row, size_t column,
                                 double highest);
uint16_t head_picture_code(const head_picture *picture, size_t row, size_t column);

/* The weights that the ends and the middle of the colour bar stand for. */
typedef struct picture_ticks {
    char low[WEIGHT_TEXT_BYTES], middle[WEIGHT_TEXT_BYTES], high[WEIGHT_TEXT_BYTES];
} picture_ticks;
picture_ticks head_picture_ticks(const head_picture *picture);
/* "square-root scale, each row by its own maximum, special tokens faded"; "" for a plain one. */
void head_picture_scale_text(const head_picture *picture, char text[PICTURE_SCALE_BYTES]);

/* ---- the pictures; each also shows the set's notices -------------------------------------------
 */

/* picture_terminal.c: a row of weights, largest first; the map in at most `columns` columns. They
 * say what they had to leave out. */
void picture_print_row(const head_picture *picture, size_t row, size_t columns);
void picture_print(const head_picture *picture, palette_mode mode, size_t columns);

/* picture_svg.c: a self-contained SVG 1.1 file. False without memory, or without libpng where it
 * is needed, which has been reported. */
bool picture_write_svg(FILE *stream, const head_picture *picture);

/* picture_png.c: cells and colour bar, as docs/view.md says; false after a sentence. */
enum { PICTURE_MOST_PNG_CELLS = 8192 }; /* a side */
bool picture_can_png(void);             /* it was built with libpng */
bool picture_write_png(FILE *stream, const head_picture *picture);
/* Only the cells, one pixel each, as a data URI of a PNG. */
bool picture_write_png_uri(FILE *stream, const head_picture *picture);

#endif
