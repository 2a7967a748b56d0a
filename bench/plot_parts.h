/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the picture of plot.h share: who was measured, and the colours they have
 * in both. */
#ifndef ATTEND_BENCH_PLOT_PARTS_H
#define ATTEND_BENCH_PLOT_PARTS_H

#include "svg.h"

#include "cli/cli.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A backend or peer on a device with a number of threads. */
typedef struct plot_series {
    const json_t *first; /* its first result */
    char *label;         /* safe */
} plot_series;

typedef struct plot {
    svg *picture;
    const json_t *results;
    size_t result_count;
    plot_series *series;
    size_t series_count;
    size_t *series_of; /* [result_count] */
} plot;

enum { PLOT_WIDTH = 960, PLOT_MARGIN = 20, PLOT_LABEL = 11, PLOT_HEADING = 14, PLOT_TITLE = 18 };

bool plot_is_ok(const json_t *result);
/* A safe text, freed with free. */
char *plot_text(const char *format, ...) CLI_PRINTF(1, 2);
/* The next line of the picture; frees the text. */
void plot_line(const plot *p, const char *class, double size, char *safe);
/* What the pointer on a mark shows: case, who, and every number. */
void plot_tooltip(const plot *p, size_t index);

void plot_bars(const plot *p);
void plot_lines(const plot *p);

#endif
