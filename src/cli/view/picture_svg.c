/* SPDX-License-Identifier: Apache-2.0
 *
 * A head as a self-contained SVG 1.1 file: no font, script or picture from elsewhere, the exact
 * weight of each cell as its tooltip. Past 128 x 128 cells, where a rectangle each would be too
 * many for viewers, the cells are one embedded PNG. */
#include "printable.h"
#include "view/picture.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CELL = 24,
    FONT = 13,
    MARGIN = 12,
    LEGEND_STEPS = 64,
    LEGEND_WIDTH = 256,
    MOST_CELLS = 128, /* a side */
    MOST_SIZE = MOST_CELLS * CELL
};

typedef struct drawing {
    FILE *stream;
    const head_picture *head;
    const weight_set *set;
    double cell, left, top, width, height;
    bool embedded;
} drawing;

static void put_text(const drawing *d, double x, double y, const char *extra, const char *text) {
    fprintf(d->stream, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, extra);
    printable_put_xml(d->stream, text);
    fputs("</text>\n", d->stream);
}

/* Labels of which each has the room of a line; of smaller cells only every so many have one. */
static void put_labels(const drawing *d) {
    const size_t step = d->cell < FONT ? (size_t)(FONT / d->cell) + 1 : 1;
    for (size_t i = 0; i < d->set->rows.count; i += step)
        put_text(d, d->left - 6, d->top + ((double)i + 0.5) * d->cell + FONT * 0.35,
                 " text-anchor=\"end\"", d->set->rows.safe[i]);
    for (size_t j = 0; j < d->set->columns.count; j += step) {
        char turn[80];
        const double x = d->left + ((double)j + 0.5) * d->cell + FONT * 0.35, y = d->top - 6;
        snprintf(turn, sizeof turn, " transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        put_text(d, x, y, turn, d->set->columns.safe[j]);
    }
}

static void put_fill(const drawing *d, palette_color c) {
    fprintf(d->stream, "fill=\"#%02x%02x%02x\"", c.r, c.g, c.b);
}

static void put_cell(const drawing *d, size_t i, size_t j, double highest) {
    const double x = d->left + (double)j * CELL, y = d->top + (double)i * CELL;
    char text[WEIGHT_TEXT_BYTES];
    const uint16_t code = head_picture_code(d->head, i, j);
    weight_text(code, d->set->exponent, text);
    fprintf(d->stream, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" ", x, y, CELL, CELL);
    put_fill(d, head_picture_color(d->head, i, j, highest));
    fputs("><title>", d->stream);
    printable_put_xml(d->stream, d->set->rows.safe[i]);
    fputs(" to ", d->stream);
    printable_put_xml(d->stream, d->set->columns.safe[j]);
    fputs(": ", d->stream);
    printable_put_xml(d->stream, text); /* "<1e-07" */
    fputs("</title></rect>\n", d->stream);
    if (code == WEIGHT_CODE_NAN)
        fprintf(d->stream,
                "<path d=\"M%.1f %.1fl%d %d\" stroke=\"#e0e0e0\" pointer-events=\"none\"/>\n", x,
                y + CELL, CELL, -CELL);
}

static bool put_cells(const drawing *d) {
    if (!d->embedded) {
        for (size_t i = 0; i < d->set->rows.count; ++i) {
            const double highest = head_picture_highest(d->head, i);
            for (size_t j = 0; j < d->set->columns.count; ++j)
                put_cell(d, i, j, highest);
        }
        return true;
    }
    fprintf(d->stream,
            "<image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" xlink:href=\"",
            d->left, d->top, (double)d->set->columns.count * d->cell,
            (double)d->set->rows.count * d->cell);
    const bool done = picture_write_png_uri(d->stream, d->head);
    fputs("\"/>\n", d->stream);
    return done;
}

static void put_focus(const drawing *d) {
    if (d->set->focus_count == 0) return;
    fprintf(d->stream,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#d40000\" stroke-width=\"2\"/>\n",
            d->left, d->top + (double)d->set->focus * d->cell,
            (double)d->set->columns.count * d->cell, (double)d->set->focus_count * d->cell);
}

static void put_legend(const drawing *d) {
    double y = d->top + (double)d->set->rows.count * d->cell + MARGIN;
    const double step = (double)LEGEND_WIDTH / LEGEND_STEPS;
    for (int i = 0; i < LEGEND_STEPS; ++i) {
        fprintf(d->stream, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"10\" ",
                d->left + i * step, y, step);
        put_fill(d, d->head->palette[i * (PICTURE_LEVELS - 1) / (LEGEND_STEPS - 1)]);
        fputs("/>\n", d->stream);
    }
    const picture_ticks ticks = head_picture_ticks(d->head);
    char scale[PICTURE_SCALE_BYTES];
    head_picture_scale_text(d->head, scale);
    y += 10 + FONT;
    put_text(d, d->left, y, "", ticks.low);
    put_text(d, d->left + LEGEND_WIDTH / 2.0, y, " text-anchor=\"middle\"", ticks.middle);
    put_text(d, d->left + LEGEND_WIDTH, y, " text-anchor=\"end\"", ticks.high);
    y += 1.4 * FONT;
    if (*scale) put_text(d, d->left, y, "", scale);
}

static const char embedded_notice[] =
    "Past 128 x 128 cells the map is an embedded picture without numbers.";

static void put_notices(const drawing *d) {
    double y = d->height - MARGIN;
    if (d->embedded) {
        put_text(d, MARGIN, y, "", embedded_notice);
        y -= 1.4 * FONT;
    }
    for (size_t i = d->set->notice_count; i > 0; --i, y -= 1.4 * FONT)
        put_text(d, MARGIN, y, "", d->set->notices[i - 1]);
}

static void put_start(const drawing *d) {
    char title[WEIGHT_TITLE_BYTES];
    weight_set_title(d->set, d->head->layer, d->head->head, title);
    fprintf(d->stream,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\"%s width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" role=\"img\" font-family=\"monospace\" "
            "shape-rendering=\"crispEdges\" "
            "font-size=\"%d\">\n<title>",
            d->embedded ? " xmlns:xlink=\"http://www.w3.org/1999/xlink\"" : "", d->width, d->height,
            d->width, d->height, FONT);
    printable_put_xml(d->stream, title);
    fputs(": ", d->stream);
    printable_put_xml(d->stream, d->set->caption);
    fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n", d->stream);
    put_text(d, MARGIN, MARGIN + FONT, " font-weight=\"bold\"", title);
    put_text(d, MARGIN, MARGIN + 2.4 * FONT, "", d->set->caption);
}

static void grow(size_t *widest, size_t width) {
    if (width > *widest) *widest = width;
}

static size_t widest_of(const token_axis *axis) {
    size_t widest = 4;
    for (size_t i = 0; i < axis->count; ++i)
        grow(&widest, printable_width(axis->safe[i]));
    return widest;
}

static void lay_out(drawing *d) {
    const double column = FONT * 0.62; /* of a monospaced face */
    const weight_set *const set = d->set;
    const size_t side = set->rows.count > set->columns.count ? set->rows.count : set->columns.count;
    d->embedded = side > MOST_CELLS;
    d->cell = d->embedded ? (double)MOST_SIZE / (double)side : CELL;
    size_t words = printable_width(set->caption);
    for (size_t i = 0; i < set->notice_count; ++i)
        grow(&words, printable_width(set->notices[i]));
    if (d->embedded) grow(&words, sizeof embedded_notice - 1);
    const double cells = (double)set->columns.count * d->cell;
    d->left = MARGIN + (double)widest_of(&set->rows) * column + MARGIN;
    d->top = MARGIN + 3.5 * FONT + (double)widest_of(&set->columns) * column + MARGIN;
    d->width = d->left + (cells > LEGEND_WIDTH ? cells : LEGEND_WIDTH) + MARGIN;
    if ((double)words * column + 2.0 * MARGIN > d->width)
        d->width = (double)words * column + 2.0 * MARGIN;
    const double lines = 1 + (double)set->notice_count + d->embedded; /* the scale's and notices */
    d->height = d->top + (double)set->rows.count * d->cell + MARGIN + 10 + FONT +
                lines * 1.4 * FONT + MARGIN;
}

bool picture_write_svg(FILE *stream, const head_picture *picture) {
    drawing d = {.stream = stream, .head = picture, .set = picture->set};
    lay_out(&d);
    put_start(&d);
    put_labels(&d);
    const bool done = put_cells(&d);
    put_focus(&d);
    put_legend(&d);
    put_notices(&d);
    fputs("</svg>\n", stream);
    return done;
}
