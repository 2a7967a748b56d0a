/* SPDX-License-Identifier: Apache-2.0
 *
 * Marks, texts and axes of plots as SVG, in colours for light and for dark ground. Texts are safe
 * ones (printable.h); their marks become entities here. */
#ifndef ATTEND_BENCH_SVG_H
#define ATTEND_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct svg {
    FILE *stream; /* the body so far */
    char *body;
    size_t bytes;
    double width, y; /* y: where the next part begins */
} svg;

typedef enum svg_anchor { SVG_START, SVG_MIDDLE, SVG_END } svg_anchor;
typedef struct svg_point {
    double x, y;
} svg_point;

/* false without memory */
bool svg_begin(svg *s, double width);
/* The whole document of the height reached, freed with free; NULL without memory. */
char *svg_end(svg *s, const char *title);

/* ---- texts; classes: title, heading, case, ink, muted, fail ---- */

/* About; in any face without serifs. */
double svg_text_width(const char *safe, double size);
void svg_text(svg *s, svg_point at, svg_anchor anchor, const char *class, const char *safe);
/* From its start, and smaller where it would be wider than `room`. */
void svg_text_fit(svg *s, svg_point at, const char *class, double size, double room,
                  const char *safe);
/* A name and more about it, in one line that is as long as the face makes it. */
void svg_name(svg *s, svg_point at, double size, double room, const char *name, const char *rest);

/* ---- marks; `series` counts from 0: its colour, then its pattern and shape ---- */

void svg_line(svg *s, svg_point from, svg_point to, const char *class);
/* A group of the colour; a tooltip may follow the beginning. */
void svg_begin_mark(svg *s, size_t series, const char *class);
void svg_end_mark(svg *s);
void svg_bar(svg *s, svg_point at, double width, double height, size_t series);
void svg_marker(svg *s, svg_point at, size_t series);

/* ---- axes ---- */

/* The least of 1, 2, 5 times a power of ten that parts `span` into `most` steps or fewer. */
double svg_step(double span, int most);
/* The next of 1, 2, 5 times a power of ten: at or above x, or at or below it. */
double svg_round_up(double x);
double svg_round_down(double x);

#endif
