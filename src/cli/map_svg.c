/* SPDX-License-Identifier: Apache-2.0
 *
 * A head as a self-contained SVG 1.1 file: no font, script or picture from elsewhere, the exact
 * weight of each cell as its tooltip. */
#include "head_map.h"
#include "printable.h"

#include <stdio.h>
#include <stdlib.h>

enum { CELL = 24, FONT = 13, MARGIN = 12, LEGEND_STEPS = 50, LEGEND_WIDTH = 200 };

typedef struct picture {
    FILE *stream;
    double left, top, width, height;
} picture;

static void put_text(const picture *p, double x, double y, const char *extra, const char *text) {
    fprintf(p->stream, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, extra);
    printable_put_xml(p->stream, text);
    fputs("</text>\n", p->stream);
}

static void put_labels(const picture *p, const head_map *map) {
    for (size_t i = 0; i < map->count; ++i) {
        const double middle = ((double)i + 0.5) * CELL;
        put_text(p, p->left - 6, p->top + middle + FONT * 0.35, " text-anchor=\"end\"",
                 map->labels[i]);
        char turn[80];
        const double x = p->left + middle + FONT * 0.35, y = p->top - 6;
        snprintf(turn, sizeof turn, " transform=\"rotate(-90 %.1f %.1f)\"", x, y);
        put_text(p, x, y, turn, map->labels[i]);
    }
}

static void put_fill(const picture *p, double t) {
    const palette_color c = palette_at(t);
    fprintf(p->stream, "fill=\"#%02x%02x%02x\"", c.r, c.g, c.b);
}

static void put_cell(const picture *p, const head_map *map, size_t i, size_t j) {
    const double weight = (double)map->weights[i * map->count + j];
    fprintf(p->stream, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" ",
            p->left + (double)j * CELL, p->top + (double)i * CELL, CELL, CELL);
    put_fill(p, map->highest > 0 ? weight / map->highest : 0);
    fputs("><title>", p->stream);
    printable_put_xml(p->stream, map->labels[i]);
    fputs(" to ", p->stream);
    printable_put_xml(p->stream, map->labels[j]);
    fprintf(p->stream, ": %.4f</title></rect>\n", weight);
}

static void put_focus(const picture *p, const head_map *map) {
    if (map->focus_count == 0) return;
    fprintf(p->stream,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
            "stroke=\"#d40000\" "
            "stroke-width=\"2\"/>\n",
            p->left, p->top + (double)map->focus * CELL, (double)map->count * CELL,
            (double)map->focus_count * CELL);
}

static void put_legend(const picture *p, const head_map *map) {
    const double y = p->top + (double)map->count * CELL + MARGIN;
    for (int i = 0; i < LEGEND_STEPS; ++i) {
        fprintf(p->stream, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"10\" ",
                p->left + (double)i * LEGEND_WIDTH / LEGEND_STEPS, y,
                (double)LEGEND_WIDTH / LEGEND_STEPS);
        put_fill(p, (double)i / (LEGEND_STEPS - 1));
        fputs("/>\n", p->stream);
    }
    char highest[32];
    snprintf(highest, sizeof highest, "%.4f", map->highest);
    put_text(p, p->left, y + 10 + FONT, "", "0");
    put_text(p, p->left + LEGEND_WIDTH, y + 10 + FONT, " text-anchor=\"end\"", highest);
}

static void put_all(picture *p, const head_map *map, const char *caption) {
    fprintf(p->stream,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" role=\"img\" font-family=\"monospace\" "
            "font-size=\"%d\">\n<title>",
            p->width, p->height, p->width, p->height, FONT);
    printable_put_xml(p->stream, map->title);
    fputs(": ", p->stream);
    printable_put_xml(p->stream, caption);
    fputs("</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n", p->stream);
    put_text(p, MARGIN, MARGIN + FONT, " font-weight=\"bold\"", map->title);
    put_text(p, MARGIN, MARGIN + 2.4 * FONT, "", caption);
    put_labels(p, map);
    for (size_t i = 0; i < map->count; ++i)
        for (size_t j = 0; j < map->count; ++j)
            put_cell(p, map, i, j);
    put_focus(p, map);
    put_legend(p, map);
    fputs("</svg>\n", p->stream);
}

char *head_map_svg(const head_map *map, const char *caption, size_t *bytes) {
    char *content = NULL;
    picture p = {.stream = open_memstream(&content, bytes)};
    if (!p.stream) return NULL;
    size_t widest = 4;
    for (size_t i = 0; i < map->count; ++i)
        if (printable_width(map->labels[i]) > widest) widest = printable_width(map->labels[i]);
    const double column = FONT * 0.62; /* of a monospaced face */
    const double labels = (double)widest * column + MARGIN;
    const double cells = (double)map->count * CELL,
                 words = (double)printable_width(caption) * column;
    p.left = MARGIN + labels;
    p.top = MARGIN + 3.5 * FONT + labels;
    p.width = p.left + (cells > LEGEND_WIDTH ? cells : LEGEND_WIDTH) + MARGIN;
    if (words + 2.0 * MARGIN > p.width) p.width = words + 2.0 * MARGIN;
    p.height = p.top + cells + MARGIN + 10 + FONT + MARGIN;
    put_all(&p, map, caption);
    const bool failed = ferror(p.stream) != 0;
    if (fclose(p.stream) || failed) {
        free(content);
        return NULL;
    }
    return content;
}
